package actions

import "errors"

// ErrUnknown marks an error of a step of which nobody knows whether it took effect:
// the connection was lost while it ran. Such a step is never sent again.
var ErrUnknown = errors.New("not known whether it took effect")

// RefusalCode says why a plan was not started.
type RefusalCode string

// The reasons to refuse a plan. In all of them nothing was done.
const (
	RefusedPreflight    RefusalCode = "preflight"    // a preflight failed
	RefusedForbidden    RefusalCode = "forbidden"    // read only, or never from this console
	RefusedConfirmation RefusalCode = "confirmation" // missing or wrong
	RefusedOld          RefusalCode = "old"          // made too long ago, or its facts are stale by now
	RefusedMoved        RefusalCode = "moved"        // the world is not as the plan says: make it again
	RefusedTwice        RefusalCode = "twice"        // this plan has run
	RefusedBusy         RefusalCode = "busy"         // another plan runs on the same service here
	RefusedJournal      RefusalCode = "journal"      // it cannot be put on record
	RefusedClosed       RefusalCode = "closed"       // the console is closing
)

// Refusal is the error of a plan that was not started.
type Refusal struct {
	Code  RefusalCode
	Text  string
	Moved []string // of RefusedMoved: what moved, one sentence each
}

// Error is the reason in words.
func (r *Refusal) Error() string { return r.Text }

func refuse(code RefusalCode, text string) error { return &Refusal{Code: code, Text: text} }
