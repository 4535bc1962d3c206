// Package infra makes and changes the simulated estate's infra repository, a real bare
// git repository with believable history, by the git program.
package infra

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Commit is one commit to make.
type Commit struct {
	Branch  string
	Author  string
	At      time.Time
	Subject string
	Files   map[string]string // path to content
	Tag     string            // an annotated tag on it, if not empty
}

// Repo is the bare repository.
type Repo struct {
	Path string

	mu sync.Mutex // one fast-import at a time
}

// Create makes the repository at path. The first commit begins every branch named in branches.
func Create(ctx context.Context, path string, branches []string, first Commit, rest []Commit) (*Repo, error) {
	r := &Repo{Path: path}
	if err := r.git(ctx, nil, "init", "-q", "--bare", "--template=", "--initial-branch=master", path); err != nil {
		return nil, err
	}
	var in bytes.Buffer
	tips := map[string]string{}
	mark := 0
	write := func(c Commit) {
		mark++
		writeCommit(&in, c, mark, tips[c.Branch])
		tips[c.Branch] = fmt.Sprintf(":%d", mark)
	}
	write(first)
	for _, b := range branches {
		if tips[b] == "" {
			tips[b] = ":1"
			_, _ = fmt.Fprintf(&in, "reset refs/heads/%s\nfrom :1\n\n", b)
		}
	}
	for _, c := range rest {
		write(c)
	}
	if err := r.git(ctx, &in, "--git-dir", path, "fast-import", "--quiet"); err != nil {
		return nil, err
	}
	return r, nil
}

func writeCommit(in *bytes.Buffer, c Commit, mark int, from string) {
	who := fmt.Sprintf("%s <%s@nexgate.internal> %d +0000", c.Author, c.Author, c.At.Unix())
	_, _ = fmt.Fprintf(in, "commit refs/heads/%s\nmark :%d\nauthor %s\ncommitter %s\ndata %d\n%s\n", c.Branch, mark, who, who, len(c.Subject), c.Subject)
	if from != "" {
		_, _ = fmt.Fprintf(in, "from %s\n", from)
	}
	for path, content := range c.Files {
		_, _ = fmt.Fprintf(in, "M 100644 inline %s\ndata %d\n%s\n", path, len(content), content)
	}
	in.WriteByte('\n')
	if c.Tag != "" {
		_, _ = fmt.Fprintf(in, "tag %s\nfrom :%d\ntagger %s\ndata %d\n%s\n", c.Tag, mark, who, len(c.Tag), c.Tag)
	}
}

// Commit puts one commit on top of a branch, as a push does.
func (r *Repo) Commit(ctx context.Context, c Commit) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var in bytes.Buffer
	writeCommit(&in, c, 1, "refs/heads/"+c.Branch+"^0")
	return r.git(ctx, &in, "--git-dir", r.Path, "fast-import", "--quiet")
}

// Head gives the newest commit of a branch and its subject.
func (r *Repo) Head(ctx context.Context, branch string) (hash, subject string, err error) {
	out, err := r.read(ctx, nil, "log", "-1", "--format=%H%n%s", "refs/heads/"+branch)
	if err != nil {
		return "", "", err
	}
	hash, subject, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	return hash, subject, nil
}

// Files gives files of a commit by path; those it does not have are left out.
func (r *Repo) Files(ctx context.Context, commit string, paths []string) (map[string]string, error) {
	var in bytes.Buffer
	for _, p := range paths {
		_, _ = fmt.Fprintf(&in, "%s:%s\n", commit, p)
	}
	out, err := r.read(ctx, &in, "cat-file", "--batch")
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, p := range paths {
		head, rest, ok := bytes.Cut(out, []byte("\n"))
		if !ok {
			return nil, errors.New("infra: git cat-file ended early")
		}
		out = rest
		var hash, kind string
		var size int
		if n, _ := fmt.Sscan(string(head), &hash, &kind, &size); n != 3 {
			continue // "... missing"
		}
		if size+1 > len(out) {
			return nil, errors.New("infra: git cat-file ended early")
		}
		files[p], out = string(out[:size]), out[size+1:]
	}
	return files, nil
}

// read runs git on the repository and gives what it prints.
func (r *Repo) read(ctx context.Context, stdin *bytes.Buffer, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"--git-dir", r.Path}, args...)...)
	cmd.Env = Env()
	if stdin != nil {
		cmd.Stdin = stdin
	}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("infra: git %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// Checkout clones a branch into a folder.
func (r *Repo) Checkout(ctx context.Context, branch, folder string) error {
	if err := os.MkdirAll(filepath.Dir(folder), 0o750); err != nil {
		return fmt.Errorf("infra: %w", err)
	}
	return r.git(ctx, nil, "clone", "-q", "--template=", "--branch", branch, r.Path, folder)
}

func (r *Repo) git(ctx context.Context, stdin *bytes.Buffer, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...) //nolint:gosec // this package's own arguments
	cmd.Env = Env()
	if stdin != nil {
		cmd.Stdin = stdin
	}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("infra: the git program is needed and was not found")
	}
	if err != nil {
		return fmt.Errorf("infra: git %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// Env is the environment for git that keeps the person's own configuration out.
func Env() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0",
	}
}
