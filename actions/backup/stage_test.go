package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

const canary = "canary-4711-bird"

// stage is a small estate: a host whose folders are real, on this machine, and whose database is made up.
type stage struct {
	t    *testing.T
	dir  string
	cfg  Config
	host *actionstest.Host

	mu        sync.Mutex
	databases map[string]bool
	dump      []byte
	client    string // what pg_dump --version says
	free      int64  // KiB, as df says; 0 asks the real one
	breaks    string // what pg_dump says before it ends with 1
	slow      time.Duration
	watch     time.Duration // 0 is so seldom that it does not show
	backups   []fleet.BackupJob
	pokes     int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{
		t: t, dir: t.TempDir(), cfg: DefaultConfig(), databases: map[string]bool{"ai": true},
		dump: bytes.Repeat([]byte("PGDMP rows "), 5000), client: "pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)",
	}
	s.cfg.FloorMiB = 1
	s.cfg.Stores = storesOf("ops", filepath.Join(s.dir, "backups"))
	s.cfg.Jobs = map[string]*Job{"ai-db": {
		Kind: KindPostgres, Service: "ai", Environment: "prod", Host: "ops", To: "ops",
		Postgres: &Postgres{Database: "ai", Container: "ai-postgres", Password: "env:CANARY"},
	}}
	t.Setenv("CANARY", canary)
	s.host = actionstest.NewHost("ops", s.answer)
	if errs := s.cfg.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	return s
}

func (s *stage) deps() Deps {
	return Deps{Host: func(name string) (remote.Host, error) {
		if name != "ops" {
			return nil, fmt.Errorf("no host %s", name)
		}
		return s.host, nil
	}, Watch: s.watch, Seen: 2 * time.Second}
}

// folder is where the backups of the stage are.
func (s *stage) folder() string { return filepath.Join(s.dir, "backups") }

func (s *stage) files() []string {
	var out []string
	entries, _ := os.ReadDir(s.folder())
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// State is all that an action could change.
func (s *stage) State() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, name := range s.files() {
		content, _ := os.ReadFile(filepath.Join(s.folder(), name)) //nolint:gosec // a test's
		fmt.Fprintf(&b, "%s %d %x\n", name, len(content), content[:min(len(content), 40)])
	}
	return b.String() + fmt.Sprint(sortedKeys(s.databases))
}

func (s *stage) answer(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if cmd.Argv[0] != "docker" {
		if s.free > 0 && cmd.Argv[0] == "df" {
			return remote.Result{Stdout: fmt.Appendf(nil, "F 1 1 %d 1%% /\n", s.free)}, nil
		}
		cmd.Stdout = nil
		return remote.Local("ops").Run(ctx, cmd) //nolint:wrapcheck // a test's
	}
	if !slices.Equal(cmd.Argv[:4], []string{"docker", "exec", "-i", "ai-postgres"}) {
		return remote.Result{Code: 125, Stderr: []byte("no such container")}, nil
	}
	words := cmd.Argv[4:]
	in := cmd.Stdin
	if in == nil {
		in = strings.NewReader("")
	}
	if words[0] == "sh" {
		password := make([]byte, len(canary)+1)
		if _, err := io.ReadFull(in, password); err != nil || string(password) != canary+"\n" {
			return remote.Result{Code: 2, Stderr: []byte("password authentication failed")}, nil
		}
		words = words[3:]
	}
	return s.program(ctx, words, in)
}

func has(words []string, w string) bool { return slices.Contains(words, w) }

