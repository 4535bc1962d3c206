package ui

import (
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/actions"
)

// graceTime is how long the keyboard has to be silent, after the dialog was
// drawn, before a key reaches it. What was typed ahead never does.
const graceTime = 250 * time.Millisecond

// What no hand can do: two keys within burst, or a text at less than perKey a letter, were pasted. A program that
// is busy sees a paste letter by letter with gaps between, so that the whole text tells more than its last key.
const (
	burst  = 10 * time.Millisecond
	perKey = 20 * time.Millisecond
	slow   = 300 * time.Millisecond // whatever took so long may have been typed
)

// dialog shows a whole plan and asks for its confirmation.
type dialog struct {
	plan    *actions.Plan
	confirm actions.Confirm
	phrase  string
	changed []string // how it differs from the plan shown before
	again   bool     // it is being made again
	why     []string // why
	note    string   // what the runner said to the last answer
	onRun   bool     // the focus is on Run, not on Cancel
	in      input
	first   time.Time // when what stands there was begun
	last    time.Time // when something was typed last
	scroll  scroller
	guard
}

// guard keeps keys away from a dialog that a person can not have seen yet.
type guard struct {
	gen   int
	drawn bool
	armed bool
}

// answer is what a key meant.
type answer uint8

const (
	answerNothing answer = iota
	answerCancel
	answerRun
	answerEarly // the key came before the dialog could be seen
)

func newDialog(p *actions.Plan, c actions.Confirm, phrase string) dialog {
	return dialog{plan: p, confirm: c, phrase: phrase, in: newInput(200)}
}

// runnable reports whether the plan may run at all, and why not.
func (d *dialog) runnable() (bool, string) {
	if ok, why := d.plan.Runnable(); !ok {
		return false, why
	}
	if d.confirm == actions.ConfirmNever {
		return false, "the policy of " + d.plan.Environment + " allows no action from this console"
	}
	if d.again {
		return false, "the plan is being made again"
	}
	return true, ""
}

// Update takes a key or a paste. A paste is text and never an answer.
func (d *dialog) Update(msg tea.Msg, keys *KeyMap, now time.Time, n, h int) answer {
	if !d.armed {
		return answerEarly
	}
	if paste, ok := msg.(tea.PasteMsg); ok {
		if d.confirm == actions.ConfirmType {
			d.write(tea.PasteMsg{Content: trimNewline(paste.Content)}, now)
		}
		return answerNothing
	}
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return answerNothing
	}
	switch k.String() {
	case "esc", "ctrl+c":
		return answerCancel
	case "enter":
		return d.enter(now)
	case "tab", "shift+tab", "left", "right":
		if d.confirm != actions.ConfirmType {
			d.onRun = !d.onRun
			return answerNothing
		}
	case "up", "down", "pgup", "pgdown":
		d.scroll.Update(k, keys, n, h)
		return answerNothing
	}
	if d.confirm == actions.ConfirmType {
		d.write(msg, now)
		return answerNothing
	}
	if d.scroll.Update(k, keys, n, h) {
		return answerNothing
	}
	switch k.String() {
	case "y":
		if ok, _ := d.runnable(); ok {
			return answerRun
		}
	case "n", "q":
		return answerCancel
	}
	return answerNothing
}

// write takes what is typed or pasted.
func (d *dialog) write(msg tea.Msg, now time.Time) {
	if d.in.value() == "" {
		d.first = now
	}
	d.in.Update(msg)
	d.last, d.note = now, ""
}

// pasted reports whether an Enter that comes now was part of a paste.
func (d *dialog) pasted(now time.Time) bool {
	took := time.Duration(len(d.in.value())) * perKey
	return now.Sub(d.last) < burst || now.Sub(d.first) < min(took, slow)
}

// typed reports whether the phrase stands there. The runner has the last word.
func (d *dialog) typed() bool { return d.in.value() == d.phrase }

// enter answers with what has the focus; in a dialog that wants a phrase that is
// Run once the phrase has been typed by hand.
func (d *dialog) enter(now time.Time) answer {
	ok, _ := d.runnable()
	if d.confirm == actions.ConfirmType {
		switch {
		case d.in.value() == "":
			return answerCancel
		case d.pasted(now):
			d.note = "press Enter once more: this one came with the pasted text"
			return answerNothing
		case !d.typed():
			d.note = "nothing was done: that is not " + d.phrase
			return answerNothing
		case ok:
			return answerRun
		}
		return answerNothing
	}
	if d.onRun && ok {
		return answerRun
	}
	return answerCancel
}

// confirmation is what the person did, for the runner to judge.
func (d *dialog) confirmation() actions.Confirmation {
	if d.confirm == actions.ConfirmType {
		return actions.Confirmation{Typed: d.in.value()}
	}
	return actions.Confirmation{Yes: true}
}

func trimNewline(s string) string {
	for len(s) > 0 && (s[len(s)-1] == '\n' || s[len(s)-1] == '\r') {
		s = s[:len(s)-1]
	}
	return s
}
