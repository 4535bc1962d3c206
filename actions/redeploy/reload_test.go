package redeploy

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// newReload is an nginx whose configuration is in the checkout of its hosts: "one", "two" and now "three".
func newReload(t *testing.T, home string, hosts ...string) *stage {
	t.Helper()
	s := newStage(t, compose.HomeGit, append(hosts, "prod-1")...)
	s.cfg.TagHome = home
	s.front = true
	s.cfg.Services = map[string]Override{"nginx": {Strategy: StrategyReload, ConfigPaths: []string{"nginx"}}}
	for _, text := range []string{"one", "two", "three"} {
		s.somebodyPushes("nginx/nginx.conf", text+"\n", "nginx: "+text)
	}
	s.somebodyPushes("other", "x\n", "other: y")
	for _, h := range s.hosts {
		s.git(h.dir, "pull", "-q")
	}
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
	for _, home := range []string{compose.HomeCheckout, compose.HomeGit} {
		t.Run(home, func(t *testing.T) {
			actionstest.Contract(t, func(t *testing.T) actionstest.Case {
				s := newReload(t, home)
				c := s.contract()
				c.Intent = nginxIntent("")
				return c
			})
		})
	}
}

// TestReloadByGit: what git desires is what is loaded. The commit is pushed when every host has tested the files, and pulled by all.
func TestReloadByGit(t *testing.T) {
	s := newReload(t, compose.HomeGit, "prod-0")
	s.somebodyPushes("nginx/extra.conf", "extra\n", "nginx: extra") // in no checkout yet: it goes as well
	plan := func(to string) *actions.Plan {
		p, err := s.planNginx(to)
		must(s, err)
		if ok, why := p.Runnable(); !ok {
			t.Fatal(why)
		}
		return p
	}
	p := plan("")
	want := "look at configuration prod-0, restore configuration prod-0, test nginx prod-0, look at configuration prod-1, restore configuration prod-1, test nginx prod-1, push configuration commit"
	for _, host := range []string{"prod-0", "prod-1"} {
		want += ", pull checkout " + host + ", reload nginx, restart if that fails " + host + ", look at workers of nginx " + host
	}
	if got := steps(p); got != want {
		t.Errorf("steps %s", got)
	}
	if got := checked(p, "reconciler"); !strings.Contains(got, "ok git desires this configuration then: the next pull or sync of master keeps it") {
		t.Errorf("of the reconciler: %s", got)
	}
	arrived := func(text, subject string) {
		t.Helper()
		if got := s.git(s.cfg.GitURL, "log", "-1", "--format=%an|%s", "master"); got != "nexops ana@laptop|"+subject {
			t.Errorf("commit %s", got)
		}
		if got := s.git(s.cfg.GitURL, "ls-tree", "-r", "--name-only", "master", "nginx"); got != "nginx/nginx.conf" {
			t.Errorf("files %s", got)
		}
		for _, h := range s.hosts {
			if got := s.read(filepath.Join(h.dir, "nginx/nginx.conf")); got != text || s.git(h.dir, "status", "--porcelain") != "" || s.git(h.dir, "rev-parse", "HEAD") != s.git(s.cfg.GitURL, "rev-parse", "master") {
				t.Errorf("%s has %q, %s", h.Name(), got, s.git(h.dir, "status"))
			}
		}
	}
	id := func(subject string) string {
		return s.git(s.cfg.GitURL, "log", "-1", "--format=%H", "--fixed-strings", "--grep="+subject, "master")[:12]
	}
	if _, end := s.run(p); end.Outcome != actions.OutcomeGood {
		t.Fatalf("ended %s %v", end.Outcome, end.Reasons)
	}
	arrived("two\n", "nginx: configuration as in "+id("nginx: two")+" (was "+id("nginx: three")+")")
	// The one before that is not what was just left, but what was there before it.
	back := p.Undo
	if _, end := s.run(plan("")); end.Outcome != actions.OutcomeGood {
		t.Fatalf("ended %s %v", end.Outcome, end.Reasons)
	}
	arrived("one\n", "nginx: configuration as in "+id("nginx: one")+" (was "+id("nginx: two")+")")
	if _, end := s.run(plan(back.Args[ArgTo])); end.Outcome != actions.OutcomeGood {
		t.Fatalf("ended %s %v", end.Outcome, end.Reasons)
	}
	arrived("three\n", "nginx: configuration as in "+id("nginx: three")+" (was "+id("nginx: one")+")")
}

// TestReloadPushesNothingThatDoesNotHold: neither what a host does not take, nor over what somebody else has pushed; the files are as before.
func TestReloadPushesNothingThatDoesNotHold(t *testing.T) {
	for name, tt := range map[string]struct {
		fault func(*stage)
		want  string
	}{
		"it does not hold on the second host": {func(s *stage) { s.hosts[1].badConf = true }, "test nginx on prod-1"},
		"somebody was faster":                 {func(s *stage) { s.somebodyPushes("other", "z\n", "other: z") }, "not pushed, somebody was faster"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newReload(t, compose.HomeGit, "prod-0")
			p, err := s.planNginx("")
			must(s, err)
			tt.fault(s)
			before := s.state()
			_, end := s.run(p)
			if all := strings.Join(end.Reasons, "\n"); end.Outcome != actions.OutcomeFailed || !strings.Contains(all, tt.want) || !strings.Contains(all, "put back as they were") {
				t.Errorf("ended %s: %s", end.Outcome, all)
			}
			if after := s.state(); after != before || s.config() != "three\n" {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
			for _, h := range s.hosts {
				for _, call := range h.Calls() {
					if strings.Contains(strings.Join(call, " "), "-s reload") {
						t.Error("it was told to load it")
					}
				}
			}
		})
	}
}

