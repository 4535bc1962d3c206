package ui

import (
	"charm.land/bubbles/v2/key"
	"github.com/nexgate-hq/nexops/actions"
)

// KeyMap is every key of the screen. State enables and disables them, and the
// help is derived from them.
type KeyMap struct {
	Move    MoveKeys
	Screen  ScreenKeys
	Tabs    TabKeys
	Log     LogKeys
	Act     []key.Binding // one for each action, in their order
	Undo    key.Binding
	ViewRun key.Binding
}

// MoveKeys move within a pane.
type MoveKeys struct {
	Up, Down, Top, Bottom, HalfUp, HalfDown, PageUp, PageDown key.Binding
}

// ScreenKeys go from one place of the screen to another.
type ScreenKeys struct {
	Enter, Back, Mark, NextPane, Zoom, Filter, Palette, Help, Copy, Refresh, Quit, Interrupt key.Binding
}

// TabKeys choose a tab of the detail.
type TabKeys struct {
	Overview, Logs, Metrics, Changes, Inspect, Next, Prev key.Binding
}

// LogKeys are for text: logs and the inspected record.
type LogKeys struct {
	Follow, Wrap, Raw, Search, Only, Next, Prev key.Binding
}

func bind(help, desc string, keys ...string) key.Binding {
	return key.NewBinding(key.WithKeys(keys...), key.WithHelp(help, desc))
}

// NewKeyMap makes the keys, with one for each action.
func NewKeyMap(acts []actions.Action) KeyMap {
	k := KeyMap{
		Move: MoveKeys{
			Up: bind("k ↑", "up", "k", "up"), Down: bind("j ↓", "down", "j", "down"),
			Top: bind("g", "first", "g", "home"), Bottom: bind("G", "last", "G", "end"),
			HalfUp: bind("^u", "half a page up", "ctrl+u"), HalfDown: bind("^d", "half a page down", "ctrl+d"),
			PageUp: bind("pgup", "page up", "pgup", "ctrl+b"), PageDown: bind("pgdn", "page down", "pgdown", "ctrl+f"),
		},
		Screen: ScreenKeys{
			Enter: bind("enter", "open", "enter"), Back: bind("esc", "back", "esc"), Mark: bind("space", "mark", "space"),
			NextPane: bind("tab", "next pane", "tab", "shift+tab"), Zoom: bind("z", "zoom", "z"),
			Filter: bind("/", "filter", "/"), Palette: bind(":", "command", ":"), Help: bind("?", "help", "?"),
			Copy: bind("y", "copy", "y"), Refresh: bind("^r", "look again", "ctrl+r"),
			Quit: bind("q", "quit", "q"), Interrupt: bind("^c", "quit", "ctrl+c"),
		},
		Tabs: TabKeys{
			Overview: bind("1", "overview", "1"), Logs: bind("l 2", "logs", "l", "2"), Metrics: bind("m 3", "metrics", "m", "3"),
			Changes: bind("c 4", "changes", "c", "4"), Inspect: bind("i 5", "inspect", "i", "5"),
			Next: bind("→", "next tab", "right"), Prev: bind("←", "previous tab", "left"),
		},
		Log: LogKeys{
			Follow: bind("f", "follow", "f"), Wrap: bind("w", "wrap", "w"), Raw: bind("r", "raw lines", "r"),
			Search: bind("/", "search", "/"), Only: bind("&", "only matches", "&"),
			Next: bind("n", "next match", "n"), Prev: bind("N", "previous match", "N"),
		},
		Undo:    bind("U", "undo", "U"),
		ViewRun: bind("v", "show the action", "v"),
	}
	for _, a := range acts {
		s := a.Spec()
		k.Act = append(k.Act, bind(s.Key, s.Title, s.Key))
	}
	return k
}

// situation is what enables keys.
type situation struct {
	focus    pane
	tab      tab
	selected bool // a service is selected
	searched bool // a search is set
	run      runStage
	undo     bool
}

// enable switches every key by the situation.
func (k *KeyMap) enable(s situation) {
	text := s.focus == paneDetail && (s.tab == tabLogs || s.tab == tabInspect)
	logs := s.focus == paneDetail && s.tab == tabLogs
	k.Log.Follow.SetEnabled(logs)
	k.Log.Raw.SetEnabled(logs)
	k.Log.Only.SetEnabled(logs)
	k.Log.Wrap.SetEnabled(text)
	k.Log.Search.SetEnabled(text)
	k.Log.Next.SetEnabled(text && s.searched)
	k.Log.Prev.SetEnabled(text && s.searched)
	k.Screen.Filter.SetEnabled(s.focus == paneList)
	k.Screen.Mark.SetEnabled(s.focus == paneList && s.selected)
	k.Screen.Copy.SetEnabled(s.selected)
	k.Screen.Enter.SetEnabled(s.selected)
	k.Screen.Back.SetEnabled(true)
	for _, b := range []*key.Binding{&k.Tabs.Overview, &k.Tabs.Logs, &k.Tabs.Metrics, &k.Tabs.Changes, &k.Tabs.Inspect} {
		b.SetEnabled(s.selected)
	}
	k.Tabs.Next.SetEnabled(s.focus == paneDetail)
	k.Tabs.Prev.SetEnabled(s.focus == paneDetail)
	k.ViewRun.SetEnabled(s.run != runNone)
	k.Undo.SetEnabled(s.undo)
}

// helpGroup is one block of the help.
type helpGroup struct {
	title string
	keys  []key.Binding
}

// groups are the keys in the order of the help.
func (k *KeyMap) groups() []helpGroup {
	return []helpGroup{
		{"change the world", append(append([]key.Binding{}, k.Act...), k.Undo, k.ViewRun)},
		{"move", []key.Binding{k.Move.Up, k.Move.Down, k.Move.Top, k.Move.Bottom, k.Move.HalfUp, k.Move.HalfDown, k.Move.PageUp, k.Move.PageDown}},
		{"go", []key.Binding{k.Screen.Enter, k.Screen.Back, k.Screen.Mark, k.Screen.NextPane, k.Screen.Zoom, k.Screen.Filter, k.Screen.Palette, k.Screen.Copy, k.Screen.Refresh, k.Screen.Help, k.Screen.Quit}},
		{"tabs", []key.Binding{k.Tabs.Overview, k.Tabs.Logs, k.Tabs.Metrics, k.Tabs.Changes, k.Tabs.Inspect, k.Tabs.Prev, k.Tabs.Next}},
		{"logs and text", []key.Binding{k.Log.Follow, k.Log.Wrap, k.Log.Raw, k.Log.Search, k.Log.Only, k.Log.Next, k.Log.Prev}},
	}
}
