package actions

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// A lock that lives on after somebody confirmed to take it over was no dead console's.
func TestALockThatWasRenewedIsNotTakenOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	until := time.Now().Add(-time.Minute)
	plant(t, dir, owner{V: 1, Owner: "bo@desk", Since: until.Add(-time.Hour), Until: until, Plan: "old"})
	confirmed := takeover(t, dir, "p1")
	plant(t, dir, owner{V: 1, Owner: "bo@desk", Since: until.Add(-time.Hour), Until: time.Now().Add(time.Minute), Plan: "old"})
	var locked *LockedError
	if _, err := hostLocker(dir, time.Minute).Lock(context.Background(), confirmed); !errors.As(err, &locked) || locked.Expired() {
		t.Errorf("lock: %v", err)
	}
	plant(t, dir, owner{V: 1, Owner: "eve@desk", Since: until, Until: until, Plan: "another"})
	if _, err := hostLocker(dir, time.Minute).Lock(context.Background(), confirmed); !errors.As(err, &locked) || locked.Owner != "eve@desk" || !locked.Expired() {
		t.Errorf("another's expired lock was taken over on a confirmation that was not for it: %v", err)
	}
}

// The lock of a console that is known to be dead need not have expired.
func TestAKnownDeadConsolesLockIsTakenOverBeforeItExpires(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	plant(t, dir, owner{V: 1, Owner: "ana@laptop", Since: time.Now(), Until: time.Now().Add(time.Hour), Plan: "old"})
	h, err := hostLocker(dir, time.Minute).Lock(context.Background(), takeover(t, dir, "p1"))
	if err != nil {
		t.Fatal(err)
	}
	release(t, h)
	if left := entries(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Console and host ten minutes apart, either way: what counts is the host's clock alone.
func TestClockSkewDoesNotMatter(t *testing.T) {
	for _, skew := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		dir := filepath.Join(t.TempDir(), "locks")
		hosts := func(name string) (remote.Host, error) { return clocked{remote.Local(name), &skew}, nil }
		l := NewHostLocker(LockConfig{Dir: dir, Expiry: remote.Duration(time.Minute)}, hosts, nil)
		held, err := l.Lock(context.Background(), request("p1"))
		if err != nil {
			t.Fatal(err)
		}
		var locked *LockedError
		if _, err := l.Lock(context.Background(), request("p2")); !errors.As(err, &locked) || locked.Expired() {
			t.Errorf("skew %s: a live lock: %v", skew, err)
		}
		found, err := l.Look(context.Background(), LockRequest{Services: []fleet.ServiceKey{aiProd}, Hosts: []string{"prod-1"}})
		if err != nil || len(found) != 1 || found[0].Expired() || found[0].Until.Sub(found[0].Now) < 50*time.Second {
			t.Errorf("skew %s: looked at: %+v, %v", skew, found, err)
		}
		skew += 2 * time.Minute
		if _, err := l.Lock(context.Background(), request("p2")); !errors.As(err, &locked) || !locked.Expired() {
			t.Errorf("skew %s: a lock that nobody renewed for two minutes: %v", skew, err)
		}
		skew -= 2 * time.Minute
		release(t, held)
	}
}

// boundAction plans whatever it is told to.
type boundAction struct {
	spec Spec
	make func(snap *fleet.Snapshot, in Intent) (*Plan, error)
}

func (a boundAction) Spec() Spec { return a.spec }

func (a boundAction) Offer(*fleet.Snapshot, []fleet.Ref) Offer {
	return Offer{Enabled: true, Title: a.spec.Title}
}

func (a boundAction) Plan(_ context.Context, snap *fleet.Snapshot, in Intent) (*Plan, error) {
	return a.make(snap, in)
}

func guarded(dir string, dead func(string) bool) *Guard {
	return &Guard{Who: "ana@laptop", Now: time.Now, Look: hostLocker(dir, time.Minute).Look, Dead: dead, Order: []string{"postgres", "api", "web"}}
}

func TestTakingOverIsInThePlanAndTyped(t *testing.T) {
	now := time.Now()
	cases := map[string]struct {
		lock  owner
		dead  bool
		state CheckState
		words string
	}{
		"live":    {owner{V: 1, Owner: "bo@desk", Reason: "redeploy ai", Since: now, Until: now.Add(time.Hour), Plan: "old"}, false, CheckFail, "locked on prod-1 by bo@desk"},
		"expired": {owner{V: 1, Owner: "bo@desk", Reason: "redeploy ai", Since: now, Until: now.Add(-5*time.Minute - 10*time.Second), Plan: "old"}, false, CheckWarn, "takes over the lock of bo@desk (redeploy ai), not renewed for 5 min"},
		"dead":    {owner{V: 1, Owner: "ana@laptop", Reason: "redeploy ai", Since: now, Until: now.Add(time.Minute), Plan: "old"}, true, CheckWarn, "its console is dead"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "locks")
			plant(t, dir, c.lock)
			b := newBench(t, func(o *RunnerOptions) {
				o.Policy.Environments["prod"] = EnvironmentPolicy{Confirm: ConfirmNone}
				o.Locker = hostLocker(dir, time.Minute)
			})
			act := boundAction{make: func(*fleet.Snapshot, Intent) (*Plan, error) {
				p := b.plan(Step{Name: "go", Mutates: true, Do: nothing})
				p.LockHosts = []string{"prod-1"}
				return p, nil
			}}
			p, err := guarded(dir, func(string) bool { return c.dead }).Plan(t.Context(), act, b.w.Latest(), Intent{Targets: []fleet.Ref{{Service: aiProd}}})
			if err != nil {
				t.Fatal(err)
			}
			last := p.Checks[len(p.Checks)-1]
			if last.State != c.state || !strings.Contains(last.Detail, c.words) {
				t.Fatalf("check %+v", last)
			}
			if c.state == CheckFail {
				return
			}
			if need, phrase := b.r.Required(p); need != ConfirmType || phrase != "takeover:ai@prod" {
				t.Errorf("it asks for %s %s", need, phrase)
			}
			if _, err := b.r.Run(t.Context(), p, Confirmation{Yes: true, Typed: "ai@prod"}); err == nil {
				t.Fatal("it ran without the takeover confirmed")
			}
			ch, err := b.r.Run(t.Context(), p, Confirmation{Typed: "takeover:ai@prod\n"})
			list := finish(t, ch, err)
			if end := list[len(list)-1]; end.Outcome != OutcomeGood {
				t.Errorf("ended %s: %v", end.Outcome, end.Reasons)
			}
			told := false
			for _, e := range list {
				told = told || e.Kind == EventLocked && strings.Contains(e.Text, "taken over from "+c.lock.Owner+" (plan old)")
			}
			if !told {
				t.Error("nothing on record says whose lock was taken over")
			}
			if left := entries(t, dir); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestActingAgainstAHoldIsTyped(t *testing.T) {
	b := newBench(t, func(o *RunnerOptions) { o.Policy.Environments["prod"] = EnvironmentPolicy{Confirm: ConfirmY} })
	act := boundAction{make: func(*fleet.Snapshot, Intent) (*Plan, error) {
		return b.plan(Step{Name: "go", Mutates: true, Do: nothing}), nil
	}}
	for owner, need := range map[string]Confirm{"bo@desk": ConfirmType, "ana@laptop": ConfirmY} {
		snap := b.w.Latest()
		snap.Holds = []fleet.Hold{{Environment: "prod", Owner: owner, Reason: "migration"}, {Environment: "prod", Service: "other", Owner: "eve"}}
		p, err := (&Guard{Who: "ana@laptop", Now: time.Now}).Plan(t.Context(), act, snap, Intent{Targets: []fleet.Ref{{Service: aiProd}}})
		if err != nil {
			t.Fatal(err)
		}
		if got, phrase := b.r.Required(p); got != need || phrase != "ai@prod" {
			t.Errorf("held by %s: it asks for %s %s, not %s", owner, got, phrase, need)
		}
		if last := p.Checks[len(p.Checks)-1]; last.State != CheckWarn || !strings.Contains(last.Detail, "held by "+owner) || strings.Contains(last.Detail, "eve") {
			t.Errorf("check %+v", last)
		}
	}
}
