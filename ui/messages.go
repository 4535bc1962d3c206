package ui

import (
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// The messages of the screen. Commands send them; only Update changes anything.
type (
	snapshotMsg struct{ snap *fleet.Snapshot }
	tickMsg     time.Time
	spinMsg     struct{ seq int }
	toastMsg    struct{ id int } // that toast has been up long enough

	tailDueMsg     struct{ id int }
	tailStartedMsg struct{ tailer *tailer }

	inspectMsg struct {
		key  fleet.ServiceKey
		text string
	}
	journalMsg struct {
		key   fleet.ServiceKey
		lines []string
	}

	plannedMsg struct {
		seq  int
		plan *actions.Plan
		err  error
	}
	choicesMsg struct {
		seq     int
		choices actions.Choices
		err     error
	}
	armMsg        struct{ gen int }
	runStartedMsg struct {
		plan   *actions.Plan
		events <-chan actions.Event
		err    error
	}
	eventsMsg struct {
		plan   string
		events []actions.Event
		closed bool
	}
)
