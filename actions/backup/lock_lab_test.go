package backup

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// A job of no host, from bucket to bucket: the destination itself keeps two machines from running it at once.
func TestLabTwoMachinesCopyOneBucket(t *testing.T) {
	e := newLabEstate(t)
	e.bucket()
	if err := e.store("media").Write("a.jpg")[0].Run(t.Context(), strings.NewReader("photo"), nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // S3's times are of whole seconds
	e.cfg.Jobs["ai-db"] = &Job{Kind: KindS3, Environment: "prod", To: "ops", S3: &S3{From: "media"}}
	mine, theirs := e.plan(New(e.cfg, e.deps())), e.plan(New(e.cfg, e.deps()))
	if len(mine.LockHosts) > 0 {
		t.Fatalf("locked on %v", mine.LockHosts)
	}
	second, _ := e.runner("jonas@desk") // with a locker of its own, and no folder that the two share
	defer func() { _ = second.Close() }()
	tried, end := e.atOnce(mine, theirs, second, "ana@laptop", "s3 backups/prod")
	if !tried || end.Outcome != actions.OutcomeGood {
		t.Errorf("the first ended %s: %v", end.Outcome, end.Reasons)
	}
	e.good(New(e.cfg, e.deps())) // and it was given back
	e.checkTakeOver()
}

// checkTakeOver holds the server to its word: an expired lock blocks, and is taken over only when that is said.
func (e *labEstate) checkTakeOver() {
	e.t.Helper()
	p := e.plan(New(e.cfg, e.deps()))
	at := p.Steps[0].At
	dead := `{"v":1,"owner":"leo@laptop","reason":"back up","plan":"old","since":"2026-01-01T00:00:00Z","until":"2026-01-01T00:01:00Z"}`
	if ok, err := at.WriteLock(e.t.Context(), "prod.ai-db", []byte(dead), ""); err != nil || !ok {
		e.t.Fatal(ok, err)
	}
	locker := actions.NewHostLocker(actions.DefaultLockConfig(), e.pool.Host, nil)
	key := fleet.ServiceKey{Environment: "prod", Name: "ai-db"}
	req := actions.LockRequest{Services: []fleet.ServiceKey{key}, Places: []actions.LockPlace{at}, Owner: "ana@laptop", Plan: "new"}
	_, err := locker.Lock(e.t.Context(), req)
	var locked *actions.LockedError
	if !errors.As(err, &locked) || !locked.Expired() || locked.Owner != "leo@laptop" {
		e.t.Fatalf("an expired lock: %v", err)
	}
	req.TakeOver = []fleet.Lock{locked.Lock()}
	h, err := locker.Lock(e.t.Context(), req)
	if err != nil {
		e.t.Fatalf("taken over: %v", err)
	}
	if err := h.Release(e.t.Context()); err != nil {
		e.t.Error(err)
	}
}
