package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// LocalLocker locks between the consoles of one machine: a file for each service in
// dir, locked by the kernel, which lets go when a console dies.
type LocalLocker struct {
	dir string
	now func() time.Time
}

// NewLocalLocker makes one; dir is a folder of the program's own and is made on first use.
func NewLocalLocker(dir string, now func() time.Time) *LocalLocker {
	return &LocalLocker{dir: dir, now: now}
}

// owner is what a lock says of its holder: owner.json on a host, the whole file here.
type owner struct {
	V      int       `json:"v"`
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Plan   string    `json:"plan"`
	// What is locked or held, as the estate names it: the folder's name does not always tell.
	Environment string `json:"environment,omitempty"`
	Service     string `json:"service,omitempty"`
}

// Lock takes the files, all or none.
func (l *LocalLocker) Lock(_ context.Context, req LockRequest) (Held, error) {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock on this machine: %w", err)
	}
	held := &localHeld{}
	for _, key := range sortedKeys(req.Services) {
		f, err := l.take(key, req)
		if err != nil {
			return nil, errors.Join(err, held.Release(context.Background()))
		}
		held.files = append(held.files, f)
	}
	return held, nil
}

func (l *LocalLocker) take(key fleet.ServiceKey, req LockRequest) (*os.File, error) {
	name := filepath.Join(l.dir, lockName(key)+".lock")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in the program's own folder
	if err != nil {
		return nil, fmt.Errorf("lock on this machine: %w", err)
	}
	if err := lockFile(f, false); err != nil {
		defer func() { _ = f.Close() }()
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("lock on this machine: %w", err)
		}
		var o owner
		if b, err := io.ReadAll(io.LimitReader(f, maxOwner)); err == nil {
			_ = json.Unmarshal(b, &o) // who holds it may not have said so yet
		}
		return nil, &LockedError{Service: key, Owner: oneLine(o.Owner), Reason: oneLine(o.Reason), Since: o.Since}
	}
	b, err := json.Marshal(owner{V: 1, Owner: req.Owner, Reason: req.Reason, Since: l.now().UTC(), Plan: req.Plan})
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock on this machine: %w", err)
	}
	return f, nil
}

type localHeld struct{ files []*os.File }

// Lost never tells: the kernel keeps it.
func (h *localHeld) Lost() <-chan error { return nil }

func (h *localHeld) Release(context.Context) error {
	var errs []error
	for _, f := range h.files {
		// The file stays: removing it would let two consoles lock two files of one name.
		if err := errors.Join(f.Truncate(0), f.Close()); err != nil {
			errs = append(errs, fmt.Errorf("unlock on this machine: %w", err))
		}
	}
	h.files = nil
	return errors.Join(errs...)
}

// lockName is the name of a service's lock: "prod.ai".
func lockName(key fleet.ServiceKey) string {
	return safeName(key.Environment) + "." + safeName(key.Name)
}
