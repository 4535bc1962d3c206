package redeploy

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// A proxy is told, and may be made again, by one console at a time: it is locked with the service behind it.
func TestTheProxyIsLockedToo(t *testing.T) {
	s := newStage(t, compose.HomeCheckout, "prod-1")
	s.front = true
	s.cfg.Services = map[string]Override{"nginx": {Fronts: []string{"ai"}}}
	dir := filepath.Join(t.TempDir(), "locks")
	a := s.action().(*action) //nolint:forcetypeassert // New makes one
	locker := actions.NewHostLocker(actions.LockConfig{Dir: dir, Expiry: remote.Duration(time.Minute)}, a.deps.Host, nil)
	s.locker = locker
	nginx := fleet.ServiceKey{Environment: "prod", Name: "nginx"}
	bo, err := locker.Lock(context.Background(), actions.LockRequest{Services: []fleet.ServiceKey{nginx}, Hosts: []string{"prod-1"}, Owner: "bo@desk", Reason: "reload nginx", Plan: "bo-1"})
	must(s, err)
	p, before := s.plan(""), s.state()
	if got := actions.Phrase(p); got != "ai@prod" {
		t.Errorf("what is typed: %s", got)
	}
	_, end := s.run(p)
	if all := strings.Join(end.Reasons, "\n"); end.Outcome != actions.OutcomeFailed || !strings.Contains(all, "nothing was done: nginx@prod is locked on prod-1 by bo@desk") || s.state() != before {
		t.Errorf("ended %s: %s", end.Outcome, all)
	}
	g := actions.Guard{Who: "ana@laptop", Look: locker.Look, Now: time.Now}
	p, err = g.Plan(context.Background(), a, s.Latest(), s.intent(""))
	must(s, err)
	if ok, why := p.Runnable(); ok || !strings.Contains(why, "lock of nginx on prod-1") {
		t.Errorf("runnable %v: %s", ok, why)
	}
	must(s, bo.Release(context.Background()))
	s.hosts[0].Forget()
	if _, end = s.run(s.plan("")); end.Outcome != actions.OutcomeGood {
		t.Fatalf("ended %s: %v", end.Outcome, end.Reasons)
	}
	var made []string
	for _, call := range s.hosts[0].Calls() {
		if call[0] == "mkdir" && strings.HasPrefix(call[len(call)-1], dir+"/") {
			made = append(made, filepath.Base(call[len(call)-1]))
		}
	}
	if !slices.Equal(made, []string{"prod.ai", "prod.nginx"}) {
		t.Errorf("locks %v", made)
	}
}
