package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// shelf is a place that keeps conditions, unless it is told not to.
type shelf struct {
	mu       sync.Mutex
	skew     time.Duration
	n        int
	body     map[string][]byte
	version  map[string]string
	careless bool // writes over everything
	deaf     int  // so many writes are taken, and their answers lost
	twice    bool // the way to it sends every write twice
}

func newShelf() *shelf { return &shelf{body: map[string][]byte{}, version: map[string]string{}} }

func (s *shelf) String() string { return "s3 backups/prod" }

func (s *shelf) ReadLock(_ context.Context, name string, _ int64) ([]byte, string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.body[name], s.version[name], time.Now().Add(s.skew), nil
}

func (s *shelf) WriteLock(_ context.Context, name string, body []byte, version string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ok := s.put(name, body, version)
	if s.twice {
		ok = s.put(name, body, version)
	}
	if s.deaf > 0 {
		s.deaf--
		return false, errors.New("connection reset")
	}
	return ok, nil
}

func (s *shelf) put(name string, body []byte, version string) bool {
	if !s.careless && s.version[name] != version {
		return false
	}
	s.n++
	s.body[name], s.version[name] = append([]byte{}, body...), fmt.Sprint(s.n)
	return true
}

func (s *shelf) RemoveLock(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.body, name)
	delete(s.version, name)
	return nil
}

