package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/lab/ptytest"
	"github.com/nexgate-hq/nexops/lab/real"
)

// TestLabKilledAtEveryStep kills a real nexops (SIGKILL) as soon as its journal shows each moment of a redeploy. The next start
// says what was going on and what is true now; nothing is done twice; the lock that was left expires, and is taken over
// only when that is said; in the end the service is where it was wanted.
func TestLabKilledAtEveryStep(t *testing.T) {
	lab, _ := inLab(t)
	pulled(t, lab, real.GoodTag)
	p := newPerson(t, "ana", quick(t, lab))
	began := time.Now()
	for i, moment := range []string{
		"plan", "locked",
		"step_began 0",                             // push the tag commit
		"step_began 1",                             // pull it into the checkout
		"step_began 2",                             // look at what Compose makes of it
		"step_began 3", "output 3", "step_ended 3", // up
		"verifying",
	} {
		t.Run(moment, func(t *testing.T) {
			k := killed{t: t, lab: lab, p: p, to: real.GoodTag, moment: moment}
			if running(t, lab) == k.to { // each round goes to the other one
				k.to = real.FirstTag
			}
			k.round(i%4 == 1)
		})
	}
	t.Logf("%.0f s for all moments", time.Since(began).Seconds())
	if out, c := output(t, p.nexops("journal", "verify")); c != 0 {
		t.Errorf("journal verify: %d %s", c, out)
	}
}

type killed struct {
	t      *testing.T
	lab    *real.Lab
	p      person
	to     string
	moment string
}

// round kills one run, looks, and has the next start finish it. screen: the next start is the screen.
func (k killed) round(screen bool) {
	t := k.t
	since := time.Now()
	plan := k.kill()
	if out, c := output(t, k.p.nexops("journal", "verify")); c != 0 {
		t.Errorf("journal verify after the kill: %d %s", c, out)
	}
	out, _ := output(t, k.p.nexops("journal"))
	if !strings.Contains(out, "ended without an outcome") {
		t.Errorf("the journal does not tell of it:\n%s", out)
	}
	locked := k.lockEnds()
	k.settled()
	if screen {
		k.screen()
	}
	text, code := output(t, k.p.nexops("redeploy", "ai", "--to", k.to, "--confirm", k.phrase(locked)))
	if !screen && !strings.Contains(text, "ended without an outcome") {
		t.Errorf("the next start does not tell of it:\n%s", text)
	}
	there := code == 1 && strings.Contains(text, "already runs that release")
	if code != 0 && !there {
		t.Errorf("the next start: exit code %d\n%s", code, text)
	}
	k.outcome(plan)
	if now := running(t, k.lab); now != k.to {
		t.Errorf("in the end ai runs %s, wanted was %s", now, k.to)
	}
	k.once(plan, since)
	if there { // nobody acted, so nobody took the lock: it expires, and the test does not wait for that
		if _, err := k.lab.SSH(t.Context(), "prod-1", "rm", "-rf", "/tmp/nexops-locks/prod.ai"); err != nil {
			t.Fatal(err)
		}
	}
}

func (k killed) phrase(locked bool) string {
	if locked {
		return "takeover:ai@prod"
	}
	return "ai@prod"
}

// kill runs a redeploy and kills it at the moment; it gives the plan.
func (k killed) kill() string {
	t := k.t
	before := len(k.p.journal(t))
	cmd := k.p.nexops("redeploy", "ai", "--to", k.to, "--confirm", "ai@prod")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for end := time.Now().Add(within); ; time.Sleep(2 * time.Millisecond) {
		for _, l := range k.p.journal(t)[before:] {
			if l.String() != k.moment {
				continue
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-ended
			return l.Plan
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended before %q: %v\n%s", k.moment, err, out.String())
		default:
		}
		if time.Now().After(end) {
			_ = cmd.Process.Kill()
			<-ended
			t.Fatalf("%q did not come\n%s", k.moment, out.String())
		}
	}
}

// lockEnds reports whether the dead console's lock is there; then it has an end within the expiry.
func (k killed) lockEnds() bool {
	out, err := k.lab.SSH(k.t.Context(), "prod-1", "cat", "/tmp/nexops-locks/prod.ai/owner.json")
	if err != nil {
		return false
	}
	var o struct {
		Owner string
		Until time.Time
	}
	if err := json.Unmarshal([]byte(out), &o); err != nil || !strings.HasPrefix(o.Owner, "ana(") || o.Until.IsZero() || time.Until(o.Until) > 2*time.Minute+time.Second {
		k.t.Errorf("a lock that does not say whose it is or does not expire: %s", out)
	}
	return true
}

// settled waits until what the dead console began on the host has come to its end there.
func (k killed) settled() {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		out, err := k.lab.SSH(k.t.Context(), "prod-1", "sh", "-c", "ps -eo args | grep -c '[c]ompose.*[u]p -d --no-deps' || true")
		if err == nil && strings.TrimSpace(out) == "0" {
			return
		}
	}
	k.t.Error("compose is still at work on prod-1")
}

// screen opens the console: it tells, and says what is true now.
func (k killed) screen() {
	now := running(k.t, k.lab)
	s := ptytest.Start(k.t, k.p.nexops(), 200, 48)
	s.WaitUntil(within, "what was going on, and what is true now", func(text string) bool {
		m := runsNow.FindStringSubmatch(text)
		return strings.Contains(text, "ended without an outcome") && len(m) > 1 && strings.HasPrefix(now, strings.TrimRight(m[1], ",;"))
	})
	k.t.Logf("the screen:\n%s", head(s.Screen()))
	s.Type(ptytest.Esc, "q")
	s.WaitEnd(within)
}

var runsNow = regexp.MustCompile(`ai on prod-1 (?:still )?(?:runs|has) (\S+)`)

// outcome: the dead plan has an end on record, and it is what is true.
func (k killed) outcome(plan string) {
	for _, l := range k.p.journal(k.t) {
		if l.Plan != plan || l.Outcome == nil {
			continue
		}
		why := strings.Join(l.Outcome.Reasons, "; ")
		k.t.Log(l.Outcome.Outcome + ": " + why)
		if l.Outcome.Outcome != "unknown" || !strings.Contains(why, "the console ended before the plan did") || !runsNow.MatchString(why) {
			k.t.Errorf("on record: %s: %s", l.Outcome.Outcome, why)
		}
		return
	}
	k.t.Errorf("plan %s has no end on record", plan)
}

// once: no step of the dead plan was begun twice, the container was made once, and one commit says so. Also when it was killed in the middle
// of up: what has begun on the host goes on to its end.
func (k killed) once(plan string, since time.Time) {
	t := k.t
	begun := map[int]int{}
	for _, l := range k.p.journal(t) {
		if l.Plan == plan && l.Event != nil && l.Event.Kind == "step_began" {
			if begun[l.Event.Step]++; begun[l.Event.Step] > 1 {
				t.Errorf("step %d began twice", l.Event.Step)
			}
		}
	}
	events, err := k.lab.EngineEvents(t.Context(), "prod-1", "ai", since)
	if err != nil {
		t.Fatal(err)
	}
	if n := count(events, "create"); n != 1 {
		t.Errorf("%d containers were made", n)
	}
	log, err := k.lab.SSH(t.Context(), "ops", "git", "-C", "/srv/git/nexgate-infra.git", "log", "--format=%s", fmt.Sprintf("--since=%d", since.Unix()), "master")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log, "ai: redeploy "+k.to); n != 1 {
		t.Errorf("%d commits:\n%s", n, log)
	}
}
