package config

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

type gadget struct {
	URL    string            `toml:"url"`
	Via    string            `toml:"via"`
	Every  remote.Duration   `toml:"every"`
	Count  int               `toml:"count"`
	Labels map[string]string `toml:"labels"`
	Token  remote.Secret     `toml:"token"`
}

func (g *gadget) Validate() []error {
	if g.URL == "" {
		return []error{errors.New("url: is missing; for example http://127.0.0.1:9090")}
	}
	return nil
}

func (g *gadget) HostNames() []string {
	if g.Via == "" {
		return nil
	}
	return []string{g.Via}
}

type redo struct {
	Soak string `toml:"soak"`
	Keep int    `toml:"keep"`
}

func kinds() Kinds {
	return Kinds{
		Sources: []sources.Kind{
			{Name: "gadget", NewConfig: func() sources.Config { return &gadget{Count: 7} }},
			{Name: "widget", NewConfig: func() sources.Config { return &gadget{} }},
		},
		Actions: map[string]func() any{"redo": func() any { return &redo{Soak: "60s", Keep: 3} }},
	}
}

const good = `default_env = "prod"

[env.prod]
hosts = ["a"] # one
confirm = "type"

[hosts.a]
address = "10.0.0.1"
user = "deploy"

[hosts.ops]
address = "local"

[[sources]]
kind = "gadget"
url = "http://x"

[sources.labels]
service = "svc"

[[sources]]
kind = "widget"
name = "second"
via = "ops"
url = "u"

[actions.redo]
soak = "5s"

[ui]
utc = false
`

func TestLoadsAndKeepsDefaults(t *testing.T) {
	cfg, err := Load("f.toml", []byte(good), kinds())
	if err != nil {
		t.Fatal(err)
	}
	first, _ := cfg.Sources[0].Config.(*gadget)
	if first.Count != 7 || first.Labels["service"] != "svc" || cfg.Sources[0].Name != "gadget" {
		t.Errorf("first source %+v", first)
	}
	second, _ := cfg.Sources[1].Config.(*gadget)
	if second.URL != "u" || second.Via != "ops" || cfg.Sources[1].Name != "second" || len(second.Labels) != 0 {
		t.Errorf("second source %+v", second)
	}
	if r, _ := cfg.Actions["redo"].(*redo); r.Soak != "5s" || r.Keep != 3 {
		t.Errorf("action %+v", r)
	}
	if cfg.UI.UTC || !cfg.UI.Mouse || cfg.UI.LogLines != 50_000 {
		t.Errorf("ui %+v", cfg.UI)
	}
}

// TestMistakes changes one thing in the good file and looks for what is said, and where.
func TestMistakes(t *testing.T) {
	cases := []struct{ name, old, new, want string }{
		{"syntax", `confirm = "type"`, `confirm = type`, "f.toml:5:"},
		{"unknown key at the top", `default_env`, `defualt_env`, `f.toml:1:1: defualt_env: unknown key; did you mean "default_env"? allowed: default_env, env, hosts, join, ui`},
		{"unknown key of a host", `user =`, `usr =`, `f.toml:9:1: hosts.a.usr: unknown key; did you mean "user"?`},
		{"unknown key of the second source", `via = "ops"`, `vai = "ops"`, `f.toml:24:1: sources[1].vai: unknown key; did you mean "via"?`},
		{"unknown key of an action", `soak = "5s"`, `soka = "5s"`, `actions.redo.soka: unknown key; did you mean "soak"? allowed: keep, soak`},
		{"wrong type", `utc = false`, `utc = "no"`, "f.toml:31:7: ui.utc:"},
		{"dangling host of an environment", `hosts = ["a"]`, `hosts = ["aa"]`, `f.toml:4:1: env.prod.hosts: no host "aa"; did you mean "a"? allowed: a, ops`},
		{"dangling via", `via = "ops"`, `via = "opps"`, `no host "opps"; did you mean "ops"?`},
		{"dangling default", `default_env = "prod"`, `default_env = "prd"`, `f.toml:1:1: default_env: no environment "prd"; did you mean "prod"?`},
		{"unknown kind", `kind = "widget"`, `kind = "wigdet"`, `f.toml:22:1: sources[1].kind: unknown kind "wigdet"; did you mean "widget"? allowed: gadget, widget`},
		{"kind missing", `kind = "widget"`, ``, "sources[1]: kind is missing; allowed: gadget, widget"},
		{"what a source says of itself", `url = "http://x"`, `url = ""`, "f.toml:16:1: sources[0].url: is missing"},
		{"unknown action", `[actions.redo]`, `[actions.rdo]`, `actions.rdo: unknown action; did you mean "redo"?`},
		{"confirm", `"type"`, `"maybe"`, `env.prod.confirm: unknown way to confirm "maybe"`},
		{"single brackets", "[[sources]]\nkind = \"gadget\"", "[sources]\nkind = \"gadget\"", "f.toml:"},
		{"secret in the clear", `url = "u"`, "url = \"u\"\ntoken = \"hunter2\"", "f.toml:26:"},
		{"no environment", "[env.prod]", "[enw.prod]", "no environment"},
		{"a host in two environments", "[hosts.a]", "[env.zz]\nhosts = [\"a\"]\n[hosts.a]", `host "a" is already in [env.prod]`},
		{"two sources of one name", `name = "second"`, "name = \"gadget\"\nkind = \"gadget\"\n#", "f.toml:"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(good, c.old, c.new, 1)
			if text == good {
				t.Fatal("the case changes nothing")
			}
			_, err := Load("f.toml", []byte(text), kinds())
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got\n%v\nwant %s", err, c.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the secret is in the error: %v", err)
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	text := strings.NewReplacer(
		"default_env", "defualt_env", `utc = false`, "utc = \"no\"\nlog_lines = \"many\"", `via = "ops"`, `vai = 1`,
		`hosts = ["a"] # one`, `hosts = ["b"]`, `soak =`, `saok =`,
	).Replace(good)
	_, err := Load("f.toml", []byte(text), kinds())
	var ms Mistakes
	if !errors.As(err, &ms) || len(ms) != 6 {
		t.Fatalf("want 6 mistakes, got %d:\n%v", len(ms), err)
	}
	for i := 1; i < len(ms); i++ {
		if ms[i].Line < ms[i-1].Line {
			t.Errorf("not in the order of the file: %v", err)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"via", "vai", 1}, {"defualt", "default", 1}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(good)
	f.Add("[[sources]]\nkind=\"gadget\"\n[sources.labels]\n")
	if b, err := os.ReadFile("../../../../config.example.toml"); err == nil {
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := Load("f.toml", []byte(text), kinds())
		if (cfg == nil) == (err == nil) {
			t.Errorf("config %v, error %v", cfg, err)
		}
	})
}
