package compose

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/nexgate-hq/nexops/fleet"
)

// The homes of a tag: where the estate keeps which release is wanted.
const (
	HomeCheckout = "checkout" // a file in the host's own checkout
	HomeGit      = "git"      // a commit in the infra repo, pulled by the hosts
)

// Config is what an action's table says of the estate's Compose projects and its tags. An action embeds it.
type Config struct {
	TagHome  string            `toml:"tag_home"` // checkout or git
	TagFile  string            `toml:"tag_file"` // below the checkout; {service} and {environment} are filled in
	TagKey   string            `toml:"tag_key"`  // {SERVICE} is upper case, with _ for what is no letter or digit
	GitURL   string            `toml:"git_url"`  // of tag_home = "git"
	GitVia   string            `toml:"git_via"`  // use that host's user, key and known_hosts for git over ssh
	Branches map[string]string `toml:"branches"` // environment to branch
	Compose  []string          `toml:"compose"`  // the program, default docker compose
	Owners   []string          `toml:"owners"`   // users whose folders a container's labels may name, besides root and who logs in
}

// Override is what is said of a single service. What is empty is found out.
type Override struct {
	Project  string   `toml:"project"`   // Compose project
	Dir      string   `toml:"dir"`       // its folder on the host
	Files    []string `toml:"files"`     // its Compose files
	EnvFiles []string `toml:"env_files"` // --env-file of every call
	Checkout string   `toml:"checkout"`  // what tag_file is below; default: the git checkout around dir, else dir
	Service  string   `toml:"service"`   // its name in the Compose files
	TagFile  string   `toml:"tag_file"`
	TagKey   string   `toml:"tag_key"`
}

// DefaultConfig is what is meant by nothing.
func DefaultConfig() Config {
	return Config{
		TagHome: HomeCheckout,
		TagFile: "services/{service}/tag.env",
		TagKey:  "{SERVICE}_TAG",
		Compose: []string{"docker", "compose"},
	}
}

// HostNames are the hosts the config names.
func (c *Config) HostNames() []string {
	if c.GitVia == "" {
		return nil
	}
	return []string{c.GitVia}
}

var keyPattern = regexp.MustCompile(`^[A-Za-z_{][A-Za-z0-9_{}]*$`)

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.TagHome != HomeCheckout && c.TagHome != HomeGit {
		add("tag_home: %q is not allowed: checkout or git", c.TagHome)
	}
	if c.TagHome == HomeGit {
		errs = append(errs, c.validateGit()...)
	}
	if err := checkTagFile(c.TagFile, c.TagHome); err != nil {
		add("tag_file: %w", err)
	}
	if !keyPattern.MatchString(c.TagKey) {
		add("tag_key: %q is not allowed: the name of a variable, {SERVICE} stands for the service", c.TagKey)
	}
	for _, who := range c.Owners {
		if !IsName(who) {
			add("owners: %q is no user of a host: a name or a number", who)
		}
	}
	if len(c.Compose) == 0 || c.Compose[0] == "" {
		add(`compose: write the program and its first words, like ["docker", "compose"]`)
	}
	return errs
}

func (c *Config) validateGit() []error {
	var errs []error
	if c.GitURL == "" {
		errs = append(errs, errors.New(`git_url: needed for tag_home = "git"`))
	}
	if strings.HasPrefix(c.GitURL, "-") {
		errs = append(errs, fmt.Errorf("git_url: %q is not allowed: it begins with a dash", c.GitURL))
	}
	if u, err := url.Parse(c.GitURL); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			errs = append(errs, errors.New("git_url: holds a password: leave it to a git credential helper or an ssh key"))
		}
	}
	if len(c.Branches) == 0 {
		errs = append(errs, errors.New(`branches: needed for tag_home = "git": one branch an environment, like prod = "master"`))
	}
	for env, b := range c.Branches {
		if !branchPattern.MatchString(b) || strings.Contains(b, "..") {
			errs = append(errs, fmt.Errorf("branches.%s: %q is no branch", env, b))
		}
	}
	return errs
}

var branchPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./+@-]*$`)

// Validate gives every mistake of what is said of one service, which stands at a key of the config.
func (o Override) Validate(at, home string) []error {
	var errs []error
	if o.Dir != "" && !path.IsAbs(o.Dir) {
		errs = append(errs, fmt.Errorf("%s.dir: %q is not allowed: an absolute folder of the host", at, o.Dir))
	}
	if o.Checkout != "" && !path.IsAbs(o.Checkout) {
		errs = append(errs, fmt.Errorf("%s.checkout: %q is not allowed: an absolute folder of the host", at, o.Checkout))
	}
	if o.TagFile != "" {
		if err := checkTagFile(o.TagFile, home); err != nil {
			errs = append(errs, fmt.Errorf("%s.tag_file: %w", at, err))
		}
	}
	if o.TagKey != "" && !keyPattern.MatchString(o.TagKey) {
		errs = append(errs, fmt.Errorf("%s.tag_key: %q is not allowed: the name of a variable", at, o.TagKey))
	}
	return errs
}

func checkTagFile(file, home string) error {
	switch {
	case file == "":
		return errors.New("needed: like services/{service}/tag.env")
	case strings.HasPrefix(file, "-"):
		return fmt.Errorf("%q is not allowed: it begins with a dash", file)
	case path.IsAbs(file) && home == HomeGit:
		return fmt.Errorf("%q is not allowed: a path inside the repository", file)
	case path.Clean(file) != file || strings.HasPrefix(file, "../"):
		return fmt.Errorf("%q is not allowed: . and .. have no place in it", file)
	}
	return nil
}

// TagFileOf is the path of a service's tag file, below the checkout unless it is absolute.
func (c *Config) TagFileOf(key fleet.ServiceKey, o Override) string {
	pattern := orElse(o.TagFile, c.TagFile)
	return strings.NewReplacer("{service}", key.Name, "{environment}", key.Environment).Replace(pattern)
}

// TagKeyOf is the variable that holds a service's tag: file-thunder has FILE_THUNDER_TAG.
func (c *Config) TagKeyOf(key fleet.ServiceKey, o Override) string {
	upper := strings.Map(func(r rune) rune {
		if (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') {
			return r
		}
		return '_'
	}, strings.ToUpper(key.Name))
	return strings.ReplaceAll(orElse(o.TagKey, c.TagKey), "{SERVICE}", upper)
}

func orElse(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
