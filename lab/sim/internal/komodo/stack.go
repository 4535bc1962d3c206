package komodo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// stackConfig is what the TOML of a stack says.
type stackConfig struct {
	Server      string       `toml:"server" json:"server_id"`
	Project     string       `toml:"project_name" json:"project_name"`
	Repo        string       `toml:"repo" json:"repo"`
	Branch      string       `toml:"branch" json:"branch"`
	Dir         string       `toml:"run_directory" json:"run_directory"`
	Files       []string     `toml:"file_paths" json:"file_paths"`
	EnvFiles    []envFile    `toml:"additional_env_files" json:"additional_env_files"`
	ConfigFiles []configFile `toml:"config_files" json:"config_files"`
	AutoPull    bool         `toml:"auto_pull" json:"auto_pull"`
	Environment string       `toml:"environment" json:"environment"`
}

type envFile struct {
	Path  string `toml:"path" json:"path"`
	Track bool   `toml:"track" json:"track"`
}

type configFile struct {
	Path     string   `toml:"path" json:"path"`
	Services []string `toml:"services" json:"services"`
	Requires string   `toml:"requires" json:"requires"`
}

// stack is one resource of that kind.
type stack struct {
	id     string
	name   string
	deploy bool // RunSync deploys it
	tags   []string
	config stackConfig
	info   stackInfo
}

// path is where a file of the stack is in the repository.
func (c stackConfig) path(file string) string { return path.Join(c.Dir, file) }

// tracked are the files whose contents are compared.
func (c stackConfig) tracked() []contents {
	var out []contents
	for _, f := range c.Files {
		out = append(out, contents{Path: f, Requires: "Redeploy"})
	}
	for _, f := range c.EnvFiles {
		if f.Track {
			out = append(out, contents{Path: f.Path, Requires: "Redeploy"})
		}
	}
	for _, f := range c.ConfigFiles {
		out = append(out, contents{Path: f.Path, Services: f.Services, Requires: f.Requires})
	}
	return out
}

// begin takes a stack as deployed.
func (s *Server) begin(ctx context.Context, st *stack) error {
	hash, subject, err := s.o.Estate.Head(ctx, st.config.Branch)
	if err != nil {
		return err
	}
	files, missing := s.contents(ctx, hash, st.config)
	for i, f := range files {
		if s.o.Deployed != nil {
			files[i].Contents = s.o.Deployed(st.config.Server, st.config.path(f.Path), f.Contents)
		}
	}
	st.info.MissingFiles = missing
	st.info.DeployedProject = st.config.Project
	st.info.DeployedContents = plain(files)
	st.info.DeployedHash, st.info.DeployedMessage = short(hash), subject
	return nil
}

// plain are contents without what they require, as deployed_contents are.
func plain(files []contents) []contents {
	out := make([]contents, len(files))
	for i, f := range files {
		out[i] = contents{Path: f.Path, Contents: f.Contents}
	}
	return out
}

func short(hash string) string { return hash[:min(7, len(hash))] }

func (s *Server) contents(ctx context.Context, commit string, c stackConfig) (files []contents, missing []string) {
	missing = []string{}
	var paths []string
	for _, f := range c.tracked() {
		paths = append(paths, c.path(f.Path))
	}
	texts, err := s.o.Estate.Files(ctx, commit, paths)
	if err != nil {
		return nil, paths
	}
	for _, f := range c.tracked() {
		text, ok := texts[c.path(f.Path)]
		if !ok {
			missing = append(missing, f.Path)
			continue
		}
		f.Contents = text
		files = append(files, f)
	}
	return files, missing
}

