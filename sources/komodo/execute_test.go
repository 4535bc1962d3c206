package komodo_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/lab/sim"
	"github.com/nexgate-hq/nexops/sources/komodo"
)

const hold = 300 * time.Millisecond

func slow(o *sim.KomodoOptions) { o.Hold = hold }

func (c *core) ups() int {
	c.estate.mu.Lock()
	defer c.estate.mu.Unlock()
	n := 0
	for _, r := range c.estate.ran {
		if strings.Contains(r, " up -d") {
			n++
		}
	}
	return n
}

// Success is true from the first moment: it means something only at the end.
func TestDeployIsFollowedToItsEnd(t *testing.T) {
	c := newCore(t, slow)
	s := c.source(t, nil)
	c.estate.push("services/ai/tag.env", "AI_TAG=0.4.2\n")
	var out said
	began := time.Now()
	x, err := s.DeployStack(t.Context(), "nexgate-prod", []string{"ai"}, out.say)
	if err != nil || x.State != fleet.ExecutionSucceeded || len(x.Reasons) != 0 || time.Since(began) < hold {
		t.Fatalf("%+v, %v after %s", x, err, time.Since(began))
	}
	if c.estate.runs["ai"] != "ghcr.io/x/ai:0.4.2" || c.ups() != 1 || c.Calls("DeployStack") != 1 {
		t.Errorf("runs %v, %d ups", c.estate.runs, c.ups())
	}
	if text := out.text(); !strings.Contains(text, "[Compose Up] docker compose") || !strings.Contains(text, "up -d ai") || strings.Contains(text, "canary") || strings.ContainsAny(text, "\x1b<") {
		t.Errorf("said %s", text)
	}
	changes := observe(t, s).Changes
	if len(changes) != 1 || changes[0].Subject.Service != "ai" || changes[0].Who != "ana" || changes[0].Kind != fleet.ChangeDeploy || changes[0].What != "DeployStackService nexgate-prod" {
		t.Errorf("changes %+v", changes)
	}
}

func TestFailuresAreTold(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(c *core)
		key    string
		want   string
	}{
		{"compose fails", func(c *core) { c.estate.broken = true }, "", "DeployStack failed: Compose Up: Error response from daemon: manifest unknown"},
		{"server is gone", func(c *core) { c.estate.down = true }, "", "DeployStack failed: Task Error: request to periphery failed | server: prod-1 | connection timed out"},
		{"busy", func(c *core) { c.Switch(sim.TrapBusy, true) }, "", "DeployStack failed: Task Error: Resource is busy (somebody else's execution is at work there: wait for its end)"},
		{"may not", func(*core) {}, "K_eve_K", "DeployStack failed: Task Error: User does not have required permissions on this Stack. Must have at least Execute permissions"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCore(t, nil)
			s := c.source(t, nil)
			if tt.key != "" {
				t.Setenv("NEXOPS_TEST_KOMODO_KEY", tt.key)
			}
			observe(t, s)
			c.estate.mu.Lock()
			tt.before(c)
			c.estate.mu.Unlock()
			var out said
			x, err := s.DeployStack(t.Context(), "nexgate-prod", nil, out.say)
			if err != nil || x.State != fleet.ExecutionFailed || len(x.Reasons) != 1 || x.Reasons[0] != tt.want {
				t.Errorf("%+v, %v, not %q", x, err, tt.want)
			}
			if c.Calls("DeployStack") != 1 {
				t.Errorf("asked for %d times", c.Calls("DeployStack"))
			}
		})
	}
}

func TestRefusedIsNoExecution(t *testing.T) {
	c := newCore(t, nil)
	s := c.source(t, nil)
	if _, err := s.DeployStack(t.Context(), "nosuch", nil, func(string) {}); err == nil || !strings.Contains(err.Error(), "there is no stack nosuch in prod") {
		t.Errorf("%v", err)
	}
	if _, err := s.DeployStack(t.Context(), "nexgate-staging", nil, func(string) {}); err == nil {
		t.Error("a stack of another environment was deployed")
	}
	if _, err := s.RunSync(t.Context(), "nosuch", nil, func(string) {}); err == nil {
		t.Error("no error")
	}
	if c.Calls("DeployStack")+c.Calls("RunSync") != 0 {
		t.Error("something was asked for")
	}
}

// An answer that is lost is not asked for again: what came of it is found among the updates.
func TestLostAnswerIsFound(t *testing.T) {
	for _, trap := range []sim.KomodoTrap{sim.TrapLoseAnswer} {
		c := newCore(t, slow)
		s := c.source(t, nil)
		if _, err := s.DeployStack(t.Context(), "nexgate-prod", nil, func(string) {}); err != nil { // one that is older
			t.Fatal(err)
		}
		c.Switch(trap, true)
		var out said
		x, err := s.DeployStack(t.Context(), "nexgate-prod", nil, out.say)
		if err != nil || x.State != fleet.ExecutionSucceeded || c.Calls("DeployStack") != 2 || c.ups() != 2 {
			t.Errorf("%+v, %v, asked for %d times\n%s", x, err, c.Calls("DeployStack"), out.text())
		}
		if !strings.Contains(out.text(), "it is not asked for again") {
			t.Errorf("said %s", out.text())
		}
	}
}

