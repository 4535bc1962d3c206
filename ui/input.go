package ui

import (
	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
)

// input is one line of typing. It never loses a letter to a key binding: whoever
// has it sends it every key it does not need itself.
type input struct {
	field textinput.Model
}

// newInput makes an input that has the keys.
func newInput(limit int) input {
	f := textinput.New()
	f.Prompt = ""
	f.CharLimit = limit
	f.ShowSuggestions = false
	f.SetVirtualCursor(false) // the cursor is a reversed cell: it does not blink, so nothing is redrawn
	f.Focus()
	return input{field: f}
}

// Update takes a key or a paste.
func (i *input) Update(msg tea.Msg) {
	i.field, _ = i.field.Update(msg)
}

func (i *input) value() string { return i.field.Value() }

func (i *input) set(s string) {
	i.field.SetValue(s)
	i.field.CursorEnd()
}

// view is the text with its cursor.
func (i *input) view() line {
	r := []rune(i.field.Value())
	p := min(i.field.Position(), len(r))
	if p == len(r) {
		return ln(sp(tokText, string(r)), span{text: " ", tok: tokText, mod: modRev})
	}
	return ln(sp(tokText, string(r[:p])), span{text: string(r[p]), tok: tokText, mod: modRev}, sp(tokText, string(r[p+1:])))
}