// refreshStack reads what the repository says now. Nothing is deployed.
func (s *Server) refreshStack(ctx context.Context, st *stack) {
	s.mu.Lock()
	c := st.config
	s.mu.Unlock()
	hash, subject, err := s.o.Estate.Head(ctx, c.Branch)
	if err != nil {
		return
	}
	files, missing := s.contents(ctx, hash, c)
	latest := s.services(ctx, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	st.info.RemoteContents, st.info.MissingFiles = files, missing
	st.info.LatestHash, st.info.LatestMessage = short(hash), subject
	if !s.has(HeadHashes) {
		st.info.LatestHash = st.info.DeployedHash
		if len(changed(st.info)) > 0 {
			st.info.LatestHash = short(hash)
		}
	}
	if latest != nil {
		st.info.LatestServices = latest
	}
	for i := range st.info.LatestServices {
		// The agent's checkout is older than the repository until the next deploy: what the tag files say now counts.
		st.info.LatestServices[i].Image = retag(st.info.LatestServices[i].Image, st.info.LatestServices[i].ServiceName, files)
	}
}

// retag puts the tag of a service's tag file into its image.
func retag(image, service string, files []contents) string {
	key := strings.ToUpper(strings.ReplaceAll(service, "-", "_")) + "_TAG="
	for _, f := range files {
		for line := range strings.SplitSeq(f.Contents, "\n") {
			if tag, ok := strings.CutPrefix(strings.TrimSpace(line), key); ok {
				if at := strings.LastIndexByte(image, ':'); at > strings.LastIndexByte(image, '/') {
					return image[:at+1] + tag
				}
			}
		}
	}
	return image
}

// compose is a command of the stack's project on its server.
func (s *Server) compose(c stackConfig, words ...string) []string {
	dir := path.Join(s.o.Checkout, c.Dir)
	argv := []string{"docker", "compose", "--project-directory", dir, "-p", c.Project}
	for _, f := range c.Files {
		argv = append(argv, "-f", path.Join(dir, f))
	}
	return append(argv, words...)
}

// services reads docker compose config on the server; nil when it cannot be asked.
func (s *Server) services(ctx context.Context, c stackConfig) []stackService {
	res, err := s.o.Estate.Run(ctx, c.Server, s.compose(c, "config", "--format", "json"))
	if err != nil || res.Code != 0 {
		return nil
	}
	var doc struct {
		Services map[string]struct {
			Image         string `json:"image"`
			ContainerName string `json:"container_name"`
		} `json:"services"`
	}
	if json.Unmarshal([]byte(res.Stdout), &doc) != nil {
		return nil
	}
	var out []stackService
	for name, svc := range doc.Services {
		if svc.ContainerName == "" {
			svc.ContainerName = c.Project + "-" + name
		}
		out = append(out, stackService{ServiceName: name, ContainerName: svc.ContainerName, Image: svc.Image})
	}
	slices.SortFunc(out, func(a, b stackService) int { return strings.Compare(a.ServiceName, b.ServiceName) })
	return out
}

// change is one file whose contents differ from what was deployed.
type change struct {
	path     string
	services []string
}

// changed compares contents, never hashes or tags.
func changed(info stackInfo) []change {
	was := map[string]string{}
	for _, f := range info.DeployedContents {
		was[f.Path] = f.Contents
	}
	var out []change
	for _, f := range info.RemoteContents {
		if old, ok := was[f.Path]; !ok || old != f.Contents {
			out = append(out, change{f.Path, f.Services})
		}
	}
	return out
}

// state is what all containers together are; health is in none of them.
func (s *Server) state(ctx context.Context, st *stack) (string, []Container) {
	s.mu.Lock()
	c, busy, blind := st.config, s.busy[st.id], s.has(Blind)
	s.mu.Unlock()
	if strings.HasPrefix(busy, "DeployStack") {
		return "deploying", nil
	}
	list, err := s.o.Estate.Containers(ctx, c.Server, c.Project)
	if err != nil {
		return "unknown", nil
	}
	if len(list) == 0 {
		return "down", nil
	}
	first := list[0].State
	for _, k := range list {
		if k.Health == "unhealthy" && !blind {
			return "unhealthy", list
		}
		if k.State != first {
			return "unhealthy", list
		}
	}
	if first == "exited" {
		first = "stopped"
	}
	return first, list
}

// text is the stack as TOML-like text, in one fixed form, so that two can be compared.
func (st *stack) text() string {
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, "[[stack]]\nname = %q\ndeploy = %t\ntags = %s\n[stack.config]\n", st.name, st.deploy, list(st.tags))
	c := st.config
	for _, kv := range [][2]string{
		{"server", c.Server}, {"project_name", c.Project}, {"repo", c.Repo}, {"branch", c.Branch}, {"run_directory", c.Dir},
	} {
		_, _ = fmt.Fprintf(&b, "%s = %q\n", kv[0], kv[1])
	}
	_, _ = fmt.Fprintf(&b, "file_paths = %s\nauto_pull = %t\n", list(c.Files), c.AutoPull)
	for _, f := range c.EnvFiles {
		_, _ = fmt.Fprintf(&b, "additional_env_files.path = %q\n", f.Path)
	}
	for _, f := range c.ConfigFiles {
		_, _ = fmt.Fprintf(&b, "config_files.path = %q\n", f.Path)
	}
	if c.Environment != "" {
		_, _ = fmt.Fprintf(&b, "environment = \"\"\"\n%s\"\"\"\n", c.Environment)
	}
	return b.String()
}

func list(words []string) string {
	out, err := json.Marshal(words)
	if err != nil || words == nil {
		return "[]"
	}
	return string(out)
}
