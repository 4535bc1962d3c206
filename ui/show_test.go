package ui

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// TestShow draws the sample estate on the terminal, for a person to look at:
//
//	go test -c -o ui.test ./ui && NEXOPS_UI_SHOW=estate ./ui.test -test.run TestShow
func TestShow(t *testing.T) {
	what := os.Getenv("NEXOPS_UI_SHOW")
	if what == "" {
		t.Skip("set NEXOPS_UI_SHOW to estate, many, empty, first or dead to look at the screen")
	}
	o := sampleOptions()
	o.Theme, o.Mouse = os.Getenv("NEXOPS_UI_THEME"), true
	began := time.Now()
	o.Now = func() time.Time { return sampleNow.Add(time.Since(began)) }
	var snap *fleet.Snapshot
	switch what {
	case "many":
		snap = sampleMany(40, 3)
	case "empty":
		snap = &fleet.Snapshot{Seq: 1, Environment: "prod", Sources: sampleSources(false)}
	case "dead":
		snap = &fleet.Snapshot{Seq: 1, Environment: "prod", Sources: sampleSources(true), Hosts: []fleet.Host{{Name: "prod-2", Error: "connection refused"}}}
	case "first":
	default:
		snap = sampleSnapshot()
	}
	o.Latest = func() *fleet.Snapshot { return snap }
	o.Runner = &slowRunner{}
	if err := Run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		t.Fail()
	}
}

// slowRunner plays the sample run at the pace of life.
type slowRunner struct{}

func (slowRunner) Required(p *actions.Plan) (actions.Confirm, string) {
	if os.Getenv("NEXOPS_UI_CONFIRM") == "y" {
		return actions.ConfirmY, ""
	}
	return actions.ConfirmType, p.Intent.Targets[0].Service.String()
}

func (slowRunner) Run(ctx context.Context, p *actions.Plan, _ actions.Confirmation) (<-chan actions.Event, error) {
	ch := make(chan actions.Event)
	go func() {
		defer close(ch)
		for _, e := range sampleEvents(actions.OutcomeDegraded, "errors 2.3 % for the last 30 s, baseline 0.1 %") {
			e.Plan = p.ID
			select {
			case <-time.After(300 * time.Millisecond):
			case <-ctx.Done():
				return
			}
			ch <- e
		}
	}()
	return ch, nil
}
