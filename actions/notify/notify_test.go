package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/remote"
)

const canary = "4711:AAcanary-bird-token"

// inbox is a server that keeps what it is sent.
type inbox struct {
	*httptest.Server
	mu     sync.Mutex
	paths  []string
	bodies []string
	heads  []http.Header
	reply  func(n int, w http.ResponseWriter, r *http.Request) // n counts from 1
}

func newInbox(t *testing.T, reply func(n int, w http.ResponseWriter, r *http.Request)) *inbox {
	t.Helper()
	in := &inbox{reply: reply}
	in.Server = httptest.NewServer(http.HandlerFunc(in.take))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) take(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	in.mu.Lock()
	in.paths, in.bodies, in.heads = append(in.paths, r.URL.RequestURI()), append(in.bodies, string(body)), append(in.heads, r.Header)
	n := len(in.paths)
	in.mu.Unlock()
	if in.reply != nil {
		in.reply(n, w, r)
	}
}

func (in *inbox) got() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.bodies)
}

// post is one console's Notifier on a journal.
type post struct {
	t   *testing.T
	j   *actions.Journal
	o   Options
	log bytes.Buffer
	mu  sync.Mutex
	n   *Notifier
}

// Write keeps the log.
func (p *post) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *post) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func newPost(t *testing.T, c Config, record JournalConfig) *post {
	t.Helper()
	j, err := actions.OpenJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	p := &post{t: t, j: j}
	p.o = Options{
		Config: c, Record: record, Journal: j, Environments: []string{"prod", "staging"}, Redact: actions.NewRedactor(),
		Secret: func(_ context.Context, s remote.Secret) (string, error) {
			return strings.ReplaceAll(strings.TrimPrefix(string(s), "env:"), "CANARY", canary), nil
		},
		Log:    slog.New(slog.NewTextHandler(p, nil)),
		Timing: Timing{Look: 2 * time.Millisecond, First: 5 * time.Millisecond, Last: 20 * time.Millisecond, Grace: 500 * time.Millisecond},
	}
	return p
}

func (p *post) start() {
	p.t.Helper()
	n, err := New(p.o)
	if err != nil {
		p.t.Fatal(err)
	}
	p.n = n
	n.Start(context.Background())
	p.await("the cursors, which are made at the end of what is there,", func() bool {
		made, err := filepath.Glob(filepath.Join(p.j.Dir(), "*", "*.json"))
		return err == nil && len(made) >= len(n.sinks)
	})
}

// act puts a whole action on record.
func (p *post) act(env, plan string, outcome actions.Outcome, reasons ...string) {
	p.t.Helper()
	now := time.Now()
	_, err := p.j.Append(
		actions.Entry{At: now, Kind: actions.EntryPlan, Plan: plan, Record: &actions.PlanRecord{
			Action: "redeploy", Title: "redeploy ai on " + env + ": 0.4.2 → 0.4.1", Environment: env, Services: []string{"ai"}, Who: "ana@laptop", Why: "errors <7 %>",
			Moves: []actions.MoveRecord{{Service: "ai", Host: "prod-1"}},
		}},
		actions.Entry{At: now, Kind: actions.EntryEvent, Plan: plan, Event: &actions.EventRecord{Kind: actions.EventOutput, Text: "pulled"}},
		actions.Entry{At: now.Add(time.Second), Kind: actions.EntryOutcome, Plan: plan, Outcome: &actions.OutcomeRecord{Outcome: outcome, Reasons: reasons}},
	)
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *post) await(what string, there func() bool) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); !there(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s did not come; troubles %q, log\n%s", what, p.n.Troubles(), p.logged())
		}
	}
}

func telegram(url string) Target {
	return Target{Name: "ops", Kind: KindTelegram, Token: "env:CANARY", Chat: "-100", On: []string{OnStarted, OnEnded}, Endpoint: remote.Endpoint{URL: url}}
}

func TestTelegram(t *testing.T) {
	in := newInbox(t, nil)
	p := newPost(t, Config{To: []Target{telegram(in.URL)}}, JournalConfig{})
	p.act("prod", "before", actions.OutcomeGood)
	p.start()
	p.act("prod", "p1", actions.OutcomeDegraded, "errors 6.0 % > 1.0 %")
	p.act("elsewhere", "p2", actions.OutcomeGood)
	p.await("both messages", func() bool { return len(in.got()) >= 2 })
	p.n.Close()
	if in.paths[0] != "/bot"+canary+"/sendMessage" || len(in.paths) != 2 {
		t.Errorf("asked for %q", in.paths)
	}
	var m struct {
		Chat string `json:"chat_id"`
		Text string
	}
	if err := json.Unmarshal([]byte(in.bodies[1]), &m); err != nil || m.Chat != "-100" {
		t.Fatalf("%v %+v", err, m)
	}
	want := "✖ redeploy ai on prod: 0.4.2 → 0.4.1: degraded after 1 s\nby ana@laptop: errors <7 %>\n- errors 6.0 % > 1.0 %"
	if m.Text != want {
		t.Errorf("said\n%s\nwant\n%s", m.Text, want)
	}
	if !strings.Contains(in.bodies[0], "▶ redeploy ai on prod: 0.4.2 → 0.4.1: started") {
		t.Errorf("at the start: %s", in.bodies[0])
	}
}

