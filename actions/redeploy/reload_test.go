package redeploy

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
)

// newReload is an nginx whose configuration is in the checkout of its host: "one", "two" and now "three".
func newReload(t *testing.T) *stage {
	t.Helper()
	s := newStage(t, compose.HomeGit, "prod-1")
	s.front = true
	s.cfg.Services = map[string]Override{"nginx": {Strategy: StrategyReload, ConfigPaths: []string{"nginx"}}}
	for _, text := range []string{"one", "two", "three"} {
		s.somebodyPushes("nginx/nginx.conf", text+"\n", "nginx: "+text)
	}
	s.somebodyPushes("other", "x\n", "other: y")
	s.git(s.hosts[0].dir, "pull", "-q")
	return s
}

func nginxIntent(to string) actions.Intent {
	in := actions.Intent{Action: Name, Targets: []fleet.Ref{{Service: fleet.ServiceKey{Environment: "prod", Name: "nginx"}}}, Who: "ana@laptop"}
	if to != "" {
		in.Args = map[string]string{ArgTo: to}
	}
	return in
}

func (s *stage) planNginx(to string) (*actions.Plan, error) {
	return s.action().Plan(context.Background(), s.Latest(), nginxIntent(to)) //nolint:wrapcheck // a test's
}

func (s *stage) config() string { return s.read(filepath.Join(s.hosts[0].dir, "nginx/nginx.conf")) }

func TestContractReload(t *testing.T) {
	actionstest.Contract(t, func(t *testing.T) actionstest.Case {
		s := newReload(t)
		c := s.contract()
		c.Intent = nginxIntent("")
		return c
	})
}

func TestReloadForthAndBack(t *testing.T) {
	s := newReload(t)
	p, err := s.planNginx("")
	must(s, err)
	if got := strings.ReplaceAll(steps(p), " prod-1", ""); got != "look at configuration, restore configuration, test nginx, reload nginx, restart if that fails, look at workers of nginx" {
		t.Errorf("steps %s", got)
	}
	_, end := s.run(p)
	if end.Outcome != actions.OutcomeGood || s.config() != "two\n" {
		t.Fatalf("ended %s %v with %q", end.Outcome, end.Reasons, s.config())
	}
	p, err = s.planNginx("")
	must(s, err)
	if _, end = s.run(p); end.Outcome != actions.OutcomeGood || s.config() != "one\n" {
		t.Fatalf("ended %s %v with %q", end.Outcome, end.Reasons, s.config())
	}
	if _, err := s.planNginx(""); err != nil {
		t.Fatal(err)
	} else if p, _ = s.planNginx(""); p.Steps != nil {
		t.Error("went back before the first commit")
	}
	last := s.git(s.hosts[0].dir, "log", "-1", "--format=%H", "--", "nginx")
	p, err = s.planNginx(last[:10])
	must(s, err)
	if _, end = s.run(p); end.Outcome != actions.OutcomeGood || s.config() != "three\n" {
		t.Fatalf("ended %s %v with %q", end.Outcome, end.Reasons, s.config())
	}
}

// TestReloadPutsBackWhatDoesNotHold: nginx is not told, and the files are as before.
func TestReloadPutsBackWhatDoesNotHold(t *testing.T) {
	s := newReload(t)
	p, err := s.planNginx("")
	must(s, err)
	s.set(func() { s.hosts[0].badConf = true })
	_, end := s.run(p)
	if all := strings.Join(end.Reasons, "\n"); end.Outcome != actions.OutcomeFailed || !strings.Contains(all, "put back as they were") || s.config() != "three\n" {
		t.Errorf("ended %s with %q: %s", end.Outcome, s.config(), all)
	}
	for _, call := range s.hosts[0].Calls() {
		if strings.Contains(strings.Join(call, " "), "-s reload") {
			t.Error("it was told to load what does not hold")
		}
	}
}

// What somebody writes between the plan and its step is nowhere else: it is not written over.
func TestReloadKeepsWhatWasChangedSince(t *testing.T) {
	s := newReload(t)
	p, err := s.planNginx("")
	must(s, err)
	s.write(filepath.Join(s.hosts[0].dir, "nginx/nginx.conf"), "by hand\n")
	_, end := s.run(p)
	if all := strings.Join(end.Reasons, "\n"); end.Outcome != actions.OutcomeFailed || !strings.Contains(all, "nothing was done") ||
		!strings.Contains(all, "has changed since the plan was made") || s.config() != "by hand\n" {
		t.Errorf("ended %s with %q: %s", end.Outcome, s.config(), all)
	}
}

func TestReloadRefusesHandMadeChanges(t *testing.T) {
	s := newReload(t)
	s.write(filepath.Join(s.hosts[0].dir, "nginx/nginx.conf"), "by hand\n")
	p, err := s.planNginx("")
	must(s, err)
	if ok, why := p.Runnable(); ok || !strings.Contains(why, "somebody is changing it") {
		t.Errorf("runnable %v: %s", ok, why)
	}
	for to, want := range map[string]string{"abc": "at least 7 digits", "0000000": "none of the last"} {
		s.write(filepath.Join(s.hosts[0].dir, "nginx/nginx.conf"), "three\n")
		p, err := s.planNginx(to)
		must(s, err)
		if ok, why := p.Runnable(); ok || !strings.Contains(why, want) {
			t.Errorf("%s: runnable %v: %s", to, ok, why)
		}
	}
}
