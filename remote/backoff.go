package remote

import (
	"errors"
	"math/rand/v2"
	"time"
)

const (
	firstBackoff = 250 * time.Millisecond
	// lastBackoff stays well under the 3 s after which callers ask again at the
	// latest, so that a host that comes back is in use within 5 s.
	lastBackoff = 1500 * time.Millisecond
	// Somebody has to add or correct the key first, and sees the result soon after.
	firstDistrust = time.Second
	lastDistrust  = 4 * time.Second
	// A host that turns us away is not asked as often: it may ban us.
	firstRefused = 2 * time.Second
	lastRefused  = 30 * time.Second
)

// backoff keeps a host from being called too often.
type backoff struct {
	fails int
	until time.Time
	err   error
}

// blocked is the last failure while it is too early for another try.
func (b *backoff) blocked(now time.Time) error {
	if now.Before(b.until) {
		return b.err
	}
	return nil
}

func (b *backoff) failed(now time.Time, err error) {
	first, last := firstBackoff, lastBackoff
	var auth *AuthError
	var unknown *UnknownKeyError
	var changed *ChangedKeyError
	switch {
	case errors.As(err, &auth):
		first, last = firstRefused, lastRefused
	case errors.As(err, &unknown), errors.As(err, &changed):
		first, last = firstDistrust, lastDistrust
	}
	wait := last
	if b.fails < 8 {
		wait = min(last, first<<b.fails)
	}
	b.fails++
	b.err = err
	// #nosec G404 -- spreads load, guards nothing
	b.until = now.Add(wait - time.Duration(rand.Int64N(int64(wait/4)+1)))
}
