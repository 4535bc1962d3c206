package fleet

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

func pendingSync(name, service string) Report {
	return Report{Status: status("komodo/komodo"), Facts: Facts{Syncs: []Sync{{
		Name: name, Environment: "prod", State: "Pending",
		Changes: []SyncChange{{Verb: "update", Resource: "stack nexgate-prod"}},
		Deploys: []SyncDeploy{{
			Stack: "nexgate-prod", Host: "prod-1", Services: []string{service, "gone"},
			Files: []SyncFile{{Path: "services/" + service + "/tag.env"}, {Path: "services/other/tag.env"}},
		}},
	}, {Name: "nexgate-staging", Environment: "staging"}}}}
}

func TestPendingSyncIsAReason(t *testing.T) {
	running := docker("prod-1", instance("prod-1", "ai", "0.4.2"), instance("prod-1", "api", "1.0.0"))
	snap := Join(prod(running, pendingSync("nexgate-prod", "ai")))
	if len(snap.Syncs) != 1 || snap.Syncs[0].Words() != "1 change, 1 deploy" || snap.Syncs[0].Source != "komodo/komodo" {
		t.Fatalf("syncs %+v", snap.Syncs)
	}
	ai, api := service(t, snap, "ai"), service(t, snap, "api")
	if codes(ai) != "info:sync_pending" || ai.Reasons[0].Text != "sync pending: nexgate-prod, 1 file differs from what was deployed" || codes(api) != "" {
		t.Errorf("ai %s %+v, api %s", codes(ai), ai.Reasons, codes(api))
	}
	if _, there := snap.Find(ServiceKey{"prod", "gone"}); there {
		t.Error("a pending deploy alone made a row")
	}
	stale := pendingSync("nexgate-prod", "ai")
	stale.Status.MaxAge, stale.Status.LastSuccess = time.Minute, ago(time.Hour)
	if ai := service(t, Join(prod(running, stale)), "ai"); codes(ai) != "" {
		t.Errorf("what may long have been done is a reason: %s", codes(ai))
	}
}

func TestSyncsInAnyOrder(t *testing.T) {
	other := pendingSync("a-sync", "api")
	other.Status.ID = "komodo/other"
	reports := []Report{docker("prod-1", instance("prod-1", "ai", "0.4.2"), instance("prod-1", "api", "1")), pendingSync("nexgate-prod", "ai"), other}
	want := Join(prod(reports...))
	for range 10 {
		rand.Shuffle(len(reports), func(i, k int) { reports[i], reports[k] = reports[k], reports[i] })
		if got := Join(prod(reports...)); !reflect.DeepEqual(got, want) {
			t.Fatal("another order, another snapshot")
		}
	}
}

// A deploy of which nobody knows the release is told by what was done, not as "deploy unknown".
func TestWordsOfADeployWithoutRelease(t *testing.T) {
	c := Change{Kind: ChangeDeploy, At: ago(time.Minute), Who: "ana", What: "DeployStack nexgate-prod"}
	if got := changeWords(c, t0); got != "deploy (DeployStack nexgate-prod) (ana, 1 min ago)" {
		t.Errorf("%q", got)
	}
}
