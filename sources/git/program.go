package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// program runs the git program, never through a shell.
type program struct {
	env []string
}

// keptEnv are git's own variables that say how a remote is reached. All others
// are dropped: GIT_DIR and its like, left by a hook or an alias that nexops
// was started from, would send every command to another repository.
var keptEnv = []string{
	"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_PROXY_COMMAND",
	"GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY", "GIT_EXEC_PATH",
}

// environ makes git's environment from this process's one. Nothing may ask a
// question: the screen is in use.
func environ(base []string, sshCommand string) []string {
	var env []string
	for _, kv := range base {
		name, _, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "GIT_") && !slices.Contains(keptEnv, name):
		case strings.HasPrefix(name, "LC_"), name == "LANG", name == "LANGUAGE", name == "SSH_ASKPASS":
		default:
			env = append(env, kv)
		}
	}
	env = append(env,
		"LC_ALL=C", // messages are matched below
		"GIT_TERMINAL_PROMPT=0",
		"SSH_ASKPASS_REQUIRE=never",
		"GIT_ALLOW_PROTOCOL=file:ssh:https:git",
		"GIT_NO_REPLACE_OBJECTS=1",
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_FLUSH=0", // else git writes, and wakes who reads, once for every commit
	)
	if sshCommand != "" {
		env = append(env, "GIT_SSH_COMMAND="+sshCommand, "GIT_SSH_VARIANT=ssh")
	}
	return env
}

// call is one run of git.
type call struct {
	repo  string // bare repository; "" for none
	args  []string
	stdin []byte
	// network lets the user's and the system's config in: credential helpers,
	// proxies and insteadOf live there. Reading the mirror needs none of it.
	network bool
	passage *passage              // to the remote; nil is git's own way
	read    func(io.Reader) error // of stdout; nil drops it
}

// name is git's subcommand.
func (c call) name() string {
	for i := 0; i < len(c.args); i++ {
		switch arg := c.args[i]; {
		case arg == "-c":
			i++
		case !strings.HasPrefix(arg, "-"):
			return arg
		}
	}
	return ""
}

// maxStderr is how much of git's complaints is kept.
const maxStderr = 16 << 10

// run runs git to its end. It returns the command's own failure first: a
// reader that met a short output is only its consequence.
func (p program) run(ctx context.Context, c call) error {
	args := []string{
		"-c", "core.hooksPath=/dev/null", "-c", "core.askPass=", "-c", "gc.autoDetach=false",
		"-c", "maintenance.autoDetach=false", "-c", "log.showRoot=true", "-c", "log.follow=false",
		"-c", "log.showSignature=false", "-c", "fetch.writeCommitGraph=false", "-c", "fetch.parallel=1",
		"-c", "protocol.version=2", "-c", "advice.detachedHead=false",
	}
	env := p.env
	if !c.network {
		env = append(slices.Clip(env), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null")
	}
	if c.repo != "" {
		args = append(args, "--git-dir="+c.repo)
	}
	args = append(args, c.args...)
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = env
	cmd.Stdin = bytes.NewReader(c.stdin)
	stderr := &head{limit: maxStderr}
	cmd.Stderr = stderr
	// A session of its own: ssh can find no terminal to ask on, and what git
	// started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	started := func() {}
	if c.passage != nil {
		cmd.ExtraFiles, started = c.passage.theirs, c.passage.started
		cmd.Env = append(slices.Clip(cmd.Env), "GIT_ALLOW_PROTOCOL=fd")
	}
	err := runAndRead(cmd, c.read, started)
	if err == nil {
		return nil
	}
	failure := &commandError{command: c.name(), stderr: stderr.String(), cause: err}
	if ctx.Err() != nil {
		failure.cause = ctx.Err()
	}
	return failure
}

func runAndRead(cmd *exec.Cmd, read func(io.Reader) error, started func()) error {
	if read == nil {
		read = func(io.Reader) error { return nil }
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	started()
	readErr := read(stdout)
	if readErr != nil {
		_ = cmd.Cancel() // it may be writing into a pipe nobody reads any more
	} else {
		_, _ = io.Copy(io.Discard, stdout)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if readErr != nil && (err == nil || (errors.As(err, &exit) && !exit.Exited())) {
		return readErr
	}
	return err //nolint:wrapcheck // see above
}

// commandError is a git that failed.
type commandError struct {
	command string
	stderr  string
	cause   error
}

// Error is git's own message, on one line, without credentials.
func (e *commandError) Error() string {
	if errors.Is(e.cause, context.DeadlineExceeded) {
		return "git " + e.command + " took too long"
	}
	if errors.Is(e.cause, exec.ErrNotFound) {
		return "the git program is not installed here; install git"
	}
	if text := message(e.stderr); text != "" {
		return text
	}
	return "git " + e.command + ": " + e.cause.Error()
}

func (e *commandError) Unwrap() error { return e.cause }

// message joins the lines of stderr that say something.
func message(stderr string) string {
	var lines []string
	for _, line := range strings.FieldsFunc(stderr, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = clean(redact(line), 200)
		line = strings.TrimPrefix(strings.TrimPrefix(line, "fatal: "), "error: ")
		switch {
		case line == "", strings.HasPrefix(line, "hint:"), strings.HasPrefix(line, "warning:"),
			strings.HasPrefix(line, "Please make sure you have the correct access rights"),
			line == "and the repository exists.", slices.Contains(lines, line):
		default:
			lines = append(lines, line)
		}
	}
	const most = 4
	if len(lines) > most {
		lines = lines[:most]
	}
	return strings.Join(lines, "; ")
}

// head keeps the first bytes written to it, up to its limit.
type head struct {
	limit int
	kept  []byte
}

func (h *head) Write(p []byte) (int, error) {
	if room := h.limit - len(h.kept); room > 0 {
		h.kept = append(h.kept, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (h *head) String() string { return string(h.kept) }
