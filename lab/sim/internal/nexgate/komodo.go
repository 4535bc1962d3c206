package nexgate

import (
	"fmt"
	"path"
	"strings"
	"time"
)

// StackName is what Komodo calls the stack of a host: "nexgate-prod-1".
func (h Host) StackName() string { return "nexgate-" + h.Name }

// SyncName is what Komodo calls the resource sync of an environment.
func SyncName(env string) string { return "nexgate-" + env }

// SyncFile is where it stands in the infra repo.
func SyncFile(env string) string { return "komodo/" + env + ".toml" }

// syncFiles are Komodo's resources, as TOML in the infra repo: prod is deployed by a sync that a person runs.
func syncFiles(now time.Time) map[string]string {
	out := map[string]string{}
	for _, h := range Hosts(now) {
		if h.Environment == "ops" {
			continue // watches the others from outside
		}
		file := SyncFile(h.Environment)
		if out[file] == "" {
			out[file] = fmt.Sprintf("[[variable]]\nname = \"NEXGATE_%s_DOMAIN\"\nvalue = \"%s.nexgate.example\"\n", strings.ToUpper(h.Environment), h.Environment)
		}
		out[file] += "\n" + h.stackResource()
	}
	return out
}

// stackResource is the [[stack]] of one host. Its tag files are tracked; Komodo looks at nothing else to see a change.
func (h Host) stackResource() string {
	known := map[string]Service{}
	for _, s := range Services() {
		known[s.Name] = s
	}
	var env, config []string
	for _, name := range h.Services {
		if s := known[name]; !s.Base && s.Of == "" {
			env = append(env, fmt.Sprintf("  { path = %q, track = true },\n", "../"+TagFile(name)))
			config = append(config, fmt.Sprintf("  { path = %q, services = [%q], requires = \"Redeploy\" },\n", "../services/"+name+"/service.yml", name))
		}
	}
	return fmt.Sprintf(`[[stack]]
name   = %q
deploy = true
tags   = [%q]

[stack.config]
server        = %q
project_name  = %q
repo          = "nexgate-hq/nexgate-infra"
branch        = %q
run_directory = %q
file_paths    = [%q]
environment   = """
REGISTRY_TOKEN=ghp-not-for-screens-%s
"""
additional_env_files = [
%s]
config_files = [
%s]
`, h.StackName(), h.Environment, h.Name, h.Project, h.Branch, path.Dir(h.Stack), path.Base(h.Stack), h.Name, strings.Join(env, ""), strings.Join(config, ""))
}
