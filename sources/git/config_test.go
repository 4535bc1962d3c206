package git

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

func TestConfigValidate(t *testing.T) {
	good := func() *Config {
		c := DefaultConfig()
		c.URL = "ssh://git@git.nexgate.internal/nexgate-infra.git"
		c.Branches = map[string]string{"prod": "master"}
		return c
	}
	tests := []struct {
		name   string
		change func(*Config)
		want   []string // beginnings of the errors, in order
	}{
		{"good", func(*Config) {}, nil},
		{"scp form", func(c *Config) { c.URL = "git@host.example:team/infra.git" }, nil},
		{"scp form, absolute", func(c *Config) { c.URL = "host:/srv/infra.git" }, nil},
		{"https", func(c *Config) { c.URL = "https://git.example.org/infra.git" }, nil},
		{"a folder", func(c *Config) { c.URL = "/srv/infra.git" }, nil},
		{"per-environment files", func(c *Config) {
			c.Branches, c.Branch, c.Files = nil, "main", map[string]string{"prod": "x/*/tag.prod.env"}
		}, nil},
		{"nothing", func(c *Config) { *c = Config{} }, []string{"url: missing", "path: needs exactly one", "poll: 0s", "history: 0", "branches: say which"}},
		{"option as url", func(c *Config) { c.URL = "--upload-pack=touch x" }, []string{"url: not a url"}},
		{"option as host", func(c *Config) { c.URL = "ssh://-oProxyCommand=x/y" }, []string{"url: the host or user begins with -"}},
		{"option as scp host", func(c *Config) { c.URL = "-oProxyCommand=x:y" }, []string{"url: not a url"}},
		{"helper", func(c *Config) { c.URL = "ext::sh -c id" }, []string{"url: not a url"}},
		{"helper with authority", func(c *Config) { c.URL = "ext://sh" }, []string{"url: ext:// is not allowed"}},
		{"in clear", func(c *Config) { c.URL = "http://git.example.org/x" }, []string{"url: http:// is not allowed"}},
		{"relative", func(c *Config) { c.URL = "infra" }, []string{"url: not a url"}},
		{"no host", func(c *Config) { c.URL = "https:///x" }, []string{"url: has no host"}},
		{"via without ssh", func(c *Config) { c.URL, c.Via = "https://git.example.org/x", "ops" }, []string{"via: only for a url over ssh"}},
		{"option as branch", func(c *Config) { c.Branches["prod"] = "--upload-pack=x" }, []string{`branches.prod: "--upload-pack=x" is not a branch name`}},
		{"refspec as branch", func(c *Config) { c.Branches["prod"] = "a:refs/heads/b" }, []string{"branches.prod: "}},
		{"range as branch", func(c *Config) { c.Branches["prod"] = "a..b" }, []string{"branches.prod: "}},
		{"no branch", func(c *Config) { c.Branches["prod"] = "" }, []string{"branches.prod: "}},
		{"both layouts", func(c *Config) { c.Branch = "main" }, []string{"branches: give either"}},
		{"branch alone", func(c *Config) { c.Branches, c.Branch = nil, "main" }, []string{"files: missing"}},
		{"files alone", func(c *Config) { c.Branches, c.Files = nil, map[string]string{"prod": "../*/x"} }, []string{"branch: missing", "files.prod: must be a plain path"}},
		{"absolute path", func(c *Config) { c.Path = "/services/*/tag.env" }, []string{"path: must be a plain path"}},
		{"two stars", func(c *Config) { c.Path = "*/*/tag.env" }, []string{"path: needs exactly one"}},
		{"bad tags", func(c *Config) { c.Tags = "v[" }, []string{"tags: "}},
		{"option as tags", func(c *Config) { c.Tags = "--all" }, []string{"tags: "}},
		{"poll", func(c *Config) { c.Poll = 1 }, []string{"poll: 1ns is outside"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			tt.change(c)
			errs := c.Validate()
			if len(errs) != len(tt.want) {
				t.Fatalf("errors %q, want %q", errs, tt.want)
			}
			for i, err := range errs {
				if !strings.HasPrefix(err.Error(), tt.want[i]) {
					t.Errorf("error %q, want %q", err, tt.want[i])
				}
			}
		})
	}
}