func TestSlackAndWebhook(t *testing.T) {
	slack, hook := newInbox(t, nil), newInbox(t, nil)
	p := newPost(t, Config{To: []Target{
		{Name: "slack", Kind: KindSlack, SecretURL: remote.Secret("env:" + slack.URL + "/services/T/B/CANARY?x=1"), On: []string{OnBad}},
		{
			Name: "hook", Kind: KindWebhook, Environments: []string{"staging"}, Text: "{{.Title}} by {{.Who}} on {{join .Hosts \",\"}}",
			Headers: map[string]remote.Secret{"X-Key": "env:CANARY"}, Endpoint: remote.Endpoint{URL: hook.URL, BearerToken: "env:CANARY"},
		},
	}}, JournalConfig{})
	p.start()
	p.act("prod", "p1", actions.OutcomeGood)
	p.act("prod", "p2", actions.OutcomeFailed)
	p.act("staging", "p3", actions.OutcomeGood)
	p.await("the messages", func() bool { return len(slack.got()) >= 1 && len(hook.got()) >= 1 })
	p.n.Close()
	if len(slack.paths) != 1 || slack.paths[0] != "/services/T/B/"+canary+"?x=1" || !strings.Contains(slack.bodies[0], "errors \\u0026lt;7 %\\u0026gt;") {
		t.Errorf("slack: %q %q", slack.paths, slack.bodies)
	}
	var m struct {
		Message
		Text string
	}
	if err := json.Unmarshal([]byte(hook.bodies[0]), &m); err != nil || len(hook.bodies) != 1 {
		t.Fatalf("%v %q", err, hook.bodies)
	}
	if m.Event != OnEnded || m.Outcome != "good" || m.Environment != "staging" || m.Plan != "p3" || m.Text != "redeploy ai on staging: 0.4.2 → 0.4.1 by ana@laptop on prod-1" {
		t.Errorf("webhook: %+v", m)
	}
	if h := hook.heads[0]; h.Get("X-Key") != canary || h.Get("Authorization") != "Bearer "+canary {
		t.Errorf("headers %v", h)
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name  string
		reply func(n int, w http.ResponseWriter, r *http.Request)
		calls int    // 0: whatever
		want  string // in the log
	}{
		{"500 twice", func(n int, w http.ResponseWriter, _ *http.Request) {
			if n <= 2 {
				w.WriteHeader(500)
			}
		}, 3, "it answers 500 Internal Server Error"},
		{"429 with Retry-After", func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(429)
			}
		}, 2, "429 Too Many Requests"},
		{"429 in Telegram's way", func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				w.WriteHeader(429)
				_, _ = io.WriteString(w, `{"ok":false,"parameters":{"retry_after":1}}`)
			}
		}, 2, "429"},
		{"refused for good", func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				w.WriteHeader(400)
				_, _ = io.WriteString(w, "chat "+canary+" not found \x1b[2J\nsecond line")
			}
		}, 2, "not tried again: it answers 400 Bad Request: chat [redacted] not found"},
		{"sent elsewhere", func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				http.Redirect(w, r, "http://127.0.0.1:1/"+canary, http.StatusFound)
			}
		}, 2, "302 Found"},
		{"cut off", func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				panic(http.ErrAbortHandler)
			}
		}, 2, "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := newInbox(t, tt.reply)
			target := telegram(in.URL)
			target.On = []string{OnEnded}
			p := newPost(t, Config{To: []Target{target}}, JournalConfig{})
			p.start()
			p.act("prod", "p1", actions.OutcomeGood)
			if strings.Contains(tt.want, "not tried again") || strings.Contains(tt.want, "302") {
				p.await("the refusal", func() bool { return len(p.n.Troubles()) > 0 })
				p.act("prod", "p2", actions.OutcomeGood)
			}
			p.await("the message", func() bool { return len(in.got()) >= tt.calls })
			p.await("well again", func() bool { return len(p.n.Troubles()) == 0 })
			p.n.Close()
			if log := p.logged(); !strings.Contains(log, tt.want) || strings.Contains(log, canary) || strings.Contains(log, "\x1b") {
				t.Errorf("log:\n%s", log)
			}
			if n := len(in.got()); n != tt.calls {
				t.Errorf("called %d times", n)
			}
		})
	}
}

