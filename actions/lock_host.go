package actions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// maxOwner bounds what is read of a lock's owner.json.
const maxOwner = 4096

// HostLocker locks on the hosts where an action takes effect, by a folder that is made
// there atomically, and in the places that are no hosts: every console sees the same lock,
// whatever machine it is on. Times are those of the host's or the place's clock.
type HostLocker struct {
	cfg  LockConfig
	host func(name string) (remote.Host, error)
	log  *slog.Logger
}

// NewHostLocker makes one.
func NewHostLocker(cfg LockConfig, host func(name string) (remote.Host, error), log *slog.Logger) *HostLocker {
	def := DefaultLockConfig()
	if cfg.Dir == "" {
		cfg.Dir = def.Dir
	}
	if cfg.Expiry <= 0 {
		cfg.Expiry = def.Expiry
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &HostLocker{cfg: cfg, host: host, log: log}
}

// locks are all those of a request, in one order for everybody.
func (l *HostLocker) locks(req LockRequest) ([]keptLock, error) {
	expiry := time.Duration(l.cfg.Expiry)
	mine := func(key fleet.ServiceKey) owner {
		return owner{V: 1, Owner: req.Owner, Reason: req.Reason, Plan: req.Plan, Environment: key.Environment, Service: key.Name}
	}
	var out []keptLock
	for _, name := range req.Hosts {
		h, err := l.host(name)
		if err != nil {
			return nil, fmt.Errorf("lock on %s: %w", name, err)
		}
		for _, key := range sortedKeys(req.Services) {
			out = append(out, &lockFolder{host: h, key: key, dir: l.cfg.Dir, expiry: expiry, me: mine(key), over: overOf(req.TakeOver, name, key)})
		}
	}
	for _, at := range req.Places {
		for _, key := range sortedKeys(req.Services) {
			out = append(out, &placeLock{at: at, key: key, expiry: expiry, me: mine(key), over: overOf(req.TakeOver, at.String(), key)})
		}
	}
	return out, nil
}

// Lock takes the locks of all services everywhere, all or none, and keeps them alive.
func (l *HostLocker) Lock(ctx context.Context, req LockRequest) (Held, error) {
	held := &hostHeld{lost: make(chan error, 1), log: l.log}
	all, err := l.locks(req)
	if err != nil {
		return nil, err
	}
	for _, k := range all {
		if err := k.take(ctx); err != nil {
			return nil, l.giveBack(ctx, held, err)
		}
		held.locks = append(held.locks, k)
	}
	hctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	held.stop = stop
	held.done.Go(func() { held.beat(hctx, time.Duration(l.cfg.Expiry)/3) })
	return held, nil
}

// Look gives the locks that are now on what a request would lock, whoever holds them. It changes nothing.
func (l *HostLocker) Look(ctx context.Context, req LockRequest) ([]*LockedError, error) {
	all, err := l.locks(req)
	if err != nil {
		return nil, err
	}
	var out []*LockedError
	for _, k := range all {
		found, err := k.look(ctx)
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the place
		}
		if found != nil {
			out = append(out, found)
		}
	}
	return out, nil
}

// overOf is the lock on a service on a host that was confirmed to be taken over.
func overOf(list []fleet.Lock, host string, key fleet.ServiceKey) *fleet.Lock {
	for i := range list {
		if s := list[i].Subject; s.Host == host && s.Environment == key.Environment && s.Service == key.Name {
			return &list[i]
		}
	}
	return nil
}

func (l *HostLocker) giveBack(ctx context.Context, held *hostHeld, err error) error {
	rctx, cancel := releaseContext(ctx)
	defer cancel()
	return errors.Join(err, held.Release(rctx))
}

// keptLock is one lock, on a host or in a place.
type keptLock interface {
	where() string
	take(ctx context.Context) error
	look(ctx context.Context) (*LockedError, error) // nil when there is none
	renew(ctx context.Context) error
	release(ctx context.Context) error
}

type hostHeld struct {
	locks []keptLock
	lost  chan error
	stop  context.CancelFunc
	done  sync.WaitGroup
	log   *slog.Logger
}

func (h *hostHeld) Lost() <-chan error { return h.lost }

// beat renews the locks until it is stopped or one is lost.
func (h *hostHeld) beat(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, k := range h.locks {
			bctx, cancel := context.WithTimeout(ctx, every)
			err := k.renew(bctx)
			cancel()
			var locked *LockedError
			switch {
			case err == nil:
			case errors.As(err, &locked):
				h.lost <- fmt.Errorf("the lock was lost: %w", err)
				return
			default:
				h.log.Warn("lock not renewed", "where", k.where(), "err", err)
			}
		}
	}
}

