package ui

import (
	"errors"
	"image/color"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// clock is a time that a test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func withConfirm(c actions.Confirm) func(*Options) {
	return func(o *Options) { o.Runner = &fakeRunner{confirm: c, events: closedEvents()} }
}

// asked brings a console to the dialog, ready for an answer.
func asked(t *testing.T, change ...func(*Options)) *Model {
	t.Helper()
	m := console(t, 120, 40, change...)
	keys(m, "R")
	if m.flow.stage != flowPlanning {
		t.Fatalf("R did not begin a plan: %s", m.view.note)
	}
	planFor(t, m)
	if m.flow.stage != flowConfirm {
		t.Fatal("no dialog")
	}
	return m
}

func TestKeysTypedAheadNeverReachTheDialog(t *testing.T) {
	m := asked(t, withConfirm(actions.ConfirmY))
	first := m.flow.dialog.gen
	keys(m, "y")
	if m.flow.stage != flowConfirm {
		t.Fatal("a key typed before the dialog could be seen was taken as an answer")
	}
	send(m, armMsg{first}) // the silence was broken: this is too early
	keys(m, "y", "enter", "esc")
	if m.flow.stage != flowConfirm {
		t.Fatal("the silence has to begin anew after each early key")
	}
	arm(m)
	keys(m, "y")
	if m.flow.stage != flowStarting {
		t.Fatal("y did not run the plan")
	}
}

func TestDialogIsNotArmedBeforeItWasDrawn(t *testing.T) {
	m := console(t, 120, 40, withConfirm(actions.ConfirmY))
	keys(m, "R")
	p, err := m.flow.action.Plan(t.Context(), m.snap, m.flow.intent)
	if err != nil {
		t.Fatal(err)
	}
	m.Update(plannedMsg{m.flow.seq, p, nil}) // no frame follows
	m.Update(armMsg{m.flow.dialog.gen})
	if m.flow.dialog.armed {
		t.Fatal("armed without having been drawn")
	}
	m.View()
	arm(m)
	if !m.flow.dialog.armed {
		t.Fatal("not armed after having been drawn")
	}
}

func TestCancelHasTheFocus(t *testing.T) {
	m := asked(t, withConfirm(actions.ConfirmY))
	arm(m)
	keys(m, "enter")
	if m.flow.stage != flowIdle {
		t.Fatal("Enter did not cancel")
	}
	m = asked(t, withConfirm(actions.ConfirmY))
	arm(m)
	keys(m, "tab", "enter")
	if m.flow.stage != flowStarting {
		t.Fatal("Tab and Enter did not run")
	}
}

func TestTypedConfirmation(t *testing.T) {
	c := &clock{sampleNow}
	m := asked(t, withConfirm(actions.ConfirmType), func(o *Options) { o.Now = c.now })
	arm(m)
	for _, k := range "ai@prod" {
		keys(m, string(k))
	}
	if got := m.flow.dialog.in.value(); got != "ai@prod" {
		t.Fatalf("typed %q: a letter went to a key binding", got)
	}
	keys(m, "enter")
	if m.flow.stage != flowConfirm {
		t.Fatal("an Enter in the same burst as the text confirmed")
	}
	c.t = c.t.Add(time.Second)
	keys(m, "enter")
	if m.flow.stage != flowStarting {
		t.Fatal("Enter did not run")
	}
	if got := m.flow.dialog.confirmation(); got.Typed != "ai@prod" || got.Yes {
		t.Fatalf("the runner gets %+v", got)
	}
	send(m, runStartedMsg{m.flow.dialog.plan, nil, &actions.Refusal{Code: actions.RefusedConfirmation, Text: "that is not ai@prod"}})
	if m.flow.stage != flowConfirm || !strings.Contains(screen(t, m), "that is not ai@prod") {
		t.Fatal("a refused phrase does not come back to the dialog")
	}
}

// A terminal that does not tell a paste from typing, and a program that is too busy to see it at once.
func TestSlowlySeenPasteDoesNotConfirm(t *testing.T) {
	c := &clock{sampleNow}
	m := asked(t, withConfirm(actions.ConfirmType), func(o *Options) { o.Now = c.now })
	arm(m)
	for _, k := range []string{"a", "i", "@", "p", "r", "o", "d", "enter"} {
		c.t = c.t.Add(burst + 2*time.Millisecond)
		keys(m, k)
	}
	if m.flow.stage != flowConfirm || !strings.Contains(m.flow.dialog.note, "press Enter once more") {
		t.Fatalf("stage %d, note %q", m.flow.stage, m.flow.dialog.note)
	}
	c.t = c.t.Add(slow)
	keys(m, "enter")
	if m.flow.stage != flowStarting {
		t.Fatal("the Enter of a hand did not run")
	}
}