// TestASecretAddressIsNotRepeated: a server says what path it does not know, without the rest of the address.
func TestASecretAddressIsNotRepeated(t *testing.T) {
	in := newInbox(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "Cannot POST "+r.URL.Path+" of "+path.Base(r.URL.Path))
		}
	})
	p := newPost(t, Config{To: []Target{{
		Name: "slack", Kind: KindSlack, SecretURL: remote.Secret("env:" + in.URL + "/services/T0/B0/CANARY?x=1"),
	}}}, JournalConfig{})
	p.start()
	p.act("prod", "p1", actions.OutcomeGood)
	p.await("the refusal", func() bool { return len(p.n.Troubles()) > 0 })
	said := strings.Join(p.n.Troubles(), "\n")
	p.n.Close()
	if all := said + p.logged(); !strings.Contains(said, "404 Not Found: Cannot POST [redacted] of [redacted]") || strings.Contains(all, canary) {
		t.Errorf("said %s", all)
	}
}

// TestNothingWaits: a receiver that hangs, or is not there, neither holds up the journal nor the end, and what it
// did not get it gets from the next process.
func TestNothingWaits(t *testing.T) {
	release := make(chan struct{})
	in := newInbox(t, func(n int, _ http.ResponseWriter, r *http.Request) {
		if n == 1 {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	})
	defer close(release)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	target, absent := telegram(in.URL), telegram(gone.URL)
	absent.Name = "absent"
	p := newPost(t, Config{To: []Target{target, absent}}, JournalConfig{})
	p.start()
	began := time.Now()
	p.act("prod", "p1", actions.OutcomeGood)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the journal was held up for %s", took)
	}
	p.await("the call that hangs", func() bool { return len(in.got()) == 1 })
	p.await("trouble", func() bool { return len(p.n.Troubles()) == 1 })
	began = time.Now()
	p.n.Close()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end was held up for %s", took)
	}
	for _, text := range p.n.Troubles() {
		if strings.Contains(text, canary) || !strings.HasPrefix(text, "notify ") {
			t.Errorf("trouble %q", text)
		}
	}
	if len(p.n.Troubles()) != 2 || strings.Contains(p.logged(), canary) {
		t.Errorf("troubles %q, log\n%s", p.n.Troubles(), p.logged())
	}
	p.start()
	p.await("what was left over", func() bool { return len(in.got()) == 3 })
	p.n.Close()
	if got := in.got(); got[1] != got[0] || !strings.Contains(got[2], "good") {
		t.Errorf("got %q", got)
	}
}

func TestOneConsoleAtATimeAndTheLastWord(t *testing.T) {
	in := newInbox(t, nil)
	p := newPost(t, Config{To: []Target{telegram(in.URL)}}, JournalConfig{})
	p.start()
	first := p.n
	p.start()
	p.act("prod", "p1", actions.OutcomeGood)
	first.Close() // at once: what is on record by then is passed on
	if got := in.got(); len(got) != 2 {
		t.Errorf("the first passed on %d", len(got))
	}
	p.act("prod", "p2", actions.OutcomeGood)
	p.await("the second's", func() bool { return len(in.got()) == 4 })
	p.n.Close()
}

func TestTooOldIsNoNews(t *testing.T) {
	in := newInbox(t, nil)
	p := newPost(t, Config{To: []Target{telegram(in.URL)}}, JournalConfig{})
	p.o.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	p.start()
	p.act("prod", "p1", actions.OutcomeGood)
	p.await("given up", func() bool { return strings.Contains(p.logged(), "too old") })
	p.n.Close()
	if len(in.got()) != 0 {
		t.Errorf("sent %q", in.got())
	}
}

