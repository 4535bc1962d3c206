package hold

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is two hosts that are this machine, each with a lock folder of its own kind: the commands are run for real.
type stage struct {
	dir   string
	hosts map[string]remote.Host
	snap  *fleet.Snapshot
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{dir: filepath.Join(t.TempDir(), "locks"), hosts: map[string]remote.Host{}}
	now := time.Now()
	s.snap = &fleet.Snapshot{Seq: 1, At: now, Environment: "prod", Services: []fleet.Service{{Key: fleet.ServiceKey{Environment: "prod", Name: "ai"}, Seen: now}}}
	local := remote.Local("prod-1")
	s.hosts["prod-1"] = actionstest.NewHost("prod-1", local.Run)
	s.snap.Hosts = append(s.snap.Hosts, fleet.Host{Name: "prod-1", Environment: "prod", Up: true}, fleet.Host{Name: "stage-1", Environment: "staging", Up: true})
	return s
}

func (s *stage) action() actions.Action {
	return New(DefaultConfig(), Deps{Lock: actions.LockConfig{Dir: s.dir}, Host: func(name string) (remote.Host, error) {
		h, ok := s.hosts[name]
		if !ok {
			return nil, errors.New("no such host")
		}
		return h, nil
	}})
}

type world struct{ snap *fleet.Snapshot }

func (w world) Latest() *fleet.Snapshot { return w.snap }
func (w world) Poke()                   {}

// do plans and runs, and gives the verdict.
func (s *stage) do(t *testing.T, who, what string) (*actions.Plan, actions.Outcome, []string) {
	t.Helper()
	p, err := s.action().Plan(context.Background(), s.snap, actions.Intent{Action: Name, Who: who, Args: map[string]string{ArgFor: what}})
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := p.Runnable(); !ok {
		t.Fatal(why)
	}
	for _, step := range p.Steps {
		if err := step.Do(context.Background(), func(string, string) {}); err != nil {
			return p, actions.OutcomeFailed, []string{err.Error()}
		}
	}
	o, reasons := p.Verify(context.Background(), world{s.snap}, func(string) {})
	return p, o, reasons
}

func (s *stage) read(t *testing.T, service string) *fleet.Hold {
	t.Helper()
	h, err := actions.NewHolds(actions.LockConfig{Dir: s.dir}, func(name string) (remote.Host, error) { return s.hosts[name], nil }).
		Check(context.Background(), "prod-1", "prod", service)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Latest is the estate as it is now, with the hold that is written on its host.
func (s *stage) Latest() *fleet.Snapshot {
	now := time.Now()
	snap := *s.snap
	snap.At, snap.Holds = now, nil
	snap.Sources = []fleet.SourceStatus{{ID: "docker/prod-1", Kind: "docker", Hosts: []string{"prod-1"}, State: fleet.SourceOK, LastSuccess: now}}
	if h, err := s.holds().Check(context.Background(), "prod-1", "prod", ""); err == nil && h != nil {
		snap.Holds = []fleet.Hold{*h}
	}
	return &snap
}

// Poke is not needed: the facts are always new.
func (s *stage) Poke() {}

// holds looks past the host that records.
func (s *stage) holds() *actions.Holds {
	return actions.NewHolds(actions.LockConfig{Dir: s.dir}, func(name string) (remote.Host, error) { return remote.Local(name), nil })
}

// state is all that lies in the locks' folder, but for when it was written.
func (s *stage) state() string {
	out := ""
	_ = filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		out += path + "\n"
		if err == nil && !d.IsDir() {
			b, _ := os.ReadFile(path) //nolint:gosec // a test's
			out += string(b)
		}
		return nil
	})
	return out
}

