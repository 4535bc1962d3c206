package ui

import tea "charm.land/bubbletea/v2"

// finder is a search in a text: what is looked for, and the line found last.
type finder struct {
	query  string // in lower case
	typing bool
	in     input
	at     uint64
}

// findEvent is what a key meant for the search.
type findEvent uint8

const (
	findTyping    findEvent = iota // the cursor moved
	findChanged                    // the words changed
	findDone                       // look for it
	findCancelled                  // no search any more
)

func (f *finder) begin() {
	f.typing, f.in = true, newInput(200)
	f.in.set(f.query)
}

// Update takes a key or a paste while the words are typed.
func (f *finder) Update(msg tea.Msg) findEvent {
	if k, ok := msg.(tea.KeyPressMsg); ok {
		switch k.String() {
		case "enter":
			f.typing = false
			return findDone
		case "esc":
			f.typing = false
			return findCancelled
		}
	}
	before := f.in.value()
	f.in.Update(msg)
	if f.in.value() == before {
		return findTyping
	}
	return findChanged
}

// view is the line in which the words are typed.
func (f *finder) view() line {
	return append(ln(bold(tokKey, "/")), f.in.view()...)
}
