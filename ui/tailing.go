package ui

import (
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

// How long a service has to stay selected before its log is asked for, and how
// long a log that broke is left alone.
const (
	tailSettle = 150 * time.Millisecond
	tailBrowse = 700 * time.Millisecond // in the overview, which shows the log in passing
	tailAgain  = 3 * time.Second
)

// tailState is which log is followed.
type tailState struct {
	id       int // grows with each tail, so that late answers of older ones are known
	key      fleet.ServiceKey
	subjects []fleet.Subject
	current  *tailer
	broken   bool // waits before it begins again
}

// tailSync follows the log of the selected service while the log is looked at.
func (m *Model) tailSync(s *fleet.Service, visible bool) tea.Cmd {
	if s == nil || !visible || m.view.run || !m.logsWanted() {
		return nil
	}
	if m.o.Tail == nil {
		m.detail.logs.state = "no source can read logs"
		return nil
	}
	t := &m.tail
	subjects := s.Subjects()
	switch {
	case t.key != s.Key:
		m.detail.logs.reset(s.Key)
	case slices.Equal(t.subjects, subjects) || t.broken:
		return nil
	}
	t.key, t.subjects = s.Key, subjects
	if m.detail.tab != tabLogs {
		return m.retail(tailBrowse) // whoever only passes by asks for nothing
	}
	return m.retail(tailSettle)
}

// logsWanted reports whether what is on the screen shows lines of the log.
func (m *Model) logsWanted() bool {
	return m.detail.tab == tabLogs || m.detail.tab == tabOverview && m.detail.h >= overviewLogHeight
}

// tailPace is how often lines are taken.
func (m *Model) tailPace() time.Duration {
	if m.logsShown() {
		return tailEvery
	}
	return tailIdle
}

// retail ends the tail there is and begins another one after a while.
func (m *Model) retail(wait time.Duration) tea.Cmd {
	t := &m.tail
	if t.current != nil {
		t.current.cancel()
		t.current = nil
	}
	t.id++
	return m.life.after(wait, tailDueMsg{t.id})
}

// tailHistory is how many lines of the past a log begins with.
const tailHistory = 1000

// tailUpdate takes the messages of a tail.
func (m *Model) tailUpdate(msg tea.Msg) tea.Cmd {
	t := &m.tail
	switch msg := msg.(type) {
	case tailDueMsg:
		if msg.id != t.id {
			return nil
		}
		t.broken = false
		q := sources.LogQuery{Service: t.key, Subjects: t.subjects, Tail: tailHistory, Follow: true}
		if r := m.detail.logs.ring; r.len() > 0 {
			q.Since = r.at(r.next - 1).At.Add(time.Nanosecond)
		}
		return m.life.startTail(t.id, m.o.Tail, q)
	case tailStartedMsg:
		if msg.tailer.id != t.id {
			msg.tailer.cancel()
			return nil
		}
		t.current = msg.tailer
		return t.current.next(m.life, m.tailPace())
	case tailMsg:
		return m.tailed(msg)
	}
	return nil
}

// tailed shows the lines that came, and begins again when the log broke.
func (m *Model) tailed(msg tailMsg) tea.Cmd {
	t := &m.tail
	if msg.id != t.id || t.current == nil {
		return nil
	}
	logs := &m.detail.logs
	logs.add(msg.lines, msg.dropped)
	if !msg.ended {
		return t.current.next(m.life, m.tailPace())
	}
	if msg.err == nil {
		logs.state = "the log has ended"
		t.current = nil
		return nil
	}
	logs.state = "no log: " + msg.err.Error()
	logs.add([]fleet.LogLine{{At: m.o.Now(), Stream: "nexops", Text: "the log broke: " + msg.err.Error() + "; again in " + age(tailAgain)}}, 0)
	t.broken = true
	return m.retail(tailAgain)
}
