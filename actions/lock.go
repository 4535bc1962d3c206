package actions

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// Locker keeps two people from acting on one service at the same time. It never
// waits: a lock that is held is an error that says by whom.
type Locker interface {
	Lock(ctx context.Context, req LockRequest) (Held, error)
}

// LockRequest says what to lock, where and for whom.
type LockRequest struct {
	Services []fleet.ServiceKey
	Hosts    []string    // where the action takes effect
	Places   []LockPlace // and where that is no host
	Owner    string      // "ana@laptop"
	Reason   string      // the plan's title
	Plan     string
	TakeOver []fleet.Lock // locks of dead consoles, as they were confirmed to be taken over
}

// Held is a lock that is ours. It is kept alive until it is released.
type Held interface {
	// Lost gives an error once, when the lock turns out not to be ours any more.
	Lost() <-chan error
	// Release gives it back. An error says what was left behind, and until when.
	Release(ctx context.Context) error
}

// LockedError says that somebody else holds the lock, or held it when their console died. Times
// are those of the clock where it is kept.
type LockedError struct {
	Service fleet.ServiceKey
	Host    string // "" is this machine
	Owner   string // "" when the lock does not say
	Reason  string
	Plan    string
	Since   time.Time
	Until   time.Time
	Now     time.Time // when it was looked at; zero is not known
}

// Expired reports whether nobody has renewed it in time. It is taken over only when that was confirmed.
func (e *LockedError) Expired() bool {
	l := e.Lock()
	return !e.Now.IsZero() && l.Expired(e.Now)
}

// Error says who, since when and what for.
func (e *LockedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is locked", e.Service)
	if e.Host != "" {
		fmt.Fprintf(&b, " on %s", e.Host)
	}
	owner := e.Owner
	if owner == "" {
		owner = "somebody who has not yet said who"
	}
	fmt.Fprintf(&b, " by %s", owner)
	if !e.Since.IsZero() {
		fmt.Fprintf(&b, " since %s", e.Since.UTC().Format("15:04:05Z"))
	}
	if e.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	switch {
	case e.Expired():
		fmt.Fprintf(&b, " (not renewed for %s: its console is likely dead; make the plan again, it then offers to take the lock over)", fleet.Ago(e.Now.Sub(e.Until)))
	case !e.Until.IsZero():
		fmt.Fprintf(&b, " (expires %s unless renewed)", e.Until.UTC().Format("15:04:05Z"))
	}
	return b.String()
}

// Lock is the lock as the nouns have it.
func (e *LockedError) Lock() fleet.Lock {
	return fleet.Lock{
		Subject: fleet.Subject{Environment: e.Service.Environment, Host: e.Host, Service: e.Service.Name},
		Owner:   e.Owner, Reason: e.Reason, Plan: e.Plan, Since: e.Since, Until: e.Until,
	}
}

// Lockers takes the locks of several lockers, in order, all or none.
type Lockers []Locker

// Lock takes all of them or gives back those it had.
func (l Lockers) Lock(ctx context.Context, req LockRequest) (Held, error) {
	var got heldMany
	for _, one := range l {
		h, err := one.Lock(ctx, req)
		if err != nil {
			rctx, cancel := releaseContext(ctx)
			err = errors.Join(err, got.Release(rctx))
			cancel()
			return nil, err
		}
		got = append(got, h)
	}
	return got, nil
}

type heldMany []Held

// Lost is that of the last one: the one where the action takes effect.
func (h heldMany) Lost() <-chan error {
	if len(h) == 0 {
		return nil
	}
	return h[len(h)-1].Lost()
}

func (h heldMany) Release(ctx context.Context) error {
	var errs []error
	for i := len(h) - 1; i >= 0; i-- {
		if err := h[i].Release(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// releaseTimeout bounds the giving back of locks when everything else is over.
const releaseTimeout = 15 * time.Second

// releaseContext outlives the run's own context: a cancelled run gives its locks back too.
func releaseContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
}

// MemoryLocker is a Locker within one process, for tests and for estates in memory.
type MemoryLocker struct {
	now  func() time.Time
	mu   sync.Mutex
	held map[fleet.ServiceKey]LockedError
}

// NewMemoryLocker makes one.
func NewMemoryLocker(now func() time.Time) *MemoryLocker {
	return &MemoryLocker{now: now, held: map[fleet.ServiceKey]LockedError{}}
}

// Lock takes the services, all or none.
func (m *MemoryLocker) Lock(_ context.Context, req LockRequest) (Held, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range req.Services {
		if e, held := m.held[key]; held {
			return nil, &e
		}
	}
	for _, key := range req.Services {
		m.held[key] = LockedError{Service: key, Owner: req.Owner, Reason: req.Reason, Since: m.now()}
	}
	return &memoryHeld{m: m, keys: req.Services}, nil
}

type memoryHeld struct {
	m    *MemoryLocker
	keys []fleet.ServiceKey
}

// Lost never tells: nobody can take it away.
func (h *memoryHeld) Lost() <-chan error { return nil }

func (h *memoryHeld) Release(context.Context) error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	for _, key := range h.keys {
		delete(h.m.held, key)
	}
	return nil
}

func sortedKeys(keys []fleet.ServiceKey) []fleet.ServiceKey {
	out := append([]fleet.ServiceKey(nil), keys...)
	sort.Slice(out, func(i, j int) bool { return out[i].String() < out[j].String() })
	return out
}
