package compose

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/remote"
)

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
	if err := r.make(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// make puts a new, whole repository where there is none. Two consoles may begin at once: it is made beside, and one of them
// wins the rename.
func (r *Repo) make(ctx context.Context) error {
	whole := func() bool {
		_, err := os.Stat(filepath.Join(r.dir, "HEAD"))
		return err == nil
	}
	if whole() {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(r.dir), 0o700); err != nil {
		return fmt.Errorf("git cache: %w", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(r.dir), "new-")
	if err != nil {
		return fmt.Errorf("git cache: %w", err)
	}
	defer func() { _ = os.RemoveAll(fresh) }() // gone already when it was renamed
	beside := *r
	beside.dir = fresh
	if _, err := beside.git(ctx, nil, nil, "init", "--quiet", "--bare", "--template="); err != nil {
		return err
	}
	if err := os.Rename(fresh, r.dir); err != nil && !whole() {
		// What is there is no repository, and not empty: git can make one of it.
		_, err := r.git(ctx, nil, nil, "init", "--quiet", "--bare", "--template=")
		return err
	}
	return nil
}

// sshCommand makes git use the user, key and known_hosts of a host.
func (o RepoOptions) sshCommand() (string, error) {
	if o.Via == "" {
		return "", nil
	}
	h, err := o.Host(o.Via)
	if err != nil {
		return "", fmt.Errorf("git_via: %w", err)
	}
	command, ok := remote.GitSSH(h, o.URL)
	if !ok {
		return "", fmt.Errorf("git_via: %s is not reached over ssh: leave git_via out", o.Via)
	}
	return command, nil
}
