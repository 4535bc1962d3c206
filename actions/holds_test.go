package actions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

func TestHoldIsPutReadAndCleared(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	ctx := context.Background()
	h := NewHolds(LockConfig{Dir: dir}, localHosts)
	for _, service := range []string{"", "ai"} {
		req := HoldRequest{Environment: "prod", Service: service, Owner: "ana@laptop", Reason: "migration", For: time.Hour, Plan: "p1"}
		if err := h.Put(ctx, "prod-1", req); err != nil {
			t.Fatal(err)
		}
		got, err := h.Check(ctx, "prod-1", "prod", service)
		if err != nil || got == nil || got.Owner != "ana@laptop" || got.Reason != "migration" || got.Service != service || got.Until.Sub(got.Since) != time.Hour {
			t.Fatalf("check: %+v, %v", got, err)
		}
		other := req
		other.Owner = "bo@desk"
		var held *HeldError
		if err := h.Put(ctx, "prod-1", other); !errors.As(err, &held) || held.Hold.Owner != "ana@laptop" || errors.Is(err, ErrUnknown) {
			t.Errorf("somebody else's hold was written over, or the error does not say whose it is: %v", err)
		}
		req.For = 2 * time.Hour // one's own is extended
		if err := h.Put(ctx, "prod-1", req); err != nil {
			t.Error(err)
		}
		was, err := h.Check(ctx, "prod-1", "prod", service)
		if err != nil {
			t.Fatal(err)
		}
		old := *was
		old.Since = old.Since.Add(-time.Minute) // the plan was made for one that is another by now
		other.Replace = []fleet.Hold{old}
		if err := h.Put(ctx, "prod-1", other); !errors.As(err, &held) {
			t.Errorf("another hold than the one that was shown was written over: %v", err)
		}
		other.Replace = []fleet.Hold{*was}
		if err := h.Put(ctx, "prod-1", other); err != nil {
			t.Error(err)
		}
		if got, err := h.Check(ctx, "prod-1", "prod", service); err != nil || got == nil || got.Owner != "bo@desk" {
			t.Errorf("after replacing: %+v, %v", got, err)
		}
		// What the plan was made for is not what is there: it stays, and it is said whose it is.
		err = h.Clear(ctx, *was)
		if !errors.As(err, &held) || held.Hold.Owner != "bo@desk" || errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "not released") {
			t.Errorf("somebody else's hold was taken away, or it is not said whose it is: %v", err)
		}
		now, err := h.Check(ctx, "prod-1", "prod", service)
		if err != nil || now == nil || now.Owner != "bo@desk" {
			t.Fatalf("after a release of another: %+v, %v", now, err)
		}
		if err := errors.Join(h.Clear(ctx, *now), h.Clear(ctx, *now)); err != nil {
			t.Errorf("clear, twice: %v", err)
		}
		if got, err := h.Check(ctx, "prod-1", "prod", service); err != nil || got != nil {
			t.Errorf("after clearing: %+v, %v", got, err)
		}
	}
	if left := entries(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestHoldIsOverByTheHostsClock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	ctx := context.Background()
	skew := 10 * time.Minute
	hosts := func(name string) (remote.Host, error) { return clocked{remote.Local(name), &skew}, nil }
	h := NewHolds(LockConfig{Dir: dir}, hosts)
	if err := h.Put(ctx, "prod-1", HoldRequest{Environment: "prod", Owner: "ana", For: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Check(ctx, "prod-1", "prod", ""); err != nil || got == nil {
		t.Fatalf("a hold of a minute on a host ten minutes ahead: %+v, %v", got, err)
	}
	skew += 2 * time.Minute
	if got, err := h.Check(ctx, "prod-1", "prod", ""); err != nil || got != nil {
		t.Errorf("two minutes later: %+v, %v", got, err)
	}
	if err := h.Put(ctx, "prod-1", HoldRequest{Environment: "prod", Owner: "bo"}); err != nil {
		t.Errorf("a hold that is over is in the way: %v", err)
	}
	if got, err := h.Check(ctx, "prod-1", "prod", ""); err != nil || got == nil || !got.Until.IsZero() {
		t.Errorf("a hold until cleared: %+v, %v", got, err)
	}
}

// A folder in the place of a hold that nobody knows who has put there is not written into: a link in it could lead anywhere.
func TestAHoldIsNotWrittenIntoALink(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	victim := t.TempDir()
	if err := errors.Join(os.MkdirAll(dir, 0o750), os.Symlink(victim, filepath.Join(dir, "hold+prod"))); err != nil {
		t.Fatal(err)
	}
	h := NewHolds(LockConfig{Dir: dir}, localHosts)
	err := h.Put(context.Background(), "prod-1", HoldRequest{Environment: "prod", Owner: "ana", For: time.Hour})
	if err == nil || !strings.Contains(err.Error(), "not ours") || errors.Is(err, ErrUnknown) {
		t.Errorf("put: %v", err)
	}
	if left := entries(t, victim); len(left) != 0 {
		t.Errorf("written: %v", left)
	}
	if left := entries(t, dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// Of two consoles that change one hold at once one wins, and the other says so.
func TestAHoldIsChangedByOneAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	ctx := context.Background()
	h := NewHolds(LockConfig{Dir: dir}, localHosts)
	req := HoldRequest{Environment: "prod", Owner: "ana", For: time.Hour}
	if err := h.Put(ctx, "prod-1", req); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "hold+prod.takeover")
	if err := os.Mkdir(other, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := h.Put(ctx, "prod-1", req); err == nil || !strings.Contains(err.Error(), "another console is changing the hold") || errors.Is(err, ErrUnknown) {
		t.Errorf("put: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("the other's folder: %v", err)
	}
}

func TestHoldStepsSayWhatRuns(t *testing.T) {
	h := NewHolds(LockConfig{Dir: "/var/lock/nexops"}, localHosts)
	put := h.Steps([]string{"prod-1", "prod-2"}, HoldRequest{Environment: "prod", Service: "ai"})
	gone := h.ClearSteps([]fleet.Hold{{Host: "prod-1", Environment: "prod"}})
	if len(put) != 2 || put[1].Host != "prod-2" || !put[0].Mutates || strings.Join(put[0].Argv, " ") != "mv /var/lock/nexops/hold+prod.ai/owner.json.new /var/lock/nexops/hold+prod.ai/owner.json" {
		t.Errorf("steps %+v", put)
	}
	if len(gone) != 1 || strings.Join(gone[0].Argv, " ") != "rm -rf /var/lock/nexops/hold+prod" {
		t.Errorf("steps %+v", gone)
	}
	if name := lockName(fleet.ServiceKey{Environment: "hold+prod", Name: "ai"}); strings.Contains(name, "+") {
		t.Errorf("a lock could have a hold's name: %s", name)
	}
}

// A connection lost on the way leaves open whether the hold is there.
func TestHoldOnALostConnection(t *testing.T) {
	hosts := func(name string) (remote.Host, error) { return lost{remote.Local(name)}, nil }
	h := NewHolds(LockConfig{Dir: t.TempDir()}, hosts)
	if err := h.Put(context.Background(), "prod-1", HoldRequest{Environment: "prod", Owner: "ana"}); !errors.Is(err, ErrUnknown) {
		t.Errorf("put: %v", err)
	}
	if err := h.Clear(context.Background(), fleet.Hold{Host: "prod-1", Environment: "prod"}); !errors.Is(err, ErrUnknown) {
		t.Errorf("clear: %v", err)
	}
}

// clocked is a host whose clock is ahead of ours.
type clocked struct {
	remote.Host
	skew *time.Duration
}

func (c clocked) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if strings.Join(cmd.Argv, " ") == "date +%s" {
		return remote.Result{Stdout: []byte(fmt.Sprint(time.Now().Add(*c.skew).Unix()) + "\n")}, nil
	}
	return c.Host.Run(ctx, cmd)
}

// lost is a host whose connection is cut in every rm and tee.
type lost struct{ remote.Host }

func (l lost) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if cmd.Argv[0] == "rm" || cmd.Argv[0] == "tee" {
		return remote.Result{}, errors.New("connection lost")
	}
	return l.Host.Run(ctx, cmd)
}
