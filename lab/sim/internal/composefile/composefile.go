// Package composefile reads as much of the Compose file format as the simulated
// estate uses: include with env_file, variables with defaults, services.
package composefile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

const maxIncludes = 200

// Input is what docker compose is called with. Paths are absolute.
type Input struct {
	Name        string
	Dir         string
	Files       []string // default: compose.yaml, docker-compose.yml in Dir
	EnvFiles    []string // default: .env in Dir, if there is one
	Environment map[string]string
	Read        func(path string) ([]byte, error)
}

// Project is a Compose project with every variable filled in.
type Project struct {
	Name     string
	Dir      string
	Files    []string
	Services map[string]map[string]any
	Networks map[string]any
	Volumes  map[string]any
}

// Load reads a project.
func Load(in Input) (*Project, error) {
	files := in.Files
	if len(files) == 0 {
		for _, name := range []string{"compose.yaml", "compose.yml", "docker-compose.yml"} {
			p := path.Join(in.Dir, name)
			if _, err := in.Read(p); err == nil {
				files = []string{p}
				break
			}
		}
	}
	if len(files) == 0 {
		return nil, errors.New("no configuration file provided: not found")
	}
	env := map[string]string{}
	if err := readEnvFiles(in, env); err != nil {
		return nil, err
	}
	maps.Copy(env, in.Environment)
	p := &Project{
		Name: in.Name, Dir: in.Dir, Files: files,
		Services: map[string]map[string]any{}, Networks: map[string]any{}, Volumes: map[string]any{},
	}
	l := loader{in: in, project: p}
	for _, f := range files {
		if err := l.file(f, env); err != nil {
			return nil, err
		}
	}
	if p.Name == "" {
		p.Name = path.Base(in.Dir)
	}
	return p, nil
}

func readEnvFiles(in Input, env map[string]string) error {
	if len(in.EnvFiles) == 0 {
		data, err := in.Read(path.Join(in.Dir, ".env"))
		if err == nil {
			maps.Copy(env, ParseEnv(data))
		}
		return nil
	}
	for _, f := range in.EnvFiles {
		data, err := in.Read(f)
		if err != nil {
			return fmt.Errorf("couldn't find env file: %s", f)
		}
		maps.Copy(env, ParseEnv(data))
	}
	return nil
}

// ParseEnv reads KEY=VALUE lines as Compose does: comments, "export", quotes.
func ParseEnv(data []byte) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		value = strings.TrimSpace(value)
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		} else if i := strings.Index(value, " #"); i >= 0 {
			value = strings.TrimSpace(value[:i])
		}
		out[strings.TrimSpace(key)] = value
	}
	return out
}

type loader struct {
	in      Input
	project *Project
	seen    int
}

type document struct {
	Name     string                    `yaml:"name"`
	Include  []yaml.Node               `yaml:"include"`
	Services map[string]map[string]any `yaml:"services"`
	Networks map[string]any            `yaml:"networks"`
	Volumes  map[string]any            `yaml:"volumes"`
}

func (l *loader) file(name string, env map[string]string) error {
	if l.seen++; l.seen > maxIncludes {
		return fmt.Errorf("%s: too many includes", name)
	}
	data, err := l.in.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open %s: no such file or directory", name)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	var doc document
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("parsing %s: %w", name, err)
	}
	for i := range doc.Include {
		if err := l.include(name, &doc.Include[i], env); err != nil {
			return err
		}
	}
	if l.project.Name == "" {
		l.project.Name = doc.Name
	}
	for service, body := range doc.Services {
		filled, err := fill(body, env)
		if err != nil {
			return fmt.Errorf("%s: services.%s: %w", name, service, err)
		}
		m, _ := filled.(map[string]any)
		if m == nil {
			m = map[string]any{}
		}
		l.project.Services[service] = m
	}
	maps.Copy(l.project.Networks, doc.Networks)
	maps.Copy(l.project.Volumes, doc.Volumes)
	return nil
}

// include reads one entry: a path, or a mapping with path and env_file. An included
// file's variables come from its env_file unless the project's environment has them.
func (l *loader) include(from string, node *yaml.Node, env map[string]string) error {
	var entry struct {
		Path    oneOrMore `yaml:"path"`
		EnvFile oneOrMore `yaml:"env_file"`
	}
	if node.Kind == yaml.ScalarNode {
		entry.Path = oneOrMore{node.Value}
	} else if err := node.Decode(&entry); err != nil {
		return fmt.Errorf("%s: include: %w", from, err)
	}
	inner := map[string]string{}
	for _, f := range entry.EnvFile {
		f = absolute(from, f)
		data, err := l.in.Read(f)
		if err != nil {
			return fmt.Errorf("env file %s not found: stat %s: no such file or directory", f, f)
		}
		maps.Copy(inner, ParseEnv(data))
	}
	maps.Copy(inner, env)
	for _, f := range entry.Path {
		if err := l.file(absolute(from, f), inner); err != nil {
			return err
		}
	}
	return nil
}

func absolute(from, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(path.Dir(from), name)
}

type oneOrMore []string

// UnmarshalYAML reads a string or a list of strings.
func (o *oneOrMore) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*o = oneOrMore{node.Value}
		return nil
	}
	return node.Decode((*[]string)(o)) //nolint:wrapcheck // the decoder's own
}

// Names gives the services in order.
func (p *Project) Names() []string { return slices.Sorted(maps.Keys(p.Services)) }

// Image is the image reference of a service.
func (p *Project) Image(service string) string {
	ref, _ := p.Services[service]["image"].(string)
	return ref
}

// Document is what docker compose config prints: only these services, everything filled in.
func (p *Project) Document(services []string) map[string]any {
	out := map[string]any{}
	for _, s := range services {
		body := map[string]any{"command": nil, "entrypoint": nil, "networks": map[string]any{"default": nil}}
		maps.Copy(body, p.Services[s])
		out[s] = body
	}
	doc := map[string]any{
		"name": p.Name, "services": out,
		"networks": map[string]any{"default": map[string]any{"name": p.Name + "_default", "ipam": map[string]any{}}},
	}
	return doc
}
