package git

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// Config is one [[sources]] table of kind "git".
type Config struct {
	// URL is the repository: ssh://, https://, git://, file://, user@host:path or an absolute path.
	URL string `toml:"url"`
	// Via is a host whose user, key and known_hosts git's ssh uses.
	Via string `toml:"via"`
	// Path is where the tag files are; its one "*" is the service.
	Path string `toml:"path"`
	// Branches maps an environment to the branch that holds its tag files.
	Branches map[string]string `toml:"branches"`
	// Branch with Files is the other layout: one branch, one file an environment.
	Branch string            `toml:"branch"`
	Files  map[string]string `toml:"files"`
	// Poll is how often the remote is asked.
	Poll remote.Duration `toml:"poll"`
	// History is how many releases a service keeps.
	History int `toml:"history"`
	// Tags is the pattern of the git tags that are releases: "v*.*.*".
	Tags string `toml:"tags"`
}

// DefaultConfig is what a table without keys means.
func DefaultConfig() *Config {
	return &Config{
		Path:    "services/*/tag.env",
		Poll:    remote.Duration(15 * time.Second),
		History: 200,
	}
}

// HostNames are the hosts the config names.
func (c *Config) HostNames() []string {
	if c.Via == "" {
		return nil
	}
	return []string{c.Via}
}

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	var errs []error
	add := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	add("url", checkURL(c.URL))
	add("path", checkPath(c.Path))
	if c.Via != "" && !isSSH(c.URL) {
		add("via", errors.New("only for a url over ssh (ssh://... or user@host:path)"))
	}
	if c.Poll.Std() < time.Second || c.Poll.Std() > 24*time.Hour {
		add("poll", fmt.Errorf("%s is outside 1s to 24h", c.Poll))
	}
	if c.History < 2 || c.History > 10000 {
		add("history", fmt.Errorf("%d is outside 2 to 10000", c.History))
	}
	if c.Tags != "" {
		add("tags", checkTagPattern(c.Tags))
	}
	c.validateLayout(add)
	return errs
}

func (c *Config) validateLayout(add func(string, error)) {
	byBranch, byFile := len(c.Branches) > 0, c.Branch != "" || len(c.Files) > 0
	switch {
	case byBranch && byFile:
		add("branches", errors.New("give either branches, or branch and files, not both"))
	case !byBranch && !byFile:
		add("branches", errors.New(`say which branch holds each environment: branches = { prod = "master" }; or give branch and files`))
	case byFile && c.Branch == "":
		add("branch", errors.New("missing; files needs the branch they are on"))
	case byFile && len(c.Files) == 0:
		add("files", errors.New(`missing; branch needs a file an environment: files = { prod = "services/*/tag.prod.env" }`))
	}
	for _, env := range sortedKeys(c.Branches) {
		add("branches."+env, checkBranch(c.Branches[env]))
	}
	if c.Branch != "" {
		add("branch", checkBranch(c.Branch))
	}
	for _, env := range sortedKeys(c.Files) {
		add("files."+env, checkPath(c.Files[env]))
	}
}

// place is where one environment's desired releases are.
type place struct {
	environment string
	branch      string
	pattern     pattern
}

// layout is every environment's place, sorted by environment.
type layout []place

// layout resolves the config; known are the configured environments.
func (c *Config) layout(known []string) (layout, error) {
	var out layout
	for _, env := range sortedKeys(c.Branches) {
		out = append(out, place{env, c.Branches[env], makePattern(c.Path)})
	}
	for _, env := range sortedKeys(c.Files) {
		out = append(out, place{env, c.Branch, makePattern(c.Files[env])})
	}
	if len(known) == 0 {
		return out, nil
	}
	for _, p := range out {
		if !slices.Contains(known, p.environment) {
			key := "branches"
			if len(c.Files) > 0 {
				key = "files"
			}
			return nil, fmt.Errorf("%s: there is no environment %q; there are: %s", key, p.environment, strings.Join(known, ", "))
		}
	}
	return out, nil
}

// branches are the branches of the layout, each once, sorted.
func (l layout) branches() []string {
	seen := map[string]string{}
	for _, p := range l {
		seen[p.branch] = ""
	}
	return sortedKeys(seen)
}

