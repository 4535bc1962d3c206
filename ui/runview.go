package ui

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/actions"
)

// runLines bounds how much output of an action is kept for the screen; the journal has all of it.
const runLines = 5000

// runView shows a running action: steps, output, watching, verdict.
type runView struct {
	plan    *actions.Plan
	events  <-chan actions.Event
	began   time.Time
	endedAt time.Time
	steps   []stepState
	note    string   // lock, watching: what it is at now
	watch   []string // what the watching says
	ending
	ended  bool
	scroll scroller
	free   bool // scrolled by hand: no longer at the end
	whole  bool // every line in full
	seen   bool // its end has been looked at
}

// ending is how an action ended.
type ending struct {
	outcome actions.Outcome
	reasons []string
	next    *actions.Next // what follows by itself
}

// stepState is one step and what came of it.
type stepState struct {
	began, ended time.Time
	err          string
	out          []string
	cut          int // lines forgotten
}

func newRunView(p *actions.Plan, events <-chan actions.Event, now time.Time) *runView {
	return &runView{plan: p, events: events, began: now, steps: make([]stepState, len(p.Steps)), note: "starting"}
}

// add takes one event.
func (r *runView) add(e actions.Event) {
	switch e.Kind {
	case actions.EventStarted:
		r.note = "started"
	case actions.EventLocked:
		r.note = "locked"
	case actions.EventStepBegan:
		if s := r.step(e.Step); s != nil {
			s.began = e.At
			r.note = r.plan.Steps[e.Step].Name
		}
	case actions.EventOutput:
		r.output(e)
	case actions.EventStepEnded:
		if s := r.step(e.Step); s != nil {
			s.ended, s.err = e.At, e.Err
		}
	case actions.EventVerifying:
		r.note = "watching"
		if e.Text != "" {
			r.watch = append(r.watch, e.Text)
		}
	case actions.EventEnded:
		r.outcome, r.reasons, r.endedAt, r.next = e.Outcome, e.Reasons, e.At, e.Next
		if e.Err != "" {
			r.reasons = append(append([]string{}, r.reasons...), e.Err)
		}
	}
}

func (r *runView) step(i int) *stepState {
	if i < 0 || i >= len(r.steps) {
		return nil
	}
	return &r.steps[i]
}

func (r *runView) output(e actions.Event) {
	s := r.step(e.Step)
	if s == nil {
		r.watch = bounded(append(r.watch, e.Text))
		return
	}
	s.out = append(s.out, e.Text)
	if n := len(s.out) - runLines; n > 0 {
		s.cut += n
		s.out = s.out[n:]
	}
}

func bounded(list []string) []string {
	return list[max(len(list)-runLines, 0):]
}

// close marks the end of the events. An action that did not say how it ended is not known to have ended well.
func (r *runView) close(now time.Time) {
	r.ended = true
	if r.outcome == "" {
		r.outcome, r.reasons = actions.OutcomeUnknown, append(r.reasons, "it ended without saying how")
	}
	if r.endedAt.IsZero() {
		r.endedAt = now
	}
	r.note = string(r.outcome)
}

// elapsed is how long it has been running, or ran.
func (r *runView) elapsed(now time.Time) time.Duration {
	if r.ended {
		return r.endedAt.Sub(r.began)
	}
	return now.Sub(r.began)
}

// summary is the action in one line, for the header.
func (r *runView) summary(now time.Time) line {
	mark, tok := "▶", tokAccent
	if r.ended {
		mark, tok = outcomeMark(r.outcome)
	}
	out := ln(bold(tok, " "+mark+" "+r.note), sp(tokDim, " "+age(r.elapsed(now))+"  "), sp(tokText, r.plan.Title))
	return out.put(tokDim, "  v shows it")
}

// Update scrolls.
func (r *runView) Update(k tea.KeyPressMsg, keys *KeyMap, now time.Time, w, h int) {
	n := len(r.content(now, w))
	if !r.free {
		r.scroll.top = n - h
	}
	if r.scroll.Update(k, keys, n, h) {
		r.free = r.scroll.top < n-h
	}
}

// content is all of it.
func (r *runView) content(now time.Time, w int) []line {
	var out []line
	if r.plan.Intent.RollbackOf != "" {
		out = append(out, hangingLine(ln(bold(tokWarn, "▲ by itself  ")), ln(sp(tokText, r.plan.Intent.Why)), w)...)
	}
	for i := range r.plan.Steps {
		out = append(out, r.stepLines(i, now, w)...)
	}
	if len(r.watch) > 0 || r.note == "watching" {
		mark, tok := "▶", tokAccent
		if r.ended {
			mark, tok = "✓", tokDim
		}
		out = append(out, ln(bold(tok, mark+" "), bold(tokText, "watch")))
		for _, t := range r.folded() {
			out = append(out, hangingLine(ln(sp(tokFaint, "  │ ")), ln(sp(tokText, t)), w)...)
		}
	}
	if r.ended {
		out = append(out, nil)
		out = append(out, r.verdict(w)...)
	}
	return out
}