// owner is who the lock says holds it.
func (s *shelf) owner(t *testing.T) owner {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var o owner
	if b := s.body["prod.ai"]; b != nil {
		if err := json.Unmarshal(b, &o); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func placed(s *shelf, who, plan string) LockRequest {
	return LockRequest{Services: []fleet.ServiceKey{aiProd}, Places: []LockPlace{s}, Owner: who, Reason: "back up ai", Plan: plan}
}

// lockerOf is the locker of one console: each has its own, as on machines of their own.
func lockerOf(expiry time.Duration) *HostLocker {
	return NewHostLocker(LockConfig{Expiry: remote.Duration(expiry)}, localHosts, nil)
}

func TestOfTwoConsolesOneLocksAPlace(t *testing.T) {
	for _, skew := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		s := newShelf()
		s.skew = skew
		first, err := lockerOf(time.Minute).Lock(t.Context(), placed(s, "ana@laptop", "p1"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = lockerOf(time.Minute).Lock(t.Context(), placed(s, "bo@desk", "p2"))
		var locked *LockedError
		if !errors.As(err, &locked) || locked.Owner != "ana@laptop" || locked.Expired() || !strings.Contains(err.Error(), "locked on s3 backups/prod by ana@laptop") {
			t.Errorf("skew %s: second: %v", skew, err)
		}
		found, err := lockerOf(time.Minute).Look(t.Context(), placed(s, "", ""))
		if err != nil || len(found) != 1 || found[0].Owner != "ana@laptop" || found[0].Reason != "back up ai" {
			t.Errorf("look: %v %v", found, err)
		}
		release(t, first)
		again, err := lockerOf(time.Minute).Lock(t.Context(), placed(s, "bo@desk", "p3"))
		if err != nil {
			t.Fatal(err)
		}
		release(t, again)
		if len(s.body) != 0 {
			t.Errorf("left behind: %s", s.body)
		}
	}
}

func TestManyConsolesAtOnceLockAPlaceOnce(t *testing.T) {
	s := newShelf()
	var wg sync.WaitGroup
	won := make(chan Held, 20)
	for i := range 20 {
		wg.Go(func() {
			if h, err := lockerOf(time.Minute).Lock(t.Context(), placed(s, "ana@laptop", fmt.Sprint("p", i))); err == nil {
				won <- h
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d have the lock", len(won))
	}
	release(t, <-won)
}

// A lock that nobody renewed blocks until somebody says that it is taken over, and then that very one.
func TestALockInAPlaceIsTakenOverOnlyWhenSaid(t *testing.T) {
	s := newShelf()
	dead := owner{V: 1, Owner: "leo@laptop", Plan: "old", Since: time.Now().Add(-time.Hour), Until: time.Now().Add(-time.Minute)}
	b, _ := json.Marshal(dead)
	s.put("prod.ai", b, "")
	var locked *LockedError
	_, err := lockerOf(time.Minute).Lock(t.Context(), placed(s, "bo@desk", "p2"))
	if !errors.As(err, &locked) || !locked.Expired() || locked.Owner != "leo@laptop" {
		t.Fatalf("not said: %v", err)
	}
	req := placed(s, "bo@desk", "p3")
	req.TakeOver = []fleet.Lock{locked.Lock()}
	req.TakeOver[0].Plan = "another"
	if _, err := lockerOf(time.Minute).Lock(t.Context(), req); !errors.As(err, &locked) {
		t.Errorf("another's was said: %v", err)
	}
	req.TakeOver[0].Plan = "old"
	h, err := lockerOf(time.Minute).Lock(t.Context(), req)
	if err != nil || s.owner(t).Owner != "bo@desk" {
		t.Fatalf("said: %v %+v", err, s.owner(t))
	}
	release(t, h)
	if len(s.body) != 0 {
		t.Errorf("left behind: %s", s.body)
	}
}

func TestALockInAPlaceIsRenewedAndItsLossIsTold(t *testing.T) {
	s := newShelf()
	h, err := lockerOf(3*time.Second).Lock(t.Context(), placed(s, "ana@laptop", "p1"))
	if err != nil {
		t.Fatal(err)
	}
	began := s.owner(t).Until
	for end := time.Now().Add(10 * time.Second); !s.owner(t).Until.After(began); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not renewed")
		}
	}
	b, _ := json.Marshal(owner{V: 1, Owner: "bo@desk", Plan: "p2", Since: time.Now(), Until: time.Now().Add(time.Hour)})
	s.mu.Lock()
	s.put("prod.ai", b, s.version["prod.ai"])
	s.mu.Unlock()
	select {
	case err := <-h.Lost():
		if !strings.Contains(err.Error(), "bo@desk") {
			t.Errorf("lost: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody was told")
	}
	if err := h.Release(t.Context()); err == nil || s.owner(t).Owner != "bo@desk" {
		t.Errorf("another's lock was given back: %v %+v", err, s.owner(t))
	}
}

// One that expired meanwhile may be taken over at the very moment: it is written over, not removed.
func TestAnExpiredLockOfOursIsGivenBackAsFree(t *testing.T) {
	s := newShelf()
	h, err := lockerOf(time.Hour).Lock(t.Context(), placed(s, "ana@laptop", "p1"))
	if err != nil {
		t.Fatal(err)
	}
	s.skew = 2 * time.Hour
	release(t, h)
	if found, err := lockerOf(time.Hour).Look(t.Context(), placed(s, "", "")); err != nil || len(found) != 0 || len(s.body) != 1 {
		t.Errorf("%v %v %s", found, err, s.body)
	}
	if h, err = lockerOf(time.Hour).Lock(t.Context(), placed(s, "bo@desk", "p2")); err != nil {
		t.Fatal(err)
	}
	release(t, h)
	if len(s.body) != 0 {
		t.Errorf("left behind: %s", s.body)
	}
}

func TestAPlaceThatKeepsNoConditionsKeepsNoLock(t *testing.T) {
	s := newShelf()
	s.careless = true
	if _, err := lockerOf(time.Minute).Lock(t.Context(), placed(s, "ana@laptop", "p1")); err == nil || !strings.Contains(err.Error(), `lock = "local"`) {
		t.Errorf("%v", err)
	}
	if len(s.body) != 0 {
		t.Errorf("left behind: %s", s.body)
	}
	dead := owner{V: 1, Owner: "leo@laptop", Plan: "old", Since: time.Now().Add(-time.Hour), Until: time.Now().Add(-time.Minute)}
	b, _ := json.Marshal(dead)
	s.put("prod.ai", b, "")
	req := placed(s, "ana@laptop", "p2")
	req.TakeOver = []fleet.Lock{{Subject: fleet.Subject{Environment: "prod", Service: "ai", Host: s.String()}, Plan: "old", Until: dead.Until}}
	if _, err := lockerOf(time.Minute).Lock(t.Context(), req); err == nil || !strings.Contains(err.Error(), `lock = "local"`) {
		t.Errorf("taken over: %v", err)
	}
	if found, err := lockerOf(time.Minute).Look(t.Context(), placed(s, "", "")); err != nil || len(found) != 0 {
		t.Errorf("left behind: %v %v", found, err)
	}
}

func TestALockWhoseAnswerIsLost(t *testing.T) {
	s := newShelf()
	s.deaf = 1
	if _, err := lockerOf(time.Minute).Lock(t.Context(), placed(s, "ana@laptop", "p1")); err == nil || len(s.body) != 0 {
		t.Errorf("%v, left %s", err, s.body)
	}
	s.twice = true
	h, err := lockerOf(time.Minute).Lock(t.Context(), placed(s, "ana@laptop", "p2"))
	if err != nil {
		t.Fatalf("sent twice on its way: %v", err)
	}
	release(t, h)
}

func TestWhatIsNoLockIsLeftAlone(t *testing.T) {
	s := newShelf()
	s.put("prod.ai", []byte("my notes"), "")
	if _, err := lockerOf(time.Minute).Lock(t.Context(), placed(s, "ana@laptop", "p1")); err == nil || string(s.body["prod.ai"]) != "my notes" {
		t.Errorf("%v, %s", err, s.body)
	}
}

// The plan of somebody who comes later says whose lock it is.
func TestThePlanTellsOfALockInAPlace(t *testing.T) {
	s := newShelf()
	h, err := lockerOf(time.Minute).Lock(t.Context(), placed(s, "ana@laptop", "p1"))
	if err != nil {
		t.Fatal(err)
	}
	defer release(t, h)
	g := &Guard{Who: "bo@desk", Now: time.Now, Look: lockerOf(time.Minute).Look}
	p := &Plan{Environment: "prod", Intent: Intent{Targets: []fleet.Ref{{Service: aiProd}}}, Steps: []Step{{Name: "copy", Mutates: true, At: s}}}
	checks := g.locks(t.Context(), p)
	if len(checks) != 1 || checks[0].State != CheckFail || !strings.Contains(checks[0].Detail, "ana@laptop") {
		t.Errorf("%+v", checks)
	}
}
