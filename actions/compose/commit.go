package compose

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// Change is one commit to be made on a parent. Either one file gets another content, or paths become as they are in another commit.
type Change struct {
	Parent  string
	File    string
	Mode    string
	Content []byte
	Paths   []string // git pathspecs; then File, Mode and Content are not looked at
	As      string   // the commit that Paths are taken from
	Message string
	Who     string // for whom it is made: "ana@laptop"
	At      time.Time
}

// ErrNoChange says that the parent already is as it would become.
var ErrNoChange = errors.New("nothing would change")

// Commit makes the commit in this copy; nobody sees it until it is pushed.
func (r *Repo) Commit(ctx context.Context, c Change) (string, error) {
	var entries string
	var err error
	if c.Paths == nil {
		entries, err = r.fileEntry(ctx, c)
	} else {
		entries, err = r.pathEntries(ctx, c)
	}
	if err != nil {
		return "", err
	}
	var tree string
	err = r.withIndex(ctx, c.Parent, func(env []string) error {
		if _, err := r.git(ctx, []byte(entries), env, "update-index", "-z", "--index-info"); err != nil {
			return err
		}
		tree, err = r.git(ctx, nil, env, "write-tree")
		return err
	})
	if err != nil {
		return "", err
	}
	at := fmt.Sprintf("%d +0000", c.At.Unix())
	env := []string{
		"GIT_AUTHOR_NAME=" + strings.TrimSpace("nexops "+remote.Clean(c.Who)), "GIT_AUTHOR_EMAIL=nexops@localhost", "GIT_AUTHOR_DATE=" + at,
		"GIT_COMMITTER_NAME=nexops", "GIT_COMMITTER_EMAIL=nexops@localhost", "GIT_COMMITTER_DATE=" + at,
	}
	commit, err := r.git(ctx, []byte(c.Message), env, "commit-tree", strings.TrimSpace(tree), "-p", c.Parent)
	return strings.TrimSpace(commit), err
}

// CommitTag makes the commit that has another tag and digest under a key of the file, whose content now is given. words are
// the commit and the line that it changes, for people.
func (r *Repo) CommitTag(ctx context.Context, c Change, key, tag, digest string) (commit, words string, err error) {
	was := c.Content
	if c.Content, err = SetTag(was, key, tag, digest); err != nil {
		return "", "", err
	}
	if commit, err = r.Commit(ctx, c); err != nil {
		return "", "", err
	}
	return commit, fmt.Sprintf("%.7s on top of %.7s: %s, %s becomes %s", commit, c.Parent, c.File, ChangedLine(was, key), ChangedLine(c.Content, key)), nil
}

// fileEntry is what the index has to say of the file.
func (r *Repo) fileEntry(ctx context.Context, c Change) (string, error) {
	blob, err := r.git(ctx, c.Content, nil, "hash-object", "-w", "--stdin")
	return c.Mode + " " + strings.TrimSpace(blob) + " 0\t" + c.File + "\x00", err
}

// pathEntries are what the index has to say of the paths: all that the parent has there goes, all that the other commit has comes.
func (r *Repo) pathEntries(ctx context.Context, c Change) (string, error) {
	list := func(commit string) (out string, err error) {
		err = r.withIndex(ctx, commit, func(env []string) error {
			out, err = r.git(ctx, nil, env, append([]string{"ls-files", "--stage", "-z", "--"}, c.Paths...)...)
			return err
		})
		return out, err
	}
	was, err := list(c.Parent)
	if err != nil {
		return "", err
	}
	next, err := list(c.As)
	switch {
	case err != nil:
		return "", err
	case was == next:
		return "", ErrNoChange
	}
	var gone strings.Builder
	for _, entry := range strings.Split(strings.TrimSuffix(was, "\x00"), "\x00") {
		if _, file, ok := strings.Cut(entry, "\t"); ok {
			gone.WriteString("0 " + strings.Repeat("0", len(c.Parent)) + "\t" + file + "\x00")
		}
	}
	return gone.String() + next, nil
}

// withIndex does something with an index of its own that holds a commit.
func (r *Repo) withIndex(ctx context.Context, commit string, do func(env []string) error) error {
	index, err := os.CreateTemp(r.dir, "nexops-index-*")
	if err != nil {
		return fmt.Errorf("git cache: %w", err)
	}
	name := index.Name()
	defer func() { _ = os.Remove(name) }()
	if err := errors.Join(index.Close(), os.Remove(name)); err != nil { // git wants to make it itself
		return fmt.Errorf("git cache: %w", err)
	}
	env := []string{"GIT_INDEX_FILE=" + name}
	if _, err := r.git(ctx, nil, env, "read-tree", commit); err != nil {
		return err
	}
	return do(env)
}

// Knows reports whether a commit is in this copy: then it is of the same repository.
func (r *Repo) Knows(ctx context.Context, commit string) bool {
	_, err := r.git(ctx, nil, nil, "cat-file", "-e", commit+"^{commit}")
	return err == nil
}
