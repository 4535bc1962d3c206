package ui

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/vt"
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// terminal is a screen that the real program draws on.
type terminal struct {
	mu   sync.Mutex
	emu  *vt.Emulator
	keys *io.PipeWriter
	done chan error
}

// Write takes what the program draws. Without a tty it writes bare line feeds.
func (s *terminal) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.emu.Write([]byte(strings.ReplaceAll(string(p), "\n", "\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *terminal) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.emu.String()
}

// wait waits until the screen shows a text. The bound is only there so that a broken program does not hang the test.
func (s *terminal) wait(t *testing.T, want string) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(s.text(), want) {
			return
		}
	}
	t.Fatalf("%q never came:\n%s", want, s.text())
}

func (s *terminal) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := io.WriteString(s.keys, keys); err != nil {
		t.Fatal(err)
	}
}

// open runs the real program on an emulated terminal.
func open(t *testing.T, w, h int, o Options) *terminal {
	t.Helper()
	in, keys := io.Pipe()
	s := &terminal{emu: vt.NewEmulator(w, h), keys: keys, done: make(chan error, 1)}
	var group sync.WaitGroup
	group.Go(func() { _, _ = io.Copy(io.Discard, s.emu) }) // its answers; unread they would block it
	ctx, cancel := context.WithCancel(t.Context())
	m := newModel(ctx, o)
	go func() {
		s.done <- m.run(ctx, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(s), tea.WithWindowSize(w, h),
			tea.WithColorProfile(colorprofile.TrueColor), tea.WithEnvironment([]string{"TERM=xterm-256color"}), tea.WithoutSignalHandler())
	}()
	t.Cleanup(func() {
		cancel()
		_ = keys.Close()
		if c, ok := s.emu.InputPipe().(io.Closer); ok {
			_ = c.Close() // not the emulator itself: its Close races with its Read
		}
		group.Wait()
	})
	return s
}

func TestProgramUndoesABadDeploy(t *testing.T) {
	o := sampleOptions()
	runner := &fakeRunner{confirm: actions.ConfirmType, events: make(chan actions.Event, 64)}
	poked := make(chan struct{}, 8)
	o.Runner, o.Now = runner, time.Now
	o.Poke = func() { poked <- struct{}{} }
	s := open(t, 120, 40, o)
	s.wait(t, "likely deploy 0.4.1 → 0.4.2")
	s.press(t, "Rai@prod\r") // typed ahead: must not reach the dialog
	s.wait(t, "type ai@prod to run:")
	if n := len(runner.confirmations()); n != 0 {
		t.Fatal("ran without anyone having seen the plan")
	}
	// The dialog takes keys once the keyboard has been silent; until then they are lost.
	for limit := time.Now().Add(30 * time.Second); !strings.Contains(s.text(), "to run: ai@prod"); {
		if time.Now().After(limit) {
			t.Fatalf("nothing can be typed:\n%s", s.text())
		}
		time.Sleep(400 * time.Millisecond)
		s.press(t, "\x15ai@prod")
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(slow) // as a hand would: what comes sooner passes for a paste
	s.press(t, "\r")
	for _, e := range sampleEvents(actions.OutcomeGood) {
		runner.events <- e
	}
	close(runner.events)
	s.wait(t, "✓ good")
	if got := runner.confirmations(); len(got) != 1 || got[0].Typed != "ai@prod" {
		t.Fatalf("the runner got %+v", got)
	}
	<-poked
	s.press(t, "q")
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
}

func TestProgramShowsTheFirstFrameBeforeAnyAnswer(t *testing.T) {
	o := sampleOptions()
	ch := make(chan *fleet.Snapshot)
	o.Latest, o.Snapshots = func() *fleet.Snapshot { return nil }, ch
	s := open(t, 80, 24, o)
	s.wait(t, "connecting to prod…")
	ch <- sampleSnapshot()
	s.wait(t, "unhealthy: HTTP 500")
	s.press(t, "l")
	s.wait(t, "␛]0;owned␇")
	s.press(t, "\x1b")
	s.wait(t, "services by attention")
	close(ch)
	s.press(t, "q")
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
}

func TestProgramQuitsInTheMiddleOfAnAction(t *testing.T) {
	o := sampleOptions()
	r := &obedientRunner{ended: make(chan struct{})}
	o.Runner = r
	s := open(t, 80, 24, o)
	s.wait(t, "services by attention")
	s.press(t, "R")
	s.wait(t, "▶ set tag")
	s.press(t, "q")
	s.wait(t, "an action is running")
	s.press(t, "quit\r")
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.ended: // all its events were taken before the screen returned
	default:
		t.Fatal("the screen left before the action had put its end on record")
	}
}

// obedientRunner runs at once, and ends when it is told to, with many last words.
type obedientRunner struct{ ended chan struct{} }

func (r *obedientRunner) Required(*actions.Plan) (actions.Confirm, string) {
	return actions.ConfirmNone, ""
}

func (r *obedientRunner) Run(ctx context.Context, p *actions.Plan, _ actions.Confirmation) (<-chan actions.Event, error) {
	ch := make(chan actions.Event)
	go func() {
		ch <- actions.Event{Plan: p.ID, Kind: actions.EventStepBegan, At: sampleNow}
		<-ctx.Done()
		for range 3 * eventBatch {
			ch <- actions.Event{Plan: p.ID, Kind: actions.EventOutput, Text: "ending"}
		}
		ch <- actions.Event{Plan: p.ID, Kind: actions.EventEnded, Step: -1, Outcome: actions.OutcomeCancelled}
		close(r.ended)
		close(ch)
	}()
	return ch, nil
}
