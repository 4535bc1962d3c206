package ui

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

func TestInstanceLabelsTellInstancesApartAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		service string
		seen    []instanceID
		want    string
	}{
		{"ai", []instanceID{{"prod-1", "nexgate-prod-ai-1"}}, ""},
		{"ai", []instanceID{{"prod-1", "nexgate-ai-1"}, {"prod-1", "nexgate-ai-2"}}, "ai-1|ai-2"},
		{"web", []instanceID{{"a", "shop-web-1"}, {"b", "shop-web-1"}}, "a|b"},
		{"web", []instanceID{{"a", "shop-web-1"}, {"a", "shop-web-2"}, {"b", "shop-web-1"}}, "web-1 a|web-2|web-1 b"},
		{"files", []instanceID{{"a", "x-files-1"}, {"a", "x-files-db-1"}}, "files-1|files-db-1"},
		{"ai", []instanceID{{"a", "mailer"}, {"a", "x-ai_1"}}, "mailer|ai_1"},
		{"", []instanceID{{"a", "one"}, {"a", "two"}}, "one|two"},
	} {
		labels := instanceLabels(c.service, c.seen)
		var got []string
		for _, id := range c.seen {
			if l, ok := labels[id]; ok {
				got = append(got, l)
			}
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%s %v: %q, want %q", c.service, c.seen, s, c.want)
		}
	}
}

func TestProgressIsOneLineThatMoves(t *testing.T) {
	r := newRunView(&actions.Plan{}, nil, sampleNow)
	for _, text := range []string{
		"up and well on prod-1, watching for 8 s", "5 s of 8 s: prod-1 healthy, 0 restarts; errors 2.0 %, p95 1.3 s",
		"10 s of 8 s: prod-1 healthy, 0 restarts; errors <0.1 %, p95 853 ms", "waiting up to 1 min more: log errors 15/min > 10/min",
	} {
		r.add(actions.Event{Kind: actions.EventOutput, Step: -1, Stream: actions.StreamVerify, Text: text})
	}
	got := strings.Join(r.folded(), "\n")
	if strings.Contains(got, "5 s of 8 s") || !strings.Contains(got, "10 s of 8 s") || len(r.folded()) != 3 {
		t.Errorf("on the screen:\n%s", got)
	}
	if all := r.text(sampleNow); !strings.Contains(all, "\n  │ 5 s of 8 s") || !strings.Contains(all, "\n  │ 10 s of 8 s") {
		t.Errorf("what is copied has lost lines:\n%s", all)
	}
}

func TestWrapBreaksBeforeWords(t *testing.T) {
	for _, c := range []struct {
		text string
		w    int
		want string
	}{
		{"one two three", 7, "one two|three"},
		{"one two three", 8, "one two|three"},
		{"a b0123456789:refs/heads/master", 30, "a|b0123456789:refs/heads/master"},
		{"ab 0123456789", 6, "ab 012|345678|9"},
		{"漢字 漢字漢字", 6, "漢字|漢字漢|字"},
		{"", 5, ""},
	} {
		var got []string
		for _, l := range plain(c.text).wrap(c.w) {
			if l.width() > c.w {
				t.Errorf("%q at %d: a row of %d", c.text, c.w, l.width())
			}
			got = append(got, strings.TrimRight(l.String(), " ")) // a space at the end is not seen
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%q at %d: %q, want %q", c.text, c.w, s, c.want)
		}
	}
}

func TestMiddleKeepsBothEnds(t *testing.T) {
	l := plain("docker compose --project-directory /srv up -d --no-deps ai").middle(40)
	if s := l.String(); l.width() != 40 || !strings.HasPrefix(s, "docker compose") || !strings.HasSuffix(s, "--no-deps ai") {
		t.Errorf("%d %q", l.width(), s)
	}
	if s := plain("short").middle(30).String(); s != "short" {
		t.Errorf("%q", s)
	}
}