func TestContract(t *testing.T) {
	const canary = "canary-4711-bird"
	for _, what := range []string{"2h migration of orders", wordRelease} {
		t.Run(what, func(t *testing.T) {
			actionstest.Contract(t, func(t *testing.T) actionstest.Case {
				s := newStage(t)
				// What is there is one's own, and says more than it should.
				own := filepath.Join(s.dir, "hold+prod")
				at := time.Now().UTC().Truncate(time.Second).Add(-time.Minute).Format(time.RFC3339)
				text := `{"v":1,"owner":"ana@laptop","reason":"migration","since":"` + at + `","until":"0001-01-01T00:00:00Z","token":"` + canary + `","environment":"prod"}`
				if err := errors.Join(os.MkdirAll(own, 0o755), os.Chmod(s.dir, 0o755), os.WriteFile(own+"/owner.json", []byte(text), 0o600)); err != nil { //nolint:gosec // as on a host
					t.Fatal(err)
				}
				host, _ := s.hosts["prod-1"].(*actionstest.Host)
				return actionstest.Case{
					Action: s.action(), Snapshot: s.Latest(), World: s, Hosts: []*actionstest.Host{host}, State: s.state, Secret: canary,
					Intent: actions.Intent{Action: Name, Who: "ana@laptop", Args: map[string]string{ArgFor: what}}, NoTrace: true,
					Beside: func(argv []string) bool { // README.md lists them
						return slices.Contains([]string{"mkdir", "stat", "date", "cat", "tee"}, argv[0]) || argv[0] == "rm" && strings.HasSuffix(argv[2], ".takeover")
					},
				}
			})
		})
	}
}

// A hold that somebody has laid in the place of the one that the plan was made for is not taken away, nor written over.
func TestTheHoldOfThePlanAndNoOther(t *testing.T) {
	for what, want := range map[string]string{"release": "not released", "2h mine": "held by bo@desk"} {
		s := newStage(t)
		if _, o, reasons := s.do(t, "cy@home", "1h first"); o != actions.OutcomeGood {
			t.Fatal(o, reasons)
		}
		p, err := s.action().Plan(context.Background(), s.Latest(), actions.Intent{Action: Name, Who: "ana@laptop", Args: map[string]string{ArgFor: what}})
		if err != nil {
			t.Fatal(err)
		}
		was := *s.read(t, "")
		bo := actions.HoldRequest{Environment: "prod", Owner: "bo@desk", Reason: "load test", For: time.Hour, Replace: []fleet.Hold{was}}
		if err := s.holds().Put(context.Background(), "prod-1", bo); err != nil {
			t.Fatal(err)
		}
		err = p.Steps[0].Do(context.Background(), func(string, string) {})
		if h := s.read(t, ""); err == nil || errors.Is(err, actions.ErrUnknown) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "bo@desk") || h == nil || h.Owner != "bo@desk" {
			t.Errorf("%s: %v; held by %+v", what, err, h)
		}
	}
}

// What a host says that the screen did not show is not changed without having been seen.
func TestAHoldThatTheScreenDidNotShow(t *testing.T) {
	s := newStage(t)
	if _, o, _ := s.do(t, "bo@desk", "2h mine"); o != actions.OutcomeGood {
		t.Fatal(o)
	}
	snap := s.Latest()
	snap.Holds[0].Owner = "ana@laptop"
	p, err := s.action().Plan(context.Background(), snap, actions.Intent{Action: Name, Who: "ana@laptop", Args: map[string]string{ArgFor: wordRelease}})
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := p.Runnable(); ok || len(p.Steps) > 0 || !strings.Contains(why, "held by bo@desk") || !strings.Contains(why, "look again") {
		t.Errorf("runnable %v: %s", ok, why)
	}
}

