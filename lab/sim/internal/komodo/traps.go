package komodo

import "sync"

// Trap is one habit of Komodo that a client has to know. Each can be switched.
type Trap string

// The habits that the real one always has; they are on unless switched off.
const (
	// SuccessEarly says success: true while an update is still in progress.
	SuccessEarly Trap = "success_early"
	// Markup puts HTML spans and terminal colours into logs, pending errors and the reasons of deploys.
	Markup Trap = "markup"
	// LogsAtEnd gives the logs of a deploy only when it is over.
	LogsAtEnd Trap = "logs_at_end"
	// NoID answers DeployStackIfChanged with an update that has no _id.
	NoID Trap = "no_id"
	// Status500 answers nearly everything that goes wrong with 500.
	Status500 Trap = "status_500"
	// HeadHashes gives the hash of the repository's HEAD, whatever the stack's own files are.
	HeadHashes Trap = "head_hashes"
	// Paging cuts lists at 50 unless limit is 0.
	Paging Trap = "paging"
	// HTML answers unknown GET paths with the web interface.
	HTML Trap = "html"
	// DeafSync lets a RunSync succeed though a deploy that it began has failed.
	DeafSync Trap = "deaf_sync"
	// Blind says running of a stack whose containers are unhealthy.
	Blind Trap = "blind"
)

// The faults; they are off unless switched on.
const (
	// Busy refuses every execution: an update that ends at once with "Resource is busy".
	Busy Trap = "busy"
	// FailDeploy lets docker compose up end with an error.
	FailDeploy Trap = "fail_deploy"
	// LoseAnswer takes an execution on and then closes the connection without an answer.
	LoseAnswer Trap = "lose_answer"
	// PlainText is what a proxy says when Core is not there.
	PlainText Trap = "plain_text"
)

func always() []Trap {
	return []Trap{SuccessEarly, Markup, LogsAtEnd, NoID, Status500, HeadHashes, Paging, HTML, DeafSync, Blind}
}

// switches are the traps that are on. It has a lock of its own: text is marked up with and without the Server's.
type switches struct {
	mu  sync.Mutex
	are map[Trap]bool
}

func newSwitches() *switches {
	w := &switches{are: map[Trap]bool{}}
	for _, t := range always() {
		w.are[t] = true
	}
	return w
}

func (w *switches) on(t Trap) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.are[t]
}

func (w *switches) set(t Trap, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.are[t] = on
}
