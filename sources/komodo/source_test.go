package komodo_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/lab/sim"
	"github.com/nexgate-hq/nexops/sources"
	"github.com/nexgate-hq/nexops/sources/komodo"
	"github.com/nexgate-hq/nexops/sources/sourcestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	silent := func(t *testing.T) sources.Source {
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		t.Cleanup(s.Close)
		return newSource(t, s.URL, nil)
	}
	fault := func(trap sim.KomodoTrap) func(t *testing.T) sources.Source {
		return func(t *testing.T) sources.Source {
			c := newCore(t, nil)
			c.Switch(trap, true)
			return c.source(t, nil)
		}
	}
	sourcestest.Contract(t,
		func(t *testing.T) sources.Source { return newCore(t, nil).source(t, nil) },
		silent, fault(sim.TrapPlainText),
		func(t *testing.T) sources.Source { return newSource(t, "http://127.0.0.1:1", nil) },
		func(t *testing.T) sources.Source {
			c := newCore(t, func(o *sim.KomodoOptions) { o.Users[0].Secret = "another" })
			return c.source(t, nil)
		},
	)
}

func TestPendingIsSeen(t *testing.T) {
	for _, v1 := range []bool{false, true} {
		c := newCore(t, func(o *sim.KomodoOptions) { o.V1, o.Poll = v1, 10*time.Millisecond })
		s := c.source(t, nil)
		if f := observe(t, s); len(f.Syncs) != 0 || f.Detail == "" || len(f.Warnings) != 0 {
			t.Fatalf("v1 %v, nothing is pending: %+v", v1, f)
		}
		c.estate.push("services/ai/tag.env", "AI_TAG=0.4.2\n")
		var f fleet.Facts
		for end := time.Now().Add(30 * time.Second); len(f.Syncs) == 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			f = observe(t, s)
		}
		if len(f.Syncs) != 1 || len(f.Syncs[0].Deploys) != 1 {
			t.Fatalf("v1 %v: %+v", v1, f.Syncs)
		}
		y, d := f.Syncs[0], f.Syncs[0].Deploys[0]
		if y.Name != "nexgate-prod" || y.Environment != "prod" || y.Pending() != 1 || y.Words() != "1 deploy" || f.Detail != "sync pending: 1" {
			t.Errorf("sync %+v, detail %q", y, f.Detail)
		}
		if d.Host != "prod-1" || !slices.Equal(d.Services, []string{"ai"}) || len(d.Files) != 1 ||
			d.Files[0] != (fleet.SyncFile{Path: "services/ai/tag.env", Before: "AI_TAG=0.4.1\n", After: "AI_TAG=0.4.2\n"}) {
			t.Errorf("deploy %+v", d)
		}
		if want := "stack file contents have changed: ../services/ai/tag.env"; d.Reason != want {
			t.Errorf("reason %q, not %q: markup is left", d.Reason, want)
		}
		i := slices.IndexFunc(f.Histories, func(h fleet.History) bool { return h.Subject.Service == "ai" })
		if i < 0 || f.Histories[i].Releases[0].Tag != "0.4.2" || f.Histories[i].Subject.Environment != "prod" {
			t.Errorf("desired %+v", f.Histories)
		}
	}
}

// The hashes are of the repository's HEAD: a commit elsewhere changes them and nothing else.
func TestHeadHashesAreNoDrift(t *testing.T) {
	c := newCore(t, nil)
	s := c.source(t, nil)
	c.estate.push("docs/README.md", "hello\n")
	list, err := s.Pending(t.Context())
	if err != nil || len(list) != 1 || list[0].Pending() != 0 {
		t.Fatalf("%+v, %v", list, err)
	}
}

func TestMoreStacksThanAPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(syncFile)
	for i := range 60 {
		b.WriteString(strings.ReplaceAll("\n[[stack]]\nname = \"extra-N\"\n[stack.config]\nserver = \"prod-1\"\nbranch = \"master\"\nfile_paths = [\"prod/stack.yml\"]\n", "N", string(rune('a'+i%26))+string(rune('a'+i/26))))
	}
	c := newCore(t, func(o *sim.KomodoOptions) {
		e, _ := o.Estate.(*estate)
		e.files["komodo.toml"] = b.String()
	})
	list, err := c.source(t, nil).Stacks(t.Context())
	if err != nil || len(list) != 61 {
		t.Fatalf("%d stacks of prod, not 61: %v", len(list), err)
	}
}

func TestSecretsAreRedacted(t *testing.T) {
	c := newCore(t, nil)
	s := c.source(t, nil)
	c.estate.push("komodo.toml", strings.NewReplacer("canary-variable-1", "canary-variable-9", "canary-token-2", "canary-token-8",
		`["stack.yml"]
environment`, `["stack.yml"]
auto_pull = true
environment`).Replace(syncFile))
	list, err := s.Pending(t.Context())
	if err != nil || len(list) != 1 || len(list[0].Changes) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	all := ""
	for _, ch := range list[0].Changes {
		all += ch.Resource + "\n" + ch.Before + "\n" + ch.After + "\n"
	}
	if strings.Contains(all, "canary") {
		t.Errorf("a secret is shown:\n%s", all)
	}
	for _, want := range []string{"stack nexgate-prod", "variable DOMAIN", "auto_pull = true", "auto_pull = false", "API_TOKEN=[redacted]"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not shown:\n%s", want, all)
		}
	}
	if list[0].Changes[0].Name != "nexgate-prod" || list[0].Changes[1].Name != "" {
		t.Errorf("names %+v", list[0].Changes)
	}
}

// Komodo says running of a stack whose health checks fail: what the source says rests on nothing of that.
func TestBlindStateIsNotBelieved(t *testing.T) {
	c := newCore(t, nil)
	c.estate.health["ai"] = "unhealthy"
	f := observe(t, c.source(t, nil))
	if len(f.Instances) != 0 || len(f.Hosts) != 0 {
		t.Errorf("health and hosts are the engine's to tell: %+v", f)
	}
}

func TestWarnings(t *testing.T) {
	c := newCore(t, nil)
	s := c.source(t, nil)
	c.Raise(sim.KomodoAlert{Level: "CRITICAL", Kind: "ServerDisk", Type: "Server", Name: "prod-1", At: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)})
	c.Raise(sim.KomodoAlert{Level: "CRITICAL", Kind: "ServerDisk", Type: "Server", Name: "stage-1"})
	c.estate.mu.Lock()
	c.estate.down = true
	c.estate.mu.Unlock()
	got := strings.Join(observe(t, s).Warnings, "\n")
	want := "server prod-1 is not ok: failed to reach periphery: connection timed out\nalert CRITICAL ServerDisk: prod-1 since 2026-01-02 03:04Z"
	if got != want {
		t.Errorf("warnings\n%s\nnot\n%s", got, want)
	}
}

func TestEnvironments(t *testing.T) {
	c := newCore(t, nil)
	for _, tt := range []struct {
		change func(*komodo.Config)
		want   string
	}{
		{nil, "nexgate-prod"},
		{func(cfg *komodo.Config) { cfg.Stacks = map[string][]string{"prod": {"nexgate-*"}} }, "nexgate-prod nexgate-staging"},
		{func(cfg *komodo.Config) { cfg.Stacks = map[string][]string{"staging": {"nexgate-*"}} }, ""},
	} {
		list, err := c.source(t, tt.change).Stacks(t.Context())
		var names []string
		for _, st := range list {
			names = append(names, st.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != tt.want {
			t.Errorf("%q, not %q: %v", got, tt.want, err)
		}
	}
}

func TestWatchPokesAndIsRestarted(t *testing.T) {
	c := newCore(t, nil)
	s := c.source(t, nil)
	pokes := make(chan struct{}, 100)
	watch := func() (context.CancelFunc, chan error) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Watch(ctx, func() { pokes <- struct{}{} }) }()
		return cancel, done
	}
	wait := func(what string) {
		t.Helper()
		select {
		case <-pokes:
		case <-time.After(30 * time.Second):
			t.Fatal("no poke: " + what)
		}
	}
	cancel, done := watch()
	wait("the login")
	if _, err := s.DeployStack(t.Context(), "nexgate-prod", nil, func(string) {}); err != nil {
		t.Fatal(err)
	}
	wait("the deploy begins")
	wait("the deploy ends")
	c.Drop()
	if err := <-done; err == nil || !strings.HasPrefix(err.Error(), "komodo ") {
		t.Errorf("a dropped websocket ends the watch with %v", err)
	}
	cancel()
	cancel, done = watch()
	wait("the login again, which lets all be listed anew")
	cancel()
	if err := <-done; err == nil {
		t.Error("no error of a watch that was cancelled")
	}
}

