package ui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/fleet"
)

// copyLimit bounds what is put on the clipboard: terminals drop more.
const copyLimit = 64 << 10

// copy puts what is looked at on the clipboard of the terminal (OSC 52), over ssh and tmux too.
func (m *Model) copy() tea.Cmd {
	what, text := m.copyText()
	if text == "" {
		return nil
	}
	if len(text) > copyLimit {
		text = text[:copyLimit]
	}
	return tea.Batch(tea.SetClipboard(text), m.toast(tokDim, "copied "+what))
}

// copyText is what is looked at, as text.
func (m *Model) copyText() (what, text string) {
	s := m.list.service()
	switch {
	case m.view.run && m.flow.run != nil:
		return "the action's output", m.flow.run.text(m.o.Now())
	case s == nil:
		return "", ""
	case m.view.focus == paneDetail && m.detail.tab == tabInspect:
		return "the record of " + s.Key.Name, strings.Join(m.detail.inspect.lines, "\n")
	case m.view.focus == paneDetail && m.detail.tab == tabLogs:
		var lines []string
		for _, l := range m.detail.logs.View() {
			lines = append(lines, l.String())
		}
		return plural(len(lines), "line") + " of the log", strings.Join(lines, "\n")
	default:
		return s.Key.String(), serviceText(s)
	}
}

// serviceText is a service in the words one would paste into a chat.
func serviceText(s *fleet.Service) string {
	var b strings.Builder
	b.WriteString(s.Key.String() + " " + s.Severity.String() + ", running " + s.Releases.Running.Version())
	if want := drift(&s.Releases); want != "" {
		b.WriteString(", desired " + want)
	}
	if d := s.Releases.Running.Digest; d != "" {
		b.WriteString(" (" + fleet.ShortDigest(d) + ")")
	}
	for _, r := range s.Reasons {
		b.WriteString("\n" + r.Severity.String() + ": " + Sanitize(r.Text))
	}
	if s.Suspect != nil {
		b.WriteString("\n" + Sanitize(s.Suspect.Text))
	}
	return b.String()
}
