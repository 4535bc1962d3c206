package fleet

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

func locks(host string, list ...Lock) Report {
	for i := range list {
		list[i].Subject.Host = host
	}
	return Report{Status: status(MakeSourceID("locks", host)), Facts: Facts{Locks: list}}
}

func lockOf(service string, until time.Duration) Lock {
	return Lock{
		Subject: Subject{Environment: "prod", Service: service}, Owner: "ana@laptop", Reason: "redeploy " + service,
		Plan: "p1", Since: ago(40 * time.Second), Until: t0.Add(until),
	}
}

func TestLockOnItsRow(t *testing.T) {
	running := docker("prod-1", instance("prod-1", "ai", "0.4.2"), instance("prod-1", "api", "1.0.0"))
	cases := []struct {
		name  string
		lock  Lock
		codes string
		text  string
	}{
		{"held", lockOf("ai", time.Minute), "info:locked", "locked by ana@laptop: redeploy ai"},
		{"expired", lockOf("ai", -3*time.Minute), "warning:lock_expired", "lock of ana@laptop, expired 3 min ago: redeploy ai"},
		{"no owner", Lock{Subject: Subject{Environment: "prod", Service: "ai"}, Until: t0.Add(time.Minute)}, "info:locked", "locked by somebody who does not say who"},
		{"elsewhere", Lock{Subject: Subject{Environment: "staging", Service: "ai"}, Until: t0.Add(time.Minute)}, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			svc := service(t, Join(prod(running, locks("prod-1", c.lock))), "ai")
			if got := codes(svc); got != c.codes {
				t.Errorf("reasons %q, wanted %q", got, c.codes)
			}
			if c.text != "" && svc.Reasons[0].Text != c.text {
				t.Errorf("text %q", svc.Reasons[0].Text)
			}
		})
	}
	old := locks("prod-1", lockOf("ai", -3*time.Minute))
	old.Status.LastSuccess, old.Status.MaxAge = ago(5*time.Minute), time.Minute
	svc := service(t, Join(prod(running, old)), "ai")
	if codes(svc) != "info:locked" || svc.Reasons[0].Text != "locked by ana@laptop (as of 5 min ago): redeploy ai" {
		t.Errorf("a host that is not read any more says of a lock: %q %q", codes(svc), svc.Reasons[0].Text)
	}
	snap := Join(prod(running, locks("prod-1", lockOf("gone", time.Minute))))
	if _, there := snap.Find(ServiceKey{"prod", "gone"}); there {
		t.Error("a lock alone made a row")
	}
}

func TestHolds(t *testing.T) {
	hold := func(service, owner string, until time.Duration) Hold {
		h := Hold{Environment: "prod", Service: service, Owner: owner, Reason: "migration", Since: ago(time.Minute), Host: "prod-1"}
		if until != 0 {
			h.Until = t0.Add(until)
		}
		return h
	}
	rep := Report{Status: status("locks/prod-1"), Facts: Facts{Holds: []Hold{
		hold("ai", "bo@desk", time.Hour), hold("", "ana@laptop", 2*time.Hour), hold("api", "bo@desk", -time.Minute),
		{Environment: "staging", Owner: "eve"},
	}}}
	snap := Join(prod(docker("prod-1", instance("prod-1", "ai", "0.4.2"), instance("prod-1", "api", "1.0.0")), rep))
	if len(snap.Holds) != 2 || snap.Holds[0].Service != "" || snap.Holds[1].Service != "ai" {
		t.Fatalf("holds %+v", snap.Holds)
	}
	ai, api := service(t, snap, "ai"), service(t, snap, "api")
	if ai.Hold == nil || ai.Hold.Owner != "bo@desk" || codes(ai) != "info:held" {
		t.Errorf("ai: %+v %s", ai.Hold, codes(ai))
	}
	if want := "ai@prod is held by bo@desk for another 1 h: migration"; ai.Reasons[0].Text != want {
		t.Errorf("text %q, wanted %q", ai.Reasons[0].Text, want)
	}
	if api.Hold == nil || api.Hold.Owner != "ana@laptop" || codes(api) != "" {
		t.Errorf("api is under the environment's hold and raises nothing of its own: %+v %s", api.Hold, codes(api))
	}
}

// TestClaimsInAnyOrder: the same claims on several hosts give the same snapshot, whatever came first.
func TestClaimsInAnyOrder(t *testing.T) {
	one, two := lockOf("ai", time.Minute), lockOf("ai", 2*time.Minute)
	two.Plan = "p2"
	h := Hold{Environment: "prod", Owner: "ana", Until: t0.Add(time.Hour)}
	forever := Hold{Environment: "prod", Owner: "bo"}
	a, b := locks("prod-1", one), locks("prod-2", two)
	a.Facts.Holds, b.Facts.Holds = []Hold{h}, []Hold{forever}
	reports := []Report{docker("prod-1", instance("prod-1", "ai", "0.4.2")), a, b}
	want := Join(prod(reports...))
	if svc := service(t, want, "ai"); svc.Lock.Plan != "p2" || svc.Hold.Owner != "bo" {
		t.Fatalf("lock %+v, hold %+v", svc.Lock, svc.Hold)
	}
	for range 20 {
		rand.Shuffle(len(reports), func(i, j int) { reports[i], reports[j] = reports[j], reports[i] })
		if got := Join(prod(reports...)); !reflect.DeepEqual(got, want) {
			t.Fatal("another order, another snapshot")
		}
	}
	if strings.Contains(codes(service(t, want, "ai")), "held") {
		t.Error("a hold of the environment is no reason of a service")
	}
}