func TestHoldExtendAndRelease(t *testing.T) {
	s := newStage(t)
	p, o, reasons := s.do(t, "ana@laptop", "2h migration of orders")
	h := s.read(t, "")
	if o != actions.OutcomeGood || h == nil || h.Reason != "migration of orders" || h.Owner != "ana@laptop" || time.Until(h.Until) > 2*time.Hour+time.Minute || time.Until(h.Until) < 119*time.Minute {
		t.Fatalf("%s %v: %+v", o, reasons, h)
	}
	if p.Title != "hold prod for 2 h: migration of orders" || p.Undo == nil || p.Undo.Args[ArgFor] != "release" || p.Undo.Words() != "release the hold of prod" || actions.Phrase(p) != "hold@prod" {
		t.Errorf("plan %q, undo %+v, phrase %s", p.Title, p.Undo, actions.Phrase(p))
	}
	s.snap.Holds = []fleet.Hold{*h}
	if moved := actions.Moved(p, s.snap); len(moved) != 1 {
		t.Errorf("the plan stands on no hold, and there is one: %v", moved)
	}
	if offer := s.action().Offer(s.snap, nil); !offer.Enabled || !strings.Contains(offer.Title, "extend or release") {
		t.Errorf("offer %+v", offer)
	}
	p, o, _ = s.do(t, "ana@laptop", "8h longer than thought")
	if h = s.read(t, ""); o != actions.OutcomeGood || time.Until(h.Until) < 7*time.Hour || p.Undo == nil || !strings.HasSuffix(p.Undo.Args[ArgFor], "migration of orders") {
		t.Errorf("%s: %+v, undo %+v", o, h, p.Undo)
	}
	if _, o, _ = s.do(t, "ana@laptop", "release"); o != actions.OutcomeGood || s.read(t, "") != nil {
		t.Errorf("%s: %+v", o, s.read(t, ""))
	}
	if entries, _ := os.ReadDir(s.dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestOneServiceAlone(t *testing.T) {
	s := newStage(t)
	if _, o, reasons := s.do(t, "ana@laptop", "ai: until-released load test"); o != actions.OutcomeGood {
		t.Fatal(o, reasons)
	}
	if h := s.read(t, "ai"); h == nil || !h.Until.IsZero() || h.Reason != "load test" || s.read(t, "") != nil {
		t.Errorf("%+v", h)
	}
}

// Somebody else's hold is replaced only knowingly: the plan says whose it is, and one that came meanwhile stops the step.
func TestAnothersHold(t *testing.T) {
	s := newStage(t)
	if _, o, _ := s.do(t, "bo@desk", "ai: 2h mine"); o != actions.OutcomeGood {
		t.Fatal(o)
	}
	if _, o, reasons := s.do(t, "ana@laptop", "ai: 1h"); o != actions.OutcomeFailed || !strings.Contains(reasons[0], "held by bo@desk") {
		t.Errorf("it was not in the snapshot: %s %v", o, reasons)
	}
	s.snap.Holds = []fleet.Hold{*s.read(t, "ai")}
	p, o, _ := s.do(t, "ana@laptop", "ai: 1h")
	if o != actions.OutcomeGood || s.read(t, "ai").Owner != "ana@laptop" || p.Undo != nil {
		t.Errorf("%s, undo %+v", o, p.Undo)
	}
	claimed := false
	for _, c := range p.Checks {
		claimed = claimed || c.Claim != nil && c.Claim.Against.Owner == "bo@desk"
	}
	if !claimed {
		t.Errorf("nothing has to be typed: %+v", p.Checks)
	}
}

func TestWishes(t *testing.T) {
	s := newStage(t)
	for what, want := range map[string]string{
		"": "say for how long", "1s": "no time from 1m", "2000h": "no time from 1m", "soon": "no time", "nosuch: 2h": "no service", "release": "nothing is held",
	} {
		_, err := s.action().Plan(context.Background(), s.snap, actions.Intent{Args: map[string]string{ArgFor: what}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", what, err)
		}
	}
	s.snap.Hosts[0].Up = false
	p, err := s.action().Plan(context.Background(), s.snap, actions.Intent{Args: map[string]string{ArgFor: "2h"}})
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := p.Runnable(); ok || !strings.Contains(why, "prod-1") {
		t.Errorf("a host that cannot be told: %v %s", ok, why)
	}
	if o := s.action().Offer(&fleet.Snapshot{}, nil); o.Enabled || o.Reason == "" {
		t.Errorf("%+v", o)
	}
	if c, err := s.action().(actions.Chooser).Choices(context.Background(), s.snap, nil); err != nil || len(c.Rows) != 5 || c.Arg != ArgFor {
		t.Errorf("%+v, %v", c, err)
	}
}

// The connection is lost in the step: nobody knows, and it is not said to have failed.
func TestLostConnection(t *testing.T) {
	s := newStage(t)
	p, err := s.action().Plan(context.Background(), s.snap, actions.Intent{Who: "ana@laptop", Args: map[string]string{ArgFor: "2h"}})
	if err != nil {
		t.Fatal(err)
	}
	h, _ := s.hosts["prod-1"].(*actionstest.Host)
	h.Lose(func(argv []string) bool { return argv[0] == "tee" }, true)
	if err := p.Steps[0].Do(context.Background(), func(string, string) {}); !errors.Is(err, actions.ErrUnknown) {
		t.Errorf("%v", err)
	}
}
