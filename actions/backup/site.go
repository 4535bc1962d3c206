package backup

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
)

// site is where the programs of a job run: on a host or on this machine, there maybe in a container.
type site struct {
	host   remote.Host
	name   string   // of the host; "" is this machine
	prefix []string // docker exec -i CONTAINER
	// secret reads what the programs ask for as a password; nil is nothing.
	secret func(ctx context.Context) (string, error)
}

// withPassword makes a shell read the first line of its input into PGPASSWORD, and become the program:
// neither the argv nor the environment that another user of the host can see holds the password.
func withPassword(argv []string) []string {
	const script = `IFS= read -r PGPASSWORD && export PGPASSWORD && exec "$0" "$@"`
	return append([]string{"sh", "-c", script}, argv...)
}

// argv is what runs.
func (s *site) argv(words []string) []string {
	if s.secret != nil {
		words = withPassword(words)
	}
	return append(append([]string{}, s.prefix...), words...)
}

// call makes the call of a program. env is nil or its environment, which everybody on the host may see.
func (s *site) call(words []string, env map[string]string) store.Call {
	argv := s.argv(words)
	return store.Call{Host: s.name, Argv: argv, Run: func(ctx context.Context, in io.Reader, out io.Writer) error {
		res, err := s.run(ctx, argv, env, in, out)
		if err != nil {
			return err
		}
		return store.Exit(words[0], res)
	}}
}

func (s *site) run(ctx context.Context, argv []string, env map[string]string, in io.Reader, out io.Writer) (remote.Result, error) {
	if s.secret != nil {
		password, err := s.secret(ctx)
		if err != nil {
			return remote.Result{}, err
		}
		if in == nil {
			in = strings.NewReader("")
		}
		in = io.MultiReader(strings.NewReader(password+"\n"), in)
	}
	return s.host.Run(ctx, remote.Command{Argv: argv, Env: env, Stdin: in, Stdout: out}) //nolint:wrapcheck // it names the host and the program
}

// read runs a reading program of a preflight and gives what it printed.
func (s *site) read(ctx context.Context, in io.Reader, words ...string) (string, error) {
	res, err := s.run(ctx, s.argv(words), nil, in, nil)
	if err != nil {
		return "", err
	}
	if err := store.Exit(words[0], res); err != nil {
		return "", err
	}
	return strings.TrimSpace(string(res.Stdout)), nil
}

// String is the site for people.
func (s *site) String() string {
	where := s.name
	if where == "" {
		where = "this machine"
	}
	if n := len(s.prefix); n > 0 {
		return fmt.Sprintf("%s on %s", s.prefix[n-1], where)
	}
	return where
}
