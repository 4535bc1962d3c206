package redeploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/lab/real"
	"github.com/nexgate-hq/nexops/remote"
)

const faultHost = "prod-1"

// TestLabFaults breaks something real before, in the middle of and after what a redeploy does. In each case: what
// is told is true, nothing is done twice, nothing is lost, the lock is given back or expires, the journal verifies.
func TestLabFaults(t *testing.T) {
	w := newLabWorld(t, []string{faultHost}, []string{real.GoodTag, real.FirstTag})
	for _, f := range []struct {
		name string
		test func(*testing.T, *fault)
	}{
		{"cable pulled before the step", cableBefore},
		{"cable pulled in the middle of the step", cableDuring},
		{"cable pulled after the step took effect", cableAfter},
		{"engine stopped in the middle", engineStopped},
		{"engine stopped for good", engineStoppedForGood},
		{"disk of the checkout full before the plan", diskFullBefore},
		{"disk of the checkout full in the middle", diskFullDuring},
		{"disk of the checkout full, tag in git", diskFullPull},
		{"disk of the locks full", diskFullLock},
		{"disk of the engine full", diskFullEngine},
		{"registry down before the plan", registryDownBefore},
		{"registry down in the middle", registryDownDuring},
		{"registry down in the middle, tag in git", registryDownGit},
		{"registry down, image on the host", registryNotNeeded},
		{"release pruned from host and registry", pruned},
		{"somebody else moved the tag", pushRejected},
		{"clock of the host ahead", clockAhead},
		{"clock of the console behind", clockBehind},
	} {
		t.Run(f.name, func(t *testing.T) { f.test(t, newFault(t, w)) })
	}
}

// fault is one case: the service runs GoodTag, and goes back to FirstTag.
type fault struct {
	*labWorld
	since  time.Time
	timing actions.Timing

	mu   sync.Mutex
	sent [][]string // what was sent to the host, by the steps and the preflights

	on     func(argv []string) bool // the command in which something breaks
	breaks func(ctx context.Context, h remote.Host, cmd remote.Command) (remote.Result, error)
}

func newFault(t *testing.T, w *labWorld) *fault {
	t.Helper()
	w.t = t
	ctx := t.Context()
	// Back from the case before, without the patience that a whole reset needs.
	if err := w.lab.Mend(ctx); err != nil {
		t.Fatal(err)
	}
	for _, argv := range [][]string{
		{"git", "-C", w.lab.Hosts[faultHost].Checkout, "checkout", "--quiet", "--force", "--", "."},
		{"rm", "-rf", "/tmp/nexops-locks"},
		{"sh", "-c", `docker image inspect "$0" >/dev/null 2>&1 || docker pull --quiet "$0"`, w.image() + ":" + real.FirstTag},
	} {
		if _, err := w.lab.SSH(ctx, faultHost, argv...); err != nil {
			t.Fatal(err)
		}
	}
	w.deploy(real.GoodTag)
	w.await("a healthy start", func() bool {
		s := w.Latest().Services[0]
		return s.Instances[0].Health == fleet.HealthHealthy && s.Instances[0].State == fleet.StateRunning
	})
	return &fault{labWorld: w, since: time.Now(), timing: actions.Timing{Reread: 15 * time.Second, Settle: 10 * time.Second}}
}

// host is the connection on which things break.
func (f *fault) host(name string) (remote.Host, error) {
	h, err := f.pool.Host(name)
	if err != nil || name != faultHost {
		return h, err //nolint:wrapcheck // a test
	}
	return breaking{Host: h, f: f}, nil
}

type breaking struct {
	remote.Host
	f *fault
}

func (b breaking) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	b.f.mu.Lock()
	b.f.sent = append(b.f.sent, cmd.Argv)
	b.f.mu.Unlock()
	if b.f.on != nil && b.f.on(cmd.Argv) {
		return b.f.breaks(ctx, b.Host, cmd)
	}
	return b.Host.Run(ctx, cmd)
}

func has(words ...string) func(argv []string) bool {
	return func(argv []string) bool {
		for _, w := range words {
			if !slices.Contains(argv, w) {
				return false
			}
		}
		return true
	}
}

// result is what a run left.
type result struct {
	texts string
	end   actions.Event
	why   string
}

// goBack plans and runs, and looks at what has to be so whatever broke. between happens after the plan was made.
func (f *fault) goBack(home string, between func()) result {
	f.t.Helper()
	a := New(f.config(home), Deps{Host: f.host, CacheDir: f.t.TempDir(), Now: f.time})
	p := f.plan(a)
	f.mu.Lock()
	f.sent = nil
	f.mu.Unlock()
	if between != nil {
		between()
	}
	j, err := actions.OpenJournal(filepath.Join(f.t.TempDir(), "journal"))
	if err != nil {
		f.t.Fatal(err)
	}
	r := actions.NewRunner(actions.RunnerOptions{
		Policy:  actions.Policy{Environments: map[string]actions.EnvironmentPolicy{"prod": {Confirm: actions.ConfirmY}}},
		Journal: j, Locker: actions.NewHostLocker(actions.DefaultLockConfig(), f.host, nil), World: f, Who: "ana@laptop",
		Timing: f.timing, Now: f.time,
	})
	ch, err := r.Run(f.t.Context(), p, actions.Confirmation{Yes: true})
	if err != nil {
		f.t.Fatal(err)
	}
	var res result
	for ev := range ch {
		res.texts += fmt.Sprintf("%s %d %s %s\n", ev.Kind, ev.Step, ev.Text, ev.Err)
		res.end = ev
	}
	res.why = strings.Join(res.end.Reasons, "\n")
	f.t.Logf("ended %s:\n%s", res.end.Outcome, res.why)
	if err := errors.Join(r.Close(), j.Verify()); err != nil {
		f.t.Error(err)
	}
	f.onRecord(j, p, res)
	f.sentOnce(p)
	return res
}