// folded is what the watching says, of lines that differ only in their figures the newest:
// progress is one line that moves. whole keeps them all, for whoever copies the output.
func (r *runView) folded() []string {
	if r.whole {
		return r.watch
	}
	var out []string
	last := ""
	for _, t := range r.watch {
		shape := withoutFigures(t)
		if len(out) > 0 && shape == last {
			out[len(out)-1] = t
			continue
		}
		out, last = append(out, t), shape
	}
	return out
}

// withoutFigures is a text without its numbers and their units.
func withoutFigures(t string) string {
	words := strings.Fields(t)
	var out []string
	for _, w := range words {
		switch strings.TrimRight(w, ",;:") {
		case "s", "ms", "min", "h", "%":
			continue
		}
		if w[0] == '<' || w[0] >= '0' && w[0] <= '9' {
			continue
		}
		out = append(out, w)
	}
	return strings.Join(out, " ")
}

// took says how far a step is, and its mark.
func (r *runView) took(s *stepState, now time.Time) (mark string, tok token, took string) {
	mark, tok = "·", tokFaint
	switch {
	case s.err != "":
		mark, tok, took = "✖", tokCrit, "failed after "+age(s.ended.Sub(s.began))
	case !s.ended.IsZero():
		mark, tok, took = "✓", tokOK, age(s.ended.Sub(s.began))
	case !s.began.IsZero() && r.ended:
		mark, tok, took = "?", tokWarn, "not known to have ended"
	case !s.began.IsZero():
		mark, tok, took = "▶", tokAccent, age(now.Sub(s.began))
	case r.ended:
		took = "not run"
	}
	return mark, tok, took
}

// stepLines is one step with its output. The whole command stands there while it runs and
// when it failed; once it is done its beginning and its end are enough.
func (r *runView) stepLines(i int, now time.Time, w int) []line {
	step, s := &r.plan.Steps[i], &r.steps[i]
	mark, tok, took := r.took(s, now)
	name := bold(tokText, step.Name)
	if s.began.IsZero() {
		name = sp(tokFaint, step.Name)
	}
	head := ln(bold(tok, mark+" "), name)
	head = head.put(tokDim, " on "+stepHost(step))
	out := []line{head.put(tokDim, "  "+took).truncate(w)}
	command := ln(sp(tokDim, commandLine(step.Argv)))
	switch {
	case s.began.IsZero():
	case !s.ended.IsZero() && s.err == "" && !r.whole:
		out = append(out, append(ln(sp(tokFaint, "  $ ")), command.middle(w-4)...))
	default:
		out = append(out, hangingLine(ln(sp(tokFaint, "  $ ")), command, w)...)
	}
	if step.Into != nil && !s.began.IsZero() {
		out = append(out, append(ln(sp(tokFaint, "  | ")), pipeLine(step.Into).middle(w-4)...))
	}
	if s.cut > 0 {
		out = append(out, ln(sp(tokDim, "  │ "+plural(s.cut, "line")+" before this, in the journal")))
	}
	for _, t := range s.out {
		out = append(out, hangingLine(ln(sp(tokFaint, "  │ ")), ln(sp(tokText, t)), w)...)
	}
	if s.err != "" {
		out = append(out, hangingLine(ln(sp(tokCrit, "  └ ")), ln(sp(tokText, s.err)), w)...)
	}
	return out
}

// verdict is how it ended, in a word with its shape, why, and the way back.
func (r *runView) verdict(w int) []line {
	mark, tok := outcomeMark(r.outcome)
	out := []line{ln(bold(tok, mark+" "+string(r.outcome)), sp(tokDim, " after "+age(r.elapsed(time.Time{})))).truncate(w)}
	reasons := r.reasons
	if r.plan.Intent.RollbackOf != "" {
		reasons = append([]string{"by itself: " + r.plan.Intent.Why}, reasons...)
	}
	for _, reason := range reasons {
		out = append(out, hangingLine(ln(sp(tok, "  └ ")), ln(sp(tokText, reason)), w)...)
	}
	if back := r.wayBack(); back != nil {
		out = append(out, ln(bold(tokKey, "U"), sp(tokText, " undo: "+undoText(back))).truncate(w))
	}
	return out
}

// wayBack is the undo of what was done. Where nothing was begun that changes anything there is nothing to put back.
func (r *runView) wayBack() *actions.Intent {
	for i := range r.steps {
		if r.plan.Steps[i].Mutates && !r.steps[i].began.IsZero() {
			return r.plan.Undo
		}
	}
	return nil
}

// View is what is on the screen now.
func (r *runView) View(now time.Time, w, h int) []line {
	lines := r.content(now, w)
	if !r.free {
		r.scroll.top = len(lines) - h
	}
	return r.scroll.window(lines, h)
}

// text is the output without its looks, to be copied.
func (r *runView) text(now time.Time) string {
	out := r.plan.Title + "\n"
	r.whole = true
	defer func() { r.whole = false }()
	for _, l := range r.content(now, 200) {
		out += l.String() + "\n"
	}
	return out
}
