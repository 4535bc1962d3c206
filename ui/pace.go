package ui

import (
	"reflect"
	"time"

	tea "charm.land/bubbletea/v2"
)

// framesPerSecond caps how often the terminal is written to while somebody is at it. The first frame waits for
// one such tick, so it is not low.
const framesPerSecond = 60

// What a screen does that nobody touches: it shows what is new soon enough, and most of the time sleeps. At 60 ticks a
// second the ticks alone were half of what it cost.
const (
	idleFrame = time.Second / 5
	idleAfter = 2 * time.Second
)

// pace has the renderer look for something to write 60 times a second after a key, and five times when there was none for a while.
type pace struct {
	program *tea.Program
	ticker  *time.Ticker // the renderer's; nil: it is left as it is
	idle    *time.Timer
}

// attach finds the renderer's ticker, which the library makes when its program runs and lets nobody set. Where it is
// not found, in another version of the library, the screen works the same and costs more.
func (p *pace) attach() {
	if f := reflect.ValueOf(p.program).Elem().FieldByName("ticker"); f.IsValid() && f.Type() == reflect.TypeFor[*time.Ticker]() {
		p.ticker = (*time.Ticker)(f.UnsafePointer())
	}
}

// filter sees every message before the screen does, on the loop that started the renderer.
func (p *pace) filter(_ tea.Model, msg tea.Msg) tea.Msg {
	switch msg.(type) {
	case tea.KeyMsg, tea.MouseMsg, tea.PasteMsg, tea.WindowSizeMsg:
		p.wake()
	default:
	}
	return msg
}

func (p *pace) wake() {
	if p.ticker == nil {
		p.attach()
	}
	if p.ticker == nil {
		return
	}
	p.ticker.Reset(time.Second / framesPerSecond)
	if p.idle == nil {
		p.idle = time.AfterFunc(idleAfter, func() { p.ticker.Reset(idleFrame) })
		return
	}
	p.idle.Reset(idleAfter)
}

// end leaves the ticker alone.
func (p *pace) end() {
	if p.idle != nil {
		p.idle.Stop()
	}
}
