package sync

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/fleet"
)

func TestContract(t *testing.T) {
	actionstest.Contract(t, func(t *testing.T) actionstest.Case {
		s := newStage(t)
		s.push("services/ai/tag.env", "AI_TAG=1.1.0\n")
		s.push("services/web/service.yml", serviceFile("web", "    mem_limit: 2g\n    environment:\n      DB_PASSWORD: "+canary+"-2\n"))
		return actionstest.Case{
			Action: s.action(), Snapshot: s.Latest(), World: s, Hosts: s.hosts, Secret: canary,
			Intent: actions.Intent{Action: Name, Who: "ana@laptop"},
			State: func() string {
				s.mu.Lock()
				defer s.mu.Unlock()
				return fmt.Sprint(s.runs, s.made, s.git(filepath.Join(s.dir, "prod-1"), "rev-parse", "HEAD"), s.git(filepath.Join(s.dir, "prod-2"), "rev-parse", "HEAD"))
			},
		}
	})
}

// The branch moves ahead for two services: both are shown, brought up in the estate's order and watched.
func TestTwoServicesInOrder(t *testing.T) {
	s := newStage(t)
	s.push("services/ai/tag.env", "AI_TAG=1.1.0\n")
	s.push("services/web/tag.env", "WEB_TAG=2.0.0\n")
	s.push("README.md", "hello\n")
	p, err := s.plan("")
	if err != nil {
		t.Fatal(err)
	}
	if p.Title != "sync prod: web, then ai" || actions.Phrase(p) != "sync@prod" || len(p.Moves) != 4 {
		t.Errorf("%q, %s, %d moves", p.Title, actions.Phrase(p), len(p.Moves))
	}
	for _, want := range []string{"ai on prod-1: 1.0.0 becomes 1.1.0\n services/ai/tag.env:\n-AI_TAG=1.0.0\n+AI_TAG=1.1.0\n", "web on prod-2: 1.0.0 becomes 2.0.0"} {
		if !strings.Contains(diffs(p), want) {
			t.Errorf("%q is not shown:\n%s", want, diffs(p))
		}
	}
	want := []string{
		"prod-1 web: pull", "prod-1 web: look at compose file", "prod-1 web: up", "prod-2 web: pull", "prod-2 web: look at compose file", "prod-2 web: up",
		"prod-1 ai: look at compose file", "prod-1 ai: up", "prod-2 ai: look at compose file", "prod-2 ai: up",
	}
	if got := steps(p); !slices.Equal(got, want) {
		t.Errorf("steps %q", got)
	}
	if i := slices.IndexFunc(p.Checks, func(c actions.Check) bool {
		return c.State == actions.CheckWarn && strings.Contains(c.Detail, "README.md")
	}); i < 0 {
		t.Errorf("what else the pull brings is not said: %+v", p.Checks)
	}
	end, _ := s.run(p)
	if end.Outcome != actions.OutcomeGood || s.runs["prod-2"]["ai"] != "1.1.0" || s.runs["prod-1"]["web"] != "2.0.0" {
		t.Errorf("%s %v, runs %v", end.Outcome, end.Reasons, s.runs)
	}
	if _, err := s.plan(""); !errors.Is(err, errNothing) {
		t.Errorf("after it: %v", err)
	}
}

// The second one fails: the first stays as it is, and it is said what was and was not done.
func TestSecondFails(t *testing.T) {
	for _, how := range []string{"up", "health"} {
		s := newStage(t)
		s.order = []string{"web", "ai"}
		s.push("services/ai/tag.env", "AI_TAG=1.1.0\n")
		s.push("services/web/tag.env", "WEB_TAG=2.0.0\n")
		want, outcome := "ai: failed: ai: up on prod-1", actions.OutcomeFailed
		if how == "up" {
			s.broken = "ai"
		} else {
			s.sick, want, outcome = "web", "ai: not begun", actions.OutcomeDegraded
		}
		p, err := s.plan("")
		if err != nil {
			t.Fatal(err)
		}
		end, _ := s.run(p)
		text := strings.Join(end.Reasons, "\n")
		if end.Outcome != outcome || !strings.Contains(text, want) {
			t.Errorf("%s: %s\n%s", how, end.Outcome, text)
		}
		if s.runs["prod-1"]["ai"] != "1.0.0" || s.runs["prod-1"]["web"] != "2.0.0" {
			t.Errorf("%s: runs %v", how, s.runs)
		}
	}
}

