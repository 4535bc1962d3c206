package git

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// mirror is the bare copy of the repository in the cache folder. It holds the
// branches of the layout and the tags, nothing else.
type mirror struct {
	git      program
	tunnel   *tunnel // nil: git reaches the remote by itself
	folder   string  // everything about this url: the repository, the lock, what was parsed
	url      string
	branches []string
	tags     string
	// absent are branches that the remote did not have when it was last asked;
	// asking git to fetch one would fail all the others.
	absent []string
	remote []string          // the remote's branches at that time
	known  map[string]string // the refs of the mirror as last read; nil when they may be others
	// assumed: known is what the remote said right before the fetch. It may have moved on in between.
	assumed bool
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

func (m *mirror) repo() string { return filepath.Join(m.folder, "repo.git") }

// exists reports whether a whole clone is there: it is renamed into place when it is whole.
func (m *mirror) exists() bool {
	_, err := os.Stat(m.repo())
	return err == nil
}

// update brings the mirror up to the remote. A mirror that git finds broken is
// cloned again, which note tells. The caller holds the lock.
func (m *mirror) update(ctx context.Context) (note string, err error) {
	if !m.exists() {
		return "", m.clone(ctx)
	}
	seen := m.glance(ctx)
	if seen != nil && m.known != nil && maps.Equal(seen, m.known) {
		return "", nil
	}
	m.known = nil
	err = m.fetch(ctx, m.repo())
	if err == nil {
		m.known, m.assumed = seen, seen != nil
		return "", nil
	}
	var failure *commandError
	if ctx.Err() != nil || !errors.As(err, &failure) {
		return "", err
	}
	if !broken(failure.stderr) && m.healthy(ctx) {
		return "", err
	}
	return m.rebuild(ctx, failure)
}

// rebuild replaces the mirror by a new clone. The old one stays until that is whole.
func (m *mirror) rebuild(ctx context.Context, why error) (note string, err error) {
	if err := m.clone(ctx); err != nil {
		return "", fmt.Errorf("the cached copy is broken (%w) and cannot be cloned again: %w", why, err)
	}
	return fmt.Sprintf("the cached copy was broken (%s) and was cloned again", clean(why.Error(), 120)), nil
}

func (m *mirror) clone(ctx context.Context) error {
	m.known, m.assumed = nil, false
	fresh, old := filepath.Join(m.folder, "repo.new"), filepath.Join(m.folder, "repo.old")
	for _, dir := range []string{fresh, old} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("clear the cache: %w", err)
		}
	}
	init := call{args: []string{"init", "--quiet", "--bare", "--template=", "--", fresh}}
	if err := m.git.run(ctx, init); err != nil {
		return fmt.Errorf("make the cache: %w", err)
	}
	if err := m.fetch(ctx, fresh); err != nil {
		_ = os.RemoveAll(fresh)
		return err
	}
	// The changed-path filters make later walks over one folder cheap. Without
	// them everything works, so a git that cannot write them is no failure.
	_ = m.git.run(ctx, call{repo: fresh, args: []string{"commit-graph", "write", "--reachable", "--changed-paths", "--no-progress"}})
	if m.exists() {
		if err := os.Rename(m.repo(), old); err != nil {
			return fmt.Errorf("replace the cache: %w", err)
		}
	}
	if err := os.Rename(fresh, m.repo()); err != nil {
		return fmt.Errorf("replace the cache: %w", err)
	}
	_ = os.RemoveAll(old) // a leftover is removed next time
	return nil
}

// tidy packs what many fetches have left lying about. After every single fetch, as git itself does it, it is one more
// process to wait for. The caller holds the lock.
func (m *mirror) tidy(ctx context.Context) {
	_ = m.git.run(ctx, call{repo: m.repo(), args: []string{"gc", "--auto", "--quiet"}}) // a failure costs room and time, nothing else
}

// fetch gets the branches that exist and the tags into repo.
func (m *mirror) fetch(ctx context.Context, repo string) error {
	if len(m.absent) > 0 {
		if err := m.probe(ctx); err != nil {
			return err
		}
	}
	err := m.fetchOnce(ctx, repo)
	var failure *commandError
	if errors.As(err, &failure) && strings.Contains(failure.stderr, "couldn't find remote ref") {
		if err := m.probe(ctx); err != nil {
			return err
		}
		err = m.fetchOnce(ctx, repo)
	}
	return err
}

