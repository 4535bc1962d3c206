package promote

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/fleet"
)

// verbose is what docker manifest inspect --verbose says of an image for several platforms.
func verbose(list map[string]string) string {
	var out []string
	for _, p := range slices.Sorted(maps.Keys(list)) {
		os, arch, _ := strings.Cut(p, "/")
		out = append(out, fmt.Sprintf(`{"Ref":"x@%s","Descriptor":{"digest":%q,"platform":{"architecture":%q,"os":%q}}}`, list[p], list[p], arch, os))
	}
	return "[" + strings.Join(out, ",") + "]"
}

// What staging runs has the digest of the whole, or of one platform's image: it is the same artifact when every host of prod
// would get what belongs to it.
func TestSeveralPlatforms(t *testing.T) {
	whole := actionstest.Digest("0.4.3") // what staging's image says
	amd, arm := actionstest.Digest("amd"), actionstest.Digest("arm")
	both := map[string]string{"linux/amd64": amd, "linux/arm64": arm, "unknown/unknown": actionstest.Digest("attestation")}
	for name, tt := range map[string]struct {
		arch string
		tag  map[string]string
		old  map[string]string // of what staging runs
		want string            // "" is proven
	}{
		"the whole":                      {"x86_64", both, both, ""},
		"the whole, on arm":              {"aarch64", both, both, ""},
		"one platform's, and prod's":     {"x86_64", map[string]string{"linux/amd64": whole, "linux/arm64": arm}, nil, ""},
		"one platform's, another prod's": {"aarch64", map[string]string{"linux/amd64": whole, "linux/arm64": arm}, nil, "which is not what staging runs"},
		"moved":                          {"x86_64", map[string]string{"linux/amd64": actionstest.Digest("9"), "linux/arm64": arm}, both, "the tag 0.4.3 has been moved"},
		"a platform taken away":          {"x86_64", map[string]string{"linux/amd64": amd}, both, "the tag 0.4.3 has been moved"},
		"none for prod":                  {"riscv64", both, both, "has no image for linux/riscv64"},
		"gone from the registry":         {"x86_64", both, nil, "is not in the registry any more"},
	} {
		s := newStage(t, false)
		s.cfg.Way, s.arch, s.registry = WayPush, tt.arch, ""
		s.lists = map[string]map[string]string{"0.4.3": tt.tag, whole: tt.old}
		p := s.plan()
		ok, why := p.Runnable()
		if ok != (tt.want == "") || !strings.Contains(why, tt.want) {
			t.Errorf("%s: %v %s", name, ok, why)
			continue
		}
		if !ok {
			continue
		}
		if _, err := s.run(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		i := slices.IndexFunc(p.Checks, func(c actions.Check) bool { return c.Name == "same artifact" })
		if i < 0 || !strings.Contains(p.Checks[i].Detail, whole) || (tt.old != nil && !strings.Contains(p.Checks[i].Detail, "for linux/")) {
			t.Errorf("%s: %+v", name, p.Checks)
		}
	}
}

// journalled runs a plan by an ordinary Runner, so that it is on record.
func (s *stage) journalled(j *actions.Journal, p *actions.Plan) actions.Event {
	s.t.Helper()
	r := actions.NewRunner(actions.RunnerOptions{
		Policy:  actions.Policy{Environments: map[string]actions.EnvironmentPolicy{"prod": {Confirm: actions.ConfirmY}}},
		Journal: j, Locker: actions.NewMemoryLocker(time.Now), World: s.prod, Who: "ana@laptop",
	})
	defer func() { _ = r.Close() }()
	ch, err := r.Run(s.t.Context(), p, actions.Confirmation{Yes: true})
	if err != nil {
		s.t.Fatal(err)
	}
	var last actions.Event
	for last = range ch { //nolint:revive // the last one counts
	}
	return last
}

// A push straight to the branch is taken back by U: a commit of its own, and again by U.
func TestAPushIsTakenBack(t *testing.T) {
	s := newStage(t, false)
	s.cfg.Way = WayPush
	j, err := actions.OpenJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	if end := s.journalled(j, s.plan()); end.Outcome != actions.OutcomeGood {
		t.Fatalf("%s %v", end.Outcome, end.Reasons)
	}
	s.pushed("services/ai/other.env", "X=1\n")
	for _, want := range []string{"0.4.2", "0.4.3"} {
		u, err := j.Undo(time.Now(), s.prod.Key, "ana@laptop")
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.action().Plan(t.Context(), s.prod.Latest(), u.Intent)
		if err != nil {
			t.Fatal(err)
		}
		if ok, why := p.Runnable(); !ok || !strings.Contains(p.Title, "→ "+want) || len(p.Steps) != 1 {
			t.Fatalf("%q %v %s", p.Title, ok, why)
		}
		if end := s.journalled(j, p); end.Outcome != actions.OutcomeGood {
			t.Fatalf("%s %v", end.Outcome, end.Reasons)
		}
		if got := s.file("master", "services/ai/tag.env"); !strings.HasSuffix(got, "AI_TAG="+want) {
			t.Errorf("%q", got)
		}
		if got := s.file("master", "services/ai/other.env"); got != "X=1" {
			t.Errorf("what others pushed since is gone: %q", got)
		}
	}
	if m := s.git("--git-dir="+s.remote, "log", "-1", "--format=%B", "master"); !strings.Contains(m, "This reverts commit ") {
		t.Errorf("commit %q", m)
	}
}

// pushed is somebody else's commit to master.
func (s *stage) pushed(file, text string) {
	s.t.Helper()
	work := s.t.TempDir()
	s.git("clone", "-q", "-b", "master", s.remote, work)
	if err := os.WriteFile(filepath.Join(work, file), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.git("-C", work, "add", ".")
	s.git("-C", work, "commit", "-q", "-m", "change "+file)
	s.git("-C", work, "push", "-q", "origin", "master")
}

func TestWhatIsNotTakenBack(t *testing.T) {
	s := newStage(t, false)
	s.cfg.Way = WayPush
	p := s.plan()
	in := *p.Undo
	if _, err := s.run(p); err != nil {
		t.Fatal(err)
	}
	s.pushed("services/ai/tag.env", "AI_TAG=0.4.4\n")
	try := func(in actions.Intent) string {
		t.Helper()
		in.Targets = []fleet.Ref{{Service: s.prod.Key}}
		p, err := s.action().Plan(t.Context(), s.prod.Latest(), in)
		if err != nil {
			return err.Error()
		}
		_, why := p.Runnable()
		return why
	}
	if why := try(in); !strings.Contains(why, "git wants 0.4.4 now, not 0.4.3 any more") {
		t.Errorf("moved since: %q", why)
	}
	for _, tt := range []struct{ commit, want string }{
		{"-x", "is no commit"},
		{strings.Repeat("0", 40), "there is nothing to take back"},
		{s.git("--git-dir="+s.remote, "rev-parse", "master~2"), "tag.env at"},
	} {
		in.Args = map[string]string{ArgRevert: tt.commit}
		if why := try(in); !strings.Contains(why, tt.want) {
			t.Errorf("%s: %q", tt.commit, why)
		}
	}
	s.cfg.Way = WayPullRequest
	if why := try(in); !strings.Contains(why, "go by pull request") {
		t.Errorf("by pull request: %q", why)
	}
	if p := newStage(t, false).plan(); p.Undo != nil || !strings.Contains(strings.Join(p.Risks, "\n"), "close the pull request and delete the branch") {
		t.Errorf("a branch of its own: %+v %v", p.Undo, p.Risks)
	}
}

// A push that the remote refuses before the branch exists has failed: nobody needs to wonder whether it is there.
func TestABranchThatIsNotMade(t *testing.T) {
	s := newStage(t, false)
	p := s.plan()
	hook := filepath.Join(s.remote, "hooks", "pre-receive")
	if err := os.MkdirAll(filepath.Dir(hook), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho protected >&2\nexit 1\n"), 0o700); err != nil { //nolint:gosec // a hook has to be run
		t.Fatal(err)
	}
	_, err := s.run(p)
	if err == nil || errors.Is(err, actions.ErrUnknown) || !strings.Contains(err.Error(), "not pushed") {
		t.Errorf("refused: %v", err)
	}
	if err := os.Rename(s.remote, s.remote+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err = s.run(p); !errors.Is(err, actions.ErrUnknown) {
		t.Errorf("a remote that cannot be read again: %v", err)
	}
}
