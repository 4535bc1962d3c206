package actions

import (
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// What another console acts on is not offered. One's own lock, or one that has expired, may be a dead console's: the plan looks.
func TestOfferUnderALock(t *testing.T) {
	b := newSeveral(t)
	for name, c := range map[string]struct {
		lock fleet.Lock
		want string
	}{
		"another's": {fleet.Lock{Owner: "bo@desk", Reason: "redeploy api", Until: time.Now().Add(time.Minute)}, "api is locked by bo@desk: redeploy api"},
		"expired":   {fleet.Lock{Owner: "bo@desk", Until: time.Now().Add(-time.Minute)}, ""},
		"one's own": {fleet.Lock{Owner: "ana@laptop", Until: time.Now().Add(time.Minute)}, ""},
	} {
		snap := b.m.w.Latest()
		for i := range snap.Services {
			if snap.Services[i].Key.Name == "api" {
				snap.Services[i].Lock = &c.lock
			}
		}
		for _, names := range [][]string{{"api"}, {"api", "web"}} {
			o := b.g.Offer(b.m, snap, refs(names...))
			if o.Enabled != (c.want == "") || !strings.Contains(o.Reason, c.want) {
				t.Errorf("%s: offer %+v", name, o)
			}
		}
	}
}

func TestFreshWithABoundOfItsOwn(t *testing.T) {
	now := time.Now()
	snap := &fleet.Snapshot{At: now}
	for _, c := range []struct {
		svc  fleet.Service
		want string
	}{
		{fleet.Service{Seen: now.Add(-30 * time.Second)}, ""},
		{fleet.Service{Seen: now.Add(-2 * time.Minute)}, "too old (2 min, 1 min are allowed)"},
		{fleet.Service{Seen: now, Stale: true}, "too old"},
		{fleet.Service{}, "never seen"},
	} {
		err := Fresh(snap, &c.svc, time.Minute)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.svc, err)
		}
	}
}
