package sources

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

const (
	// settled is how long a watch has to say that something changed before the
	// Collector asks by itself, for what happened while there was no watch.
	settled = 250 * time.Millisecond
	// steady is how long a watch holds before its failures are forgotten.
	steady     = 10 * time.Second
	maxRewatch = 2 * time.Second
)

// watchLoop keeps a watch going, and turns what it says into pokes.
func (f *feed) watchLoop(ctx context.Context, w Watcher) {
	fails := 0
	for {
		began := time.Now()
		err := f.watchOnce(ctx, w)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errors.ErrUnsupported) {
			f.c.opts.Log.Info("source cannot be watched, only asked", "source", f.id, "error", remote.CleanTo(err.Error(), maxError))
			return
		}
		f.c.opts.Log.Debug("watch ended", "source", f.id, "error", err)
		// Whatever broke the watch is worth a look.
		f.poke()
		if time.Since(began) >= steady {
			fails = 0
		}
		fails++
		if !pause(ctx, retryWait(fails, maxRewatch), nil) {
			return
		}
	}
}

// watchOnce runs one watch to its end.
func (f *feed) watchOnce(ctx context.Context, w Watcher) (err error) {
	var spoke atomic.Bool
	look := time.AfterFunc(settled, func() {
		if !spoke.Load() {
			f.poke()
		}
	})
	defer look.Stop()
	defer func() {
		if p := recover(); p != nil {
			f.c.opts.Log.Error("a watch panicked", "source", f.id, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s: this is a bug in nexops: %v", f.id, p)
		}
	}()
	return w.Watch(ctx, func() { //nolint:wrapcheck // logged only
		spoke.Store(true)
		f.poke()
	})
}
