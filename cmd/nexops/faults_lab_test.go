package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/lab/ptytest"
	"github.com/nexgate-hq/nexops/lab/real"
)

// quick is the lab's config with a short soak, changed as said, and its path.
func quick(t *testing.T, lab *real.Lab, change ...string) string {
	t.Helper()
	text, err := os.ReadFile(lab.Config)
	if err != nil {
		t.Fatal(err)
	}
	change = append([]string{`soak     = "10s"`, `soak     = "1s"`}, change...)
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(strings.NewReplacer(change...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// person is somebody at a machine of their own: nothing but the hosts is shared with others.
type person struct {
	name, home, config string
}

func newPerson(t *testing.T, name, config string) person {
	t.Helper()
	return person{name: name, home: t.TempDir(), config: config}
}

func (p person) nexops(args ...string) *exec.Cmd {
	cmd := exec.Command("nexops", append([]string{"--config", p.config, "--env", "prod"}, args...)...) //nolint:gosec // our own binary
	cmd.Env = append(os.Environ(), "HOME="+p.home, "SUDO_USER="+p.name,                                // who somebody is, as root on one machine
		"XDG_STATE_HOME="+filepath.Join(p.home, "state"), "XDG_CACHE_HOME="+filepath.Join(p.home, "cache"))
	return cmd
}

// journal gives the lines of the journal on the disk, as they are there now.
func (p person) journal(t *testing.T) []line {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.home, "state", "nexops", "journal", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	var out []line
	for _, f := range files {
		text, err := os.ReadFile(f) //nolint:gosec // the test's own folder
		if err != nil {
			t.Fatal(err)
		}
		for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
			var l line
			if json.Unmarshal(s.Bytes(), &l) == nil { // the last one may still be written
				out = append(out, l)
			}
		}
	}
	return out
}

// line is what a test looks at in one line of the journal.
type line struct {
	Seq   int
	Kind  string
	Plan  string
	Event *struct {
		Kind string
		Step int
	}
	Outcome *struct {
		Outcome string
		Reasons []string
	}
}

// String names a moment: "step_began 2", "plan".
func (l line) String() string {
	if l.Event == nil {
		return l.Kind
	}
	if l.Event.Step < 0 {
		return l.Event.Kind
	}
	return fmt.Sprintf("%s %d", l.Event.Kind, l.Event.Step)
}

// running is what the lab's engine says of ai on prod-1: "0.1.0", with the state when it is not running.
func running(t *testing.T, lab *real.Lab) string {
	t.Helper()
	out, err := lab.SSH(t.Context(), "prod-1", "docker", "ps", "--all", "--filter", "label=com.docker.compose.service=ai", "--format", "{{.Image}} {{.State}}")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for l := range strings.Lines(out) {
		_, tag, _ := strings.Cut(strings.TrimSpace(l), "ai-service:")
		list = append(list, strings.TrimSuffix(tag, " running"))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// TestLabTwoPeoplePressRAtOnce: two screens, one release. One of them wins; the other reads who did, and nothing is done twice.
func TestLabTwoPeoplePressRAtOnce(t *testing.T) {
	lab, _ := inLab(t)
	if err := lab.Deploy(t.Context(), "ai", "prod", real.GoodTag); err != nil {
		t.Fatal(err)
	}
	since, config := time.Now(), quick(t, lab)
	people := []person{newPerson(t, "ana", config), newPerson(t, "ben", config)}
	var screens []*ptytest.Terminal
	for _, p := range people {
		screens = append(screens, ptytest.Start(t, p.nexops(), 160, 48))
	}
	for _, s := range screens {
		s.WaitFor(within, "hosts 2/2", "notification", real.GoodTag)
		s.Type("/", "ai", ptytest.Enter)
		s.WaitFor(within, "desired     "+real.GoodTag, "R redeploy")
	}
	for _, s := range screens {
		s.Type("R")
	}
	for _, s := range screens {
		s.WaitFor(within, "type ai@prod to run", real.FirstTag)
	}
	read()
	for _, s := range screens {
		s.Type("ai@prod")
	}
	var both sync.WaitGroup
	for _, s := range screens {
		both.Go(func() { s.Type(ptytest.Enter) })
	}
	both.Wait()
	texts := make([]string, len(screens))
	for i, s := range screens {
		texts[i] = s.WaitUntil(2*within, "an end", func(text string) bool {
			return strings.Contains(text, "good after") || strings.Contains(text, "failed after")
		})
	}
	winner := slices.IndexFunc(texts, func(s string) bool { return strings.Contains(s, "good after") })
	if winner < 0 {
		t.Fatalf("nobody won:\n%s\n%s", texts[0], texts[1])
	}
	loser := 1 - winner
	if strings.Contains(texts[loser], "U undo: ") {
		t.Errorf("an undo of nothing is offered:\n%s", texts[loser])
	}
	if said := "locked on prod-1 by " + people[winner].name; !strings.Contains(strings.Join(strings.Fields(texts[loser]), " "), said) {
		t.Errorf("%s does not see %q:\n%s", people[loser].name, said, texts[loser])
	}
	t.Logf("%s won; %s sees:\n%s", people[winner].name, people[loser].name, texts[loser])
	oneContainer(t, lab, since)
	for i, p := range people {
		screens[i].Type(ptytest.CtrlC)
		if out, c := output(t, p.nexops("journal", "verify")); c != 0 {
			t.Errorf("journal of %s: %s", p.name, out)
		}
	}
}

// oneContainer makes sure that ai was made anew once since then, that it runs the first release, and that one commit said so.
func oneContainer(t *testing.T, lab *real.Lab, since time.Time) {
	t.Helper()
	events, err := lab.EngineEvents(t.Context(), "prod-1", "ai", since)
	if err != nil {
		t.Fatal(err)
	}
	if n := count(events, "create"); n != 1 {
		t.Errorf("%d containers were made", n)
	}
	if got := running(t, lab); got != real.FirstTag {
		t.Errorf("ai runs %s", got)
	}
	log, err := lab.SSH(t.Context(), "ops", "git", "-C", "/srv/git/nexgate-infra.git", "log", "--format=%s", fmt.Sprintf("--since=%d", since.Unix()), "master")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log, "ai: redeploy "+real.FirstTag); n != 1 {
		t.Errorf("%d commits:\n%s", n, log)
	}
	if out, _ := lab.SSH(t.Context(), "prod-1", "ls", "-A", "/tmp/nexops-locks"); strings.TrimSpace(out) != "" {
		t.Errorf("the lock was left: %s", out)
	}
}

func count(list []string, what string) int {
	n := 0
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}

// TestLabPastedConfirmation: text that is pasted with the newline it was copied with stands in the dialog and runs nothing;
// the Enter of a hand runs it, once. A terminal that does not tell a paste from typing changes nothing of that.
func TestLabPastedConfirmation(t *testing.T) {
	lab, _ := inLab(t)
	if err := lab.Deploy(t.Context(), "ai", "prod", real.GoodTag); err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	p := newPerson(t, "ana", quick(t, lab))
	s := ptytest.Start(t, p.nexops(), 160, 48)
	s.WaitFor(within, "hosts 2/2", "notification", real.GoodTag)
	s.Type("/", "ai", ptytest.Enter)
	s.WaitFor(within, "desired     "+real.GoodTag, "R redeploy")
	for _, paste := range []string{"\x1b[200~ai@prod\n\x1b[201~", "\x1b[200~ai@prod\r\n\x1b[201~", "ai@prod\r"} {
		s.Type("R")
		s.WaitFor(within, "type ai@prod to run", real.FirstTag)
		read()
		s.Type(paste)
		time.Sleep(500 * time.Millisecond) // what it must not do, it would do by now
		if text := s.Screen(); !strings.Contains(text, "type ai@prod to run") {
			t.Fatalf("pasted %q, and it ran:\n%s", paste, text)
		}
		if n := len(p.journal(t)); n != 0 {
			t.Fatalf("pasted %q: %d lines in the journal", paste, n)
		}
		if paste != "ai@prod\r" {
			s.Type(ptytest.Esc)
			s.WaitUntil(within, "the dialog gone", func(text string) bool { return !strings.Contains(text, "type ai@prod to run") })
		}
	}
	t.Logf("after the paste:\n%s", s.Screen())
	s.WaitFor(within, "press Enter once more")
	s.Type(ptytest.Enter)
	s.WaitFor(2*within, "good after")
	oneContainer(t, lab, since)
	s.Type(ptytest.CtrlC)
}