// patterns are the file patterns on one branch.
func (l layout) patterns(branch string) []pattern {
	var out []pattern
	for _, p := range l {
		if p.branch == branch && !slices.Contains(out, p.pattern) {
			out = append(out, p.pattern)
		}
	}
	return out
}

// pattern is a path with one "*" that stands for the service.
type pattern struct {
	before, after string
}

func makePattern(s string) pattern {
	before, after, _ := strings.Cut(s, "*")
	return pattern{before, after}
}

// service gives the service that a path is the tag file of.
func (p pattern) service(file string) (string, bool) {
	if len(file) <= len(p.before)+len(p.after) || !strings.HasPrefix(file, p.before) || !strings.HasSuffix(file, p.after) {
		return "", false
	}
	name := file[len(p.before) : len(file)-len(p.after)]
	return name, !strings.Contains(name, "/")
}

// dir is the deepest folder that holds every match; "" is the whole repository.
func (p pattern) dir() string {
	if i := strings.LastIndexByte(p.before, '/'); i >= 0 {
		return p.before[:i]
	}
	return ""
}

var scpURL = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:[^:\s-][^\s]*$`)

func isSSH(raw string) bool {
	return strings.HasPrefix(raw, "ssh://") || (!strings.Contains(raw, "://") && scpURL.MatchString(raw))
}

func checkURL(raw string) error {
	const allowed = "allowed are ssh://, https://, git://, file://, user@host:path and an absolute path"
	switch {
	case raw == "":
		return errors.New("missing; " + allowed)
	case clean(raw, len(raw)) != raw || strings.HasPrefix(raw, "-"):
		return errors.New("not a url; " + allowed)
	case path.IsAbs(raw):
		return nil
	case !strings.Contains(raw, "://"):
		if strings.Contains(raw, "::") || !scpURL.MatchString(raw) {
			return errors.New("not a url; " + allowed)
		}
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("not a url; " + allowed) // the parser's own words would repeat a password
	}
	if _, has := u.User.Password(); has {
		return errors.New("has a password in it; leave it to git's credential helper or an ssh key")
	}
	if strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.User.Username(), "-") {
		return errors.New("the host or user begins with -")
	}
	switch u.Scheme {
	case "ssh", "https", "git":
		if u.Host == "" {
			return errors.New("has no host")
		}
	case "file":
	default:
		return fmt.Errorf("%s:// is not allowed; %s", u.Scheme, allowed)
	}
	return nil
}

func checkPath(p string) error {
	switch {
	case strings.Count(p, "*") != 1:
		return errors.New(`needs exactly one "*", which stands for the service: "services/*/tag.env"`)
	case path.IsAbs(p) || path.Clean(p) != p || strings.HasPrefix(p, "../"):
		return errors.New(`must be a plain path inside the repository: "services/*/tag.env"`)
	case clean(p, len(p)) != p:
		return errors.New("has control characters")
	}
	return nil
}

var refGrammar = regexp.MustCompile(`^[^\x00-\x20\x7f~^:?*\[\\]+$`)

// checkBranch keeps git's own rules for names, and refuses what could be read as an option.
func checkBranch(b string) error {
	bad := strings.HasPrefix(b, "-") || strings.HasPrefix(b, "/") || strings.HasSuffix(b, "/") ||
		strings.HasSuffix(b, ".") || strings.HasSuffix(b, ".lock") || strings.HasPrefix(b, ".") ||
		strings.Contains(b, "..") || strings.Contains(b, "//") || strings.Contains(b, "/.") ||
		strings.Contains(b, "@{") || b == "@" || !refGrammar.MatchString(b)
	if bad {
		return fmt.Errorf("%q is not a branch name", clean(b, 60))
	}
	return nil
}

func checkTagPattern(p string) error {
	if _, err := path.Match(p, ""); err != nil || strings.HasPrefix(p, "-") ||
		checkBranch(strings.NewReplacer("*", "x", "?", "x", "[", "x").Replace(p)) != nil {
		return fmt.Errorf("%q is not a pattern such as \"v*.*.*\"", clean(p, 60))
	}
	return nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