func TestPasteNeverConfirms(t *testing.T) {
	c := &clock{sampleNow}
	m := asked(t, withConfirm(actions.ConfirmType), func(o *Options) { o.Now = c.now })
	send(m, tea.PasteMsg{Content: "early"})
	arm(m)
	c.t = c.t.Add(time.Second)
	send(m, tea.PasteMsg{Content: "ai@prod\n"})
	if m.flow.stage != flowConfirm || m.flow.dialog.in.value() != "ai@prod" {
		t.Fatalf("stage %d, typed %q", m.flow.stage, m.flow.dialog.in.value())
	}
	m = asked(t, withConfirm(actions.ConfirmY))
	arm(m)
	send(m, tea.PasteMsg{Content: "y\n"})
	if m.flow.stage != flowConfirm {
		t.Fatal("a paste answered y")
	}
}

func TestPolicies(t *testing.T) {
	m := console(t, 120, 40, withConfirm(actions.ConfirmNone))
	keys(m, "R")
	planFor(t, m)
	if m.flow.stage != flowStarting {
		t.Error("policy none still asks")
	}
	m = asked(t, withConfirm(actions.ConfirmNever))
	arm(m)
	if s := screen(t, m); !strings.Contains(s, "allows no action from this console") {
		t.Error("policy never does not say why")
	}
	keys(m, "y")
	keys(m, "tab", "enter")
	if m.flow.stage != flowIdle {
		t.Error("policy never ran")
	}
}

func TestFailedPreflightCanNotRun(t *testing.T) {
	m := console(t, 120, 40, withConfirm(actions.ConfirmY))
	keys(m, "R")
	p, err := m.flow.action.Plan(t.Context(), m.snap, m.flow.intent)
	if err != nil {
		t.Fatal(err)
	}
	p.Checks = append(p.Checks, actions.Check{Name: "disk space", State: actions.CheckFail, Detail: "1 MB free on prod-1"})
	send(m, plannedMsg{m.flow.seq, p, nil})
	arm(m)
	keys(m, "y")
	if m.flow.stage != flowConfirm || !strings.Contains(screen(t, m), "disk space: 1 MB free") {
		t.Fatal("a plan with a failed preflight ran, or does not say why it can not")
	}
}

func TestWorldMovesUnderTheDialog(t *testing.T) {
	m := asked(t, withConfirm(actions.ConfirmY))
	arm(m)
	same := sampleSnapshot()
	same.Seq = 8
	send(m, snapshotMsg{same})
	if m.flow.dialog.again {
		t.Fatal("planned again though nothing moved")
	}
	moved := sampleSnapshot()
	moved.Seq = 9
	moved.Services[0].Instances[0].Release = sampleRelease("ai-service", "0.4.3", time.Minute, "mia", "hotfix")
	moved.Services[0].Releases.Running = moved.Services[0].Instances[0].Release
	send(m, snapshotMsg{moved})
	if !m.flow.dialog.again || !strings.Contains(screen(t, m), "being made again") {
		t.Fatal("the plan no longer holds, and that is not said")
	}
	keys(m, "y")
	if m.flow.stage != flowConfirm {
		t.Fatal("a plan that does not hold ran")
	}
	planFor(t, m)
	if m.flow.dialog.armed {
		t.Fatal("the new plan takes keys before it was seen")
	}
	for _, want := range []string{"made again, and differs", "it was 0.4.2", "0.4.3 → 0.4.1"} {
		if s := screen(t, m); !strings.Contains(s, want) {
			t.Errorf("%q is not shown:\n%s", want, s)
		}
	}
}

func TestRunnerSaysMoved(t *testing.T) {
	m := asked(t, withConfirm(actions.ConfirmY))
	arm(m)
	keys(m, "y")
	send(m, runStartedMsg{m.flow.dialog.plan, nil, &actions.Refusal{Code: actions.RefusedMoved, Text: "the world moved", Moved: []string{"ai on prod-1 runs 0.5.0"}}})
	if m.flow.stage != flowConfirm || !m.flow.dialog.again {
		t.Fatal("a refused plan is not made again")
	}
	planFor(t, m)
	if s := screen(t, m); !strings.Contains(s, "ai on prod-1 runs 0.5.0") {
		t.Fatal("why it was refused is not shown")
	}
}

