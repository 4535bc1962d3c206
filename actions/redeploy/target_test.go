package redeploy

import (
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
)

// What the infra repo calls a tag stands in argv, of the estate's own scripts too.
func TestATagThatIsAnOptionIsRefused(t *testing.T) {
	tg := &target{Target: &compose.Target{Key: aiProd, Image: imageName}}
	bad := fleet.Release{Image: imageName, Tag: "--force"}
	svc := &fleet.Service{Releases: fleet.Releases{Previous: bad, History: []fleet.Release{bad}}}
	for _, asked := range []string{"", "--force"} {
		if err := tg.choose(svc, &fleet.Snapshot{}, asked); err == nil || !strings.Contains(err.Error(), "is not an image tag") {
			t.Errorf("asked for %q: %v", asked, err)
		}
	}
}