// Release ends the renewing and removes the locks that are still ours.
func (h *hostHeld) Release(ctx context.Context) error {
	if h.stop != nil {
		h.stop()
		h.done.Wait()
	}
	var errs []error
	for i := len(h.locks) - 1; i >= 0; i-- {
		if err := h.locks[i].release(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	h.locks = nil
	return errors.Join(errs...)
}

// lockFolder is the lock of one service on one host.
type lockFolder struct {
	host   remote.Host
	key    fleet.ServiceKey
	dir    string
	expiry time.Duration
	me     owner
	folder string      // "" is that of the service's lock
	over   *fleet.Lock // the lock that may be taken over; nil: none
}

func (f *lockFolder) path() string {
	if f.folder != "" {
		return f.folder
	}
	return path.Join(f.dir, lockName(f.key))
}
func (f *lockFolder) where() string { return f.host.Name() }
func (f *lockFolder) owner() string { return f.path() + "/owner.json" }
func (f *lockFolder) mutex() string { return f.path() + ".takeover" }

// take makes the folder, or takes over the one that was confirmed to be taken over.
func (f *lockFolder) take(ctx context.Context) error {
	if err := f.must(ctx, "mkdir", "-p", "-m", "0755", f.dir); err != nil {
		return err
	}
	free, err := f.mkdir(ctx, f.path())
	if err != nil {
		return err
	}
	if free {
		err := f.guard(ctx, f.path())
		var now time.Time
		if err == nil {
			now, err = f.clock(ctx)
		}
		if err == nil {
			err = f.write(ctx, f.owner(), now)
		}
		if err != nil {
			return errors.Join(err, f.remove(ctx, f.path()))
		}
		return nil
	}
	if err := f.leftBehind(ctx); err != nil {
		return err
	}
	return f.takeOver(ctx)
}

// leftBehind is nil when the lock that is there is the very one that was confirmed to be taken over, and nobody
// has renewed it since; else it says who holds it.
func (f *lockFolder) leftBehind(ctx context.Context) error {
	found, err := f.look(ctx)
	switch {
	case err != nil:
		return err
	case found == nil, f.over == nil:
	case found.Plan == f.over.Plan && !found.Until.After(f.over.Until):
		return nil
	}
	if found == nil { // it was given back a moment ago
		return fmt.Errorf("lock on %s: %s has just been given back: try again", f.host.Name(), f.path())
	}
	return found
}

// look gives the lock that is there; nil when there is none.
func (f *lockFolder) look(ctx context.Context) (*LockedError, error) {
	now, err := f.clock(ctx)
	if err != nil {
		return nil, err
	}
	o, err := f.read(ctx)
	// Who has just made the folder says who it is a moment later.
	for range ownerTries {
		if err != nil || o.Owner != "" || now.After(o.Until) || o.Until.IsZero() {
			break
		}
		select {
		case <-ctx.Done():
			return f.found(o, now), nil
		case <-time.After(ownerPause):
		}
		o, err = f.read(ctx)
	}
	if errors.Is(err, errNoLock) {
		return nil, nil //nolint:nilnil // documented: none is nil
	}
	if err != nil {
		return nil, err
	}
	return f.found(o, now), nil
}

// How often, and after what time each, a fresh lock without an owner is looked at again.
const (
	ownerTries = 5
	ownerPause = 200 * time.Millisecond
)

func (f *lockFolder) found(o owner, now time.Time) *LockedError {
	return o.found(f.key, f.where(), now)
}

// found is what is said of a lock that is there, by the clock of where it is.
func (o owner) found(key fleet.ServiceKey, where string, now time.Time) *LockedError {
	return &LockedError{
		Service: key, Host: where, Owner: oneLine(o.Owner), Reason: oneLine(o.Reason), Plan: plain(o.Plan),
		Since: o.Since, Until: o.Until, Now: now,
	}
}

// takeOver makes a dead console's lock ours. Only who makes the folder beside it may
// change it, and looks once more before doing so: of two, one wins.
func (f *lockFolder) takeOver(ctx context.Context) error {
	mine, err := f.mkdir(ctx, f.mutex())
	if err != nil {
		return err
	}
	if !mine {
		return fmt.Errorf("lock on %s: another console is taking over the lock %s: if none is, remove %s by hand",
			f.host.Name(), f.path(), f.mutex())
	}
	err = f.guard(ctx, f.mutex(), f.path())
	if err == nil {
		err = f.leftBehind(ctx)
	}
	if err == nil {
		err = f.rewrite(ctx)
	}
	return errors.Join(err, f.remove(ctx, f.mutex()))
}

// remove takes a folder of ours away, also when the run was cancelled meanwhile.
func (f *lockFolder) remove(ctx context.Context, dir string) error {
	rctx, cancel := releaseContext(ctx)
	defer cancel()
	return f.must(rctx, "rm", "-rf", dir)
}

// rewrite puts our owner.json in the place of the one that is there, at once.
func (f *lockFolder) rewrite(ctx context.Context) error {
	now, err := f.clock(ctx)
	if err != nil {
		return err
	}
	if err := f.write(ctx, f.owner()+".new", now); err != nil {
		return err
	}
	return f.must(ctx, "mv", f.owner()+".new", f.owner())
}

// renew moves the expiry on. A lock that has expired may belong to another by now and is not written.
func (f *lockFolder) renew(ctx context.Context) error {
	now, err := f.clock(ctx)
	if err != nil {
		return err
	}
	o, err := f.read(ctx)
	if err != nil {
		return err
	}
	if o.Plan != f.me.Plan || now.After(o.Until) {
		return f.found(o, now)
	}
	return f.rewrite(ctx)
}

// release removes the folder when it is ours. One that has expired is removed under the takeover's own guard.
func (f *lockFolder) release(ctx context.Context) error {
	now, err := f.clock(ctx)
	if err != nil {
		return f.left(err)
	}
	o, err := f.read(ctx)
	if err != nil {
		return f.left(err)
	}
	if o.Plan != f.me.Plan {
		return fmt.Errorf("the lock of %s on %s was taken over by %s", f.key, f.host.Name(), oneLine(o.Owner))
	}
	if !now.After(o.Until) {
		return f.left(f.must(ctx, "rm", "-rf", f.path()))
	}
	mine, err := f.mkdir(ctx, f.mutex())
	if err != nil || !mine {
		return f.left(err) // somebody takes it over: theirs to remove
	}
	if o, err = f.read(ctx); err == nil && o.Plan == f.me.Plan {
		err = f.must(ctx, "rm", "-rf", f.path())
	}
	return f.left(errors.Join(err, f.must(ctx, "rm", "-rf", f.mutex())))
}

func (f *lockFolder) left(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("lock of %s not released, it expires by itself within %s: %w", f.key, f.expiry, err)
}