// program is the database and its programs.
func (s *stage) program(ctx context.Context, words []string, in io.Reader) (remote.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	say := func(text string) (remote.Result, error) { return remote.Result{Stdout: []byte(text)}, nil }
	last := words[len(words)-1]
	switch {
	case words[0] == "pg_dump" && last == "--version":
		return say(s.client + "\n")
	case words[0] == "pg_dump":
		select {
		case <-time.After(s.slow):
		case <-ctx.Done():
			return remote.Result{}, context.Cause(ctx)
		}
		if s.breaks != "" {
			return remote.Result{Code: 1, Stdout: s.dump[:100], Stderr: []byte(s.breaks)}, nil
		}
		return remote.Result{Stdout: s.dump}, nil
	case words[0] == "pg_restore":
		got, err := io.ReadAll(in)
		if err != nil || !bytes.Equal(got, s.dump) {
			return remote.Result{Code: 1, Stderr: []byte("pg_restore: error: input file does not appear to be a valid archive " + canary)}, nil
		}
		return say("; header\n;\n1; 2 TABLE ai\n2; 3 DATA ai\n")
	case words[0] == "createdb":
		s.databases[last] = true
		return say("")
	case words[0] == "dropdb":
		delete(s.databases, last)
		if has(words, "--if-exists") {
			return say("")
		}
	case strings.Contains(last, "server_version_num"):
		return say("150014 1048576\n")
	case strings.Contains(last, "data_directory"):
		return say("/var/lib/postgresql/data\n")
	case strings.Contains(last, "FROM pg_database"):
		var out []string
		for name := range s.databases {
			if strings.HasPrefix(name, "nexops_drill_") {
				out = append(out, name)
			}
		}
		return say(strings.Join(out, "\n"))
	case strings.Contains(last, "count(*)"):
		return say("2 1000\n")
	case words[0] == "df":
		return say("F 1 1 99999999 1% /\n")
	}
	return remote.Result{Code: 127, Stderr: []byte("not found: " + strings.Join(words, " "))}, nil
}

// Poke and Latest make the stage a World.
func (s *stage) Poke() { s.mu.Lock(); s.pokes++; s.mu.Unlock() }

func (s *stage) Latest() *fleet.Snapshot { return s.snapshot(time.Now()) }

func (s *stage) snapshot(now time.Time) *fleet.Snapshot {
	key := fleet.ServiceKey{Environment: "prod", Name: "ai"}
	return &fleet.Snapshot{
		Seq: 7, At: now, Environment: "prod", Hosts: []fleet.Host{{Name: "ops", Environment: "prod", Up: true}}, Backups: s.backups,
		Services: []fleet.Service{{Key: key, Seen: now, Hosts: []string{"ops"}, Instances: []*fleet.Instance{
			{ID: "abc", Host: "ops", Name: "ai-1", State: fleet.StateRunning, Release: fleet.Release{Image: "ai"}},
			{ID: "def", Host: "ops", Name: "ai-postgres", State: fleet.StateRunning, Release: fleet.Release{Image: "postgres"}},
		}}},
	}
}

func intent(action string) actions.Intent {
	return actions.Intent{Action: action, Args: map[string]string{ArgJob: "ai-db"}, Who: "ana@laptop"}
}

// run plans and runs an action as a person would who confirms.
func (s *stage) run(a actions.Action) ([]actions.Event, actions.Event) {
	s.t.Helper()
	p, err := a.Plan(s.t.Context(), s.Latest(), intent(a.Spec().Name))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.execute(s.t.Context(), p)
}

func (s *stage) execute(ctx context.Context, p *actions.Plan) ([]actions.Event, actions.Event) {
	s.t.Helper()
	j, err := actions.OpenJournal(filepath.Join(s.t.TempDir(), "journal"))
	if err != nil {
		s.t.Fatal(err)
	}
	r := actions.NewRunner(actions.RunnerOptions{
		Policy:  actions.Policy{Environments: map[string]actions.EnvironmentPolicy{"prod": {Confirm: actions.ConfirmY}}},
		Journal: j, Locker: actions.NewMemoryLocker(time.Now), World: s, Who: "ana@laptop",
		Timing: actions.Timing{Reread: 100 * time.Millisecond, Settle: 20 * time.Millisecond, Grace: 100 * time.Millisecond, Look: 5 * time.Millisecond},
	})
	ch, err := r.Run(ctx, p, actions.Confirmation{Yes: true})
	var refusal *actions.Refusal
	if errors.As(err, &refusal) {
		return nil, actions.Event{Outcome: "refused", Reasons: []string{refusal.Error()}}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	var list []actions.Event
	for ev := range ch {
		list = append(list, ev)
	}
	if err := r.Close(); err != nil {
		s.t.Error(err)
	}
	return list, list[len(list)-1]
}
