package world

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"
)

// Line is one line of a container's output.
type Line struct {
	At     time.Time
	Stream string // "stdout", "stderr"
	Text   string
}

const (
	keepLogs      = 2 * time.Hour // older lines have been rotated away
	keepUttered   = 5000          // lines put into one container by hand
	slotJitter    = 0.8           // of a slot, so that lines do not come like a clock
	farFuture     = 365 * 24 * time.Hour
	bootLineEvery = 90 * time.Millisecond
)

// utterances are the lines that were put into a container by hand, beside those it makes up.
type utterances struct {
	mu    sync.Mutex
	lines []Line
	till  time.Time     // somebody has read everything before it
	wake  chan struct{} // closed and replaced at each new line; nil until somebody waits
}

// read remembers that everything before to has been read. The caller holds mu.
func (u *utterances) read(to, now time.Time) {
	if to.After(now) {
		to = now
	}
	if to.After(u.till) {
		u.till = to
	}
}

// Say puts one line into a container's output. A line that comes too late for somebody
// who reads along gets the next moment that he has not read.
func (c *Container) Say(l Line) {
	u := c.said
	u.mu.Lock()
	defer u.mu.Unlock()
	if l.At.Before(u.till) {
		l.At = u.till
	}
	if len(u.lines) >= keepUttered {
		u.lines = append(u.lines[:0:0], u.lines[keepUttered/2:]...)
	}
	u.lines = append(u.lines, l)
	if u.wake != nil {
		close(u.wake)
		u.wake = nil
	}
}

// Said gives a channel that is closed at the next Say.
func (c *Container) Said() <-chan struct{} {
	u := c.said
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.wake == nil {
		u.wake = make(chan struct{})
	}
	return u.wake
}

// slots is a regular but jittered row of moments: the i-th is within start+i*every.
type slots struct {
	start time.Time
	end   time.Time // no moment at or after it; zero is none
	every time.Duration
	seed  uint64
	fault bool // these lines tell of an error
}

func (s slots) at(i int) time.Time {
	jitter := float64(mix(s.seed, uint64(i))%1000) / 1000 * slotJitter
	return s.start.Add(time.Duration(i)*s.every + time.Duration(jitter*float64(s.every)))
}

// within calls do for the moments in [from, to).
func (s slots) within(from, to time.Time, do func(i int, at time.Time)) {
	if !s.end.IsZero() && s.end.Before(to) {
		to = s.end
	}
	i := max(0, int(from.Sub(s.start)/s.every)-1)
	for ; ; i++ {
		at := s.at(i)
		if !s.start.Add(time.Duration(i) * s.every).Before(to) {
			return
		}
		if !at.Before(from) && at.Before(to) {
			do(i, at)
		}
	}
}

// next is the first moment at or after t.
func (s slots) next(t time.Time) (time.Time, bool) {
	i := max(0, int(t.Sub(s.start)/s.every)-1)
	for at := s.at(i); ; at = s.at(i) {
		if !s.end.IsZero() && !at.Before(s.end) {
			return time.Time{}, false
		}
		if !at.Before(t) {
			return at, true
		}
		i++
	}
}

// rows are the rows of lines of one life.
func (c *Container) rows(n int, r Run) []slots {
	p := c.Spec.Profile
	bad := c.flawed()
	var out []slots
	add := func(rate float64, from, to time.Time, fault bool) {
		if rate > 0 && (to.IsZero() || from.Before(to)) {
			seed := mix(c.Seed, uint64(n)<<8|uint64(len(out)))
			out = append(out, slots{start: from, end: to, every: time.Duration(float64(time.Second) / rate), seed: seed, fault: fault})
		}
	}
	ready := r.Start.Add(bootLineEvery * time.Duration(len(bootLines(c))))
	add(p.Lines, ready, r.End, false)
	if bad.ErrorLines == p.ErrorLines {
		add(p.ErrorLines, ready, r.End, true)
		return out
	}
	onset := r.Start.Add(c.Image.Flaws.Onset)
	until := onset
	if !r.End.IsZero() && r.End.Before(until) {
		until = r.End
	}
	add(p.ErrorLines, ready, until, true)
	add(bad.ErrorLines, onset, r.End, true)
	return out
}