func TestLokiAndGrafana(t *testing.T) {
	loki, grafana := newInbox(t, nil), newInbox(t, nil)
	p := newPost(t, Config{}, JournalConfig{
		Loki:    Loki{Endpoint: remote.Endpoint{URL: loki.URL}, Tenant: "nexgate", Labels: map[string]string{"team": "ops"}},
		Grafana: Grafana{Endpoint: remote.Endpoint{URL: grafana.URL, BearerToken: "env:CANARY"}, Tags: []string{"x"}, Dashboard: "d1"},
	})
	p.o.Redact.Learn("pulled-secret")
	p.start()
	p.act("prod", "p1", actions.OutcomeDegraded, "errors 6.0 %")
	p.await("both", func() bool { return len(loki.got()) >= 1 && len(grafana.got()) >= 1 })
	p.n.Close()
	var push struct {
		Streams []struct {
			Stream map[string]string
			Values [][2]string
		}
	}
	lines := 0
	for _, body := range loki.got() {
		if err := json.Unmarshal([]byte(body), &push); err != nil {
			t.Fatal(err)
		}
		for _, s := range push.Streams {
			lines += len(s.Values)
			if fmt.Sprint(s.Stream) != "map[action:redeploy env:prod job:nexops service:ai team:ops]" {
				t.Errorf("labels %v", s.Stream)
			}
			for _, v := range s.Values {
				var e actions.Entry
				if err := json.Unmarshal([]byte(v[1]), &e); err != nil || e.Plan != "p1" || e.SHA256 == "" {
					t.Errorf("line %s: %v", v[1], err)
				}
			}
		}
	}
	if lines != 3 || loki.paths[0] != "/loki/api/v1/push" || loki.heads[0].Get("X-Scope-OrgID") != "nexgate" {
		t.Errorf("%d lines at %q, %v", lines, loki.paths, loki.heads[0])
	}
	var a struct {
		Time, TimeEnd int64
		Tags          []string
		Text          string
		DashboardUID  string
	}
	if err := json.Unmarshal([]byte(grafana.got()[0]), &a); err != nil || len(grafana.got()) != 1 {
		t.Fatalf("%v %q", err, grafana.got())
	}
	if a.TimeEnd-a.Time != 1000 || !slices.Contains(a.Tags, "env:prod") || !slices.Contains(a.Tags, "service:ai") || !slices.Contains(a.Tags, "degraded") ||
		!strings.Contains(a.Text, "errors 6.0 %") || a.DashboardUID != "d1" || grafana.heads[0].Get("Authorization") != "Bearer "+canary || grafana.paths[0] != "/api/annotations" {
		t.Errorf("annotation %+v at %q", a, grafana.paths)
	}
}

func TestBadTLS(t *testing.T) {
	in := &inbox{}
	server := httptest.NewTLSServer(http.HandlerFunc(in.take))
	defer server.Close()
	server.Config.ErrorLog = nil
	p := newPost(t, Config{To: []Target{telegram(server.URL)}}, JournalConfig{})
	p.start()
	p.act("prod", "p1", actions.OutcomeGood)
	p.await("trouble", func() bool { return len(p.n.Troubles()) == 1 })
	p.n.Close()
	if text := p.n.Troubles()[0]; !strings.Contains(text, "certificate") || strings.Contains(text, canary) || len(in.got()) != 0 {
		t.Errorf("trouble %q", text)
	}
}

func TestConfigIsValidated(t *testing.T) {
	tests := []struct {
		toml string
		want []string
	}{
		{"", nil},
		{"[[to]]\nname=\"a\"\nkind=\"telegram\"\ntoken=\"env:X\"\nchat=\"-1\"", nil},
		{"[[to]]\nname=\"a b\"\nkind=\"pigeon\"\non=[\"x\"]\ntext=\"{{.Nobody}}\"", []string{"to[0].name:", "to[0].on:", "to[0].text:", "to[0].kind:"}},
		{"[[to]]\nname=\"a\"\nkind=\"telegram\"", []string{"to[0].token:", "to[0].chat:"}},
		{"[[to]]\nname=\"a\"\nkind=\"slack\"\n[[to]]\nname=\"a\"\nkind=\"webhook\"\n[to.headers]\n\"X Y\"=\"env:Z\"", []string{"to[0].secret_url:", "to[1].headers:", "to[1].url:", "to[1].name:"}},
		{"[[to]]\nname=\"a\"\nkind=\"webhook\"\nurl=\"https://u:p@h/x\"", []string{"to[0].url:"}},
		{"[[to]]\nname=\"a\"\nkind=\"webhook\"\nurl=\"https://h/x\"\ntext=\"{{range\"", []string{"to[0].text:"}},
	}
	for _, tt := range tests {
		var c Config
		if err := toml.NewDecoder(strings.NewReader(tt.toml)).DisallowUnknownFields().Decode(&c); err != nil {
			t.Errorf("%s: %v", tt.toml, err)
			continue
		}
		errs := c.Validate()
		if len(errs) != len(tt.want) {
			t.Errorf("%s: %v, want %v", tt.toml, errs, tt.want)
			continue
		}
		for i, err := range errs {
			if !strings.HasPrefix(err.Error(), tt.want[i]) {
				t.Errorf("%s: %v, want %s", tt.toml, err, tt.want[i])
			}
		}
	}
	j := JournalConfig{Loki: Loki{Endpoint: remote.Endpoint{URL: "ftp://x"}, Labels: map[string]string{"a-b": "c"}}, Grafana: Grafana{Endpoint: remote.Endpoint{Via: "ops"}}}
	if errs := j.Validate(); len(errs) != 3 {
		t.Errorf("journal: %v", errs)
	}
}
