package compose

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// Repo is this console's own bare copy of the infra repo. Commits are made in it without a
// working tree, and nothing but a push leaves it.
type Repo struct {
	Branch  string
	dir     string
	url     string
	environ []string
}

// gitTimeout bounds one call of git over the network.
const gitTimeout = 45 * time.Second

// keptGit are git's own variables that say how a remote is reached. The others, left by a hook
// that nexops was started from, would send every call to another repository.
var keptGit = []string{
	"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_PROXY_COMMAND", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_EXEC_PATH",
}

// RepoOptions say which repository is meant and how it is reached.
type RepoOptions struct {
	Dir     string // of this program's own, for the copies
	URL     string
	Branch  string
	Via     string // a host whose user, key and known_hosts git takes over ssh; "" for git's own
	Host    func(name string) (remote.Host, error)
	Environ []string // of the git program
}

// OpenRepo makes the copy's folder, if need be.
func OpenRepo(ctx context.Context, o RepoOptions) (*Repo, error) {
	sum := sha256.Sum256([]byte(o.URL))
	r := &Repo{dir: filepath.Join(o.Dir, hex.EncodeToString(sum[:8])+".git"), url: o.URL, Branch: o.Branch}
	ssh, err := o.sshCommand()
	if err != nil {
		return nil, err
	}
	for _, kv := range o.Environ {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "GIT_") && !slices.Contains(keptGit, name) {
			continue
		}
		r.environ = append(r.environ, kv)
	}
	r.environ = append(r.environ, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "SSH_ASKPASS_REQUIRE=never", "GIT_ALLOW_PROTOCOL=file:ssh:https:git")
	if ssh != "" {
		r.environ = append(r.environ, "GIT_SSH_COMMAND="+ssh, "GIT_SSH_VARIANT=ssh")
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("git cache: %w", err)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "HEAD")); errors.Is(err, os.ErrNotExist) {
		if _, err := r.git(ctx, nil, nil, "init", "--quiet", "--bare", "--template="); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// sshCommand makes git use the user, key and known_hosts of a host. What the
// URL says of user and port wins, as it does for the ssh program.
func (o RepoOptions) sshCommand() (string, error) {
	if o.Via == "" {
		return "", nil
	}
	h, err := o.Host(o.Via)
	if err != nil {
		return "", fmt.Errorf("git_via: %w", err)
	}
	via, ok := h.(remote.OpenSSH)
	if !ok {
		return "", fmt.Errorf("git_via: %s is not reached over ssh: leave git_via out", o.Via)
	}
	user, host, port := sshTarget(o.URL)
	argv := []string{"ssh"}
	args := via.OpenSSHArgs()
	for i := 0; i < len(args); i++ {
		drop := (args[i] == "-l" && user != "") || (args[i] == "-p" && (port != "" || host != hostOf(h.Address())))
		if i+1 < len(args) && slices.Contains([]string{"-l", "-p", "-i", "-o", "-J", "-F"}, args[i]) {
			if !drop {
				argv = append(argv, args[i], args[i+1])
			}
			i++
			continue
		}
		argv = append(argv, args[i])
	}
	return remote.Quote(argv), nil
}

// sshTarget reads "ssh://git@host:22/x" and "git@host:x".
func sshTarget(raw string) (user, host, port string) {
	if u, err := url.Parse(raw); err == nil && u.Host != "" {
		return u.User.Username(), u.Hostname(), u.Port()
	}
	before, _, ok := strings.Cut(raw, ":")
	if !ok || strings.Contains(before, "/") {
		return "", "", ""
	}
	if u, h, ok := strings.Cut(before, "@"); ok {
		return u, h, ""
	}
	return "", before, ""
}

// hostOf is the host of "user@host:port".
func hostOf(address string) string {
	if _, after, ok := strings.Cut(address, "@"); ok {
		address = after
	}
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// argv is the whole of a git call, as it is shown and run.
func (r *Repo) argv(args ...string) []string {
	return append([]string{"git", "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", "-c", "gc.auto=0", "--git-dir=" + r.dir}, args...)
}

// gitError is a git that ran and failed.
type gitError struct {
	what   string
	stderr string
	err    error
}

// Error is what git said, on one line.
func (e *gitError) Error() string {
	said := ""
	for _, l := range strings.Split(e.stderr, "\n") {
		l = remote.Clean(l)
		for _, p := range []string{"fatal: ", "error: ", "remote: "} {
			l = strings.TrimPrefix(l, p)
		}
		if l != "" && !strings.HasPrefix(l, "hint:") {
			said = orElse(said, l)
		}
	}
	return fmt.Sprintf("git %s: %s", e.what, orElse(said, e.err.Error()))
}

func (e *gitError) Unwrap() error { return e.err }

// git runs one call to its end.
func (r *Repo) git(ctx context.Context, stdin []byte, env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	argv := r.argv(args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // argv of our own making
	cmd.Env = append(slices.Clone(r.environ), env...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr head
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A session of its own: ssh finds no terminal to ask on, and all that git started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return stdout.String(), &gitError{what: args[0], stderr: stderr.String(), err: err}
	}
	if stdout.more {
		return "", &gitError{what: args[0], err: fmt.Errorf("more than %d MiB came", maxGitOutput>>20)}
	}
	return stdout.String(), nil
}

// maxGitOutput bounds what is kept of one call: what others push is not ours to trust.
const maxGitOutput = 4 << 20

// head keeps the beginning of what is written to it.
type head struct {
	kept bytes.Buffer // not embedded: its ReadFrom would know no bound
	more bool
}

// Write takes the next bytes.
func (h *head) Write(p []byte) (int, error) {
	keep := min(len(p), maxGitOutput-h.kept.Len())
	h.more = h.more || keep < len(p)
	_, _ = h.kept.Write(p[:keep])
	return len(p), nil
}

// String is what was kept.
func (h *head) String() string { return h.kept.String() }

// Line runs one call that only reads and gives what it printed.
func (r *Repo) Line(ctx context.Context, args ...string) (string, error) {
	out, err := r.git(ctx, nil, nil, args...)
	return strings.TrimSpace(out), err
}

func (r *Repo) ref() string { return "refs/heads/" + r.Branch }

// Fetch brings the branch up to date and gives its commit.
func (r *Repo) Fetch(ctx context.Context) (string, error) {
	_, err := r.git(ctx, nil, nil, "fetch", "--quiet", "--no-tags", "--", r.url, "+"+r.ref()+":"+r.ref())
	if err != nil {
		return "", err
	}
	return r.Line(ctx, "rev-parse", "--verify", "--quiet", r.ref()+"^{commit}")
}

// File gives the content and mode of a file in a commit.
func (r *Repo) File(ctx context.Context, commit, file string) (content []byte, mode string, err error) {
	entry, err := r.Line(ctx, "ls-tree", "--full-tree", commit, "--", file)
	if err != nil {
		return nil, "", err
	}
	mode, rest, _ := strings.Cut(entry, " ")
	kind, rest, _ := strings.Cut(rest, " ")
	if kind != "blob" || mode == "120000" {
		return nil, "", fmt.Errorf("%s is no file on branch %s", file, r.Branch)
	}
	blob, _, _ := strings.Cut(rest, "\t")
	out, err := r.git(ctx, nil, nil, "cat-file", "blob", blob)
	return []byte(out), mode, err
}

// Tell says who made a commit and what it is: "8f3c1e2 by ana: ai: faster tokenizer".
func (r *Repo) Tell(ctx context.Context, commit string) string {
	out, err := r.Line(ctx, "show", "--no-patch", "--format=%h by %an: %s", commit)
	if err != nil {
		return remote.Clean(commit)
	}
	return remote.Clean(out)
}

// Between counts and names the commits that one has and the other has not.
func (r *Repo) Between(ctx context.Context, from, to string) ([]string, error) {
	out, err := r.Line(ctx, "log", "--format=%h %s", "--max-count=20", from+".."+to)
	if err != nil || out == "" {
		return nil, err
	}
	var list []string
	for _, l := range strings.Split(out, "\n") {
		list = append(list, remote.Clean(l))
	}
	return list, nil
}

// Contains reports whether a commit is on the way to another one.
func (r *Repo) Contains(ctx context.Context, ancestor, commit string) (bool, error) {
	_, err := r.git(ctx, nil, nil, "merge-base", "--is-ancestor", ancestor, commit)
	var exit *exec.ExitError
	if errors.As(err, &exit) && (exit.ExitCode() == 1 || exit.ExitCode() == 128) {
		return false, nil // 128: this copy does not even know it
	}
	return err == nil, err
}
