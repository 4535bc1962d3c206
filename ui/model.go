package ui

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/nexgate-hq/nexops/fleet"
)

// Model is the screen. It alone is a tea.Model: the panes below it are plain structs.
type Model struct {
	o      Options
	life   *life
	th     *Theme
	keys   KeyMap
	w, h   int
	snap   *fleet.Snapshot
	list   listPane
	detail detailPane
	tail   tailState
	flow   flow
	view   viewState
	offers []offer
	frame  frameCache
}

// overlay is what stands in front of the panes.
type overlay uint8

const (
	overlayNone overlay = iota
	overlayHelp
	overlaySources
	overlayPalette
	overlayQuit
)

// viewState is what is looked at.
type viewState struct {
	focus   pane
	light   bool // the terminal's background
	zoom    bool
	run     bool // the running action stands in the place of the detail
	overlay overlay
	help    scroller
	quit    input
	note    line // a toast
	noteID  int
	news    []string // from the program around the screen, until Esc
	fetched fetched
	palette palette
}

// fetched is what was asked for, so that it is asked once.
type fetched struct {
	inspect, journal fleet.ServiceKey
}

// frameCache is the last frame, drawn again only when a message may have changed it.
type frameCache struct {
	view  tea.View
	valid bool
}

// New makes the screen. Nothing is asked of anything before it runs.
func New(o Options) *Model { return newModel(context.Background(), o) }

func newModel(ctx context.Context, o Options) *Model {
	o = o.defaults()
	m := &Model{o: o, life: newLife(ctx), keys: NewKeyMap(o.Actions)}
	m.life.lender.env = o.Environ
	m.detail.logs = newLogPane(&m.o)
	m.setTheme(o.Theme)
	if noColor(o.Environ) {
		m.setTheme("mono")
	}
	if o.Latest != nil {
		if s := o.Latest(); s != nil {
			m.snapshot(s)
		}
	}
	return m
}

// Init starts the clock and waits for the first snapshot. It draws before any answer.
func (m *Model) Init() tea.Cmd {
	return tea.Batch(m.life.waitSnapshot(m.o.Snapshots), m.life.waitNews(m.o.News), m.life.waitLoan(m.life.lender.asks), m.life.tick(m.o.Now()), tea.RequestBackgroundColor)
}

// Update takes one message. It does no I/O: commands do, and only Update changes anything.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	drawn := m.frame.valid
	m.frame.valid = false
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		m.background(msg.IsDark())
	case tea.ColorProfileMsg:
		if msg.Profile <= colorprofile.ASCII {
			m.setTheme("mono") // without colours the selection has to be seen some other way
		}
	case snapshotMsg:
		cmd = tea.Batch(m.snapshot(msg.snap), m.life.waitSnapshot(m.o.Snapshots))
	case tickMsg:
		cmd = m.life.tick(m.o.Now())
	case tea.KeyPressMsg:
		m.list.held = true
		cmd = m.key(msg)
	case tea.PasteMsg:
		cmd = m.paste(msg)
	case tea.MouseClickMsg, tea.MouseWheelMsg:
		m.list.held = true
		cmd = m.mouse(msg)
	case tailDueMsg, tailStartedMsg, tailMsg:
		cmd = m.tailUpdate(msg)
		m.frame.valid = drawn && !m.logsShown()
	case inspectMsg:
		if s := m.list.service(); s != nil && s.Key == msg.key {
			m.detail.inspect.SetText(msg.text, false)
		}
	case newsMsg:
		m.view.news = msg.lines
		cmd = m.life.waitNews(m.o.News)
	case loanMsg:
		cmd = m.lend(msg.loan)
	case loanOverMsg:
		cmd = tea.RequestBackgroundColor // whatever ran may have changed it
	case journalMsg:
		m.detail.journal = msg.lines
	case choicesMsg:
		cmd = m.chosen(msg)
	case plannedMsg:
		cmd = m.planned(msg)
	case undoMsg:
		cmd = m.undoRead(msg)
	case armMsg:
		cmd = m.arm(msg)
	case runStartedMsg:
		cmd = m.started(msg)
	case eventsMsg:
		cmd = m.events(msg)
	case spinMsg:
		if msg.seq == m.flow.seq && (m.flow.stage == flowPlanning || m.flow.stage == flowReading) {
			m.flow.spin++
			cmd = m.life.after(spinEvery, msg)
		}
	case toastMsg:
		if msg.id == m.view.noteID {
			m.view.note = nil
		}
	default:
		m.frame.valid = m.frame.view.Content != ""
		return m, nil
	}
	return m, tea.Batch(cmd, m.sync())
}

