package redeploy

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
)

func TestContractCheckout(t *testing.T) {
	actionstest.Contract(t, func(t *testing.T) actionstest.Case {
		s := newStage(t, compose.HomeCheckout, "prod-1", "prod-2")
		delete(s.hosts[1].images, "0.4.1") // one of them has to pull
		return s.contract()
	})
}

func TestContractGit(t *testing.T) {
	actionstest.Contract(t, func(t *testing.T) actionstest.Case {
		s := newStage(t, compose.HomeGit, "prod-1")
		return s.contract()
	})
}

func TestOffer(t *testing.T) {
	tests := []struct {
		name   string
		change func(*fleet.Snapshot, *fleet.Service)
		want   string // title when enabled, else part of the reason
		ok     bool
	}{
		{"previous known", nil, "redeploy ai 0.4.1", true},
		{"no previous", func(_ *fleet.Snapshot, s *fleet.Service) { s.Releases.Previous = fleet.Release{} }, "no previous release", false},
		{"stale hosts", func(_ *fleet.Snapshot, s *fleet.Service) { s.Stale = true }, "too old", false},
		{"old hosts", func(_ *fleet.Snapshot, s *fleet.Service) { s.Seen = s.Seen.Add(-2 * time.Minute) }, "too old (2 min, 1 min are allowed)", false},
		{"old git", func(n *fleet.Snapshot, _ *fleet.Service) {
			for i := range n.Sources {
				if n.Sources[i].Kind == "git" {
					n.Sources[i].LastSuccess = n.At.Add(-5 * time.Minute)
				}
			}
		}, "what git/infra says is too old", false},
		{"no instance", func(_ *fleet.Snapshot, s *fleet.Service) { s.Instances = nil }, "no instance", false},
		{"not Compose's", func(_ *fleet.Snapshot, s *fleet.Service) {
			for i := range s.Instances {
				s.Instances[i].Subject = fleet.Subject{Container: "vpn-ai"}
			}
		}, "not Compose's", false},
		{"no labels", func(_ *fleet.Snapshot, s *fleet.Service) { s.Instances[0].Labels = nil }, "does not say its project's folder", false},
		{"by digest", func(_ *fleet.Snapshot, s *fleet.Service) { s.Instances[0].Release.Tag = "" }, "by digest", false},
		{"already there", func(_ *fleet.Snapshot, s *fleet.Service) {
			for i := range s.Instances {
				s.Instances[i].Release = s.Releases.Previous
			}
		}, "already runs 0.4.1", false},
		{"there, but never started", func(_ *fleet.Snapshot, s *fleet.Service) {
			for i := range s.Instances {
				s.Instances[i].Release, s.Instances[i].State = s.Releases.Previous, fleet.StateCreated
			}
		}, "redeploy ai 0.4.1", true},
		{"a deploy stopped half-way", func(_ *fleet.Snapshot, s *fleet.Service) { s.Instances[0].Release = s.Releases.Previous }, "redeploy ai 0.4.1", true},
		{"a companion does not count", func(_ *fleet.Snapshot, s *fleet.Service) {
			s.Instances = append(s.Instances, &fleet.Instance{Host: "prod-1", Name: "ai-db", Subject: fleet.Subject{Service: "ai-db"}, Release: fleet.Release{Image: "postgres", Tag: "15"}})
		}, "redeploy ai 0.4.1", true},
		{"a name that is a path", func(_ *fleet.Snapshot, s *fleet.Service) { s.Key.Name = "../ai" }, "not in the estate", false},
	}
	s := newStage(t, compose.HomeCheckout, "prod-1", "prod-2")
	for _, tt := range tests {
		snap := s.Latest()
		if tt.change != nil {
			tt.change(snap, &snap.Services[0])
		}
		o := s.action().Offer(snap, []fleet.Ref{{Service: aiProd}})
		if o.Enabled != tt.ok || !strings.Contains(o.Title+o.Reason, tt.want) {
			t.Errorf("%s: %+v, want %q", tt.name, o, tt.want)
		}
	}
}

