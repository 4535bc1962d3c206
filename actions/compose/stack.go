package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/nexgate-hq/nexops/remote"
)

// Declared is a service as the Compose files of a commit declare it.
type Declared struct {
	File  string   // of the repo, which declares it
	Image string   // with the variables that git says; "" when git alone does not say it
	Needs []string // the services it depends on
	Off   string   // why no `up` starts it; "" when one does
}

// Bounds of what is read of a commit.
const (
	maxStackFiles = 300
	maxStackFile  = 256 << 10
	blobFields    = 3 // of the line before a file: its id, "blob", its size
)

// Declared reads which services the Compose files of a place have at a commit, with all that they include. It is the
// whole truth or an error: what is included from elsewhere is an error.
func (s *Survey) Declared(ctx context.Context, pl *Place, commit string) (map[string]Declared, error) {
	if len(pl.Files) == 0 {
		return nil, errors.New("its containers do not say which Compose files they are of")
	}
	st := &stack{s: s, commit: commit, read: map[string][]byte{}, out: map[string]Declared{}}
	dir, err := s.inRepo(ctx, pl.Dir)
	if err != nil {
		return nil, err
	}
	vars := map[string]string{}
	for _, f := range pl.EnvFiles {
		if rel, err := s.inRepo(ctx, f); err == nil {
			st.env(ctx, vars, rel)
		}
	}
	var level []stackFile
	for _, f := range pl.Files {
		rel, err := s.inRepo(ctx, f)
		if err != nil {
			return nil, err
		}
		level = append(level, stackFile{path: rel, dir: dir, vars: vars})
	}
	for len(level) > 0 {
		if level, err = st.files(ctx, level); err != nil {
			return nil, err
		}
	}
	return st.out, nil
}

// inRepo is a path of the host as git knows it: below the checkout. "" is the checkout itself.
func (s *Survey) inRepo(ctx context.Context, file string) (string, error) {
	if !path.IsAbs(file) {
		file = path.Join(s.Place.Dir, file)
	}
	for _, p := range []func() (string, error){
		func() (string, error) { return path.Clean(file), nil },
		func() (string, error) { return s.Probe.Text(ctx, "readlink", "-f", file) }, // by a link it is elsewhere
	} {
		full, err := p()
		if err != nil {
			return "", err
		}
		if full == s.Repo {
			return "", nil
		}
		if rel, ok := strings.CutPrefix(full, s.Repo+"/"); ok {
			return rel, nil
		}
	}
	return "", fmt.Errorf("%s is outside of the checkout %s", remote.Clean(file), s.Repo)
}

// stackFile is one Compose file with where its paths begin and what its variables are.
type stackFile struct {
	path string
	dir  string
	vars map[string]string
}

// stack is what has been read of a commit.
type stack struct {
	s      *Survey
	commit string
	read   map[string][]byte // nil is a file that is not there
	out    map[string]Declared
	seen   int
}

// files reads the files of one level, and gives those that they include.
func (st *stack) files(ctx context.Context, level []stackFile) ([]stackFile, error) {
	if st.seen += len(level); st.seen > maxStackFiles {
		return nil, fmt.Errorf("more than %d Compose files", maxStackFiles)
	}
	var paths []string
	for _, f := range level {
		paths = append(paths, f.path)
	}
	if err := st.load(ctx, paths); err != nil {
		return nil, err
	}
	var next []stackFile
	for _, f := range level {
		raw := st.read[f.path]
		if raw == nil {
			return nil, fmt.Errorf("%s is not in git at %.7s", remote.Clean(f.path), st.commit)
		}
		doc, err := readStack(raw)
		if err != nil {
			return nil, fmt.Errorf("%s at %.7s is not understood: %s", remote.Clean(f.path), st.commit, remote.Clean(err.Error()))
		}
		for name, svc := range doc.Services {
			if IsName(name) {
				st.add(name, f, svc)
			}
		}
		more, err := st.included(ctx, f, doc.Include)
		if err != nil {
			return nil, err
		}
		next = append(next, more...)
	}
	return next, nil
}

// document is as much of a Compose file as matters here.
type document struct {
	Include  []include                `yaml:"include"`
	Services map[string]serviceInFile `yaml:"services"`
}

func readStack(raw []byte) (document, error) {
	var doc document
	err := yaml.Unmarshal(raw, &doc)
	return doc, err //nolint:wrapcheck // who asks says of which file
}

// serviceInFile is as much of a service as matters here.
type serviceInFile struct {
	Image     string    `yaml:"image"`
	Build     yaml.Node `yaml:"build"`
	Profiles  []string  `yaml:"profiles"`
	DependsOn names     `yaml:"depends_on"`
	Scale     *count    `yaml:"scale"`
	Deploy    struct {
		Replicas *count `yaml:"replicas"`
	} `yaml:"deploy"`
}

// count is a number, or -1 for what only Compose can tell.
type count int

// UnmarshalYAML takes a number or a text with variables.
func (c *count) UnmarshalYAML(n *yaml.Node) error {
	v, err := strconv.Atoi(n.Value)
	if err != nil {
		v = -1
	}
	*c = count(v)
	return nil
}

// names are those of a list or the keys of a map.
type names []string

// UnmarshalYAML takes both forms.
func (l *names) UnmarshalYAML(n *yaml.Node) error {
	step := 1
	if n.Kind == yaml.MappingNode {
		step = 2
	}
	for i := 0; i < len(n.Content); i += step {
		*l = append(*l, n.Content[i].Value)
	}
	return nil
}

// include is one entry of include: a path, or paths with their folder and env files.
type include struct {
	Path    words  `yaml:"path"`
	Dir     string `yaml:"project_directory"`
	EnvFile words  `yaml:"env_file"`
}

