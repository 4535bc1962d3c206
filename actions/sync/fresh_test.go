package sync

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// Two services are new in git, one needs the other, and both come before one that moves, by the estate's order.
func TestNewServicesAreStarted(t *testing.T) {
	s := newStage(t)
	s.order = []string{"search", "ai"}
	s.push("services/db/tag.env", "DB_TAG=15.1\n")
	s.push("services/db/service.yml", serviceFile("db"))
	s.push("services/search/tag.env", "SEARCH_TAG=0.9.0\n")
	s.push("services/search/service.yml", serviceFile("search", "    depends_on:\n      db:\n        condition: service_healthy\n"))
	s.push("services/ai/tag.env", "AI_TAG=1.1.0\n")
	s.push("prod/stack.yml", stackFile("ai", "web", "search", "db"))
	p, err := s.plan("")
	if err != nil {
		t.Fatal(err)
	}
	if p.Title != "sync prod: db, then search, then ai" {
		t.Errorf("title %q", p.Title)
	}
	for _, want := range []string{
		"search on prod-2: new: services/search/service.yml declares it, and it has no container; reg/search:0.9.0 is started", "+SEARCH_TAG=0.9.0", "ai on prod-1: 1.0.0 becomes 1.1.0",
	} {
		if !strings.Contains(diffs(p), want) {
			t.Errorf("%q is not shown:\n%s", want, diffs(p))
		}
	}
	if strings.Contains(diffs(p), canary) {
		t.Error("a secret is shown")
	}
	if i := slices.IndexFunc(p.Moves, func(m actions.Move) bool { return m.Service.Name == "search" }); i < 0 || p.Moves[i].To.Tag != "0.9.0" {
		t.Errorf("moves %+v", p.Moves)
	}
	end, _ := s.run(p)
	if end.Outcome != actions.OutcomeGood || s.runs["prod-1"]["search"] != "0.9.0" || s.runs["prod-2"]["db"] != "15.1" || s.runs["prod-2"]["ai"] != "1.1.0" {
		t.Errorf("%s %v, runs %v", end.Outcome, end.Reasons, s.runs)
	}
	if _, err := s.plan(""); err == nil || !strings.Contains(err.Error(), errNothing.Error()) {
		t.Errorf("after it: %v", err)
	}
}

// One that does not become healthy stops those after it, like any other.
func TestANewServiceIsVerified(t *testing.T) {
	s := newStage(t)
	s.order = []string{"search", "ai"}
	s.sick = "search"
	s.push("services/search/tag.env", "SEARCH_TAG=0.9.0\n")
	s.push("services/search/service.yml", serviceFile("search"))
	s.push("services/ai/tag.env", "AI_TAG=1.1.0\n")
	s.push("prod/stack.yml", stackFile("ai", "web", "search"))
	p, err := s.plan("")
	if err != nil {
		t.Fatal(err)
	}
	end, _ := s.run(p)
	if text := strings.Join(end.Reasons, "\n"); end.Outcome != actions.OutcomeDegraded || !strings.Contains(text, "ai: not begun") || s.runs["prod-1"]["ai"] != "1.0.0" {
		t.Errorf("%s\n%s", end.Outcome, text)
	}
}

// What was named by an earlier sync and never started is still new; what git wants none of, or [join] ignores, is only named.
func TestWhatIsNewAndNotStarted(t *testing.T) {
	s := newStage(t)
	s.push("services/search/tag.env", "SEARCH_TAG=0.9.0\n")
	s.push("services/search/service.yml", serviceFile("search"))
	s.push("services/db/service.yml", serviceFile("db", "    profiles: [tools]\n"))
	s.push("services/db/tag.env", "DB_TAG=1\n")
	s.push("prod/stack.yml", stackFile("ai", "web", "search", "db"))
	for _, h := range []string{"prod-1", "prod-2"} {
		s.git(filepath.Join(s.dir, h), "pull", "-q", "origin", "master")
	}
	p, err := s.plan("")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"prod-1 look at compose file", "prod-1 up", "prod-2 look at compose file", "prod-2 up"}; !slices.Equal(steps(p), want) {
		t.Errorf("steps %q", steps(p))
	}
	if !hasCheck(p, actions.CheckWarn, "db on prod-1", "not started: it is of the profile tools") {
		t.Errorf("checks %+v", p.Checks)
	}
	if end, _ := s.run(p); end.Outcome != actions.OutcomeGood || s.runs["prod-2"]["search"] != "0.9.0" || s.runs["prod-2"]["db"] != "" {
		t.Errorf("%s %v %v", end.Outcome, end.Reasons, s.runs)
	}
}