func TestLatePlanIsDropped(t *testing.T) {
	m := console(t, 120, 40)
	keys(m, "R")
	seq := m.flow.seq
	keys(m, "esc")
	send(m, plannedMsg{seq, &actions.Plan{ID: "late"}, nil})
	if m.flow.stage != flowIdle {
		t.Fatal("a plan that was given up opened a dialog")
	}
	keys(m, "R")
	send(m, plannedMsg{m.flow.seq, nil, errors.New("prod-1: no route")})
	if !strings.Contains(screen(t, m), "prod-1: no route") {
		t.Fatal("why there is no plan is not said")
	}
}

func TestDisabledActionSaysWhy(t *testing.T) {
	m := console(t, 120, 40)
	keys(m, "j", "R")
	if s := screen(t, m); m.flow.stage != flowIdle || !strings.Contains(s, "not possible: no earlier good release is known") {
		t.Fatalf("no reason:\n%s", s)
	}
}

func TestRunGoesOnAndQuitAsks(t *testing.T) {
	m := asked(t, withConfirm(actions.ConfirmY))
	p := m.flow.dialog.plan
	ch := make(chan actions.Event)
	m.flow.stage = flowStarting
	send(m, runStartedMsg{p, ch, nil}, eventsMsg{p.ID, sampleEvents("")[:5], false})
	keys(m, "esc")
	if s := screen(t, m); !strings.Contains(s, "▶ up 0s  redeploy ai@prod") {
		t.Fatalf("the header does not show the running action:\n%s", s)
	}
	keys(m, "R")
	if m.flow.stage != flowIdle || !strings.Contains(screen(t, m), "is running") {
		t.Fatal("a second action began")
	}
	for _, k := range []string{"q", "ctrl+c"} {
		keys(m, k)
		if m.view.overlay != overlayQuit {
			t.Fatalf("%s does not ask", k)
		}
		keys(m, "enter")
		if m.view.overlay != overlayNone {
			t.Fatal("Enter does not wait")
		}
	}
	keys(m, "q", "q", "u", "i", "t")
	if _, cmd := m.Update(press("enter")); cmd == nil {
		t.Fatal("quit does not quit")
	}
	close(ch)
	send(m, eventsMsg{p.ID, sampleEvents(actions.OutcomeGood), true})
	if m.flow.running() != runEnded || m.flow.run.outcome != actions.OutcomeGood {
		t.Fatal("the verdict is lost")
	}
}

func TestUndoLivesTheSameLife(t *testing.T) {
	m := asked(t, withConfirm(actions.ConfirmY))
	p := m.flow.dialog.plan
	m.flow.stage = flowStarting
	send(m, runStartedMsg{p, closedEvents(), nil}, eventsMsg{p.ID, sampleEvents(actions.OutcomeDegraded, "errors"), true})
	keys(m, "U")
	if m.flow.stage != flowPlanning || m.flow.intent.Args["to"] != "0.4.2" || m.flow.intent.Who != "ana@laptop" {
		t.Fatalf("undo: stage %d, intent %+v", m.flow.stage, m.flow.intent)
	}
	planFor(t, m)
	if m.flow.stage != flowConfirm {
		t.Fatal("undo does not ask")
	}
}

func TestEndWithoutAWordIsUnknown(t *testing.T) {
	m := asked(t, withConfirm(actions.ConfirmY))
	p := m.flow.dialog.plan
	m.flow.stage = flowStarting
	send(m, runStartedMsg{p, closedEvents(), nil}, eventsMsg{p.ID, sampleEvents("")[:3], true})
	if s := screen(t, m); m.flow.run.outcome != actions.OutcomeUnknown || !strings.Contains(s, "? unknown") {
		t.Fatalf("outcome %q\n%s", m.flow.run.outcome, s)
	}
}

func TestSelectionStaysOnItsService(t *testing.T) {
	m := console(t, 120, 40)
	keys(m, "j")
	if m.list.selected.Name != "notification" {
		t.Fatal(m.list.selected)
	}
	s := sampleSnapshot()
	s.Seq = 8
	s.Services[0], s.Services[4], s.Services[1] = s.Services[1], s.Services[0], s.Services[4]
	send(m, snapshotMsg{s})
	if got := m.list.service().Key.Name; got != "notification" || m.list.cursor != 0 {
		t.Fatalf("selected %s at %d", got, m.list.cursor)
	}
	old := sampleSnapshot()
	old.Seq = 3
	old.Services = nil
	send(m, snapshotMsg{old})
	if len(m.list.shown) == 0 {
		t.Fatal("an older snapshot was shown")
	}
}