func TestPlanGoesToAnyKnownRelease(t *testing.T) {
	s := newStage(t, compose.HomeCheckout, "prod-1")
	p := s.plan("0.4.0")
	if p.Title != "redeploy ai on prod: 0.4.2 → 0.4.0" || p.Moves[0].To.Digest != digestOf("0.4.0") || p.Moves[0].From.Tag != "0.4.2" {
		t.Errorf("%s: %+v", p.Title, p.Moves)
	}
	if p.Undo == nil || p.Undo.Args[ArgTo] != "0.4.2" {
		t.Errorf("undo %+v", p.Undo)
	}
	_, err := s.action().Plan(context.Background(), s.Latest(), s.intent("9.9.9"))
	if err == nil || !strings.Contains(err.Error(), "9.9.9 is no release of ai@prod that is known: there is 0.4.1, 0.4.2, 0.4.0") {
		t.Errorf("plan to an unknown release: %v", err)
	}
	if _, err := s.action().Plan(context.Background(), s.Latest(), s.intent("0.4.2")); err == nil {
		t.Error("planned to go to what runs")
	}
}

func TestPreflights(t *testing.T) {
	tests := []struct {
		name   string
		home   string
		change func(*stage, *engineHost)
		state  actions.CheckState
		want   string
	}{
		{"all well", compose.HomeCheckout, nil, actions.CheckOK, "image 0.4.1 on prod-1: " + strings.Repeat("31", 6) + ", 12M, on the host"},
		{"image to be pulled", compose.HomeCheckout, func(_ *stage, h *engineHost) { delete(h.images, "0.4.1") }, actions.CheckOK, "it will be pulled"},
		{"image nowhere", compose.HomeCheckout, func(s *stage, h *engineHost) {
			delete(h.images, "0.4.1")
			delete(s.registry, "0.4.1")
		}, actions.CheckFail, "not on the host, and it cannot be pulled: prod-1: docker manifest inspect: no such manifest"},
		{"tag moved on the host", compose.HomeCheckout, func(_ *stage, h *engineHost) { h.images["0.4.1"] = digestOf("x") }, actions.CheckFail, "the tag was moved"},
		{"tag moved in the registry", compose.HomeCheckout, func(s *stage, h *engineHost) {
			delete(h.images, "0.4.1")
			s.registry["0.4.1"] = digestOf("x")
		}, actions.CheckFail, "the tag was moved"},
		{"host unreachable", compose.HomeCheckout, func(s *stage, h *engineHost) { s.blind[h.Name()] = "no route" }, actions.CheckFail, "no route"},
		{"engine dead", compose.HomeCheckout, func(_ *stage, h *engineHost) { h.engine = "Cannot connect" }, actions.CheckFail, "the engine does not answer: Cannot connect"},
		{"compose v1", compose.HomeCheckout, func(_ *stage, h *engineHost) { h.compose = "1.29.2" }, actions.CheckFail, "Compose v2 is needed"},
		{"folder gone", compose.HomeCheckout, func(_ *stage, h *engineHost) { h.instance.Labels[compose.LabelDir] = "/nowhere/at-all" }, actions.CheckFail, "is not there any more"},
		{"tag file gone", compose.HomeCheckout, func(s *stage, h *engineHost) { must(s, os.Remove(h.tagFile())) }, actions.CheckFail, "No such file"},
		{"tag file of somebody else", compose.HomeCheckout, func(s *stage, h *engineHost) { s.write(h.tagFile(), "AI_TAG=0.5.0\n") }, actions.CheckFail, "nothing tells of 0.5.0"},
		{"git still desires the newer", compose.HomeCheckout, nil, actions.CheckWarn, "git still desires 0.4.2"},
		{"git: all well", compose.HomeGit, nil, actions.CheckOK, `services/ai/tag.env, AI_TAG=0.4.2 becomes AI_TAG=0.4.1`},
		{"git: other commits come too", compose.HomeGit, func(s *stage, _ *engineHost) { s.somebodyPushes("other", "x", "other: y") }, actions.CheckWarn, "also brings 1 other commits"},
		{"git: the host is ahead", compose.HomeGit, func(s *stage, h *engineHost) {
			s.write(h.dir+"/x", "x")
			s.git(h.dir, "add", ".")
			s.git(h.dir, "commit", "-q", "-m", "by hand")
		}, actions.CheckFail, "a fast-forward pull would refuse"},
		{"git: tag file changed by hand", compose.HomeGit, func(s *stage, h *engineHost) { s.write(h.tagFile(), "AI_TAG=0.4.2\n") }, actions.CheckFail, "is changed on the host and by the pull"},
		{"git: another branch", compose.HomeGit, func(s *stage, h *engineHost) { s.git(h.dir, "checkout", "-q", "-b", "try") }, actions.CheckFail, "is on branch try, not on master"},
		{"git: no checkout", compose.HomeGit, func(s *stage, h *engineHost) { must(s, os.RemoveAll(h.dir+"/.git")) }, actions.CheckFail, "is in no git checkout"},
		{"git: repo gone", compose.HomeGit, func(s *stage, _ *engineHost) { must(s, os.RemoveAll(s.cfg.GitURL)) }, actions.CheckFail, "infra repo: git fetch"},
		{"git: it has just moved", compose.HomeGit, func(s *stage, _ *engineHost) { s.somebodyPushes("services/ai/tag.env", "AI_TAG=0.5.0\n", "ai: 0.5.0") }, actions.CheckFail, "it has just moved, look again"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, tt.home, "prod-1")
			snap := s.Latest()
			if tt.change != nil {
				tt.change(s, s.hosts[0])
				snap.Services[0].Instances[0].Labels = s.hosts[0].instance.Labels
			}
			p, err := s.action().Plan(context.Background(), snap, s.intent(""))
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			found := false
			for _, c := range p.Checks {
				line := string(c.State) + " " + c.Name + ": " + c.Detail
				all = append(all, line)
				found = found || (c.State == tt.state && strings.Contains(line, tt.want))
			}
			if !found {
				t.Errorf("no check is %s and says %q:\n%s", tt.state, tt.want, strings.Join(all, "\n"))
			}
			if ok, reason := p.Runnable(); ok == (tt.state == actions.CheckFail) {
				t.Errorf("runnable %v %s", ok, reason)
			}
			if tt.state == actions.CheckFail && len(p.Steps) > 0 {
				t.Error("a plan that cannot be run has steps")
			}
		})
	}
}

