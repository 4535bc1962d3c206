// Package sources holds the contract of everything that reports what is true,
// and the Collector that keeps each source's last whole report.
package sources

import (
	"context"
	"log/slog"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Source observes one system. Observe gives the whole truth or an error, never
// half of it: stale facts are better than partial ones. It is called by one
// goroutine at a time and must end soon after ctx does.
type Source interface {
	ID() fleet.SourceID
	Observe(ctx context.Context) (fleet.Facts, error)
}

// Watcher is a Source whose system pushes. Watch calls changed, which never
// blocks and carries no data, whenever a new observation would differ, and once when
// the watch is in place: what changed before that was not seen. It runs until ctx ends or the watch breaks; the Collector starts it again with backoff.
type Watcher interface {
	Watch(ctx context.Context, changed func()) error
}

// Timed is a Source that says how often it wants to be asked. Sources without
// it are asked every 15 s; one that also watches is polled only as a safety net.
type Timed interface {
	Timing() Timing
}

// Timing is the clock of one source.
type Timing struct {
	Every   time.Duration // between two observations
	Timeout time.Duration // of one observation
	MaxAge  time.Duration // past it the facts are called stale
}

// LogQuery asks for the log of one service, all its instances.
type LogQuery struct {
	Service  fleet.ServiceKey
	Subjects []fleet.Subject // the service's instances as the sources name them (fleet.Service.Subjects)
	Since    time.Time       // zero: the last Tail lines
	Tail     int             // lines of history first; 0 is the source's default
	Follow   bool
	// CaughtUp, when set, is called by a tailer once its history has been emitted, so that
	// whoever merges several need not guess. A tailer that does not call it is judged by its silence.
	CaughtUp func()
}

// LogTailer is a source that can read logs. Tail calls emit, from one goroutine at a
// time, in the order of time within an instance, until ctx ends (nil error), the log ends
// (without Follow) or it cannot go on. It follows instances across restart and re-creation by itself.
type LogTailer interface {
	Tail(ctx context.Context, q LogQuery, emit func(fleet.LogLine)) error
}

// Inspector is a source that can show the raw record of an instance as
// indented JSON, secrets redacted.
type Inspector interface {
	Inspect(ctx context.Context, instance *fleet.Instance) ([]byte, error)
}

// HostObserver is a source that reports the instances of hosts. When it fails,
// they cannot be seen, and what hangs on them raises no alarm of its own.
type HostObserver interface {
	ObservedHosts() []string
}

// Guest is a source that reads through a host and reports on something else than its instances.
// While the host cannot be seen, its own failing is no news.
type Guest interface {
	GuestOf() string
}

// Linker is a source that knows a web page about a service (a Grafana dashboard).
type Linker interface {
	Link(service fleet.ServiceKey) (url string, ok bool)
}

// Config is the part of the config file that one source is made from: a pointer to a
// struct with toml tags, already holding its defaults.
type Config interface {
	// Validate gives every mistake at once. Each names the key ("url: ...") and what is allowed.
	Validate() []error
}

// HostUser is a Config that names hosts; the names are checked against [hosts.*].
type HostUser interface {
	HostNames() []string
}

// Deps is what a source may use of the program around it.
type Deps struct {
	Environment  string   // the environment that is open
	Environments []string // all that are configured
	Hosts        []string // the hosts of the open environment
	// HostEnvironment says which environment a host is of; "" when unknown.
	HostEnvironment func(host string) string
	// Host gives the connection to a host by config name; the same one for every caller.
	Host func(name string) (remote.Host, error)
	// Secret reads a secret, so that the program around knows what must not be shown; nil reads it directly.
	Secret func(ctx context.Context, s remote.Secret) (string, error)
	// Redact takes secrets out of what a source keeps on disk; nil: nothing is taken out.
	Redact func(string) string
	// Actions are the [actions.*] tables by name: a source that shows what an action keeps reads its part.
	Actions  map[string]any
	CacheDir string // this program's own cache folder
	LockDir  string // where the consoles keep their locks and holds on a host
	Now      func() time.Time
	Log      *slog.Logger
}

// Kind is one sort of source: its name in the config and how it is made.
// The list of kinds is cmd/nexops' own.
type Kind struct {
	Name      string
	Implicit  bool // there without a [[sources]] table; one table says otherwise
	NewConfig func() Config
	// Build makes the sources of one [[sources]] table: docker makes one for each host.
	// It does no I/O.
	Build func(name string, cfg Config, deps Deps) ([]Source, error)
}
