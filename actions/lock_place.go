package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// LockPlace keeps locks where an action takes effect that is no host: in a bucket. Each call is one request, and of
// two that write at once one wins.
type LockPlace interface {
	// String names the place for people and in what is said of its locks: "s3 backups/prod".
	String() string
	// ReadLock gives what stands there under a name, its version ("" is nothing there), and the place's own clock.
	ReadLock(ctx context.Context, name string, limit int64) (body []byte, version string, now time.Time, err error)
	// WriteLock writes it when version is still what is there, "" when nothing is. If not, ok is false and nothing was written.
	WriteLock(ctx context.Context, name string, body []byte, version string) (ok bool, err error)
	// RemoveLock takes it away.
	RemoveLock(ctx context.Context, name string) error
}

// placeLock is the lock of one service in a place.
type placeLock struct {
	at     LockPlace
	key    fleet.ServiceKey
	expiry time.Duration
	me     owner
	over   *fleet.Lock // the lock that may be taken over; nil: none
}

// standing is what a place has under the lock's name.
type standing struct {
	owner
	version string
	now     time.Time
}

// free reports that there is no lock, or only the note of one that was given back.
func (s *standing) free() bool { return s.version == "" || s.Plan == "" && s.Until.IsZero() }

func (p *placeLock) name() string  { return lockName(p.key) }
func (p *placeLock) where() string { return p.at.String() }

func (p *placeLock) read(ctx context.Context) (standing, error) {
	body, version, now, err := p.at.ReadLock(ctx, p.name(), maxOwner)
	s := standing{version: version, now: now}
	if err != nil || version == "" {
		return s, err //nolint:wrapcheck // it names the place
	}
	if json.Unmarshal(body, &s.owner) != nil || s.V != 1 {
		return s, fmt.Errorf("%s: the lock %s is none of nexops': if nothing stands behind it, remove it by hand", p.at, p.name())
	}
	return s, nil
}

// look gives the lock that is there; nil when there is none.
func (p *placeLock) look(ctx context.Context) (*LockedError, error) {
	s, err := p.read(ctx)
	if err != nil || s.free() {
		return nil, err
	}
	return p.found(&s), nil
}

func (p *placeLock) found(s *standing) *LockedError { return s.owner.found(p.key, p.where(), s.now) }

// take writes the lock where none is, or in the place of the one that was confirmed to be taken over.
func (p *placeLock) take(ctx context.Context) error {
	s, err := p.read(ctx)
	if err != nil {
		return err
	}
	over := !s.free()
	if over && (p.over == nil || s.Plan != p.over.Plan || s.Until.After(p.over.Until)) {
		return p.found(&s)
	}
	if s.version != "" { // the server is put to the test before it is trusted with what is there
		err = p.probe(ctx)
	}
	ok := true
	if err == nil {
		ok, err = p.write(ctx, s.now, s.version)
	}
	if err == nil && !ok {
		err = p.lost(ctx)
	}
	if err == nil && s.version == "" {
		err = p.probe(ctx)
	}
	var locked *LockedError
	if err == nil || errors.As(err, &locked) {
		return err
	}
	return errors.Join(err, p.takeBack(ctx))
}

// takeBack gives back what was written after all: the answer may be all that was lost.
func (p *placeLock) takeBack(ctx context.Context) error {
	rctx, cancel := releaseContext(ctx)
	defer cancel()
	s, err := p.read(rctx)
	if err == nil && s.Plan != p.me.Plan {
		return nil
	}
	return p.release(rctx)
}

// errNoConditions says that a server writes whatever is there.
var errNoConditions = errors.New("it writes over what is there though it was asked not to (If-None-Match and If-Match): no lock can be kept " +
	`there. Write lock = "local" for this store to exclude only the consoles of one machine`)

// never is a version that nothing has.
const never = "00000000000000000000000000000000"

// probe makes sure that the place keeps conditions: it must refuse two writes that only a place without a lock may take.
func (p *placeLock) probe(ctx context.Context) error {
	body, err := p.body()
	if err != nil {
		return err
	}
	for _, version := range []string{"", never} {
		ok, err := p.at.WriteLock(ctx, p.name(), body, version)
		if err != nil {
			return err //nolint:wrapcheck // it names the place
		}
		if ok {
			return fmt.Errorf("lock in %s: %w", p.at, errNoConditions)
		}
	}
	return nil
}

// lost says why a write was not taken: whoever was faster. When it is we, a request was sent twice on its way.
func (p *placeLock) lost(ctx context.Context) error {
	s, err := p.read(ctx)
	switch {
	case err != nil:
		return err
	case s.Plan == p.me.Plan:
		return nil
	case s.free():
		return fmt.Errorf("lock in %s: %s has just been given back: try again", p.at, p.name())
	}
	return p.found(&s)
}

func (p *placeLock) body() ([]byte, error) {
	b, err := json.Marshal(p.me)
	if err != nil {
		return nil, fmt.Errorf("lock in %s: %w", p.at, err)
	}
	return append(b, '\n'), nil
}

// write writes our lock over a version, until counted from now, the place's own time.
func (p *placeLock) write(ctx context.Context, now time.Time, version string) (bool, error) {
	if p.me.Since.IsZero() {
		p.me.Since = now
	}
	p.me.Until = now.Add(p.expiry)
	b, err := p.body()
	if err != nil {
		return false, err
	}
	return p.at.WriteLock(ctx, p.name(), b, version) //nolint:wrapcheck // it names the place
}

// renew moves the expiry on. A lock that has expired may belong to another by now and is not written.
func (p *placeLock) renew(ctx context.Context) error {
	s, err := p.read(ctx)
	if err != nil {
		return err
	}
	if s.version == "" {
		return fmt.Errorf("lock in %s: %s is gone", p.at, p.name())
	}
	if s.Plan != p.me.Plan || s.now.After(s.Until) {
		return p.found(&s)
	}
	ok, err := p.write(ctx, s.now, s.version)
	if err == nil && !ok {
		err = p.lost(ctx)
	}
	return err
}

// release takes the lock away when it is ours. One that has expired may be taken over at this moment: it is
// written over, which only one can do, by a note that it is free.
func (p *placeLock) release(ctx context.Context) error {
	s, err := p.read(ctx)
	switch {
	case err != nil:
		return p.left(err)
	case s.version == "":
		return nil
	case s.Plan != p.me.Plan:
		return fmt.Errorf("the lock of %s in %s was taken over by %s", p.key, p.at, oneLine(s.Owner))
	case !s.now.After(s.Until):
		return p.left(p.at.RemoveLock(ctx, p.name()))
	}
	_, err = p.at.WriteLock(ctx, p.name(), []byte(`{"v":1}`+"\n"), s.version)
	return p.left(err)
}

func (p *placeLock) left(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("lock of %s in %s not released, it expires by itself within %s: %w", p.key, p.at, p.expiry, err)
}

// places are those, besides hosts, where the steps of a plan take effect: each once, by its name.
func (p *Plan) places() []LockPlace {
	var out []LockPlace
	seen := map[string]bool{}
	for _, s := range p.Steps {
		if s.At != nil && !seen[s.At.String()] {
			seen[s.At.String()] = true
			out = append(out, s.At)
		}
	}
	return out
}

// lockedOn names where a plan's lock is.
func (p *Plan) lockedOn() string {
	names := slices.Clone(p.lockHosts())
	for _, at := range p.places() {
		names = append(names, at.String())
	}
	return strings.Join(names, ", ")
}
