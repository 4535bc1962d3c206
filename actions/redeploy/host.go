package redeploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/remote"
)

// probe runs the reading commands on one host.
type probe struct{ host remote.Host }

// failure is a command that ran and did not succeed.
type failure struct {
	host string
	argv []string
	res  remote.Result
}

// Error is the host, the command and the last thing it said.
func (f *failure) Error() string {
	return fmt.Sprintf("%s: %s: %s", f.host, short(f.argv), f.said())
}

// said is the end of what the command said: there programs put the reason.
func (f *failure) said() string {
	for _, out := range [][]byte{f.res.Stderr, f.res.Stdout} {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if last := remote.Clean(lines[len(lines)-1]); last != "" {
			return last
		}
	}
	return fmt.Sprintf("exit code %d", f.res.Code)
}

// short is the program and what it was to do, without the many flags.
func short(argv []string) string {
	var words []string
	for _, w := range argv {
		if strings.HasPrefix(w, "-") || len(words) == 3 {
			break
		}
		words = append(words, w)
	}
	return remote.Clean(strings.Join(words, " "))
}

// run runs one command; another exit code than 0 is a *failure.
func (p probe) run(ctx context.Context, cmd remote.Command) ([]byte, error) {
	res, err := p.host.Run(ctx, cmd)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.host.Name(), err)
	}
	if res.Code != 0 {
		return res.Stdout, &failure{host: p.host.Name(), argv: cmd.Argv, res: res}
	}
	if res.Truncated {
		return nil, fmt.Errorf("%s: %s: the answer is too long to be read", p.host.Name(), short(cmd.Argv))
	}
	return res.Stdout, nil
}

func (p probe) text(ctx context.Context, argv ...string) (string, error) {
	// What it says is read: in a language that is known.
	out, err := p.run(ctx, remote.Command{Argv: argv, Env: map[string]string{"LC_ALL": "C"}})
	return strings.TrimSpace(string(out)), err
}

// engine is what docker info says.
type engine struct {
	ID             string
	Name           string
	ServerVersion  string
	ServerErrors   []string
	DockerRootDir  string
	RegistryConfig struct {
		IndexConfigs map[string]struct{ Secure bool }
	}
}

func (p probe) engine(ctx context.Context) (engine, error) {
	var e engine
	out, err := p.run(ctx, remote.Command{Argv: []string{"docker", "info", "--format", "{{json .}}"}})
	if jerr := json.Unmarshal(out, &e); jerr == nil && len(e.ServerErrors) > 0 {
		return e, fmt.Errorf("%s: the engine does not answer: %s", p.host.Name(), remote.Clean(e.ServerErrors[0]))
	} else if err == nil && jerr != nil {
		return e, fmt.Errorf("%s: docker info is not understood: %w", p.host.Name(), jerr)
	}
	if err == nil && e.ID == "" {
		return e, fmt.Errorf("%s: the engine does not say who it is", p.host.Name())
	}
	return e, err
}

// insecure reports whether the engine talks to the registry of an image in plain HTTP.
func (e engine) insecure(image string) bool {
	registry, _, ok := strings.Cut(image, "/")
	if !ok {
		return false
	}
	c, known := e.RegistryConfig.IndexConfigs[registry]
	return known && !c.Secure
}

// clock is the host's time.
func (p probe) clock(ctx context.Context) (time.Time, error) {
	out, err := p.text(ctx, "date", "+%s")
	if err != nil {
		return time.Time{}, err
	}
	n, err := strconv.ParseInt(out, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: date is not understood: %w", p.host.Name(), err)
	}
	return time.Unix(n, 0), nil
}

// image is what an engine says of an image on its disk.
type image struct {
	ID          string `json:"Id"`
	RepoDigests []string
	Size        int64
	Created     time.Time
}

// digest is the repository digest of the image.
func (i image) digest(repository string) string {
	for _, d := range i.RepoDigests {
		if digest, ok := strings.CutPrefix(d, repository+"@"); ok {
			return digest
		}
	}
	return ""
}

// image gives the image that lies on the host under a reference; nil when none does.
func (p probe) image(ctx context.Context, ref string) (*image, error) {
	out, err := p.run(ctx, remote.Command{Argv: []string{"docker", "image", "inspect", ref}})
	var f *failure
	if errors.As(err, &f) && noSuchImage(f.res.Stderr) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []image
	if err := json.Unmarshal(out, &list); err != nil || len(list) != 1 {
		return nil, fmt.Errorf("%s: docker image inspect %s is not understood", p.host.Name(), remote.Clean(ref))
	}
	return &list[0], nil
}

