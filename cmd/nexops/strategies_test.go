package main

import (
	"strings"
	"testing"
)

// TestStrategiesInTheDemo: the ordinary program replaces a container beside the old one in the simulated estate, and
// deploys a release by its tag.
func TestStrategiesInTheDemo(t *testing.T) {
	_, nexops := estate(t, "bad-deploy")
	out, code := output(t, nexops("--env", "prod", "redeploy", "ai", "--strategy", "bluegreen", "--confirm", "ai@prod"))
	for _, want := range []string{"start beside", "stop old", "remove old", "good"} {
		if !strings.Contains(out, want) {
			t.Errorf("bluegreen does not say %q", want)
		}
	}
	if code != 0 {
		t.Fatalf("bluegreen: exit code %d\n%s", code, out)
	}
	if out, code := output(t, nexops("--env", "prod", "plan", "deploy", "ai", "--to", "0.4.0")); code != 0 || !strings.Contains(out, "0.4.1 → 0.4.0") {
		t.Errorf("plan deploy: exit code %d\n%s", code, out)
	}
	if out, code := output(t, nexops("--env", "prod", "deploy", "ai", "--yes")); code == 0 || !strings.Contains(out, "deploy needs --to") {
		t.Errorf("deploy of nothing: exit code %d\n%s", code, out)
	}
}