// A checkout of another repository than git_url is left to whoever has that one.
func TestReloadOfAnotherRepository(t *testing.T) {
	s := newReload(t, compose.HomeGit)
	s.git(s.hosts[0].dir, "commit", "-q", "--amend", "-m", "other: by hand")
	for _, text := range []string{"four", "five"} {
		s.write(filepath.Join(s.hosts[0].dir, "nginx/nginx.conf"), text+"\n")
		s.git(s.hosts[0].dir, "commit", "-q", "-a", "-m", "nginx: "+text)
	}
	p, err := s.planNginx("")
	must(s, err)
	if ok, why := p.Runnable(); !ok || strings.Contains(steps(p), "push") || !strings.Contains(checked(p, "infra repo"), "of another repository") {
		t.Errorf("runnable %v %s: %s; %s", ok, why, steps(p), checked(p, "infra repo"))
	}
	if _, end := s.run(p); end.Outcome != actions.OutcomeGood || s.config() != "four\n" {
		t.Fatalf("ended %s %v with %q", end.Outcome, end.Reasons, s.config())
	}
}

// TestReloadHolds: where only the checkout has the configuration, the service is held, or what takes it away is said.
func TestReloadHolds(t *testing.T) {
	s := newReload(t, compose.HomeCheckout)
	head := s.git(s.hosts[0].dir, "rev-parse", "HEAD")[:7]
	next := "warn the commit of the checkout, " + head + ", has another configuration: a pull that changes nginx refuses, any other keeps the files as they are put, and a reset or a new clone takes them away: "
	p, err := s.planNginx("")
	must(s, err)
	if got := checked(p, "reconciler"); !strings.HasPrefix(got, next+"revert ") || strings.Contains(steps(p), "hold") {
		t.Errorf("of the reconciler: %s; steps %s", got, steps(p))
	}
	s.cfg.Hold = remote.Duration(24 * time.Hour)
	a := s.action().(*action) //nolint:forcetypeassert // New makes one
	a.deps.Lock = actions.LockConfig{Dir: filepath.Join(t.TempDir(), "locks"), Expiry: remote.Duration(time.Minute)}
	holds := actions.NewHolds(a.deps.Lock, a.deps.Host)
	p, err = a.Plan(t.Context(), s.Latest(), nginxIntent(""))
	must(s, err)
	if got := checked(p, "reconciler"); !strings.HasPrefix(got, next+"nginx@prod is held for 1 d") || !strings.HasSuffix(steps(p), "hold nginx@prod prod-1") {
		t.Errorf("of the reconciler: %s; steps %s", got, steps(p))
	}
	if _, end := s.run(p); end.Outcome != actions.OutcomeGood || s.config() != "two\n" {
		t.Fatalf("ended %s %v with %q", end.Outcome, end.Reasons, s.config())
	}
	held, err := holds.Check(t.Context(), "prod-1", "prod", "nginx")
	if err != nil || held == nil || !strings.Contains(held.Reason, "git desires configuration "+p.Undo.Args[ArgTo][:7]) {
		t.Fatalf("held %+v, %v", held, err)
	}
	// The way back to what the checkout's commit has releases it.
	snap := s.Latest()
	for i := range snap.Services {
		if snap.Services[i].Key.Name == "nginx" {
			snap.Services[i].Hold = held
		}
	}
	back, err := a.Plan(t.Context(), snap, *p.Undo)
	must(s, err)
	if got := checked(back, "reconciler"); got != "ok the checkout at "+head+" has it so: the next pull keeps it" {
		t.Errorf("of the reconciler: %s", got)
	}
	if _, end := s.run(back); end.Outcome != actions.OutcomeGood || s.config() != "three\n" {
		t.Fatalf("ended %s %v with %q", end.Outcome, end.Reasons, s.config())
	}
	if held, err = holds.Check(t.Context(), "prod-1", "prod", "nginx"); err != nil || held != nil {
		t.Errorf("still held: %+v, %v", held, err)
	}
}

// checked is what the checks of a name say.
func checked(p *actions.Plan, name string) string {
	var out []string
	for _, c := range p.Checks {
		if c.Name == name {
			out = append(out, string(c.State)+" "+c.Detail)
		}
	}
	return strings.Join(out, "\n")
}

func TestReloadForthAndBack(t *testing.T) {
	s := newReload(t, compose.HomeCheckout)
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
	s := newReload(t, compose.HomeCheckout)
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
	s := newReload(t, compose.HomeCheckout)
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
	s := newReload(t, compose.HomeCheckout)
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