// sync brings everything that follows from the state in line with it.
func (m *Model) sync() tea.Cmd {
	s := m.list.service()
	m.offer()
	m.keys.enable(situation{
		focus: m.view.focus, tab: m.detail.tab, selected: s != nil, searched: m.detail.searched(),
		run: m.flow.running(), undo: m.mayUndo(),
	})
	a := m.arrange()
	bare := m.bare()
	if l := inside(a.list, bare); !a.list.empty() && (l.w != m.list.w || l.h != m.list.h) {
		m.list.SetSize(l.w, l.h)
	}
	if d := inside(a.detail, bare); !a.detail.empty() && (d.w != m.detail.w || d.h != m.detail.h) {
		m.detail.SetSize(d.w, d.h)
	}
	return tea.Batch(m.tailSync(s, !a.detail.empty()), m.fetch(s, !a.detail.empty()))
}

// logsShown reports whether lines that come change what is on the screen.
func (m *Model) logsShown() bool {
	return m.detail.tab == tabLogs && !m.view.run && !m.arrange().detail.empty()
}

// fetch asks for what the tab on the screen needs and does not have.
func (m *Model) fetch(s *fleet.Service, visible bool) tea.Cmd {
	if s == nil || !visible || m.view.run {
		return nil
	}
	f := &m.view.fetched
	switch {
	case m.detail.tab == tabInspect && f.inspect != s.Key:
		f.inspect = s.Key
		if m.o.Inspect == nil {
			m.detail.inspect.SetText("no source can be inspected", false)
			return nil
		}
		m.detail.inspect.SetText("reading…", false)
		return m.life.inspectAll(&m.o, s)
	case m.detail.tab == tabChanges && m.o.Journal != nil && f.journal != s.Key:
		f.journal, m.detail.journal = s.Key, nil
		return m.life.readJournal(m.o.Journal, s.Key)
	}
	return nil
}

// snapshot shows a newer snapshot.
func (m *Model) snapshot(s *fleet.Snapshot) tea.Cmd {
	if s == nil || m.snap != nil && s.Seq < m.snap.Seq {
		return nil
	}
	m.snap = s
	m.list.SetSnapshot(s)
	return m.moved(s)
}

// offer asks every action what it says about what it would act on.
func (m *Model) offer() {
	m.offers = m.offers[:0]
	for _, a := range m.o.Actions {
		m.offers = append(m.offers, offer{spec: a.Spec(), offer: m.offerOf(a)})
	}
}

// arm lets keys reach the dialog once it has been drawn and the keyboard has been silent.
func (m *Model) arm(msg armMsg) tea.Cmd {
	d := &m.flow.dialog
	if m.flow.stage != flowConfirm || msg.gen != d.gen {
		return nil
	}
	if !d.drawn {
		return m.life.after(graceTime, msg)
	}
	d.armed = true
	return nil
}

// How long a note stays: what went wrong takes longer to read.
const (
	toastTime = 6 * time.Second
	alarmTime = 20 * time.Second
)

// toast says something in the last line for a while.
func (m *Model) toast(tok token, text string) tea.Cmd {
	m.view.noteID++
	m.view.note = ln(sp(tok, text))
	stay := toastTime
	if tok == tokCrit {
		stay = alarmTime
	}
	return m.life.after(stay, toastMsg{m.view.noteID})
}

// setTheme changes the colours.
func (m *Model) setTheme(name string) tea.Cmd {
	dark := !m.view.light
	th, err := NewTheme(name, dark)
	if err != nil {
		th, _ = NewTheme("auto", dark)
	}
	m.o.Theme, m.th = name, th
	return nil
}

// background takes the terminal's answer about its background.
func (m *Model) background(dark bool) {
	m.view.light = !dark
	m.setTheme(m.o.Theme)
}

// open shows a tab of the selected service.
func (m *Model) open(t tab) {
	m.detail.show(t)
	m.view.focus, m.view.run = paneDetail, false
	if t == tabInspect {
		m.view.fetched.inspect = fleet.ServiceKey{} // read it anew
	}
}
