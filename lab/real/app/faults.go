package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
)

const (
	maxLine    = 64 << 10 // the longest raw line taken
	maxLogRate = 5000     // lines a second
	maxLeak    = 64       // MiB a second
	tick       = 100 * time.Millisecond
)

// faults is how the service misbehaves now: at first as its release was built
// (the image's environment), then as told over HTTP.
type faults struct {
	out  io.Writer
	exit func(why string)

	mu       sync.Mutex
	set      settings
	built    settings
	started  time.Time
	leaked   [][]byte
	perTick  float64 // log lines owed
	leakTick float64 // bytes owed
}

type settings struct {
	errors     float64       // part of the requests answered 500
	slow       time.Duration // added to every request
	leak       float64       // MiB a second
	logRate    float64       // JSON lines a second
	sick       bool          // fail health
	crashAfter time.Duration // from the start; 0 is never
	sickAfter  time.Duration
}

func newFaults(env func(string) string, out io.Writer) *faults {
	s := settings{
		errors:     number(env("APP_ERROR_RATIO"), 1),
		slow:       seconds(env("APP_SLOW")),
		leak:       number(env("APP_LEAK_MIB"), maxLeak),
		logRate:    number(env("APP_LOG_RATE"), maxLogRate),
		crashAfter: seconds(env("APP_CRASH_AFTER")),
		sickAfter:  seconds(env("APP_UNHEALTHY_AFTER")),
	}
	return &faults{out: out, exit: func(string) {}, set: s, built: s, started: time.Now()}
}

// number reads a figure and holds it between 0 and most.
func number(s string, most float64) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 0 || f != f {
		return 0
	}
	return min(f, most)
}

func seconds(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0
	}
	return min(d, time.Hour)
}

func (f *faults) change(fn func(*settings)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(&f.set)
}

func (f *faults) now() settings {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.set
}

func (f *faults) ratio() float64       { return f.now().errors }
func (f *faults) delay() time.Duration { return f.now().slow }

func (f *faults) unhealthy() bool {
	s := f.now()
	return s.sick || (s.sickAfter > 0 && time.Since(f.started) > s.sickAfter)
}

// routes are the orders: POST only, so that no crawler or probe gives one.
func (f *faults) routes(mux *http.ServeMux) {
	order := func(path string, fn func(r *http.Request)) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			fn(r)
			fmt.Fprintf(w, "%+v\n", f.now())
		})
	}
	order("/crash", func(*http.Request) { f.exit("told to crash") })
	order("/unhealthy", func(*http.Request) { f.change(func(s *settings) { s.sick = true }) })
	order("/errors", func(r *http.Request) {
		f.change(func(s *settings) { s.errors = number(r.FormValue("ratio"), 1) })
	})
	order("/slow", func(r *http.Request) {
		f.change(func(s *settings) { s.slow = min(seconds(r.FormValue("by")), 30*time.Second) })
	})
	order("/leak", func(r *http.Request) {
		f.change(func(s *settings) { s.leak = number(r.FormValue("mib"), maxLeak) })
	})
	order("/log", func(r *http.Request) {
		f.change(func(s *settings) { s.logRate = number(r.FormValue("rate"), maxLogRate) })
	})
	order("/fix", func(*http.Request) { f.fix() })
	mux.HandleFunc("POST /line", f.line)
}

// fix puts back what the release was built with and lets go of leaked memory.
func (f *faults) fix() {
	f.mu.Lock()
	f.set, f.leaked = f.built, nil
	f.mu.Unlock()
	debug.FreeOSMemory()
}

// line writes the body to stdout as it came, escapes and all.
func (f *faults) line(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLine))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	if _, err := f.out.Write(append(b, '\n')); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// run does what takes time: leaking, logging, and crashing late.
func (f *faults) run(ctx context.Context, log *slog.Logger) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		s := f.now()
		if s.crashAfter > 0 && time.Since(f.started) > s.crashAfter {
			f.exit("panic: runtime error: invalid memory address or nil pointer dereference")
			return
		}
		f.grow(s.leak)
		f.perTick += s.logRate * tick.Seconds()
		for ; f.perTick >= 1; f.perTick-- {
			n++
			log.Info("noise", "n", n, "at", time.Now().UnixNano())
		}
	}
}

func (f *faults) grow(mib float64) {
	f.leakTick += mib * (1 << 20) * tick.Seconds()
	if f.leakTick < 1 {
		return
	}
	b := make([]byte, int(f.leakTick))
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1 // touched, or it is not resident
	}
	f.leakTick = 0
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leaked = append(f.leaked, b)
}

// lockedWriter keeps raw lines and log lines from cutting one another.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.w.Write(b)
	if err != nil {
		return n, fmt.Errorf("write a log line: %w", err)
	}
	return n, nil
}
