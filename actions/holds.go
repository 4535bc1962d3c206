package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Holds writes, reads and clears holds: folders beside the locks on the hosts, so that every console sees
// that an environment, or one service of it, is to be left alone. Times are those of the host's clock.
type Holds struct {
	dir  string
	host func(name string) (remote.Host, error)
}

// NewHolds makes it; cfg is the locks' own.
func NewHolds(cfg LockConfig, host func(name string) (remote.Host, error)) *Holds {
	if cfg.Dir == "" {
		cfg.Dir = DefaultLockConfig().Dir
	}
	return &Holds{dir: cfg.Dir, host: host}
}

// HoldRequest is a hold that somebody wants.
type HoldRequest struct {
	Environment string
	Service     string // "" is the whole environment
	Owner       string // "ana@laptop"
	Reason      string
	For         time.Duration // 0: until somebody clears it
	Plan        string
	// Replace are holds of others, as they were read from their hosts, whose place it takes. Any other is an error.
	Replace []fleet.Hold
}

// HeldError says that somebody else holds it.
type HeldError struct{ Hold fleet.Hold }

// Error says who, until when and why.
func (e *HeldError) Error() string {
	until := ""
	if !e.Hold.Until.IsZero() {
		until = " until " + e.Hold.Until.UTC().Format("2006-01-02 15:04:05Z")
	}
	return fmt.Sprintf("on %s, %s is held by %s%s: %s", e.Hold.Host, holdWhat(e.Hold.Environment, e.Hold.Service), e.Hold.Owner, until, e.Hold.Reason)
}

func holdWhat(environment, service string) string {
	if service == "" {
		return environment
	}
	return fleet.ServiceKey{Environment: environment, Name: service}.String()
}

// holdMark begins a hold's folder. It is in no lock's name (see safeName).
const holdMark = "hold+"

func (h *Holds) folder(environment, service string) string {
	name := holdMark + safeName(environment)
	if service != "" {
		name += "." + safeName(service)
	}
	return path.Join(h.dir, name)
}

// Steps are those of a plan that puts a hold on hosts.
func (h *Holds) Steps(hosts []string, req HoldRequest) []Step {
	var out []Step
	own := h.folder(req.Environment, req.Service) + "/owner.json"
	for _, name := range hosts {
		out = append(out, Step{
			Name: "hold " + holdWhat(req.Environment, req.Service), Host: name, Mutates: true,
			Argv: []string{"mv", own + ".new", own}, // what it says takes effect at once; the folder is made before it
			Do:   func(ctx context.Context, _ func(stream, line string)) error { return h.Put(ctx, name, req) },
		})
	}
	return out
}

// ClearSteps are those of a plan that takes holds away: those very ones, as they were read from their hosts.
func (h *Holds) ClearSteps(list []fleet.Hold) []Step {
	var out []Step
	for _, was := range list {
		out = append(out, Step{
			Name: "release " + holdWhat(was.Environment, was.Service), Host: was.Host, Mutates: true,
			Argv: []string{"rm", "-rf", h.folder(was.Environment, was.Service)},
			Do:   func(ctx context.Context, _ func(stream, line string)) error { return h.Clear(ctx, was) },
		})
	}
	return out
}

// at is a hold's folder on a host. Its commands are the locks' own.
func (h *Holds) at(host, environment, service string) (*lockFolder, error) {
	to, err := h.host(host)
	if err != nil {
		return nil, fmt.Errorf("hold on %s: %w", host, err)
	}
	return &lockFolder{
		host: to, key: fleet.ServiceKey{Environment: environment, Name: service}, dir: h.dir,
		folder: h.folder(environment, service),
	}, nil
}

// Put writes a hold on one host. It is refused, as *HeldError, while somebody else's is there.
func (h *Holds) Put(ctx context.Context, host string, req HoldRequest) error {
	f, err := h.at(host, req.Environment, req.Service)
	if err != nil {
		return err
	}
	f.me = owner{V: 1, Owner: req.Owner, Reason: req.Reason, Plan: req.Plan, Environment: req.Environment, Service: req.Service}
	f.expiry = req.For
	if err := f.must(ctx, "mkdir", "-p", "-m", "0755", h.dir); err != nil {
		return unsure(err)
	}
	made, err := f.mkdir(ctx, f.path())
	if err == nil && made {
		err = f.guard(ctx, f.path())
	}
	switch {
	case err != nil:
	case made:
		err = f.rewrite(ctx)
	default:
		err = h.replace(ctx, f, req)
	}
	if err != nil && made && ctx.Err() == nil {
		err = errors.Join(err, h.takeBack(ctx, f))
	}
	return unsure(err)
}

