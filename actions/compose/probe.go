package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/remote"
)

// Probe runs the reading commands on one host.
type Probe struct{ Host remote.Host }

// Failure is a command that ran and did not succeed.
type Failure struct {
	Host string
	Argv []string
	Res  remote.Result
}

// Error is the host, the command and the last thing it said.
func (f *Failure) Error() string {
	return fmt.Sprintf("%s: %s: %s", f.Host, short(f.Argv), f.said())
}

// said is the end of what the command said on stderr: there programs put the reason. Git may put more after it. What there is on stdout alone is the
// program's own output, and no reason: it is told as that, after the exit code.
func (f *Failure) said() string {
	lines := strings.Split(strings.TrimSpace(string(f.Res.Stderr)), "\n")
	if f.Argv[0] == "git" {
		for _, l := range slices.Backward(lines) {
			if strings.HasPrefix(l, "fatal: ") || strings.HasPrefix(l, "error: ") {
				return remote.Clean(l)
			}
		}
	}
	if last := remote.Clean(lines[len(lines)-1]); last != "" {
		return last
	}
	code := fmt.Sprintf("exit code %d", f.Res.Code)
	lines = strings.Split(strings.TrimSpace(string(f.Res.Stdout)), "\n")
	if last := remote.Clean(lines[len(lines)-1]); last != "" {
		return fmt.Sprintf("%s, no word on stderr; the end of its output is %q", code, last)
	}
	return code
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

// Run runs one command; another exit code than 0 is a *Failure.
func (p Probe) Run(ctx context.Context, cmd remote.Command) ([]byte, error) {
	res, err := p.Host.Run(ctx, cmd)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Host.Name(), err)
	}
	if res.Code != 0 {
		return res.Stdout, &Failure{Host: p.Host.Name(), Argv: cmd.Argv, Res: res}
	}
	if res.Truncated {
		return nil, fmt.Errorf("%s: %s: the answer is too long to be read", p.Host.Name(), short(cmd.Argv))
	}
	return res.Stdout, nil
}

// Text runs one command and gives what it printed, without the blanks around it.
func (p Probe) Text(ctx context.Context, argv ...string) (string, error) {
	// What it says is read: in a language that is known.
	out, err := p.Run(ctx, remote.Command{Argv: argv, Env: map[string]string{"LC_ALL": "C"}})
	return strings.TrimSpace(string(out)), err
}

// Engine is what docker info says.
type Engine struct {
	ID             string
	Name           string
	ServerVersion  string
	ServerErrors   []string
	DockerRootDir  string
	OSType         string // linux
	Architecture   string // as the kernel calls it: x86_64
	RegistryConfig struct {
		IndexConfigs map[string]struct{ Secure bool }
	}
}

// Engine asks the host's engine who it is.
func (p Probe) Engine(ctx context.Context) (Engine, error) {
	var e Engine
	out, err := p.Run(ctx, remote.Command{Argv: []string{"docker", "info", "--format", "{{json .}}"}})
	if jerr := json.Unmarshal(out, &e); jerr == nil && len(e.ServerErrors) > 0 {
		return e, fmt.Errorf("%s: the engine does not answer: %s", p.Host.Name(), remote.Clean(e.ServerErrors[0]))
	} else if err == nil && jerr != nil {
		return e, fmt.Errorf("%s: docker info is not understood: %w", p.Host.Name(), jerr)
	}
	if err == nil && e.ID == "" {
		return e, fmt.Errorf("%s: the engine does not say who it is", p.Host.Name())
	}
	return e, err
}

// Insecure reports whether the engine talks to the registry of an image in plain HTTP.
func (e Engine) Insecure(image string) bool {
	registry, _, ok := strings.Cut(image, "/")
	if !ok {
		return false
	}
	c, known := e.RegistryConfig.IndexConfigs[registry]
	return known && !c.Secure
}

// Clock is the host's time.
func (p Probe) Clock(ctx context.Context) (time.Time, error) {
	out, err := p.Text(ctx, "date", "+%s")
	if err != nil {
		return time.Time{}, err
	}
	n, err := strconv.ParseInt(out, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: date is not understood: %w", p.Host.Name(), err)
	}
	return time.Unix(n, 0), nil
}

// Mutate runs a command that changes the host, its output line by line. When the connection breaks
// while it runs nobody knows whether it took effect; but it is not cut off in the middle: it goes on to its end.
func Mutate(ctx context.Context, h remote.Host, cmd remote.Command, out func(stream, line string)) (remote.Result, error) {
	stdout, stderr := &lines{emit: out, stream: "stdout"}, &lines{emit: out, stream: "stderr"}
	if cmd.Stdout == nil {
		cmd.Stdout = stdout
	}
	cmd.Stderr, cmd.Outlives = stderr, cmd.Stdin == nil
	res, err := h.Run(ctx, cmd)
	stdout.flush()
	stderr.flush()
	switch {
	case err == nil && res.Code != 0:
		return res, &Failure{Host: h.Name(), Argv: cmd.Argv, Res: res}
	case err == nil:
		return res, nil
	case errors.Is(err, remote.ErrNotStarted):
		return res, fmt.Errorf("%s: it never began: %w", h.Name(), err)
	default:
		return res, fmt.Errorf("%s: %w: %w", h.Name(), err, actions.ErrUnknown)
	}
}