func TestWatchRefusesWrongKey(t *testing.T) {
	c := newCore(t, func(o *sim.KomodoOptions) { o.Users[0].Secret = "another" })
	err := c.source(t, nil).Watch(t.Context(), func() { t.Error("poked") })
	if err == nil || !strings.Contains(err.Error(), "failed to authenticate user") || strings.Contains(err.Error(), testSecret) {
		t.Errorf("%v", err)
	}
}

func TestErrorsAreClassified(t *testing.T) {
	for _, tt := range []struct {
		status int
		kind   string
		body   string
		want   string
	}{
		{500, "application/json", `{"error":"User does not have <span style=\"color: red\">required permissions</span> on this Stack. Must have at least Read permissions","trace":[]}`, "GetVersion: User does not have required permissions on this Stack. Must have at least Read permissions; give the key's user that permission in Komodo"},
		{500, "application/json", `{"error":"top","trace":["cause\u001b[31m one","two"]}`, "GetVersion: top: cause one: two"},
		{401, "application/json", `{"error":"Invalid user credentials","trace":[]}`, "GetVersion: 401: Invalid user credentials; check key and secret: is the key's user enabled, and the key not expired?"},
		{429, "application/json", `{"error":"Too many attempts","trace":[]}`, "GetVersion: 429: Too many attempts; Core locks out for 15 s after five wrong keys: check key and secret"},
		{422, "text/plain", "unknown variant `GetVersion`", "GetVersion: 422: unknown variant `GetVersion`"},
		{502, "text/html", "<html>bad gateway</html>", "GetVersion: 502 Bad Gateway; Core is not ready, or a proxy cannot reach it"},
		{200, "text/html", "<!doctype html>", "GetVersion: the answer is not Komodo's JSON: check url, or what stands before the server"},
		{200, "application/json", `[1`, "GetVersion: the answer is not Komodo's JSON: check url, or what stands before the server"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", tt.kind)
			w.WriteHeader(tt.status)
			_, _ = w.Write([]byte(tt.body))
		}))
		_, err := newSource(t, server.URL, nil).Observe(t.Context())
		if err == nil {
			t.Fatalf("%d %s: no error", tt.status, tt.body)
		}
		_, got, _ := strings.Cut(err.Error(), server.URL+": ")
		// Several calls run at once; any of them may be the first to fail.
		_, got, _ = strings.Cut(got, ": ")
		_, want, _ := strings.Cut(tt.want, ": ")
		if got != strings.ReplaceAll(want, "GetVersion", "X") && got != want {
			t.Errorf("%d: %q, not %q", tt.status, got, want)
		}
		server.Close()
	}
}

func TestConfigMistakes(t *testing.T) {
	cfg := komodo.NewConfig()
	cfg.URL, cfg.Poll, cfg.Files = "http://x", 1, "services/"
	cfg.Stacks = map[string][]string{"prod": nil}
	var got []string
	for _, err := range cfg.Validate() {
		key, _, _ := strings.Cut(err.Error(), ":")
		got = append(got, key)
	}
	if want := []string{"files", "key, secret", "poll", "stacks.prod"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}