// between is a proxy before Core that does as it is told with some requests.
type between struct {
	server *httptest.Server
	asked  atomic.Int32 // executions that went through
	answer atomic.Pointer[func(r *http.Request, pass func() []byte) (int, string, string, bool)]
}

func (c *core) between(t *testing.T) *between {
	t.Helper()
	to, err := url.Parse(c.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	b := &between{}
	proxy := httputil.NewSingleHostReverseProxy(to)
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if do := b.answer.Load(); do != nil {
			pass := func() []byte {
				rec := httptest.NewRecorder()
				proxy.ServeHTTP(rec, r)
				return rec.Body.Bytes()
			}
			if status, kind, body, ok := (*do)(r, pass); ok {
				w.Header().Set("Content-Type", kind)
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		b.server.CloseClientConnections()
		b.server.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections() //nolint:forcetypeassert // it is one
	})
	return b
}

func (b *between) set(do func(r *http.Request, pass func() []byte) (int, string, string, bool)) {
	b.answer.Store(&do)
}

// What a proxy says of a request that it may have passed on is no word of Core.
func TestProxyErrorIsNoRefusal(t *testing.T) {
	c := newCore(t, nil)
	b := c.between(t)
	s := newSource(t, b.server.URL, nil)
	b.set(func(r *http.Request, pass func() []byte) (int, string, string, bool) {
		if r.URL.Path != "/execute" {
			return 0, "", "", false
		}
		pass()
		return 504, "text/html", "<html>gateway timeout</html>", true
	})
	x, err := s.DeployStack(t.Context(), "nexgate-prod", nil, func(string) {})
	if err != nil || x.State != fleet.ExecutionSucceeded || c.Calls("DeployStack") != 1 {
		t.Errorf("%+v, %v, %d", x, err, c.Calls("DeployStack"))
	}
}

// DeployStackIfChanged answers so, and other versions may with other calls.
func TestUpdateWithoutID(t *testing.T) {
	c := newCore(t, nil)
	b := c.between(t)
	s := newSource(t, b.server.URL, nil)
	noID := regexp.MustCompile(`"_id":\{[^}]*\},`)
	b.set(func(r *http.Request, pass func() []byte) (int, string, string, bool) {
		if r.URL.Path != "/execute" {
			return 0, "", "", false
		}
		return 200, "application/json", noID.ReplaceAllString(string(pass()), ""), true
	})
	x, err := s.DeployStack(t.Context(), "nexgate-prod", nil, func(string) {})
	if err != nil || x.State != fleet.ExecutionSucceeded || x.ID == "" || c.Calls("DeployStack") != 1 {
		t.Errorf("%+v, %v, %d", x, err, c.Calls("DeployStack"))
	}
}

// Core answers nothing for a while in the middle: reading goes on, and nothing is sent again.
func TestConnectionLostWhileFollowing(t *testing.T) {
	c := newCore(t, func(o *sim.KomodoOptions) { o.Hold = time.Second })
	b := c.between(t)
	s := newSource(t, b.server.URL, nil)
	var polls atomic.Int32
	b.set(func(r *http.Request, pass func() []byte) (int, string, string, bool) {
		if r.URL.Path == "/execute" {
			body := string(pass())
			b.asked.Add(1)
			return 200, "application/json", body, true
		}
		if b.asked.Load() == 1 && polls.Add(1) <= 2 {
			panic(http.ErrAbortHandler)
		}
		return 0, "", "", false
	})
	var out said
	x, err := s.DeployStack(t.Context(), "nexgate-prod", nil, out.say)
	if err != nil || x.State != fleet.ExecutionSucceeded || c.Calls("DeployStack") != 1 {
		t.Errorf("%+v, %v", x, err)
	}
	if text := out.text(); !strings.Contains(text, "does not answer") || !strings.Contains(text, "answers again") {
		t.Errorf("said %s", text)
	}
}

func TestUnknownWhenTimeIsUp(t *testing.T) {
	c := newCore(t, func(o *sim.KomodoOptions) { o.Hold = time.Minute })
	s := c.source(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	x, err := s.DeployStack(ctx, "nexgate-prod", nil, func(text string) {
		if strings.Contains(text, "is update") {
			cancel()
		}
	})
	if err != nil || x.State != fleet.ExecutionUnknown || len(x.Reasons) != 1 || !strings.Contains(x.Reasons[0], "may still be at work") {
		t.Errorf("%+v, %v", x, err)
	}
}

func TestCoreRestartsInTheMiddle(t *testing.T) {
	c := newCore(t, func(o *sim.KomodoOptions) { o.Hold = time.Minute })
	s := c.source(t, nil)
	go func() {
		for c.Calls("DeployStack") == 0 {
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
		c.Restart()
	}()
	x, err := s.DeployStack(t.Context(), "nexgate-prod", nil, func(string) {})
	if err != nil || x.State != fleet.ExecutionFailed || !strings.Contains(x.Reasons[0], "Komodo shutdown") {
		t.Errorf("%+v, %v", x, err)
	}
}

// A sync that says success while a deploy that it began has failed has failed.
func TestSyncWithFailedChild(t *testing.T) {
	for _, broken := range []bool{false, true} {
		c := newCore(t, nil)
		s := c.source(t, nil)
		c.estate.push("services/ai/tag.env", "AI_TAG=0.4.2\n")
		c.estate.broken = broken
		var out said
		x, err := s.RunSync(t.Context(), "nexgate-prod", nil, out.say)
		if err != nil || c.Calls("RunSync") != 1 {
			t.Fatalf("%+v, %v", x, err)
		}
		want := fleet.ExecutionSucceeded
		if broken {
			want = fleet.ExecutionFailed
			if len(x.Reasons) != 1 || x.Reasons[0] != "nexgate-prod: DeployStack failed: Compose Up: Error response from daemon: manifest unknown" {
				t.Errorf("reasons %q", x.Reasons)
			}
		}
		if x.State != want {
			t.Errorf("broken %v: %+v", broken, x)
		}
		if text := out.text(); !strings.Contains(text, "[Sync Resources]") || !strings.Contains(text, "nexgate-prod: [Compose Up]") || strings.ContainsAny(text, "<\x1b") {
			t.Errorf("said %s", text)
		}
		list, err := s.Pending(t.Context())
		if err != nil || len(list) != 1 || (list[0].Pending() > 0) != broken {
			t.Errorf("broken %v, pending after it: %+v, %v", broken, list, err)
		}
		who := []string{}
		for _, ch := range observe(t, s).Changes {
			who = append(who, ch.Who)
		}
		if !slices.Contains(who, "Komodo Resource Sync") || !slices.Contains(who, "ana") {
			t.Errorf("changes by %q", who)
		}
	}
}

func TestPartOfASync(t *testing.T) {
	two := strings.Replace(syncFile, `name   = "nexgate-staging"
deploy = true
tags   = ["staging"]`, `name   = "second"
deploy = true
tags   = ["prod"]`, 1)
	two = strings.Replace(two, `server        = "stage-1"`, `server        = "prod-1"`, 1)
	c := newCore(t, func(o *sim.KomodoOptions) {
		e, _ := o.Estate.(*estate)
		e.files["komodo.toml"] = two
	})
	s := c.source(t, nil)
	c.estate.push("services/ai/tag.env", "AI_TAG=0.4.2\n")
	c.estate.push("staging/stack.yml", "services: {x: {}}\n")
	list, err := s.Pending(t.Context())
	if err != nil || len(list) != 1 || len(list[0].Deploys) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	x, err := s.RunSync(t.Context(), "nexgate-prod", []string{"second"}, func(string) {})
	if err != nil || x.State != fleet.ExecutionSucceeded {
		t.Fatalf("%+v, %v", x, err)
	}
	list, err = s.Pending(t.Context())
	if err != nil || len(list) != 1 || len(list[0].Deploys) != 1 || list[0].Deploys[0].Stack != "nexgate-prod" || c.ups() != 1 {
		t.Errorf("%+v, %v, %d ups", list, err, c.ups())
	}
}

// Somebody else deploys the same stack at the same moment: which update is ours is told by who began it.
func TestOthersUpdateIsNotOurs(t *testing.T) {
	c := newCore(t, func(o *sim.KomodoOptions) {
		o.Users = append(o.Users, sim.KomodoUser{ID: "66f0000000000000000000c3", Name: "bo", Key: "K_bo_K", Secret: testSecret})
	})
	b := c.between(t)
	s := newSource(t, b.server.URL, nil)
	b.set(func(r *http.Request, _ func() []byte) (int, string, string, bool) {
		if r.URL.Path != "/execute" {
			return 0, "", "", false
		}
		req, _ := http.NewRequestWithContext(r.Context(), http.MethodPost, c.server.URL+"/execute", strings.NewReader(`{"type":"DeployStack","params":{"stack":"nexgate-prod","services":[]}}`))
		req.Header = http.Header{"Content-Type": {"application/json"}, "X-Api-Key": {"K_bo_K"}, "X-Api-Secret": {testSecret}}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
		panic(http.ErrAbortHandler) // ours never got there
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	x, err := s.DeployStack(ctx, "nexgate-prod", nil, func(text string) {
		if strings.Contains(text, "looking for what came of it") {
			time.AfterFunc(time.Second, cancel)
		}
	})
	if err != nil || x.State != fleet.ExecutionUnknown || x.ID != "" {
		t.Errorf("%+v, %v", x, err)
	}
}

func TestConfigHosts(t *testing.T) {
	cfg := komodo.NewConfig()
	cfg.Via, cfg.Servers = "ops", map[string]string{"core-a": "prod-1"}
	if got := cfg.HostNames(); !slices.Equal(got, []string{"ops", "prod-1"}) {
		t.Errorf("%q", got)
	}
	if errors.Join(cfg.Validate()...) == nil {
		t.Error("no key, no url, and no mistake")
	}
}
