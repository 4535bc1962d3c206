package ui

import (
	tea "charm.land/bubbletea/v2"
)

// newsMsg is what the program around the screen has to say, in the place of what it said before.
type newsMsg struct{ lines []string }

// newsRows is how many rows one piece of news may take.
const newsRows = 3

// waitNews waits for the next news.
func (l *life) waitNews(ch <-chan []string) tea.Cmd {
	if ch == nil {
		return nil
	}
	return l.do(func() tea.Msg {
		select {
		case lines, ok := <-ch:
			if !ok {
				return nil
			}
			return newsMsg{lines}
		case <-l.ctx.Done():
			return nil
		}
	})
}

// newsLines are the news below the header, until Esc takes them away.
func newsLines(m *Model) []line {
	var out []line
	for i, text := range m.view.news {
		l := ln(sp(tokWarn, " ▲ "), sp(tokText, text))
		if i == len(m.view.news)-1 {
			l = l.put(tokDim, "  esc clears")
		}
		rows := l.wrap(max(m.w-1, 20))
		if len(rows) > newsRows {
			rows = append(rows[:newsRows-1], rows[newsRows-1].dotted(m.w-4))
		}
		out = append(out, rows...)
	}
	return out
}
