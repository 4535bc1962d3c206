// Package komodo is Komodo Core as its API shows it (v2.3 and v1.19), its traps included; what it
// deploys runs for real on the estate it is given.
package komodo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Result is what a command on a server said.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Container is one of a Compose project.
type Container struct {
	ID, Name, Service, Image string
	State                    string // "running", "exited"
	Health                   string // "healthy", "" without a check
	Started                  time.Time
}

// Estate is what Komodo looks at and acts on.
type Estate interface {
	// Run runs a command on a server, as the agent there does. An error means that the server cannot be reached.
	Run(ctx context.Context, server string, argv []string) (Result, error)
	// Containers are those of a Compose project, stopped ones too.
	Containers(ctx context.Context, server, project string) ([]Container, error)
	// Head is the newest commit of a branch of the infra repo, and its subject.
	Head(ctx context.Context, branch string) (hash, subject string, err error)
	// Files are files at a commit, by path. What is missing there is not among them.
	Files(ctx context.Context, commit string, paths []string) (map[string]string, error)
}

// User is one who may log in by key.
type User struct {
	ID, Name    string
	Key, Secret string
	ReadOnly    bool // may read everything and execute nothing
}

// Sync is one resource sync.
type Sync struct {
	Name   string
	Branch string
	Path   string // of the TOML file in the infra repo
	Tags   []string
}

// Options is what a Server is made of.
type Options struct {
	Estate   Estate
	Servers  []string
	Users    []User
	Syncs    []Sync
	Checkout string // of the infra repo, on every server
	// Deployed says what a stack's file was when it was last deployed, before the estate began; nil: as it is at HEAD.
	Deployed func(server, path, head string) string
	V1       bool          // speak as 1.19.5 does
	Poll     time.Duration // how often the repository is looked at; default 1 h, as in Komodo
	Hold     time.Duration // what an execution takes at least
	Now      func() time.Time
	Log      *slog.Logger
}

// Server is one Komodo Core.
type Server struct {
	o   Options
	mux *http.ServeMux

	traps *switches

	mu     sync.Mutex
	serial uint64
	stacks []*stack
	syncs  []*syncer
	vars   map[string]string
	ledger
	door

	life context.Context //nolint:containedctx // executions outlive the requests that began them
	stop context.CancelFunc
	work sync.WaitGroup
}

// ledger is what was done.
type ledger struct {
	updates []*update // oldest first
	alerts  []Alert
	busy    map[string]string // target id to operation
	calls   map[string]int
}

// door is who has come.
type door struct {
	sockets map[*socket]bool
	fails   []time.Time // failed logins
}

// Alert is one open alert.
type Alert struct {
	Level string // "WARNING", "CRITICAL"
	Kind  string // "ServerUnreachable"
	Type  string // of the target: "Server"
	Name  string // of the target
	At    time.Time
}

// New makes a Core. It reads the syncs' files and takes them as applied.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Poll == 0 {
		o.Poll = time.Hour
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s := &Server{
		o: o, traps: newSwitches(), vars: map[string]string{},
		ledger: ledger{busy: map[string]string{}, calls: map[string]int{}}, door: door{sockets: map[*socket]bool{}},
	}
	s.life, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.mux = s.routes()
	for _, spec := range o.Syncs {
		y := &syncer{id: s.newID(), Sync: spec}
		s.syncs = append(s.syncs, y)
		if err := s.adopt(ctx, y); err != nil {
			return nil, fmt.Errorf("komodo: sync %s: %w", spec.Name, err)
		}
	}
	for _, st := range s.stacks {
		if err := s.begin(ctx, st); err != nil {
			return nil, fmt.Errorf("komodo: stack %s: %w", st.name, err)
		}
	}
	s.refreshAll(ctx)
	s.work.Go(s.poll)
	return s, nil
}

// Close ends everything that is under way.
func (s *Server) Close() {
	s.stop()
	s.Drop()
	s.work.Wait()
}

// Switch turns a trap on or off.
func (s *Server) Switch(t Trap, on bool) { s.traps.set(t, on) }

func (s *Server) has(t Trap) bool { return s.traps.on(t) }

// Calls is how often an execution was asked for, whatever came of it.
func (s *Server) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

// Raise opens an alert.
func (s *Server) Raise(a Alert) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.At.IsZero() {
		a.At = s.o.Now()
	}
	s.alerts = append(s.alerts, a)
}

// Restart is what a restart of Core leaves: updates in progress are failed, nobody is connected.
func (s *Server) Restart() {
	s.mu.Lock()
	now := s.o.Now().UnixMilli()
	for _, u := range s.updates {
		if u.Status != complete {
			u.fail("Komodo shutdown", "Komodo shutdown during execution. If this is a build, the builder may not have been terminated.", now)
		}
	}
	s.busy = map[string]string{}
	s.mu.Unlock()
	s.Drop()
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.has(PlainText) {
		http.Error(w, "upstream connect error or disconnect/reset before headers", http.StatusServiceUnavailable)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// newID makes an id as MongoDB does: 24 hexadecimal digits. The caller holds the lock, but while the Server is made.
func (s *Server) newID() string {
	s.serial++
	return fmt.Sprintf("%08x%016x", s.o.Now().Unix(), 0x6e65786f70000000+s.serial)
}

// poll looks at the repository now and then. It only refreshes what is known; it deploys nothing.
func (s *Server) poll() {
	tick := time.NewTicker(s.o.Poll)
	defer tick.Stop()
	last := s.heads()
	for {
		select {
		case <-s.life.Done():
			return
		case <-tick.C:
		}
		if now := s.heads(); now != last {
			last = now
			s.refreshAll(s.life)
		}
	}
}

// heads are the newest commits of all branches that a sync or a stack follows.
func (s *Server) heads() string {
	s.mu.Lock()
	branches := map[string]bool{}
	for _, y := range s.syncs {
		branches[y.Branch] = true
	}
	for _, st := range s.stacks {
		branches[st.config.Branch] = true
	}
	s.mu.Unlock()
	out := ""
	for _, b := range slices.Sorted(maps.Keys(branches)) {
		hash, _, _ := s.o.Estate.Head(s.life, b)
		out += hash + " "
	}
	return out
}

func (s *Server) refreshAll(ctx context.Context) {
	s.mu.Lock()
	stacks, syncs := append([]*stack(nil), s.stacks...), append([]*syncer(nil), s.syncs...)
	s.mu.Unlock()
	for _, st := range stacks {
		s.refreshStack(ctx, st)
	}
	for _, y := range syncs {
		s.refreshSync(ctx, y)
	}
}