// Lines gives the output in [from, to) in order of time, without what has been rotated away at now.
func (c *Container) Lines(from, to, now time.Time) []Line {
	if oldest := now.Add(-keepLogs); from.Before(oldest) {
		from = oldest
	}
	var out []Line
	for n, r := range c.Runs {
		if (!r.End.IsZero() && r.End.Before(from)) || !r.Start.Before(to) {
			continue
		}
		for i, text := range bootLines(c) {
			out = appendWithin(out, from, to, Line{At: r.Start.Add(time.Duration(i) * bootLineEvery), Stream: "stdout", Text: text})
		}
		for _, row := range c.rows(n, r) {
			row.within(from, to, func(i int, at time.Time) { out = append(out, c.line(row, i, at)) })
		}
	}
	c.said.mu.Lock()
	for _, l := range c.said.lines {
		out = appendWithin(out, from, to, l)
	}
	c.said.read(to, now)
	c.said.mu.Unlock()
	sort.SliceStable(out, func(i, j int) bool { return out[i].At.Before(out[j].At) })
	return out
}

func appendWithin(out []Line, from, to time.Time, l Line) []Line {
	if l.At.Before(from) || !l.At.Before(to) {
		return out
	}
	return append(out, l)
}

// Tail gives the last n lines before to.
func (c *Container) Tail(n int, to, now time.Time) []Line {
	for back := 10 * time.Second; ; back *= 4 {
		lines := c.Lines(to.Add(-back), to, now)
		if len(lines) >= n || back > keepLogs || to.Add(-back).Before(c.Created) {
			return lines[max(0, len(lines)-n):]
		}
	}
}

// NextLine is when the next line of its own comes at or after t; far away when nothing runs.
func (c *Container) NextLine(t time.Time) time.Time {
	next := t.Add(farFuture)
	r, ok := c.LastRun()
	if !ok || !r.End.IsZero() {
		return next
	}
	for i := range bootLines(c) {
		if at := r.Start.Add(time.Duration(i) * bootLineEvery); !at.Before(t) && at.Before(next) {
			next = at
		}
	}
	for _, row := range c.rows(len(c.Runs)-1, r) {
		if at, ok := row.next(t); ok && at.Before(next) {
			next = at
		}
	}
	return next
}

func (c *Container) line(row slots, i int, at time.Time) Line {
	roll := mix(row.seed^0x5bd1e995, uint64(i))
	stream := "stdout"
	if row.fault && c.Spec.Profile.Lang != Spring && c.Spec.Profile.Lang != Node {
		stream = "stderr"
	}
	return Line{At: at, Stream: stream, Text: phrase(c, at, roll, row.fault)}
}

// lastWords are what a program says when it fails.
func lastWords(c *Container, exit int) []string {
	switch {
	case exit == 143 || exit == 137 || exit == 0:
		return nil
	case c.Spec.Profile.Lang == Spring:
		return []string{
			"Exception in thread \"main\" org.springframework.beans.factory.BeanCreationException: Error creating bean with name 'flywayInitializer'",
			"\tat org.springframework.boot.SpringApplication.run(SpringApplication.java:332)",
			"Caused by: org.flywaydb.core.api.FlywayException: Validate failed: migration checksum mismatch for version 42",
		}
	default:
		return []string{
			"panic: config: required key \"vault.role\" is not set",
			"",
			"goroutine 1 [running]:",
			"main.main()",
			fmt.Sprintf("\t/src/%s/main.go:41 +0x1d4", strings.ToLower(c.Spec.Service)),
		}
	}
}