func TestPasswordInURLIsRefusedAndNotRepeated(t *testing.T) {
	for _, raw := range []string{"https://ana:hunter2@git.example.org/x", "ssh://ana:hunter2@h/x", "https://ana:hunter2%zz@git.example.org/x"} {
		err := checkURL(raw)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"unable to access 'https://tok3n@h/x': no":  "unable to access 'https://***@h/x': no",
		"https://u:p@h/x and http://u:p@h/y":        "https://***@h/x and http://***@h/y",
		"ssh://git@h/x":                             "ssh://git@h/x",
		"ssh://git:secret@h/x":                      "ssh://git:***@h/x",
		"git@h:x":                                   "git@h:x",
		"could not read Username for 'https://h/x'": "could not read Username for 'https://h/x'",
	} {
		if got := redact(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestBuildRefusesUnknownEnvironment(t *testing.T) {
	c := DefaultConfig()
	c.URL, c.Branches = "/srv/infra.git", map[string]string{"prdo": "master"}
	_, err := Kind().Build("infra", c, sources.Deps{CacheDir: t.TempDir(), Environments: []string{"staging", "prod"}})
	if err == nil || !strings.Contains(err.Error(), `git infra: branches: there is no environment "prdo"; there are: staging, prod`) {
		t.Error(err)
	}
}

func TestEnvironDropsWhatPointsElsewhere(t *testing.T) {
	got := strings.Join(environ([]string{"HOME=/h", "GIT_DIR=/x", "GIT_CONFIG_COUNT=1", "LC_MESSAGES=de_DE", "SSH_AUTH_SOCK=/s", "GIT_SSH_COMMAND=mine"}, ""), "\n")
	for _, part := range []string{"GIT_DIR", "GIT_CONFIG_COUNT", "de_DE"} {
		if strings.Contains(got, part) {
			t.Errorf("%s is still there:\n%s", part, got)
		}
	}
	for _, part := range []string{"HOME=/h", "SSH_AUTH_SOCK=/s", "GIT_SSH_COMMAND=mine", "LC_ALL=C", "GIT_TERMINAL_PROMPT=0"} {
		if !strings.Contains(got+"\n", part+"\n") {
			t.Errorf("%s is missing:\n%s", part, got)
		}
	}
}

// The user's own git may be set up in any way; reading does not depend on it.
func TestUserConfigChangesNothing(t *testing.T) {
	home := t.TempDir()
	hook := home + "/hooks/reference-transaction"
	overwrite(t, hook, "#!/bin/sh\ntouch "+home+"/hooked\n")
	if err := os.Chmod(hook, 0o700); err != nil {
		t.Fatal(err)
	}
	overwrite(t, home+"/.gitconfig", "[core]\n hooksPath = "+home+"/hooks\n quotePath = true\n[log]\n showSignature = true\n follow = true\n"+
		"[diff]\n renames = copies\n orderFile = /nonexistent\n[color]\n ui = always\n[format]\n pretty = fuller\n[fetch]\n prune = false\n")
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("GIT_DIR", home)
	r := newRepo(t)
	r.tag("ai", "1")
	r.tag("ai", "2")
	want(t, "history", history(observe(t, newSource(t, r.dir, options{})), "prod", "ai"), "2 1")
	if _, err := os.Stat(home + "/hooked"); err == nil {
		t.Error("a hook of the user's ran")
	}
}

// openSSHHost is a host that the ssh program reaches with args.
type openSSHHost struct {
	address string
	args    []string
}

var errNotNeeded = errors.New("only its ssh options are asked for")

func (h openSSHHost) Name() string          { return "ops" }
func (h openSSHHost) Address() string       { return h.address }
func (h openSSHHost) OpenSSHArgs() []string { return h.args }
func (h openSSHHost) Close() error          { return nil }
func (h openSSHHost) Run(context.Context, remote.Command) (remote.Result, error) {
	return remote.Result{}, errNotNeeded
}

func (h openSSHHost) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, errNotNeeded
}

func TestSSHCommand(t *testing.T) {
	host := openSSHHost{"deploy@10.8.0.1:2222", []string{"-i", "/k ey", "-o", "BatchMode=yes", "-o", "-l", "-p", "2222", "-l", "deploy"}}
	tests := []struct{ url, want string }{
		{"ssh://git@git.nexgate.internal/x", "ssh -i '/k ey' -o 'BatchMode=yes' -o -l"},
		{"ssh://git.nexgate.internal:22/x", "ssh -i '/k ey' -o 'BatchMode=yes' -o -l -l deploy"},
		{"ssh://10.8.0.1/x", "ssh -i '/k ey' -o 'BatchMode=yes' -o -l -p 2222 -l deploy"},
		{"ssh://git@10.8.0.1:22/x", "ssh -i '/k ey' -o 'BatchMode=yes' -o -l"},
		{"git@10.8.0.1:x", "ssh -i '/k ey' -o 'BatchMode=yes' -o -l -p 2222"},
	}
	deps := sources.Deps{Host: func(string) (remote.Host, error) { return host, nil }}
	for _, tt := range tests {
		got, err := sshCommand(&Config{URL: tt.url, Via: "ops"}, deps)
		if err != nil || got != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.url, got, err, tt.want)
		}
	}
	plain := sources.Deps{Host: func(string) (remote.Host, error) { return struct{ remote.Host }{host}, nil }}
	if _, err := sshCommand(&Config{URL: "ssh://h/x", Via: "ops"}, plain); err == nil || !strings.Contains(err.Error(), `host "ops" is not reached over ssh`) {
		t.Error(err)
	}
}

func TestRunKeepsGitsOwnWords(t *testing.T) {
	p := program{env: environ(os.Environ(), "")}
	err := p.run(context.Background(), call{repo: t.TempDir(), args: []string{"for-each-ref"}, read: func(r io.Reader) error {
		_, err := io.ReadAll(r)
		return errors.Join(err, errors.New("too short"))
	}})
	if err == nil || !strings.HasPrefix(err.Error(), "not a git repository: ") {
		t.Errorf("%v", err)
	}
	t.Setenv("PATH", t.TempDir())
	err = p.run(context.Background(), call{args: []string{"version"}})
	if err == nil || err.Error() != "the git program is not installed here; install git" {
		t.Errorf("%v", err)
	}
}
