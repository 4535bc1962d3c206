package prometheus

import (
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/nexgate-hq/nexops/sources"
)

func TestConfigFromTOML(t *testing.T) {
	cfg := Kind().NewConfig()
	text := `
url    = "https://prom.example.com/prefix"
via    = "ops"
poll   = "20s"
window = "2m"
bearer_token = "file:/x"
[labels]
service = ["app"]
[queries]
rps = "x"
queue = "y"
[units]
queue = "per_second"
`
	decoder := toml.NewDecoder(strings.NewReader(text)).DisallowUnknownFields()
	if err := decoder.Decode(cfg); err != nil {
		t.Fatal(err)
	}
	if errs := cfg.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	c, _ := cfg.(*Config)
	if len(c.Labels.Service) != 1 || c.Labels.Service[0] != "app" || len(c.Labels.Environment) != 2 {
		t.Errorf("labels %+v: what is set replaces the default, the rest stays", c.Labels)
	}
	if hosts, ok := cfg.(sources.HostUser); !ok || len(hosts.HostNames()) != 1 || hosts.HostNames()[0] != "ops" {
		t.Error("via is not among the hosts to check")
	}
	if c.Place() != "https://prom.example.com/prefix via ops" {
		t.Errorf("place %q", c.Place())
	}
}

func TestConfigMistakes(t *testing.T) {
	cfg := NewConfig()
	cfg.URL = "ftp://x"
	cfg.Poll, cfg.Window = 1, 1
	cfg.Labels.Service = []string{`a"} or b{`}
	cfg.Queries = map[string]string{"Bad-Name": "x"}
	cfg.Units = map[string]string{"other": "furlongs"}
	cfg.Username = "me"
	cfg.BearerToken = "env:X"
	var got []string
	for _, err := range cfg.Validate() {
		got = append(got, strings.SplitN(err.Error(), ":", 2)[0])
	}
	want := "bearer_token labels.service poll queries.Bad-Name units.other units.other url username, password window"
	if strings.Join(got, " ") != want {
		t.Errorf("got %q\nwant %q", strings.Join(got, " "), want)
	}
}

func TestBuildRefusesAnUnknownHost(t *testing.T) {
	cfg := NewConfig()
	cfg.URL, cfg.Via = "http://127.0.0.1:9090", "nowhere"
	deps := testDeps()
	deps.Host = noHost
	if _, err := Kind().Build("p", cfg, deps); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("got %v", err)
	}
}