func must(s *stage, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func steps(p *actions.Plan) string {
	var out []string
	for _, s := range p.Steps {
		out = append(out, strings.TrimSpace(s.Name+" "+s.Host))
	}
	return strings.Join(out, ", ")
}

func TestCheckoutKeepsTheRestOfTheTagFile(t *testing.T) {
	s := newStage(t, compose.HomeCheckout, "prod-1")
	must(s, os.Chmod(s.hosts[0].tagFile(), 0o640))
	p := s.plan("")
	want := "look at tag file prod-1, copy tag file prod-1, write tag prod-1, switch tag file prod-1, look at compose file prod-1, up prod-1"
	if got := steps(p); got != want {
		t.Errorf("steps %s", got)
	}
	_, end := s.run(p)
	if end.Outcome != actions.OutcomeGood {
		t.Fatalf("ended %s: %v", end.Outcome, end.Reasons)
	}
	if got := s.read(s.hosts[0].tagFile()); got != "# written by CI\r\nAI_TAG=\"0.4.1\"\r\n" {
		t.Errorf("tag file %q", got)
	}
	info, err := os.Stat(s.hosts[0].tagFile())
	must(s, err)
	if info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
	list, err := os.ReadDir(s.hosts[0].dir + "/services/ai")
	must(s, err)
	if len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
	if got := s.hosts[0].instance.Release.Tag; got != "0.4.1" {
		t.Errorf("runs %s", got)
	}
}

func TestGitCommitIsPushedAndPulled(t *testing.T) {
	s := newStage(t, compose.HomeGit, "prod-1", "prod-2")
	p := s.plan("")
	want := "push tag commit, pull checkout prod-1, look at compose file prod-1, up prod-1, pull checkout prod-2, look at compose file prod-2, up prod-2"
	if got := steps(p); got != want {
		t.Errorf("steps %s", got)
	}
	_, end := s.run(p)
	if end.Outcome != actions.OutcomeGood {
		t.Fatalf("ended %s: %v", end.Outcome, end.Reasons)
	}
	if got := s.git(s.cfg.GitURL, "log", "-1", "--format=%an|%s", "master"); got != "nexops ana@laptop|ai: redeploy 0.4.1 (was 0.4.2)" {
		t.Errorf("commit %s", got)
	}
	if got := s.git(s.cfg.GitURL, "diff", "--stat=200", "master~1", "master"); !strings.Contains(got, "1 file changed, 1 insertion(+), 1 deletion(-)") {
		t.Errorf("diff %s", got)
	}
	for _, h := range s.hosts {
		if got := s.read(h.tagFile()); got != "# written by CI\r\nAI_TAG=\"0.4.1\"\r\n" || s.git(h.dir, "status", "--porcelain") != "" {
			t.Errorf("%s: %q", h.Name(), got)
		}
	}
	// What was planned before somebody else acts is not pushed over it.
	s.history = []string{"0.4.1", "0.4.2", "0.4.0"}
	back := s.plan("0.4.2")
	s.somebodyPushes("services/ai/tag.env", "AI_TAG=0.5.0\n", "ai: 0.5.0")
	_, end = s.run(back)
	all := strings.Join(end.Reasons, "\n")
	if end.Outcome != actions.OutcomeFailed || !strings.Contains(all, "somebody was faster") || !strings.Contains(all, "by ci: ai: 0.5.0") {
		t.Errorf("ended %s: %s", end.Outcome, all)
	}
	if got := s.git(s.cfg.GitURL, "log", "-1", "--format=%s", "master"); got != "ai: 0.5.0" {
		t.Errorf("the branch is at %s", got)
	}
}

// The image is on every host before a commit, or any host's own file, says that it is wanted: what the last host cannot
// pull has changed nothing on the first, and the reconciler finds nothing to deploy.
func TestNothingIsSwitchedBeforeEveryHostHasTheImage(t *testing.T) {
	for home, want := range map[string]string{
		compose.HomeCheckout: "pull image prod-2, look at image prod-2, look at tag file prod-1, copy tag file prod-1, write tag prod-1, switch tag file prod-1, look at compose file prod-1, up prod-1, " +
			"look at tag file prod-2, copy tag file prod-2, write tag prod-2, switch tag file prod-2, look at compose file prod-2, up prod-2",
		compose.HomeGit: "pull image prod-2, look at image prod-2, push tag commit, pull checkout prod-1, look at compose file prod-1, up prod-1, pull checkout prod-2, look at compose file prod-2, up prod-2",
	} {
		t.Run(home, func(t *testing.T) {
			s := newStage(t, home, "prod-1", "prod-2")
			delete(s.hosts[1].images, "0.4.1")
			p, before := s.plan(""), s.state()
			if got := steps(p); got != want {
				t.Errorf("steps %s", got)
			}
			s.set(func() { delete(s.registry, "0.4.1") })
			_, end := s.run(p)
			if all := strings.Join(end.Reasons, "\n"); end.Outcome != actions.OutcomeFailed || !strings.Contains(all, "pull image on prod-2") {
				t.Errorf("ended %s: %s", end.Outcome, all)
			}
			if after := s.state(); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name    string
		fault   func(*stage, *engineHost)
		outcome actions.Outcome
		want    []string
		tag     string // in the file afterwards
		runs    string
	}{
		{"tag file changed since the plan", func(s *stage, h *engineHost) { s.write(h.tagFile(), "AI_TAG=0.4.2 # me\n") },
			actions.OutcomeFailed, []string{"nothing was done", "has changed since the plan was made"}, "0.4.2", "0.4.2"},
		{"compose up fails", func(_ *stage, h *engineHost) { h.upFails = "starting\nport is already allocated" },
			actions.OutcomeFailed, []string{"up on prod-1: prod-1: docker compose: port is already allocated", "done: copy tag file on prod-1, write tag on prod-1, switch tag file on prod-1", "ai on prod-1 still runs 0.4.2"}, "0.4.1", "0.4.2"},
		{"connection lost in up, no effect", func(_ *stage, h *engineHost) { h.Lose(actionstest.Has("up"), false) },
			actions.OutcomeUnknown, []string{"connection lost", "ai on prod-1 still runs 0.4.2"}, "0.4.1", "0.4.2"},
		{"connection lost in up, it took effect", func(_ *stage, h *engineHost) { h.Lose(actionstest.Has("up"), true) },
			actions.OutcomeGood, []string{"connection lost", "the state was read again"}, "0.4.1", "0.4.1"},
		{"connection lost in the switch", func(_ *stage, h *engineHost) { h.Lose(actionstest.Has("mv"), true) },
			actions.OutcomeUnknown, []string{"not done: up on prod-1"}, "0.4.1", "0.4.2"},
		{"connection lost before up began", func(_ *stage, h *engineHost) {
			h.Refuse(actionstest.Has("up"), false, errNeverBegan)
		}, actions.OutcomeFailed, []string{"it never began", "not done: up on prod-1"}, "0.4.1", "0.4.2"},
		{"the disk is full", func(_ *stage, h *engineHost) { h.full = true },
			actions.OutcomeFailed, []string{"No space left on device"}, "0.4.2", "0.4.2"},
		{"the tag moved between plan and pull", func(s *stage, h *engineHost) { s.registry["0.4.1"] = digestOf("x") },
			actions.OutcomeFailed, []string{"the tag was moved", "not done: copy tag file on prod-1", "up on prod-1"}, "0.4.2", "0.4.2"},
		{"the registry loses it between plan and pull", func(s *stage, h *engineHost) { delete(s.registry, "0.4.1") },
			actions.OutcomeFailed, []string{"pull image on prod-1: prod-1: docker pull", "manifest unknown", "not done: pull image on prod-1, copy tag file on prod-1"}, "0.4.2", "0.4.2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, compose.HomeCheckout, "prod-1")
			h := s.hosts[0]
			if strings.Contains(tt.name, "pull") {
				delete(h.images, "0.4.1")
			}
			p := s.plan("")
			h.Forget()
			s.set(func() { tt.fault(s, h) })
			_, end := s.run(p)
			all := strings.Join(end.Reasons, "\n")
			if end.Outcome != tt.outcome {
				t.Errorf("ended %s: %s", end.Outcome, all)
			}
			for _, want := range tt.want {
				if !strings.Contains(all, want) {
					t.Errorf("reasons lack %q:\n%s", want, all)
				}
			}
			if tag, _, _ := compose.ReadTag([]byte(s.read(h.tagFile())), "AI_TAG"); tag != tt.tag {
				t.Errorf("the tag file says %s, want %s", tag, tt.tag)
			}
			if got := h.instance.Release.Tag; got != tt.runs {
				t.Errorf("runs %s, want %s", got, tt.runs)
			}
			ups := 0
			for _, call := range h.Calls() {
				if slices.Contains(call, "up") {
					ups++
				}
			}
			if ups > 1 {
				t.Errorf("up was sent %d times", ups)
			}
		})
	}
}
