package compose

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Await waits until containers are well.
type Await struct {
	Now   func() time.Time
	Look  time.Duration // between two looks; 0 is 500 ms
	Start time.Duration // how long it may take
}

// settled is how long a container without a health check has to run to be taken for well.
const settled = 5 * time.Second

// Well waits until a service has n containers on a host, all of them running and none of them unhealthy or starting. argv is
// that of ContainersArgv. Before it is so it tells of every change.
func (a Await) Well(ctx context.Context, p Probe, argv []string, n int, out func(stream, line string)) error {
	if a.Look <= 0 {
		a.Look = 500 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, a.Start)
	defer cancel()
	w := &waiting{a: a, n: n, out: out}
	for {
		there, err := p.Containers(ctx, argv)
		if w.done(there, err) {
			return nil
		}
		t := time.NewTimer(a.Look)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%s: not well after %s: %s", p.Host.Name(), a.Start, w.why)
		case <-t.C:
		}
	}
}

// waiting is what was seen so far.
type waiting struct {
	a     Await
	n     int
	out   func(stream, line string)
	last  string    // what was told
	why   string    // it is not well yet
	since time.Time // all run, and nothing checks their health
}

// done takes one look.
func (w *waiting) done(there []Container, err error) bool {
	if err != nil {
		w.why, w.since = err.Error(), time.Time{} // it is only a question: it may be put again
		return false
	}
	if words := ContainerWords(there); words != w.last {
		w.last = words
		w.out("stdout", words)
	}
	why, checked := unwell(there, w.n)
	if why != "" {
		w.why, w.since = why, time.Time{}
		return false
	}
	if w.since.IsZero() {
		w.since = w.a.Now()
	}
	w.why = "it has no health check, and runs only since just now"
	return checked || w.a.Now().Sub(w.since) >= min(settled, w.a.Start/2)
}

// unwell says what is not as it should be; checked: all of them have a health check.
func unwell(there []Container, n int) (why string, checked bool) {
	if len(there) != n {
		return fmt.Sprintf("%d of %d containers are there", len(there), n), false
	}
	checked = true
	for _, c := range there {
		h := c.Health()
		if c.State != "running" || h == "unhealthy" || h == "starting" {
			return c.Names + ": " + strings.ToLower(c.Status), false
		}
		checked = checked && h != ""
	}
	return "", checked
}

// ContainerWords are containers for people: name, short id, status.
func ContainerWords(list []Container) string {
	words := make([]string, 0, len(list))
	for _, c := range list {
		words = append(words, fmt.Sprintf("%s %.12s: %s", c.Names, c.ID, strings.ToLower(c.Status)))
	}
	if len(words) == 0 {
		return "no container"
	}
	return strings.Join(words, "; ")
}