func noSuchImage(stderr []byte) bool {
	return bytes.Contains(bytes.ToLower(stderr), []byte("no such image"))
}

// manifestArgv asks the registry, with the host's own credentials, for an image.
func manifestArgv(ref string, insecure bool) []string {
	argv := []string{"docker", "manifest", "inspect", "--verbose"}
	if insecure {
		argv = append(argv, "--insecure")
	}
	return append(argv, ref)
}

// manifest gives the digest that the registry has under a reference; "" when it does not tell (an image
// for several platforms). An error means that the image cannot be pulled.
func (p probe) manifest(ctx context.Context, ref string, insecure bool) (digest string, err error) {
	out, err := p.run(ctx, remote.Command{Argv: manifestArgv(ref, insecure)})
	var f *failure
	if errors.As(err, &f) && bytes.Contains(f.res.Stderr, []byte("unsupported manifest")) {
		return "", nil // the registry has it; this docker program is older than its format
	}
	if err != nil {
		return "", err
	}
	var one struct {
		Descriptor struct{ Digest string }
	}
	if json.Unmarshal(out, &one) != nil || !digestGrammar.MatchString(one.Descriptor.Digest) {
		return "", nil
	}
	return one.Descriptor.Digest, nil
}

// rendered is what Compose makes of a service.
type rendered struct {
	Image  string `json:"image"`
	Scale  *int   `json:"scale"`
	Deploy struct {
		Replicas *int `json:"replicas"`
	} `json:"deploy"`
}

// count is how many containers the file asks for.
func (r rendered) count() int {
	switch {
	case r.Scale != nil:
		return *r.Scale
	case r.Deploy.Replicas != nil:
		return *r.Deploy.Replicas
	default:
		return 1
	}
}

// render asks Compose what it makes of the service. The answer holds the secrets of its environment:
// only what rendered names is looked at, and nothing of it is shown.
func (p probe) render(ctx context.Context, argv []string, service string, env map[string]string) (rendered, error) {
	out, err := p.run(ctx, remote.Command{Argv: argv, Env: env})
	if err != nil {
		return rendered{}, err
	}
	var doc struct {
		Services map[string]rendered `json:"services"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return rendered{}, fmt.Errorf("%s: what compose config says is not understood", p.host.Name())
	}
	r, ok := doc.Services[service]
	if !ok {
		return rendered{}, fmt.Errorf("%s: the Compose files have no service %s", p.host.Name(), remote.Clean(service))
	}
	return r, nil
}

// compose gives the argv of a compose call on a place.
func (p *place) compose(program []string, words ...string) []string {
	argv := append(slices.Clone(program), "--project-directory", p.dir, "-p", p.project)
	for _, f := range p.files {
		argv = append(argv, "-f", f)
	}
	for _, f := range p.envFiles {
		argv = append(argv, "--env-file", f)
	}
	return append(argv, words...)
}

// tagPath is the tag file on the host.
func tagPath(root, file string) string {
	if path.IsAbs(file) {
		return file
	}
	return path.Join(root, file)
}

// mutate runs a command that changes the host, its output line by line. When the connection breaks
// while it runs nobody knows whether it took effect.
func mutate(ctx context.Context, h remote.Host, cmd remote.Command, out func(stream, line string)) (remote.Result, error) {
	stdout, stderr := &lines{emit: out, stream: "stdout"}, &lines{emit: out, stream: "stderr"}
	if cmd.Stdout == nil {
		cmd.Stdout = stdout
	}
	cmd.Stderr = stderr
	res, err := h.Run(ctx, cmd)
	stdout.flush()
	stderr.flush()
	switch {
	case err == nil && res.Code != 0:
		return res, &failure{host: h.Name(), argv: cmd.Argv, res: res}
	case err == nil:
		return res, nil
	case errors.Is(err, remote.ErrNotStarted):
		return res, fmt.Errorf("%s: it never began: %w", h.Name(), err)
	default:
		return res, fmt.Errorf("%s: %w: %w", h.Name(), err, actions.ErrUnknown)
	}
}