func (m *mirror) fetchOnce(ctx context.Context, repo string) error {
	args := []string{"fetch", "--quiet", "--prune", "--no-tags", "--force", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance", "--", m.url}
	specs := 0
	for _, b := range m.branches {
		if !slices.Contains(m.absent, b) {
			args = append(args, "+refs/heads/"+b+":refs/heads/"+b)
			specs++
		}
	}
	if m.tags != "" {
		head := m.tagsHead() + "*"
		args = append(args, "+"+head+":"+head)
		specs++
	}
	if specs == 0 {
		return nil // nothing of it exists; the caller says so
	}
	return m.remoteError("fetch", m.ask(ctx, call{repo: repo, args: args, network: true}))
}

// tagsHead is how the names of the tags begin that are fetched. A refspec takes one "*": the pattern's beginning narrows the
// fetch, the rest is filtered here.
func (m *mirror) tagsHead() string {
	return "refs/tags/" + m.tags[:strings.IndexAny(m.tags+"*", "*?[\\")]
}

// probe asks which branches the remote has.
func (m *mirror) probe(ctx context.Context) error {
	var names []string
	err := m.ask(ctx, call{
		args:    []string{"ls-remote", "--quiet", "--heads", "--", m.url},
		network: true,
		read: func(r io.Reader) error {
			names = nil
			lines := bufio.NewScanner(r)
			for lines.Scan() {
				if _, name, ok := strings.Cut(lines.Text(), "\trefs/heads/"); ok {
					names = append(names, name)
				}
			}
			return lines.Err() //nolint:wrapcheck // run wraps it
		},
	})
	if err != nil {
		return m.remoteError("ls-remote", err)
	}
	m.remote, m.absent = names, nil
	for _, b := range m.branches {
		if !slices.Contains(names, b) {
			m.absent = append(m.absent, b)
		}
	}
	return nil
}

// missing says that a branch is not there, and which are.
func (m *mirror) missing(p place) string {
	const most = 10
	names := m.remote
	if len(names) == 0 {
		return fmt.Sprintf("branch %q (environment %s) does not exist: the repository has no branches yet", p.branch, p.environment)
	}
	more := ""
	if len(names) > most {
		names, more = names[:most], ", ..."
	}
	return fmt.Sprintf("branch %q (environment %s) does not exist on the remote; it has: %s%s",
		p.branch, p.environment, clean(strings.Join(names, ", "), 300), more)
}

// remoteError adds what was asked of whom, and what to do next.
func (m *mirror) remoteError(what string, err error) error {
	var failure *commandError
	if !errors.As(err, &failure) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%s %s: %w%s", what, redact(m.url), err, advice(failure, redact(m.url)))
}

// advice is what to do about the commonest failures.
func advice(e *commandError, url string) string {
	text := e.stderr
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(text, p) })
	}
	switch {
	case has("Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED", "No ED25519 host key is known"):
		return "; check the host's fingerprint, then connect once by hand so that known_hosts has it"
	case has("Permission denied"):
		return "; check that the key is in the agent or in the config (identity_files, via) and may read the repository"
	case has("terminal prompts disabled", "Authentication failed"):
		return "; set up a git credential helper for it"
	case has("not found", "does not appear to be a git repository", "does not exist"):
		return "; check url in [[sources]], and the rights on it"
	case has("dubious ownership"):
		return "; git's safe.directory must name it for this user"
	default:
		return "; try: git ls-remote " + url
	}
}

// signs are git's words for a damaged local repository, in the C locale.
var signs = regexp.MustCompile(`(?m)^(?:fatal|error|warning): (?:` + strings.Join([]string{
	`not a git repository`, `.*\bcorrupt`, `bad object`, `.*is empty$`, `unable to read (?:tree|sha1|[0-9a-f]{8})`, `.*did not send all necessary objects`,
	`packfile .*`, `object file .*`, `cannot lock ref`, `Unable to create '.*\.lock'`, `loose object`, `bad config`,
	`bad signature`, `index file`, `unresolved deltas`, `invalid sha1 pointer`, `could not parse commit`, `unable to find [0-9a-f]{8}`,
	`missing (?:blob|tree|commit)`, `Could not read [0-9a-f]{8}`, `your current branch appears to be broken`, `reference broken`,
	`.*ignoring broken ref`, `.*shallow file`, `Failed to traverse parents`, `revision walk setup failed`,
}, "|") + `)`)

func broken(stderr string) bool { return signs.MatchString(stderr) }

// healthy reports whether the mirror's own branches can be read.
func (m *mirror) healthy(ctx context.Context) bool {
	heads, err := m.refs(ctx)
	if err != nil {
		return false
	}
	for name, sha := range heads {
		if strings.HasPrefix(name, "refs/heads/") &&
			m.git.run(ctx, call{repo: m.repo(), args: []string{"cat-file", "-e", sha + "^{tree}"}}) != nil {
			return false
		}
	}
	return true
}

// doubt forgets refs that were only assumed; it reports whether they were.
func (m *mirror) doubt() bool {
	was := m.assumed
	if was {
		m.known, m.assumed = nil, false
	}
	return was
}

// refs gives every ref of the mirror with its object.
func (m *mirror) refs(ctx context.Context) (map[string]string, error) {
	if m.known != nil {
		return m.known, nil
	}
	refs, err := m.listRefs(ctx, call{repo: m.repo()})
	if err != nil {
		return nil, fmt.Errorf("read refs: %w", err)
	}
	m.known, m.assumed = refs, false
	return refs, nil
}

// listRefs gives the branches and tags of a repository on this machine.
func (m *mirror) listRefs(ctx context.Context, c call) (map[string]string, error) {
	refs := map[string]string{}
	c.args = append(c.args, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
	c.read = func(r io.Reader) error {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			if sha, name, ok := strings.Cut(lines.Text(), " "); ok {
				refs[name] = sha
			}
		}
		return lines.Err() //nolint:wrapcheck // run wraps it
	}
	return refs, m.git.run(ctx, c)
}
