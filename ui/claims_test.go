package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// sampleClaims is the estate while somebody acts on a service, a console has died on another, one is held,
// and so is the environment as a whole.
func sampleClaims() *fleet.Snapshot {
	s := sampleSnapshot()
	claim := func(name string, c fleet.Claims, r fleet.Reason) {
		svc, _ := s.Find(fleet.ServiceKey{Environment: "prod", Name: name})
		svc.Claims, svc.Severity = c, max(svc.Severity, r.Severity)
		if r.Code != "" {
			svc.Reasons = append(svc.Reasons, r)
		}
	}
	all := fleet.Hold{Environment: "prod", Owner: "ana@laptop", Reason: "quarter's end, call before you touch it", Since: ago(time.Hour), Until: ago(-2 * time.Hour)}
	own := all
	own.Service, own.Reason = "nexgate-backend", "paging migration"
	s.Holds = []fleet.Hold{all, own}
	for i := range s.Services {
		s.Services[i].Hold = &all
	}
	live := &fleet.Lock{Owner: "bo@desk", Reason: "redeploy ai on prod: 0.4.2 → 0.4.1", Since: ago(40 * time.Second), Until: ago(-80 * time.Second)}
	dead := &fleet.Lock{Owner: "leo@laptop", Reason: "restart notification", Since: ago(9 * time.Minute), Until: ago(4 * time.Minute)}
	claim("ai", fleet.Claims{Lock: live, Hold: &all}, fleet.Reason{Code: "locked", Severity: fleet.SeverityInfo, Text: live.Words(sampleNow), Since: live.Since})
	claim("notification", fleet.Claims{Lock: dead, Hold: &all}, fleet.Reason{Code: "lock_expired", Severity: fleet.SeverityWarning, Text: dead.Words(sampleNow), Since: dead.Since})
	claim("nexgate-backend", fleet.Claims{Hold: &own}, fleet.Reason{Code: "held", Severity: fleet.SeverityInfo, Text: own.Words(sampleNow), Since: own.Since})
	return s
}

func TestClaimsAreSaidOnTheirRows(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {120, 40}, {160, 48}} {
		m := console(t, size[0], size[1], func(o *Options) { o.Latest = sampleClaims })
		text := screen(t, m)
		for _, want := range []string{"ai locked", "locked by bo@desk 40s: redeploy ai", "lock of leo@laptop, expired 4 min ago", "held", "prod is held by ana@laptop for another 2 h"} {
			if !strings.Contains(text, want) {
				t.Errorf("%v: %q is nowhere:\n%s", size, want, text)
			}
		}
	}
}

// What hangs on a host that cannot be seen raises no alarm of its own.
func TestAGuestOfADeadHostIsNoNews(t *testing.T) {
	s := sampleSnapshot()
	s.Sources = append(s.Sources, fleet.SourceStatus{
		ID: "locks/prod-2", Kind: "locks", Name: "prod-2", Guest: "prod-2", State: fleet.SourceFailing,
		FailingFrom: ago(time.Minute), Error: "locks prod-2: connection refused",
	})
	m := console(t, 160, 48, func(o *Options) { o.Latest = func() *fleet.Snapshot { return s } })
	if text := screen(t, m); strings.Contains(text, "locks") {
		t.Errorf("the dead host is told of twice:\n%s", text)
	}
	s.Sources[len(s.Sources)-1].Guest = "prod-1"
	send(m, snapshotMsg{s})
	if text := screen(t, m); !strings.Contains(text, "locks") {
		t.Error("a source that fails on a host that is well is not told of")
	}
}
