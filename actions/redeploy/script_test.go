package redeploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/actions/compose"
)

func newScripted(t *testing.T) *stage {
	t.Helper()
	s := newStage(t, compose.HomeCheckout, "prod-1", "prod-2")
	h := s.hosts[0]
	s.hosts[1].images = h.images
	s.cfg.Strategy = StrategyScript
	s.cfg.Script = Script{Host: "prod-1", Dir: h.dir, Deploy: []string{"./deploy.sh", "{env}", "{service}", "{tag}"}}
	s.write(filepath.Join(h.dir, "deploy.sh"), "#!/bin/sh\n")
	must(s, os.Chmod(filepath.Join(h.dir, "deploy.sh"), 0o755)) //nolint:gosec // a program
	s.hosts = s.hosts[:1]
	return s
}

func TestContractScript(t *testing.T) {
	actionstest.Contract(t, func(t *testing.T) actionstest.Case { return newScripted(t).contract() })
}

func TestScriptWords(t *testing.T) {
	s := newScripted(t)
	s.cfg.Script.Rollback = []string{"./rollback.sh", "{env}", "{service}", "from={from} to={tag}"}
	s.write(filepath.Join(s.hosts[0].dir, "rollback.sh"), "#!/bin/sh\n")
	for to, want := range map[string][]string{
		"":      {"./rollback.sh", "prod", "ai", "from=0.4.2 to=0.4.1"}, // 0.4.1 is the previous one
		"0.4.0": {"./deploy.sh", "prod", "ai", "0.4.0"},
	} {
		p := s.plan(to)
		if to == "" {
			if ok, why := p.Runnable(); ok || !strings.Contains(why, "chmod +x") {
				t.Errorf("a script that cannot be run: %v %s", ok, why)
			}
			must(s, os.Chmod(filepath.Join(s.hosts[0].dir, "rollback.sh"), 0o755)) //nolint:gosec // a program
			p = s.plan(to)
		}
		if len(p.Steps) != 1 || !slices.Equal(p.Steps[0].Argv, want) || p.Steps[0].Dir != s.hosts[0].dir {
			t.Errorf("to %q: %+v", to, p.Steps)
		}
	}
	must(s, os.Chmod(filepath.Join(s.hosts[0].dir, "deploy.sh"), 0o777)) //nolint:gosec // the fault
	if ok, why := s.plan("0.4.0").Runnable(); ok || !strings.Contains(why, "everybody on prod-1 may change") {
		t.Errorf("a script of everybody's: %v %s", ok, why)
	}
}

// TestScriptExitCode: neither a good nor a bad one is believed.
func TestScriptExitCode(t *testing.T) {
	tests := []struct {
		fails   string
		outcome actions.Outcome
		want    string
	}{
		{"late", actions.OutcomeDegraded, "the script ended with exit code 3"},
		{"at once", actions.OutcomeFailed, "prod-1 runs 0.4.2"},
	}
	for _, tt := range tests {
		s := newScripted(t)
		s.cfg.Start = 300e6
		s.hosts[0].upFails = tt.fails
		_, end := s.run(s.plan("0.4.0"))
		if all := strings.Join(end.Reasons, "\n"); end.Outcome != tt.outcome || !strings.Contains(all, tt.want) {
			t.Errorf("%s: ended %s: %s", tt.fails, end.Outcome, all)
		}
	}
}
