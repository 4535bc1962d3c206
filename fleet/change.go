package fleet

import "time"

// ChangeKind says what sort of thing changed.
type ChangeKind string

// The kinds of change.
const (
	ChangeDeploy   ChangeKind = "deploy"  // another release was made desired, or began to run
	ChangeRestart  ChangeKind = "restart" // an instance restarted, was killed or died
	ChangeScale    ChangeKind = "scale"   // the number of instances changed
	ChangeHostDown ChangeKind = "host_down"
	ChangeHostUp   ChangeKind = "host_up"
	ChangeConfig   ChangeKind = "config"
	ChangeAction   ChangeKind = "action" // something nexops did, from its journal
)

// Change is something that happened, with when, who and what.
type Change struct {
	Kind    ChangeKind
	At      time.Time
	Subject Subject
	Who     string
	What    string // one line in words: "0.4.1 → 0.4.2: ai: faster tokenizer"
	From    Release
	To      Release
	Source  SourceID
}