// What git has removed is named and left alone, with something else pending and without.
func TestARemovedServiceIsLeftRunning(t *testing.T) {
	s := newStage(t)
	s.git(filepath.Join(s.dir, "work"), "rm", "-q", "-r", "services/web")
	s.push("prod/stack.yml", stackFile("ai"))
	_, err := s.plan("")
	if err == nil || !strings.Contains(err.Error(), "git has removed what is left running: web on prod-1, web on prod-2") {
		t.Errorf("nothing else: %v", err)
	}
	s.push("services/ai/tag.env", "AI_TAG=1.1.0\n")
	p, err := s.plan("")
	if err != nil {
		t.Fatal(err)
	}
	if p.Title != "sync prod: ai" || !hasCheck(p, actions.CheckWarn, "web on prod-1", "git has removed it: it is left running. When it may go: docker rm -f web-1") {
		t.Errorf("%q %+v", p.Title, p.Checks)
	}
	if end, _ := s.run(p); end.Outcome != actions.OutcomeGood || s.runs["prod-1"]["web"] != "1.0.0" {
		t.Errorf("%s %v %v", end.Outcome, end.Reasons, s.runs)
	}
}

// What git alone does not tell is said, and the rest is synced as ever.
func TestAStackThatGitDoesNotTell(t *testing.T) {
	s := newStage(t)
	s.push("prod/stack.yml", stackFile("ai", "web")+"  - path: ${ELSEWHERE}/stack.yml\n")
	s.push("services/ai/tag.env", "AI_TAG=1.1.0\n")
	p, err := s.plan("")
	if err != nil {
		t.Fatal(err)
	}
	if p.Title != "sync prod: ai" || !hasCheck(p, actions.CheckWarn, "new services on prod-1", "includes ${ELSEWHERE}/stack.yml, which git alone does not tell") {
		t.Errorf("%q %+v", p.Title, p.Checks)
	}
}

// Two hosts may share a Compose file and divide its services by hand: that one does not run here is no news.
func TestAServiceThatRunsElsewhere(t *testing.T) {
	s := newStage(t)
	delete(s.runs["prod-2"], "web")
	s.push("services/ai/tag.env", "AI_TAG=1.1.0\n")
	p, err := s.plan("")
	if err != nil {
		t.Fatal(err)
	}
	if p.Title != "sync prod: ai" || !hasCheck(p, actions.CheckOK, "web on prod-2", "it runs on prod-1, and git has not changed that") {
		t.Errorf("%q %+v", p.Title, p.Checks)
	}
	if end, _ := s.run(p); end.Outcome != actions.OutcomeGood || s.runs["prod-2"]["web"] != "" {
		t.Errorf("%s %v %v", end.Outcome, end.Reasons, s.runs)
	}
}

// One that git declares for another host anew is started there, and keeps its row.
func TestAServiceThatIsNewOnOneHost(t *testing.T) {
	s := newStage(t)
	for _, h := range []string{"prod-1", "prod-2"} {
		delete(s.runs[h], "web")
	}
	s.push("prod/stack.yml", stackFile("ai"))
	for _, h := range []string{"prod-1", "prod-2"} {
		s.git(filepath.Join(s.dir, h), "pull", "-q", "origin", "master")
	}
	s.runs["prod-1"]["web"] = "1.0.0" // by hand
	s.push("prod/stack.yml", stackFile("ai", "web"))
	p, err := s.plan("")
	if err != nil {
		t.Fatal(err)
	}
	if p.Title != "sync prod: web" || len(p.Moves) != 1 || p.Moves[0].Host != "prod-2" || p.Moves[0].Service != (fleet.ServiceKey{Environment: "prod", Name: "web"}) {
		t.Errorf("%q %+v", p.Title, p.Moves)
	}
	if end, _ := s.run(p); end.Outcome != actions.OutcomeGood || s.runs["prod-2"]["web"] != "1.0.0" || s.made["prod-1web"] != 0 {
		t.Errorf("%s %v %v", end.Outcome, end.Reasons, s.made)
	}
}

func hasCheck(p *actions.Plan, state actions.CheckState, name, detail string) bool {
	return slices.ContainsFunc(p.Checks, func(c actions.Check) bool {
		return c.State == state && c.Name == name && strings.Contains(c.Detail, detail)
	})
}