func TestEveryFrameShowsTheSelection(t *testing.T) {
	snap := sampleMany(200, 1)
	m := console(t, 80, 24, func(o *Options) { o.Latest = func() *fleet.Snapshot { return snap } })
	for _, k := range strings.Split(strings.Repeat("j ", 90)+strings.Repeat("ctrl+d ", 12)+"G k k g ctrl+d k G "+strings.Repeat("k ", 150), " ") {
		if k == "" {
			continue
		}
		keys(m, k)
		if s := screen(t, m); !strings.Contains(s, m.list.selected.Name) {
			t.Fatalf("after %s the selected %s is not on the screen", k, m.list.selected.Name)
		}
	}
}

func TestMouse(t *testing.T) {
	m := console(t, 120, 40, func(o *Options) { o.Mouse = true })
	send(m, tea.MouseClickMsg{X: 10, Y: 8, Button: tea.MouseLeft})
	if m.list.selected.Name != "vpn-gateway" {
		t.Fatalf("a click selected %s", m.list.selected.Name)
	}
	send(m, tea.MouseWheelMsg{X: 10, Y: 8, Button: tea.MouseWheelUp})
	if m.list.selected.Name != "ai" {
		t.Fatalf("the wheel selected %s", m.list.selected.Name)
	}
	if m.View().MouseMode != tea.MouseModeCellMotion {
		t.Fatal("the mouse is off")
	}
	if console(t, 120, 40).View().MouseMode != tea.MouseModeNone {
		t.Fatal("the mouse can not be off")
	}
}

func TestLongReasonIsNotCutOff(t *testing.T) {
	m := console(t, 80, 24)
	keys(m, "R")
	send(m, plannedMsg{m.flow.seq, nil, errors.New("redeploy ai: prod-1: /srv/nexgate-infra/services/ai/tag.env is not writable for deploy; run: sudo chown deploy /srv/nexgate-infra/services/ai/tag.env and try again")})
	s := screen(t, m)
	if !strings.Contains(s, "and try") || !strings.Contains(s, "is not") {
		t.Fatalf("the reason is cut off:\n%s", s)
	}
	send(m, toastMsg{m.view.noteID})
	if strings.Contains(screen(t, m), "and try") {
		t.Fatal("the note never goes")
	}
}

func TestNoColourStillShowsTheSelection(t *testing.T) {
	m := console(t, 80, 24)
	send(m, tea.ColorProfileMsg{Profile: colorprofile.ASCII})
	if m.th.Name != "mono" {
		t.Fatalf("theme %s without colours", m.th.Name)
	}
	if got := console(t, 80, 24, func(o *Options) { o.Environ = []string{"NO_COLOR=1"} }); got.th.Name != "mono" {
		t.Fatalf("theme %s with NO_COLOR", got.th.Name)
	}
	light := console(t, 80, 24, func(o *Options) { o.Theme = "auto" })
	send(light, tea.BackgroundColorMsg{Color: color.White})
	if light.th.Name != "light" {
		t.Fatalf("theme %s on white", light.th.Name)
	}
	light.setTheme("dark")
	if light.setTheme("auto"); light.th.Name != "light" {
		t.Fatalf("theme %s on white, after another was tried", light.th.Name)
	}
}

func TestLinesThatNobodySeesDrawNothing(t *testing.T) {
	m := console(t, 80, 24)
	withLog(m)
	m.tail.current = &tailer{id: m.tail.id, cancel: func() {}, wake: make(chan struct{}, 1)}
	keys(m, "esc")
	m.Update(tailMsg{id: m.tail.id, lines: numbered(0, 9)})
	if !m.frame.valid {
		t.Fatal("a frame is drawn for lines that are not on the screen")
	}
	keys(m, "l")
	m.Update(tailMsg{id: m.tail.id, lines: numbered(9, 9)})
	if m.frame.valid {
		t.Fatal("new lines are not drawn")
	}
}

// TestSelectionFollowsAttentionUntilTouched holds that the first answers, which come one by
// one, do not leave the selection on whatever came first.
func TestSelectionFollowsAttentionUntilTouched(t *testing.T) {
	at := func(names ...string) snapshotMsg {
		s := &fleet.Snapshot{Environment: "prod"}
		for _, n := range names {
			s.Services = append(s.Services, fleet.Service{Key: fleet.ServiceKey{Environment: "prod", Name: n}})
		}
		return snapshotMsg{s}
	}
	m := New(Options{Environment: "prod"})
	send(m, tea.WindowSizeMsg{Width: 120, Height: 40}, at("backend"))
	send(m, at("ai", "backend"))
	if m.list.selected.Name != "ai" {
		t.Fatalf("selected %s, want what needs attention most", m.list.selected.Name)
	}
	keys(m, "j")
	send(m, at("zeta", "ai", "backend"))
	if m.list.selected.Name != "backend" {
		t.Fatalf("selected %s, want what the person chose", m.list.selected.Name)
	}
}