// takeBack removes the folder that was made for a hold, unless it says by now whose it is: then it took effect all the same.
func (h *Holds) takeBack(ctx context.Context, f *lockFolder) error {
	there, err := h.read(ctx, f)
	if err != nil || there != nil {
		return err
	}
	return f.remove(ctx, f.path())
}

// replace writes over the hold that is there, when it may.
func (h *Holds) replace(ctx context.Context, f *lockFolder, req HoldRequest) error {
	return h.alone(ctx, f, func() error {
		err := f.guard(ctx, f.mutex(), f.path())
		if err == nil {
			err = h.mayReplace(ctx, f, req)
		}
		if err == nil {
			err = f.rewrite(ctx)
		}
		return err
	})
}

// alone does something to a hold that is there while nobody else does. Only who makes the folder beside it may: that folder tells
// who we are, so that nothing is written into one that somebody else has put there, and of two one wins.
func (h *Holds) alone(ctx context.Context, f *lockFolder, do func() error) error {
	mine, err := f.mkdir(ctx, f.mutex())
	if err != nil {
		return err
	}
	if !mine {
		return saidError(fmt.Sprintf("on %s another console is changing the hold %s: if none is, remove %s by hand", f.host.Name(), f.path(), f.mutex()))
	}
	return errors.Join(do(), f.remove(ctx, f.mutex()))
}

// mayReplace reports why the hold that is there is not to be written over.
func (h *Holds) mayReplace(ctx context.Context, f *lockFolder, req HoldRequest) error {
	there, err := h.read(ctx, f)
	if err != nil || there == nil || there.Owner == req.Owner ||
		slices.ContainsFunc(req.Replace, func(was fleet.Hold) bool { return sameHold(was, *there) }) {
		return err
	}
	return &HeldError{Hold: *there}
}

// sameHold reports whether two readings of a host are of one and the same hold: one that was extended is another.
func sameHold(a, b fleet.Hold) bool {
	return a.Host == b.Host && a.Environment == b.Environment && a.Service == b.Service && a.Owner == b.Owner && a.Reason == b.Reason && a.Since.Equal(b.Since)
}

// Clear takes a hold away, as it was read from its host; one that is not there any more is cleared. Another one that has taken its
// place since is left, and is the error, as *HeldError.
func (h *Holds) Clear(ctx context.Context, was fleet.Hold) error {
	f, err := h.at(was.Host, was.Environment, was.Service)
	if err != nil {
		return err
	}
	if err := f.must(ctx, "mkdir", "-p", "-m", "0755", h.dir); err != nil {
		return unsure(err)
	}
	return unsure(h.alone(ctx, f, func() error {
		err := f.guard(ctx, f.mutex())
		var there *fleet.Hold
		if err == nil {
			there, err = h.read(ctx, f)
		}
		if err == nil && there != nil && !sameHold(was, *there) {
			err = fmt.Errorf("not released, it is another one by now than the plan was made for: %w", &HeldError{Hold: *there})
		}
		if err == nil {
			err = f.must(ctx, "rm", "-rf", f.path())
		}
		return err
	}))
}

// Check reads a hold from one host as it is now, in the host's time; nil when there is none, or it is over.
func (h *Holds) Check(ctx context.Context, host, environment, service string) (*fleet.Hold, error) {
	f, err := h.at(host, environment, service)
	if err != nil {
		return nil, err
	}
	return h.read(ctx, f)
}

func (h *Holds) read(ctx context.Context, f *lockFolder) (*fleet.Hold, error) {
	res, err := f.run(ctx, nil, "cat", f.owner())
	if err != nil {
		return nil, err
	}
	var o owner
	if res.Code != 0 || len(res.Stdout) > maxOwner || json.Unmarshal(res.Stdout, &o) != nil || o.V == 0 {
		return nil, nil //nolint:nilnil // documented: none is nil
	}
	now, err := f.clock(ctx)
	if err != nil {
		return nil, err
	}
	hold := fleet.Hold{
		Environment: f.key.Environment, Service: f.key.Name, Host: f.host.Name(),
		Owner: oneLine(o.Owner), Reason: oneLine(o.Reason), Since: o.Since, Until: o.Until,
	}
	if hold.Over(now) {
		return nil, nil //nolint:nilnil // documented: one that is over is none
	}
	return &hold, nil
}

// unsure marks an error of a command that may have run: the connection was lost in it.
func unsure(err error) error {
	var held *HeldError
	var said saidError
	if err == nil || errors.As(err, &held) || errors.As(err, &said) || errors.Is(err, remote.ErrNotStarted) {
		return err
	}
	return fmt.Errorf("%w: %w", err, ErrUnknown)
}
