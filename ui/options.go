package ui

import (
	"context"
	"io"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

// Runner confirms and runs plans.
type Runner interface {
	// Required says what a person has to do before the plan may run, and the phrase to type.
	Required(p *actions.Plan) (c actions.Confirm, phrase string)
	// Run runs the plan. The channel gives every event and is closed after the last one.
	Run(ctx context.Context, p *actions.Plan, c actions.Confirmation) (<-chan actions.Event, error)
}

// Options are what the screen shows and what it may ask for. Every function may be nil.
type Options struct {
	Environment string
	Version     string
	Who         string // "ana@laptop"
	Now         func() time.Time

	Snapshots <-chan *fleet.Snapshot // the latest wins
	Latest    func() *fleet.Snapshot
	Poke      func() // asks the sources to look again; does not wait

	Actions []actions.Action
	Runner  Runner

	Tail    func(ctx context.Context, q sources.LogQuery, emit func(fleet.LogLine)) error
	Inspect func(ctx context.Context, in *fleet.Instance) ([]byte, error)

	Record
	Look
	Terminal
}

// Record is what is known of what was done here.
type Record struct {
	// Journal gives the newest journal entries about a service, one line each.
	Journal func(service fleet.ServiceKey) []string
	// Undo reads the way back from a plan, or with "" from the last action on a service. nil: none is known.
	Undo func(plan string, service fleet.ServiceKey) (*actions.Undoable, error)
	// News is what has to be known before anything else, one line each; newer ones take the
	// place of older ones. It stands below the header until Esc.
	News <-chan []string
}

// Look is how the screen looks and feels.
type Look struct {
	Theme    string // see Themes
	Mouse    bool
	UTC      bool // times in UTC, not in the local zone
	LogLines int  // lines kept of a log, 0 is 50,000
}

// Terminal is where the screen is drawn. Zero is the process's own.
type Terminal struct {
	Input   io.Reader
	Output  io.Writer
	Errors  io.Writer // of a command line; a screen has none
	Code    *int      // where the exit code of what ran on the terminal goes; nil: nowhere
	Environ []string
}

// defaultLogLines is how much of a log is kept.
const defaultLogLines = 50_000

// defaults fills what was left out.
func (o Options) defaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.LogLines <= 0 {
		o.LogLines = defaultLogLines
	}
	if o.Poke == nil {
		o.Poke = func() {}
	}
	return o
}

// hour writes hours and minutes, for where there is little room.
func (o *Options) hour(t time.Time) string {
	if o.UTC {
		return t.UTC().Format("15:04")
	}
	return t.Local().Format("15:04")
}

// clock writes a time of day in the zone that was asked for.
func (o *Options) clock(t time.Time, layout string) string {
	if o.UTC {
		return t.UTC().Format(layout) + "Z"
	}
	return t.Local().Format(layout)
}
