package promote

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"strings"

	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/remote"
)

// The ways a promotion reaches the branch.
const (
	WayPush        = "push"         // straight onto the branch of the environment
	WayPullRequest = "pull_request" // a branch of its own, and a pull request
)

// Config is [actions.promote]. What is left out of git_url, git_via and branches is that of [actions.redeploy].
type Config struct {
	From     string            `toml:"from"` // the environment whose artifact it is
	To       string            `toml:"to"`   // the one that gets it
	Way      string            `toml:"way"`
	Branch   string            `toml:"branch"` // of way = "pull_request"; {service} and {tag} are filled in
	GitURL   string            `toml:"git_url"`
	GitVia   string            `toml:"git_via"`
	Branches map[string]string `toml:"branches"`
	GitHub   GitHub            `toml:"github"`
}

// GitHub is where pull requests are opened.
type GitHub struct {
	Repository string        `toml:"repository"` // "nexgate-hq/nexgate-infra"
	API        string        `toml:"api"`        // of GitHub Enterprise: https://github.example/api/v3
	Web        string        `toml:"web"`        // likewise: https://github.example
	Token      remote.Secret `toml:"token"`      // nothing: the link is printed instead
}

// DefaultConfig is what an empty [actions.promote] means.
func DefaultConfig() Config {
	return Config{
		From: "staging", To: "prod", Way: WayPullRequest, Branch: "promote/{service}-{tag}",
		GitHub: GitHub{API: "https://api.github.com", Web: "https://github.com"},
	}
}

var (
	repositoryPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$`)
	branchPattern     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./+@{}-]*$`)
)

// HostNames are the hosts the config names.
func (c *Config) HostNames() []string {
	if c.GitVia == "" {
		return nil
	}
	return []string{c.GitVia}
}

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.From == "" || c.To == "" || c.From == c.To {
		add("from, to: two environments are needed, like staging and prod")
	}
	if c.Way != WayPush && c.Way != WayPullRequest {
		add("way: %q is not allowed: push or pull_request", c.Way)
	}
	if !branchPattern.MatchString(c.Branch) || strings.Contains(c.Branch, "..") || !strings.Contains(c.Branch, "{service}") || !strings.Contains(c.Branch, "{tag}") {
		add("branch: %q is not allowed: a branch with {service} and {tag} in it, like promote/{service}-{tag}", c.Branch)
	}
	if strings.HasPrefix(c.GitURL, "-") {
		add("git_url: %q is not allowed: it begins with a dash", c.GitURL)
	}
	if u, err := url.Parse(c.GitURL); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			add("git_url: holds a password: leave it to a git credential helper or an ssh key")
		}
	}
	for env, b := range c.Branches {
		if !branchPattern.MatchString(b) || strings.Contains(b, "..") {
			add("branches.%s: %q is no branch", env, b)
		}
	}
	return append(errs, c.GitHub.validate()...)
}

func (g *GitHub) validate() []error {
	var errs []error
	if g.Repository != "" && !repositoryPattern.MatchString(g.Repository) {
		errs = append(errs, fmt.Errorf("github.repository: %q is not allowed: owner/name", g.Repository))
	}
	if !g.Token.IsZero() && g.Repository == "" {
		errs = append(errs, errors.New("github.repository: needed with a token: owner/name"))
	}
	for key, text := range map[string]string{"api": g.API, "web": g.Web} {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && remote.Loopback(u.Hostname())) {
			errs = append(errs, fmt.Errorf("github.%s: %q is not allowed: an https address without a password", key, text))
		}
	}
	return errs
}

// home gives where tags are kept: what the estate's tag home says, with what this table says in its place.
func (c *Config) home(h compose.Config) compose.Config {
	if c.GitURL != "" {
		h.GitURL, h.GitVia = c.GitURL, c.GitVia
	}
	h.Branches = maps.Clone(h.Branches)
	if h.Branches == nil {
		h.Branches = map[string]string{}
	}
	maps.Copy(h.Branches, c.Branches)
	return h
}

// branchOf is the branch that is made for one promotion.
func (c *Config) branchOf(service, tag string) string {
	return strings.NewReplacer("{service}", service, "{tag}", tag).Replace(c.Branch)
}
