package nexgate

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/lab/sim/internal/infra"
)

// TagFile is where a service's tag stands in the infra repo.
func TagFile(service string) string { return "services/" + service + "/tag.env" }

// TagLine is what stands in it.
func TagLine(service, tag string) string {
	return Service{Name: service}.TagKey() + "=" + tag + "\n"
}

// FirstTag is the release of a service before the first bump of History.
func FirstTag(service string) string {
	return map[string]string{"ai": "0.3.8", "notification-server": "1.7.7", "nexgate-backend": "2.10.2", "file-thunder": "3.1.9"}[service]
}

// FirstCommit is the infra repo as it began.
func FirstCommit(now time.Time) infra.Commit {
	files := map[string]string{"README.md": "# nexgate-infra\n\nDesired state of staging and prod. `services/<service>/tag.env` says what runs.\n"}
	for _, s := range append(Services(), Watchers()...) {
		switch {
		case s.Base:
			files["base/"+s.Name+".yml"] = "services:\n" + s.compose()
		case s.Of == "":
			dir := "services/" + s.Name + "/"
			body := "services:\n" + s.compose()
			for _, c := range Services() {
				if c.Of == s.Name {
					body += c.compose()
				}
			}
			files[dir+"service.yml"] = body
			files[dir+"tag.env"] = TagLine(s.Name, FirstTag(s.Name))
			files[dir+"config.env"] = "LOG_FORMAT=json\nHEALTH_PATH=/health\n"
			files[dir+"vault-policy.hcl"] = fmt.Sprintf("path \"secret/data/%s/*\" {\n  capabilities = [\"read\"]\n}\n", s.Name)
		}
	}
	for _, h := range Hosts(now) {
		files[h.Stack] = h.stackFile()
	}
	maps.Copy(files, syncFiles(now))
	return infra.Commit{Branch: "master", Author: "ana", At: now.AddDate(0, 0, -130), Subject: "nexgate-infra: base and four services", Files: files}
}

// Commits turns the bumps into commits. Some get the tag of a release of the estate.
func Commits(bumps []Bump) []infra.Commit {
	var out []infra.Commit
	releases := 0
	for _, b := range bumps {
		c := infra.Commit{
			Branch: b.Branch, Author: b.Author, At: b.At, Subject: b.Subject,
			Files: map[string]string{TagFile(b.Service): TagLine(b.Service, b.Tag)},
		}
		if b.Branch == "master" {
			if releases++; releases%3 == 0 {
				c.Tag = fmt.Sprintf("v1.%d.0", releases/3)
			}
		}
		out = append(out, c)
	}
	return out
}

// stackFile is the Compose file of one host: includes of what runs on it.
func (h Host) stackFile() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "name: %s\ninclude:\n", h.Project)
	known := map[string]Service{}
	for _, s := range append(Services(), Watchers()...) {
		known[s.Name] = s
	}
	for _, name := range h.Services {
		switch s := known[name]; {
		case s.Base:
			_, _ = fmt.Fprintf(&b, "  - ../base/%s.yml\n", name)
		case s.Of == "":
			_, _ = fmt.Fprintf(&b, "  - path: ../services/%s/service.yml\n    env_file: ../services/%s/tag.env\n", name, name)
		}
	}
	return b.String()
}

// compose is the service's entry in a Compose file.
func (s Service) compose() string {
	var b strings.Builder
	image := s.Repo + ":" + s.Tag
	if s.Tag == "" {
		image = s.Repo + ":${" + s.TagKey() + ":-latest}"
	}
	_, _ = fmt.Fprintf(&b, "  %s:\n    image: %s\n    restart: unless-stopped\n", s.Name, image)
	_, _ = fmt.Fprintf(&b, "    deploy:\n      resources:\n        limits:\n          cpus: %q\n          memory: %dM\n",
		strconv.FormatFloat(s.CPU, 'g', -1, 64), s.Memory/mib)
	for i, p := range s.Ports {
		if p.Public != 0 {
			if i == 0 {
				b.WriteString("    ports:\n")
			}
			_, _ = fmt.Fprintf(&b, "      - %q\n", fmt.Sprintf("%d:%d", p.Public, p.Private))
		}
	}
	return b.String()
}