func TestOnlyTheWholePhraseRuns(t *testing.T) {
	c := &clock{sampleNow}
	m := asked(t, withConfirm(actions.ConfirmType), func(o *Options) { o.Now = c.now })
	arm(m)
	for _, k := range "ai@pro" {
		keys(m, string(k))
	}
	c.t = c.t.Add(time.Second)
	if s := screen(t, m); strings.Contains(s, "▸ Run") || !strings.Contains(s, "not the phrase yet") {
		t.Errorf("Run has the focus before the phrase is whole:\n%s", s)
	}
	keys(m, "enter")
	if s := screen(t, m); m.flow.stage != flowConfirm || !strings.Contains(s, "that is not ai@prod") {
		t.Errorf("half a phrase: stage %d\n%s", m.flow.stage, s)
	}
	keys(m, "d")
	if s := screen(t, m); !strings.Contains(s, "▸ Run") || !strings.Contains(s, "enter runs it") {
		t.Errorf("the whole phrase does not give Run the focus:\n%s", s)
	}
}

func TestSmallScreenNamesTheCulprit(t *testing.T) {
	if s := screen(t, console(t, 80, 24)); !strings.Contains(s, "likely deploy 0.4.1 → 0.4.2") || !strings.Contains(s, "R redeploy 0.4.1") {
		t.Errorf("no suspect on the first screen:\n%s", s)
	}
}

func TestRunningActionGreysTheOthers(t *testing.T) {
	m := asked(t, withConfirm(actions.ConfirmY))
	p := m.flow.dialog.plan
	m.flow.stage = flowStarting
	send(m, runStartedMsg{p, make(chan actions.Event), nil})
	keys(m, "esc")
	for _, l := range m.hints() {
		if len(l) == 1 && l[0].tok == tokFaint && strings.HasPrefix(l[0].text, "R ") {
			return
		}
	}
	t.Errorf("R looks possible while an action runs: %v", m.hints())
}

func TestVerdictLeavesTheHeaderOnceSeen(t *testing.T) {
	m := asked(t, withConfirm(actions.ConfirmY))
	p := m.flow.dialog.plan
	m.flow.stage = flowStarting
	send(m, runStartedMsg{p, closedEvents(), nil})
	keys(m, "esc") // not yet ended: the header keeps it
	send(m, eventsMsg{p.ID, sampleEvents(actions.OutcomeGood), true})
	m.view.note = nil
	if s := screen(t, m); !strings.Contains(s, "✓ good") {
		t.Fatalf("the verdict is not shown:\n%s", s)
	}
	keys(m, "v", "esc")
	if s := screen(t, m); strings.Contains(s, "✓ good") {
		t.Errorf("the verdict stays though it was read:\n%s", s)
	}
}

// TestLargeOverviewShowsTheNewestErrors holds that a large screen follows the log of the
// selected service without asking for its tab, and draws it with the clock.
func TestLargeOverviewShowsTheNewestErrors(t *testing.T) {
	tail := func(context.Context, sources.LogQuery, func(fleet.LogLine)) error { return nil }
	m := console(t, 160, 48, func(o *Options) { o.Tail = tail })
	if m.tail.key.Name != "ai" {
		t.Fatalf("the log of %q is followed", m.tail.key.Name)
	}
	var lines []fleet.LogLine
	for i := range 5 {
		lines = append(lines, fleet.LogLine{At: sampleNow, Text: `{"level":"error","msg":"broken ` + itoa(i) + `"}`}, fleet.LogLine{At: sampleNow, Text: "level=info msg=fine"})
	}
	m.detail.logs.add(lines, 0)
	send(m, tickMsg(sampleNow))
	if s := screen(t, m); !strings.Contains(s, "log errors  ") || !strings.Contains(s, "broken 4") || strings.Contains(s, "fine") {
		t.Errorf("the newest errors are not shown alone:\n%s", s)
	}
	if small := console(t, 120, 40, func(o *Options) { o.Tail = tail }); small.tail.key.Name != "" {
		t.Error("a log that is not shown is followed")
	}
}