// UnmarshalYAML takes both forms.
func (i *include) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		i.Path = words{n.Value}
		return nil
	}
	type plain include
	return n.Decode((*plain)(i)) //nolint:wrapcheck // the library's own way
}

// words are one text or a list of them.
type words []string

// UnmarshalYAML takes both forms.
func (w *words) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*w = words{n.Value}
		return nil
	}
	return n.Decode((*[]string)(w)) //nolint:wrapcheck // the library's own way
}

// add notes a service. What a later file says of one adds to it.
func (st *stack) add(name string, f stackFile, svc serviceInFile) {
	d := st.out[name]
	if d.File == "" {
		d.File = remote.Clean(f.path)
	}
	if svc.Image != "" {
		d.Image = filled(svc.Image, f.vars)
	}
	if !svc.Build.IsZero() {
		d.Image = "" // what is built has no release until then
	}
	for _, need := range svc.DependsOn {
		if !slices.Contains(d.Needs, need) {
			d.Needs = append(d.Needs, need)
		}
	}
	switch {
	case len(svc.Profiles) > 0:
		d.Off = "it is of the profile " + remote.Clean(strings.Join(svc.Profiles, ", "))
	case svc.Scale != nil && *svc.Scale == 0, svc.Deploy.Replicas != nil && *svc.Deploy.Replicas == 0:
		d.Off = "git wants 0 of it"
	}
	st.out[name] = d
}

// included gives the files of the entries of include, with the variables of their env files.
func (st *stack) included(ctx context.Context, f stackFile, list []include) ([]stackFile, error) {
	var paths []string
	for _, e := range list {
		for _, p := range append(slices.Clone(e.Path), e.EnvFile...) {
			if strings.ContainsAny(p, "$") || strings.Contains(p, ":") || path.IsAbs(p) || strings.HasPrefix(path.Join(f.dir, p), "..") {
				return nil, fmt.Errorf("%s includes %s, which git alone does not tell", remote.Clean(f.path), remote.Clean(p))
			}
		}
		for _, p := range e.EnvFile {
			paths = append(paths, path.Join(f.dir, p))
		}
	}
	if err := st.load(ctx, paths); err != nil {
		return nil, err
	}
	var out []stackFile
	for _, e := range list {
		vars := map[string]string{}
		for _, p := range e.EnvFile {
			st.env(ctx, vars, path.Join(f.dir, p))
		}
		for k, v := range f.vars {
			vars[k] = v // those of the project win
		}
		dir := ""
		for i, p := range e.Path {
			p = path.Join(f.dir, p)
			if i == 0 {
				dir = path.Dir(p)
				if e.Dir != "" {
					dir = path.Join(f.dir, e.Dir)
				}
			}
			out = append(out, stackFile{path: p, dir: dir, vars: vars})
		}
	}
	return out, nil
}

var assigned = regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=`)

// env adds what an env file says.
func (st *stack) env(ctx context.Context, vars map[string]string, file string) {
	if _, ok := st.read[file]; !ok && st.load(ctx, []string{file}) != nil {
		return // what is not said stays open, and an image that needs it is not known
	}
	for _, m := range assigned.FindAllSubmatch(st.read[file], -1) {
		if a, err := findTag(st.read[file], string(m[1])); err == nil {
			vars[string(m[1])] = a.value
		}
	}
}

// placeholder is Compose's ${NAME}, with whatever it has besides, or $NAME.
var placeholder = regexp.MustCompile(`\$(?:\{([A-Za-z_][A-Za-z0-9_]*)[^{}]*\}|([A-Za-z_][A-Za-z0-9_]*))`)

// filled is an image with its variables. A default is not taken: an env file that is not in git may say otherwise.
func filled(image string, vars map[string]string) string {
	out := placeholder.ReplaceAllStringFunc(image, func(ref string) string {
		m := placeholder.FindStringSubmatch(ref)
		if v, ok := vars[m[1]+m[2]]; ok {
			return v
		}
		return "\x00"
	})
	if strings.ContainsAny(out, "\x00$ ") {
		return ""
	}
	return out
}

// load reads files of the commit, all by one command.
func (st *stack) load(ctx context.Context, paths []string) error {
	var ask bytes.Buffer
	var want []string
	for _, p := range paths {
		if _, ok := st.read[p]; ok || slices.Contains(want, p) || strings.ContainsAny(p, "\n\x00") {
			continue
		}
		want = append(want, p)
		fmt.Fprintf(&ask, "%s:%s\n", st.commit, p)
	}
	if len(want) == 0 {
		return nil
	}
	out, err := st.s.Probe.Run(ctx, remote.Command{Argv: []string{"git", "-C", st.s.Repo, "cat-file", "--batch"}, Stdin: &ask, Env: map[string]string{"LC_ALL": "C"}})
	if err != nil {
		return err
	}
	for _, p := range want {
		head, rest, ok := bytes.Cut(out, []byte("\n"))
		if !ok {
			return fmt.Errorf("git cat-file does not tell of %s", remote.Clean(p))
		}
		if bytes.HasSuffix(head, []byte(" missing")) {
			st.read[p], out = nil, rest
			continue
		}
		fields := strings.Fields(string(head))
		n := -1
		if len(fields) == blobFields && fields[1] == "blob" {
			n, _ = strconv.Atoi(fields[2])
		}
		if n < 0 || n > maxStackFile || n >= len(rest) {
			return fmt.Errorf("%s at %.7s is no file of at most %d KiB", remote.Clean(p), st.commit, maxStackFile>>10)
		}
		st.read[p], out = rest[:n:n], rest[n+1:]
		if n == 0 {
			st.read[p] = []byte{}
		}
	}
	return nil
}