// What the checkout has already and does not run is brought up as well, once the desired release is known to differ.
func TestWhatWasPulledAndNotBroughtUp(t *testing.T) {
	s := newStage(t)
	s.push("services/ai/tag.env", "AI_TAG=1.1.0\n")
	for _, h := range []string{"prod-1", "prod-2"} {
		s.git(filepath.Join(s.dir, h), "pull", "-q", "origin", "master")
	}
	snap := s.Latest()
	snap.Services[0].Releases.Desired = fleet.Release{Image: "reg/ai", Tag: "1.1.0"}
	p, err := s.action().Plan(t.Context(), snap, actions.Intent{Action: Name, Who: "ana@laptop"})
	if err != nil {
		t.Fatal(err)
	}
	if got := steps(p); !slices.Equal(got, []string{"prod-1 look at compose file", "prod-1 up", "prod-2 look at compose file", "prod-2 up"}) {
		t.Errorf("steps %q", got)
	}
	if end, _ := s.run(p); end.Outcome != actions.OutcomeGood || s.runs["prod-2"]["ai"] != "1.1.0" {
		t.Errorf("%s %v", end.Outcome, end.Reasons)
	}
}

func TestOnlyAPart(t *testing.T) {
	s := newStage(t)
	s.push("services/ai/tag.env", "AI_TAG=1.1.0\n")
	s.push("services/web/tag.env", "WEB_TAG=2.0.0\n")
	p, err := s.plan("ai")
	if err != nil {
		t.Fatal(err)
	}
	if end, _ := s.run(p); end.Outcome != actions.OutcomeGood || s.runs["prod-1"]["web"] != "1.0.0" || s.runs["prod-1"]["ai"] != "1.1.0" {
		t.Errorf("%s %v, runs %v", end.Outcome, end.Reasons, s.runs)
	}
	if _, err := s.plan("nosuch"); err == nil || !strings.Contains(err.Error(), "nothing of nosuch is pending") {
		t.Errorf("%v", err)
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(s *stage)
		want string
	}{
		"held by another":     {func(s *stage) { s.holds = []fleet.Hold{{Environment: "prod", Owner: "bo@desk", Reason: "freeze"}} }, "held by bo@desk"},
		"changed on the host": {func(s *stage) { s.write(filepath.Join(s.dir, "prod-2/services/ai/tag.env"), "AI_TAG=9\n") }, "is changed on the host and by the pull"},
		"commits of its own": {func(s *stage) {
			s.write(filepath.Join(s.dir, "prod-1/x"), "x")
			s.git(filepath.Join(s.dir, "prod-1"), "add", "x")
			s.git(filepath.Join(s.dir, "prod-1"), "commit", "-q", "-m", "x")
		}, "a fast-forward pull would refuse"},
		"no image": {func(s *stage) { s.gone = "1.1.0" }, "cannot be pulled"},
	} {
		s := newStage(t)
		s.push("services/ai/tag.env", "AI_TAG=1.1.0\n")
		tt.do(s)
		p, err := s.plan("")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if ok, why := p.Runnable(); ok || !strings.Contains(why, tt.want) {
			t.Errorf("%s: runnable %v, %q", name, ok, why)
		}
	}
	s := newStage(t)
	s.holds = []fleet.Hold{{Environment: "prod", Owner: "ana@laptop", Until: time.Now().Add(time.Hour)}}
	s.push("services/ai/tag.env", "AI_TAG=1.1.0\n")
	if p, err := s.plan(""); err != nil {
		t.Error(err)
	} else if ok, why := p.Runnable(); !ok {
		t.Errorf("one's own hold refuses: %s", why)
	}
}
