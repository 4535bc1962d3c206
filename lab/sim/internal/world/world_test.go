package world

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant

func one(t *testing.T, flaws Flaws) (w *World, spec *Spec, c *Container) {
	t.Helper()
	w = New(7, func() time.Time { return noon })
	w.AddHost(Host{Name: "h", Environment: "prod"})
	img := w.Publish(Image{Repo: "ai", Tag: "1", Flaws: flaws})
	begun := noon.Add(-30 * time.Minute)
	if _, _, err := w.Pull("h", "ai:1", begun); err != nil {
		t.Fatal(err)
	}
	spec = &Spec{
		Environment: "prod", Host: "h", Project: "p", Service: "ai", Name: "p-ai-1", Share: 1, Check: true,
		Profile: Profile{Lang: FastAPI, RPS: 10, Errors: 0.01, P50: time.Second, P95: 2 * time.Second, CPU: 1, Memory: 1 << 30, Lines: 1.7, ErrorLines: 0.2, Boot: time.Second},
	}
	c, err := w.Replace(spec, nil, img, begun)
	if err != nil {
		t.Fatal(err)
	}
	return w, spec, c
}

// TestLinesAreTheSameInPieces holds that reading a log in pieces gives every line once, as reading it whole does.
func TestLinesAreTheSameInPieces(t *testing.T) {
	_, _, c := one(t, Flaws{ErrorLines: 2, Onset: time.Minute})
	from := noon.Add(-31 * time.Minute)
	whole := c.Lines(from, noon, noon)
	var pieces []Line
	for at := from; at.Before(noon); at = at.Add(1300 * time.Millisecond) {
		to := at.Add(1300 * time.Millisecond)
		if to.After(noon) {
			to = noon
		}
		pieces = append(pieces, c.Lines(at, to, noon)...)
	}
	if len(whole) < 3000 || len(whole) != len(pieces) {
		t.Fatalf("%d lines whole, %d in pieces", len(whole), len(pieces))
	}
	for i := range whole {
		if whole[i] != pieces[i] {
			t.Fatalf("line %d: %v whole, %v in pieces", i, whole[i], pieces[i])
		}
	}
	for i := range whole[:200] {
		if next := c.NextLine(whole[i].At); next.After(noon) || !c.NextLine(whole[i].At).Equal(whole[i].At) {
			t.Fatalf("line %d is at %v, the next from there on is said to be at %v", i, whole[i].At, next)
		}
	}
}

// TestCountersOnlyGrow holds what every counter promises, and that errors follow the flaws.
func TestCountersOnlyGrow(t *testing.T) {
	_, _, c := one(t, Flaws{Errors: 0.5, P95: 9 * time.Second, Onset: 10 * time.Minute})
	var before Sums
	for at := c.Created; at.Before(noon); at = at.Add(2 * time.Second) {
		s, ok := c.SumsAt(at)
		if !ok {
			t.Fatalf("nothing at %v", at)
		}
		if s.Requests() < before.Requests() || s.Errors() < before.Errors() || s.CPU() < before.CPU() || s.Under(1) < before.Under(1) || s.Under(1) > s.Requests() {
			t.Fatalf("a counter went back at %v", at)
		}
		if served := s.Requests() - before.Requests(); served > 1 {
			share := (s.Errors() - before.Errors()) / served
			if after := at.Sub(c.Created) > 10*time.Minute+2*time.Second; after != (share > 0.4) && at.Sub(c.Created) != 10*time.Minute+2*time.Second {
				t.Fatalf("%v after the start %v of requests fail", at.Sub(c.Created), share)
			}
		}
		before = s
	}
}

func TestCrashLoopBacksOff(t *testing.T) {
	w, _, c := one(t, Flaws{CrashAfter: 3 * time.Second})
	w.CatchUp(t.Context())
	c, err := w.Find("h", c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if c.Restarts < 25 || c.Restarts > 50 {
		t.Errorf("%d restarts in 30 min, want about one a minute and some more at first", c.Restarts)
	}
	var last time.Duration
	for i := 1; i < len(c.Runs); i++ {
		wait := c.Runs[i].Start.Sub(c.Runs[i-1].End)
		if wait < last || wait > time.Minute {
			t.Errorf("life %d began after %v, the one before after %v", i, wait, last)
		}
		last = wait
	}
}

// TestLateWordsAreRead holds that who reads along misses no line that is put in late.
func TestLateWordsAreRead(t *testing.T) {
	_, _, c := one(t, Flaws{})
	c.Lines(noon.Add(-time.Minute), noon, noon)
	c.Say(Line{At: noon.Add(-time.Second), Text: "late"})
	for _, l := range c.Lines(noon, noon.Add(time.Second), noon.Add(time.Second)) {
		if l.Text == "late" {
			return
		}
	}
	t.Error("the late line is in no piece that is still to be read")
}

func TestSlowReaderIsCutOff(t *testing.T) {
	w, _, c := one(t, Flaws{})
	_, live, err := w.Events("h", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	for i := range lagEvents + 1 {
		health := HealthHealthy
		if i%2 == 0 {
			health = HealthUnhealthy
		}
		if err := w.SetHealth("h", c.ID, health, noon); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for range live.C {
		n++
	}
	if n != lagEvents {
		t.Errorf("%d events before the cut, want %d", n, lagEvents)
	}
}
