package redeploy

import (
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
)

// TestMovedTagIsPulledByDigest: what is put back is the release, not what its tag names by now.
func TestMovedTagIsPulledByDigest(t *testing.T) {
	s := newStage(t, compose.HomeCheckout, "prod-1")
	s.cfg.MovedTag = MovedPull
	h := s.hosts[0]
	h.images["0.4.1"] = digestOf("x")
	p := s.plan("")
	if got := steps(p); !strings.Contains(got, "pull image by digest prod-1, move tag back prod-1, look at image prod-1, look at tag file prod-1") {
		t.Errorf("steps %s", got)
	}
	if _, end := s.run(p); end.Outcome != actions.OutcomeGood || h.instance.Release.Digest != digestOf("0.4.1") {
		t.Errorf("ended %s %v, runs %s", end.Outcome, end.Reasons, h.instance.Release.Digest)
	}
	s = newStage(t, compose.HomeCheckout, "prod-1")
	s.cfg.MovedTag, s.forgotten = MovedPull, true
	s.hosts[0].images["0.4.1"] = digestOf("x")
	if ok, why := s.plan("").Runnable(); ok || !strings.Contains(why, "by its digest it cannot be pulled") {
		t.Errorf("runnable %v: %s", ok, why)
	}
}
