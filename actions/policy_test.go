package actions

import (
	"slices"
	"testing"

	"github.com/nexgate-hq/nexops/fleet"
)

// What a step touches besides is locked where it runs, in one order for everybody, and is nothing that has to be typed.
func TestWhatAStepTouchesIsLocked(t *testing.T) {
	web, nginx := fleet.ServiceKey{Environment: "prod", Name: "web"}, fleet.ServiceKey{Environment: "prod", Name: "nginx"}
	p := &Plan{
		Environment: "prod", Intent: Intent{Targets: []fleet.Ref{{Service: web}}}, LockHosts: []string{"prod-3", "prod-2"},
		Steps: []Step{{Host: "prod-3", Mutates: true}, {Host: "prod-1", Mutates: true, Touches: nginx}, {Host: "prod-2", Mutates: true, Touches: nginx}},
	}
	if got := p.changed(); !slices.Equal(got, []fleet.ServiceKey{nginx, web}) {
		t.Errorf("locked are %v", got)
	}
	if got := p.lockHosts(); !slices.Equal(got, []string{"prod-1", "prod-2", "prod-3"}) {
		t.Errorf("on %v", got)
	}
	if got := Phrase(p); got != "web@prod" {
		t.Errorf("typed is %s", got)
	}
	if !p.touchedBy(&fleet.Hold{Service: "nginx"}) || p.touchedBy(&fleet.Hold{Service: "api"}) {
		t.Error("a hold of the proxy is not seen, or one of a stranger is")
	}
}
