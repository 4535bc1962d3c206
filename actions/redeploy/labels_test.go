package redeploy

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
)

// TestForgedLabels: any image may carry Compose's labels. What they say is never run where a
// container could have written it, and no program is started there to find out.
func TestForgedLabels(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, s *stage)
		want   string
	}{
		{"the folder is a container's", func(_ *testing.T, s *stage) {
			s.label(compose.LabelDir, "/proc/self")
		}, "where containers write"},
		{"the folder leads to a container's", func(t *testing.T, s *stage) {
			link := filepath.Join(s.dir, "link")
			if err := os.Symlink("/proc/self", link); err != nil {
				t.Fatal(err)
			}
			s.label(compose.LabelDir, link)
		}, "where containers write"},
		{"a file is below the engine's own folder", func(_ *testing.T, s *stage) {
			s.hosts[0].root = s.dir
		}, "where containers write"},
		{"an environment file is a container's", func(_ *testing.T, s *stage) {
			s.label(compose.LabelEnvFiles, "/proc/self/environ")
		}, "where containers write"},
		{"everybody may change a file", func(t *testing.T, s *stage) {
			if err := os.Chmod(s.hosts[0].instance.Labels[compose.LabelFiles], 0o666); err != nil { //nolint:gosec // the fault
				t.Fatal(err)
			}
		}, "everybody on the host may change"},
		{"another user's folder", func(_ *testing.T, s *stage) {
			s.hosts[0].owner = "4711"
		}, "belongs to user 4711 of the host, who is neither root nor who logs in"},
		{"everybody may put something beside it", func(t *testing.T, s *stage) {
			if err := os.Chmod(s.hosts[0].dir, 0o1777); err != nil { //nolint:gosec // the fault
				t.Fatal(err)
			}
		}, "everybody on the host may change"},
		{"everybody may exchange what is above it", func(t *testing.T, s *stage) {
			if err := os.Chmod(s.dir, 0o777); err != nil { //nolint:gosec // the fault
				t.Fatal(err)
			}
		}, "everybody on the host may change"},
		{"a file that is not there", func(_ *testing.T, s *stage) {
			s.label(compose.LabelFiles, "--help,"+strings.Repeat("x,", 3))
		}, "No such file"},
		{"files without end", func(_ *testing.T, s *stage) {
			s.label(compose.LabelFiles, strings.Repeat("x,", 100))
		}, "20 are allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, compose.HomeCheckout, "prod-1")
			tt.change(t, s)
			plan, err := s.action().Plan(context.Background(), s.Latest(), s.intent("0.4.1"))
			if err != nil {
				t.Fatal(err)
			}
			ok, why := plan.Runnable()
			if ok || !strings.Contains(why, tt.want) || !strings.Contains(why, "[actions.redeploy.services.ai]") {
				t.Errorf("runnable %v: %s, want %q", ok, why, tt.want)
			}
			for _, argv := range s.hosts[0].Calls() {
				if argv[0] == "git" || slices.Contains(argv, "config") {
					t.Errorf("ran %v before it was known whose the folder is", argv)
				}
			}
		})
	}
}

// TestWhoseFoldersAreBelieved: the own one's, and those of the users whom the config names.
func TestWhoseFoldersAreBelieved(t *testing.T) {
	for name, change := range map[string]func(*stage){
		"who logs in":      func(s *stage) { s.hosts[0].user = "4711" },
		"a user by number": func(s *stage) { s.cfg.Owners = []string{"nobody-here", "4711"} },
		"root":             func(s *stage) { s.hosts[0].owner, s.hosts[0].user = "0", "4711" },
	} {
		s := newStage(t, compose.HomeCheckout, "prod-1")
		s.hosts[0].owner = "4711"
		change(s)
		plan, err := s.action().Plan(context.Background(), s.Latest(), s.intent("0.4.1"))
		if err != nil {
			t.Fatal(err)
		}
		if ok, why := plan.Runnable(); !ok {
			t.Errorf("%s: %s", name, why)
		}
	}
}

// TestConfiguredPathsAreBelieved: what the config says needs no label.
func TestConfiguredPathsAreBelieved(t *testing.T) {
	s := newStage(t, compose.HomeCheckout, "prod-1")
	h := s.hosts[0]
	h.root = s.dir
	s.cfg.Services = map[string]Override{"ai": {Override: compose.Override{Dir: h.dir, Files: []string{"prod/stack.yml"}}}}
	plan, err := s.action().Plan(context.Background(), s.Latest(), s.intent("0.4.1"))
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := plan.Runnable(); !ok {
		t.Error(why)
	}
	if argv := plan.Steps[len(plan.Steps)-1].Argv; !slices.Contains(argv, filepath.Join(h.dir, "prod/stack.yml")) {
		t.Errorf("up is %v", argv)
	}
}

// TestContainersThatDisagree: with two answers to where a service is from, one may be forged.
func TestContainersThatDisagree(t *testing.T) {
	s := newStage(t, compose.HomeCheckout, "prod-1")
	snap := s.Latest()
	other := *snap.Services[0].Instances[0]
	other.ID, other.Labels = "other", map[string]string{compose.LabelDir: "/srv/other", compose.LabelFiles: "/srv/other/compose.yml", compose.LabelNumber: "2"}
	snap.Services[0].Instances = append(snap.Services[0].Instances, &other)
	o := s.action().Offer(snap, []fleet.Ref{{Service: aiProd}})
	if o.Enabled || !strings.Contains(o.Reason, "tell of different Compose files") {
		t.Errorf("%+v", o)
	}
	for _, image := range []string{"--format={{.}}", "a b", "x;y", "\x1b[31m"} {
		snap := s.Latest()
		snap.Services[0].Instances[0].Release.Image = image
		if o := s.action().Offer(snap, []fleet.Ref{{Service: aiProd}}); o.Enabled || strings.Contains(o.Reason, "\x1b") {
			t.Errorf("image %q: %+v", image, o)
		}
	}
}
