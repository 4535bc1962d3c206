package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Secret says where a secret is, never what it is: "env:NAME" (an environment
// variable), "file:PATH" (mode 0600 or stricter) or "cmd:ARGV" (the first line
// that a command prints). It shows itself as the kind and the name alone.
type Secret string

const (
	secretEnv  = "env:"
	secretFile = "file:"
	secretCmd  = "cmd:"

	secretMax     = 64 << 10
	secretTimeout = 30 * time.Second
)

// errSecretForm never holds the value: that might be the secret itself.
var errSecretForm = errors.New(`a secret is never written in the config: say where it is, "env:NAME", "file:PATH" or "cmd:ARGV"`)

// IsZero reports whether no secret is configured.
func (s Secret) IsZero() bool { return s == "" }

// UnmarshalText accepts a reference and refuses a secret in clear, without repeating it.
func (s *Secret) UnmarshalText(text []byte) error {
	v := Secret(text)
	if err := v.check(); err != nil {
		return err
	}
	*s = v
	return nil
}

func (s Secret) check() error {
	kind, rest := s.split()
	switch {
	case s == "":
		return nil
	case kind == "":
		return errSecretForm
	case strings.TrimSpace(rest) == "":
		return fmt.Errorf("%q names nothing after the colon", kind)
	case kind == secretEnv && !envName(rest):
		// The value is not repeated: somebody may have put the secret itself here.
		return errors.New(`"env:" is followed by the name of a variable: letters, digits and "_"`)
	case kind == secretCmd:
		argv, err := splitArgv(rest)
		if err != nil {
			return err
		}
		if len(argv) == 0 || argv[0] == "" {
			return errors.New(`"cmd:" names no program`)
		}
	}
	return nil
}

// split gives the kind with its colon, and what follows; kind is "" when there is none.
func (s Secret) split() (kind, rest string) {
	for _, k := range []string{secretEnv, secretFile, secretCmd} {
		if rest, ok := strings.CutPrefix(string(s), k); ok {
			return k, rest
		}
	}
	return "", ""
}

// String is the kind and the name of the reference: "env:LOKI_PASSWORD", "cmd:pass".
func (s Secret) String() string {
	kind, rest := s.split()
	switch {
	case s == "":
		return ""
	case s.check() != nil:
		return "(no valid reference)"
	case kind == secretCmd:
		argv, _ := splitArgv(rest)
		return kind + Clean(argv[0])
	default:
		return kind + Clean(rest)
	}
}

// GoString is the same as String, for %#v.
func (s Secret) GoString() string { return fmt.Sprintf("remote.Secret(%q)", s.String()) }

// MarshalText is the same as String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is the same as String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Resolve reads the secret in the environment of this process. An empty reference is an empty secret.
func (s Secret) Resolve(ctx context.Context) (string, error) {
	return s.ResolveIn(ctx, ProcessOptions())
}

// ResolveIn reads the secret in the environment given. Errors name the reference, never what was read.
func (s Secret) ResolveIn(ctx context.Context, opts Options) (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	kind, rest := s.split()
	var value string
	var err error
	switch kind {
	case secretEnv:
		var ok bool
		if value, ok = opts.env(rest); !ok {
			err = errors.New("the variable is not set")
		}
	case secretFile:
		value, err = readSecretFile(opts.expand(rest))
	case secretCmd:
		value, err = runSecretCommand(ctx, rest)
	default:
		return "", nil
	}
	if err == nil && value == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return "", fmt.Errorf("secret %s: %w", s, err)
	}
	if opts.Learned != nil {
		opts.Learned(value)
	}
	return value, nil
}

// RunsCommand reports whether reading the secret runs a program, which may ask its owner.
func (s Secret) RunsCommand() bool {
	kind, _ := s.split()
	return kind == secretCmd
}

func readSecretFile(path string) (string, error) {
	// Not blocking: opening a pipe would wait for somebody to write to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // #nosec G304 -- the path is the person's own config
	if err != nil {
		return "", cause(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", cause(err)
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("it is no regular file")
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return "", fmt.Errorf("mode %04o lets others read it: chmod 600 %s", perm, Quote([]string{path}))
	}
	data, err := io.ReadAll(io.LimitReader(f, secretMax))
	if err != nil {
		return "", cause(err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

func runSecretCommand(ctx context.Context, line string) (string, error) {
	argv, err := splitArgv(line)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) // #nosec G204 -- the command is the person's own config
	out := newCapture(nil, secretMax)
	cmd.Stdout = out
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("the command gave no answer: %w", ctx.Err())
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			// Its output is not repeated: it may hold the secret.
			return "", fmt.Errorf("the command ended with code %d: run it by hand to see why", exit.ExitCode())
		}
		return "", cause(err)
	}
	first, _, _ := bytes.Cut(out.bytes(), []byte("\n"))
	return strings.TrimRight(string(first), "\r"), nil
}

// cause is what is wrong, without the path or program that the reference names already.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var prog *exec.Error
	if errors.As(err, &prog) {
		return prog.Err
	}
	return err
}

func envName(s string) bool {
	for i, r := range s {
		letter := r == '_' || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z')
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
