package loki

import (
	"context"
	"strings"
	"testing"

	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/pelletier/go-toml/v2"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

func TestSelector(t *testing.T) {
	tests := map[string]struct {
		labels []string
		alone  bool
		edit   func(*Config)
		want   string
	}{
		"environment label": {
			labels: []string{"env", "service", "service_name"},
			want:   `sum by (env,service,service_name) (count_over_time({env="prod", job!="nexops"} E [1m]))`,
		},
		"two environment labels": {
			labels: []string{"env", "environment", "service_name"},
			want:   `sum by (env,environment,service_name) (count_over_time({env=~"prod|", service_name=~".+", job!="nexops"} E [1m]))`,
		},
		"by hosts": {
			labels: []string{"host", "compose_service"},
			want:   `sum by (compose_service,host) (count_over_time({host=~"prod-1|prod-2", job!="nexops"} E [1m]))`,
		},
		"the only environment": {
			labels: []string{"compose_service", "job"}, alone: true,
			want: `sum by (compose_service) (count_over_time({compose_service=~".+", job!="nexops"} E [1m]))`,
		},
		"containers only": {
			labels: []string{"container_name", "host"}, alone: true,
			want: `sum by (container_name,host) (count_over_time({container_name=~".+", job!="nexops"} E [1m]))`,
		},
		"own selector": {
			labels: []string{"service"}, edit: func(c *Config) { c.Selector = `{job="docker", env="$env"}` },
			want: `sum by (service) (count_over_time({job="docker", env="prod"} E [1m]))`,
		},
		"levels": {
			labels: []string{"env", "service"}, edit: func(c *Config) { c.Errors = "detected_level" },
			want: `sum by (env,service) (count_over_time({env="prod", job!="nexops"} | detected_level=~"error|critical|fatal" [1m]))`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			deps := testDeps()
			if tt.alone {
				deps.Environments = []string{"prod"}
			}
			s := newSource(t, "http://127.0.0.1:1", deps, tt.edit)
			sh := shape{names: tt.labels}
			selector, err := s.selector(sh)
			if err != nil {
				t.Fatal(err)
			}
			query := s.errorLines(sh, selector)
			if _, err := syntax.ParseExpr(query); err != nil {
				t.Errorf("%s: %v", query, err)
			}
			if got := strings.Replace(query, s.cfg.filter(), "E", 1); got != strings.Replace(tt.want, s.cfg.filter(), "E", 1) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// The streams of a service are found by the first label that any of them has.
func TestSelectorOfService(t *testing.T) {
	q := sources.LogQuery{
		Service:  fleet.ServiceKey{Environment: "prod", Name: "ai"},
		Subjects: []fleet.Subject{{Service: "nexgate-ai", Container: "shop-ai-1"}, {Service: "nexgate-ai", Container: "shop-ai-2"}},
	}
	for series, want := range map[string]string{
		`[{"env":"prod","compose_service":"ai"}]`: `{env="prod", compose_service=~"ai|nexgate-ai", job!="nexops"}`,
		`[]`: `{env="prod", compose_service=~"ai|nexgate-ai", job!="nexops"}`,
		`[{"env":"staging","compose_service":"ai"}]`: `{env="prod", compose_service=~"ai|nexgate-ai", job!="nexops"}`,
	} {
		f := newFake(t)
		f.series = series
		got, err := newSource(t, f.server.URL, testDeps(), nil).selectorOf(context.Background(), q)
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", series, got, err, want)
		}
	}
	f := newFake(t)
	f.labels = []string{"env", "container_name"}
	got, err := newSource(t, f.server.URL, testDeps(), nil).selectorOf(context.Background(), q)
	if want := `{env="prod", container_name=~"shop-ai-1|shop-ai-2", job!="nexops"}`; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// FuzzSelector: no name of a service, a host or an environment can change the query.
func FuzzSelector(f *testing.F) {
	f.Add("prod", `ai"} or {x="`, "h|.*")
	f.Fuzz(func(t *testing.T, env, service, host string) {
		deps := testDeps()
		deps.Environment, deps.Hosts = env, []string{host, "b"}
		s := newSource(t, "http://127.0.0.1:1", deps, nil)
		for _, labels := range [][]string{{"env", "service"}, {"host", "service"}} {
			selector, err := s.selector(shape{names: labels}, oneOf("service", []string{service}))
			if err != nil {
				t.Fatal(err)
			}
			matchers, err := syntax.ParseMatchers(selector, false)
			if err != nil {
				continue // refused by Loki, not misread
			}
			if len(matchers) != 3 || matchers[1].Value != service || matchers[2].Value != "nexops" {
				t.Fatalf("%q became %v", service, matchers)
			}
		}
	})
}

func TestConfig(t *testing.T) {
	cfg := Kind().NewConfig()
	text := "url = \"http://127.0.0.1:3100\"\nvia = \"ops\"\npoll = \"15s\"\ntenant = \"x\"\nusername = \"u\"\npassword = \"env:P\"\n" +
		"errors = '|~ \"(?i)error\"'\n[labels]\nservice = [\"a\", \"b\"]\n"
	if err := toml.NewDecoder(strings.NewReader(text)).DisallowUnknownFields().Decode(cfg); err != nil {
		t.Fatal(err)
	}
	if errs := cfg.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	bad := NewConfig()
	bad.Errors, bad.Selector, bad.Poll = "error", "env=prod", 1
	var got []string
	for _, err := range bad.Validate() {
		got = append(got, strings.SplitN(err.Error(), ":", 2)[0])
	}
	if want := "errors poll selector url"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
