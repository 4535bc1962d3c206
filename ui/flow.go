package ui

import (
	"context"
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// flow is the life of an action as the screen sees it: offered, planned, shown
// and confirmed, then run. One at a time: the next one waits until the last has ended.
type flow struct {
	stage  flowStage
	seq    int // number of the plan that is being made
	action actions.Action
	intent actions.Intent
	stop   context.CancelFunc // of the plan that is being made
	spin   int
	picker picker
	dialog dialog
	run    *runView // the newest run, also after it has ended
}

// flowStage is where the flow stands.
type flowStage uint8

const (
	flowIdle     flowStage = iota
	flowReading            // what there is to choose from
	flowChoosing           // it is being chosen
	flowPlanning
	flowConfirm
	flowStarting
)

// runStage is whether an action runs.
type runStage uint8

const (
	runNone runStage = iota
	runGoing
	runEnded
)

func (f *flow) running() runStage {
	switch {
	case f.run == nil:
		return runNone
	case f.run.ended:
		return runEnded
	default:
		return runGoing
	}
}

// busy says why no other action can begin now, or nothing.
func (f *flow) busy() string {
	if f.running() == runGoing {
		return f.run.plan.Title + " is running (v shows it)"
	}
	if f.stage == flowStarting {
		return "an action is being started"
	}
	return ""
}

// begin makes a plan for an intent.
func (m *Model) begin(a actions.Action, in actions.Intent) tea.Cmd {
	f := &m.flow
	if why := f.busy(); why != "" {
		return m.toast(tokWarn, why)
	}
	if m.o.Runner == nil || m.snap == nil {
		return m.toast(tokWarn, "nothing can be done from this console yet")
	}
	f.action, f.intent, f.picker, f.dialog, f.spin = a, in, picker{}, dialog{}, 0
	f.stage = flowPlanning
	return m.replan()
}

// replan makes the plan of the intent on the newest snapshot; an older making of it is given up.
func (m *Model) replan() tea.Cmd {
	f := &m.flow
	if f.stop != nil {
		f.stop()
	}
	ctx, stop := context.WithCancel(m.life.ctx)
	f.stop = stop
	f.seq++
	return tea.Batch(m.life.plan(ctx, f.seq, f.action, m.snap, f.intent), m.life.after(spinEvery, spinMsg{f.seq}))
}

// spinEvery is how often the spinner turns; it turns only while a plan is made.
const spinEvery = 125 * time.Millisecond

// abandon leaves the flow before anything was done.
func (m *Model) abandon() {
	if m.flow.stop != nil {
		m.flow.stop()
	}
	m.flow.seq++
	m.flow.stage = flowIdle
}

// planned takes the plan that was made.
func (m *Model) planned(msg plannedMsg) tea.Cmd {
	f := &m.flow
	if msg.seq != f.seq || f.stage == flowIdle {
		return nil
	}
	f.stop()
	if msg.err != nil {
		again := f.stage == flowConfirm
		if !again && f.picker.typed() { // what was typed is not lost: it can be mended
			f.stage, f.picker.note = flowChoosing, msg.err.Error()
			return nil
		}
		f.stage = flowIdle
		text := f.intent.Action + ": " + msg.err.Error()
		if again {
			text = "the plan does not hold any more, " + text
		}
		return m.toast(tokCrit, text)
	}
	confirm, phrase := m.o.Runner.Required(msg.plan)
	runnable, _ := msg.plan.Runnable()
	if confirm == actions.ConfirmNone && runnable && f.stage == flowPlanning {
		return m.start(msg.plan, actions.Confirmation{})
	}
	earlier := f.dialog
	f.dialog = newDialog(msg.plan, confirm, phrase)
	f.dialog.gen = earlier.gen + 1
	if f.stage == flowConfirm && earlier.plan != nil {
		f.dialog.changed = differences(earlier, msg.plan)
	}
	f.stage = flowConfirm
	return m.life.after(graceTime, armMsg{f.dialog.gen})
}

// moved makes the plan again when the world is no longer what it stands on.
func (m *Model) moved(snap *fleet.Snapshot) tea.Cmd {
	f := &m.flow
	if f.stage != flowConfirm || f.dialog.again || f.dialog.plan == nil || f.dialog.plan.Snapshot >= snap.Seq {
		return nil
	}
	why := actions.Moved(f.dialog.plan, snap)
	if len(why) == 0 {
		return nil
	}
	f.dialog.again, f.dialog.why = true, why
	return m.replan()
}

// start gives the plan to the runner.
func (m *Model) start(p *actions.Plan, c actions.Confirmation) tea.Cmd {
	m.flow.stage = flowStarting
	return m.life.run(m.o.Runner, p, c)
}

// started takes the runner's answer: events, or why it was refused.
func (m *Model) started(msg runStartedMsg) tea.Cmd {
	f := &m.flow
	if msg.err == nil {
		f.stage = flowIdle
		f.run = newRunView(msg.plan, msg.events, m.o.Now())
		m.view.run, m.view.focus = true, paneDetail
		return m.life.nextEvents(msg.plan.ID, msg.events)
	}
	var r *actions.Refusal
	if errors.As(msg.err, &r) {
		switch r.Code {
		case actions.RefusedMoved, actions.RefusedOld:
			f.stage = flowConfirm
			f.dialog.again, f.dialog.why = true, append([]string{r.Text}, r.Moved...)
			return m.replan()
		case actions.RefusedConfirmation:
			if f.dialog.plan != nil {
				f.stage, f.dialog.note = flowConfirm, r.Text
				return nil
			}
		case actions.RefusedPreflight, actions.RefusedForbidden, actions.RefusedTwice, actions.RefusedBusy, actions.RefusedJournal, actions.RefusedClosed:
		}
	}
	f.stage = flowIdle
	if msg.plan == nil && f.run != nil { // of an automatic rollback there is not even a plan
		f.run.reasons = append(f.run.reasons, msg.err.Error())
		return m.toast(tokCrit, msg.err.Error())
	}
	return m.toast(tokCrit, "not started: "+msg.err.Error())
}

// events takes what the running action tells, and asks the sources to look when it has ended.
func (m *Model) events(msg eventsMsg) tea.Cmd {
	r := m.flow.run
	if r == nil || r.plan.ID != msg.plan {
		return nil
	}
	for _, e := range msg.events {
		r.add(e)
	}
	if !msg.closed {
		return m.life.nextEvents(msg.plan, r.events)
	}
	r.close(m.o.Now())
	m.o.Poke()
	m.view.fetched.journal = fleet.ServiceKey{} // it has grown
	if r.next != nil {
		m.flow.stage = flowStarting
		return m.life.follow(r.next)
	}
	if m.view.run {
		return nil
	}
	mark, tok := outcomeMark(r.outcome)
	return m.toast(tok, mark+" "+r.plan.Title+": "+string(r.outcome)+" (v shows it)")
}