// onRecord: the journal has the plan, each step begun once, and the outcome that was told.
func (f *fault) onRecord(j *actions.Journal, p *actions.Plan, res result) {
	f.t.Helper()
	entries, err := j.Read(actions.Query{Plan: p.ID})
	if err != nil {
		f.t.Fatal(err)
	}
	begun := map[int]int{}
	for _, e := range entries {
		if e.Event != nil && e.Event.Kind == actions.EventStepBegan {
			if begun[e.Event.Step]++; begun[e.Event.Step] > 1 {
				f.t.Errorf("step %d began twice", e.Event.Step)
			}
		}
	}
	if last := entries[len(entries)-1]; last.Outcome == nil || last.Outcome.Outcome != res.end.Outcome {
		f.t.Errorf("told %s, on record is %+v", res.end.Outcome, last)
	}
	if open, err := j.Unfinished(time.Now()); err != nil || len(open) > 0 {
		f.t.Errorf("left without an end: %+v, %v", open, err)
	}
}

// sentOnce: no changing command was sent twice.
func (f *fault) sentOnce(p *actions.Plan) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range p.Steps {
		n := 0
		for _, argv := range f.sent {
			if s.Mutates && s.Host != "" && slices.Equal(argv, s.Argv) {
				n++
			}
		}
		if n > 1 {
			f.t.Errorf("%s was sent %d times", s.Name, n)
		}
	}
}

// left looks at the host itself, when it can be reached again.
type left struct {
	tag     string // of the only container of the service
	state   string
	created int    // containers since the case began
	file    string // the tag in the checkout
	temps   string
}

func (f *fault) left() left {
	f.t.Helper()
	ctx := f.t.Context()
	list, err := f.instances(ctx, faultHost, f.service)
	if err != nil || len(list) == 0 {
		f.t.Fatalf("what is there: %+v, %v", list, err)
	}
	events, err := f.lab.EngineEvents(ctx, faultHost, f.service, f.since)
	if err != nil {
		f.t.Fatal(err)
	}
	l := left{tag: list[0].Release.Tag, state: string(list[0].State)}
	for _, in := range list {
		if in.State == fleet.StateRunning {
			l.tag, l.state = in.Release.Tag, string(in.State)
		}
	}
	for _, e := range events {
		if e == "create" {
			l.created++
		}
	}
	dir := f.lab.Hosts[faultHost].Checkout + "/services/" + f.service
	text, err := f.lab.SSH(ctx, faultHost, "cat", dir+"/tag.env")
	if err != nil {
		f.t.Fatal(err)
	}
	l.file = strings.TrimSpace(text)
	if l.temps, err = f.lab.SSH(ctx, faultHost, "find", dir, "-name", "*.nexops-*"); err != nil {
		f.t.Fatal(err)
	}
	return l
}

func (f *fault) is(want left) {
	f.t.Helper()
	if got := f.left(); got != want {
		f.t.Errorf("left is %+v, want %+v", got, want)
	}
}

var (
	untouched = left{tag: real.GoodTag, state: "running", file: "AI_TAG=" + real.GoodTag}
	arrived   = left{tag: real.FirstTag, state: "running", created: 1, file: "AI_TAG=" + real.FirstTag}
)

// ends checks the outcome told, and the words it has to hold.
func (f *fault) ends(res result, o actions.Outcome, words ...string) {
	f.t.Helper()
	if res.end.Outcome != o {
		f.t.Errorf("ended %s, want %s:\n%s\n%s", res.end.Outcome, o, res.why, res.texts)
	}
	for _, w := range words {
		if !strings.Contains(res.why, w) {
			f.t.Errorf("not said: %q\n%s", w, res.why)
		}
	}
}

// lockIsFree: nobody has to do anything for the next action.
func (f *fault) lockIsFree() {
	f.t.Helper()
	if out, _ := f.lab.SSH(f.t.Context(), faultHost, "ls", "-A", "/tmp/nexops-locks"); strings.TrimSpace(out) != "" {
		f.t.Errorf("the lock was left: %s", out)
	}
}

// lockExpires: it was left, but has an end that is said.
func (f *fault) lockExpires(res result) {
	f.t.Helper()
	out, err := f.lab.SSH(f.t.Context(), faultHost, "cat", "/tmp/nexops-locks/prod.ai/owner.json")
	if err != nil {
		f.lockIsFree() // it could be given back after all
		return
	}
	var o struct{ Until time.Time }
	expiry := time.Duration(actions.DefaultLockConfig().Expiry)
	if err := json.Unmarshal([]byte(out), &o); err != nil || o.Until.IsZero() || time.Until(o.Until) > expiry {
		f.t.Errorf("a lock that does not expire: %s, %v", out, err)
	}
	if !strings.Contains(res.why, "it expires by itself within") {
		f.t.Errorf("the lock was left, and nobody says so: %s", res.why)
	}
}

func (f *fault) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Error(err)
	}
}
