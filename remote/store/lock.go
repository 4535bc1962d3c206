package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
)

// Locks are those that a bucket keeps itself: each of its writes is taken only by who knows what is there.
type Locks struct{ *bucket }

// LocksOf gives the locks that a place keeps. A folder, and a bucket whose store says lock = "local", keeps none: a
// host has a folder of its own for them.
func LocksOf(p Place) (Locks, bool) {
	b, ok := p.(*bucket)
	if !ok || b.cfg.Lock == LockLocal {
		return Locks{}, false
	}
	return Locks{b}, true
}

// LockLocal is the word for a bucket whose server cannot keep locks.
const LockLocal = "local"

// lockFolder is where a bucket's locks are, below its prefix: no listing of backups shows them.
const lockFolder = ".nexops-locks/"

func (b *bucket) lockKey(name string) string { return b.key(lockFolder + name + ".json") }

// ReadLock reads a lock and the server's clock.
func (b Locks) ReadLock(ctx context.Context, name string, limit int64) ([]byte, string, time.Time, error) {
	c, err := b.open(ctx)
	if err != nil {
		return nil, "", time.Time{}, err
	}
	r, info, _, err := (&minio.Core{Client: c}).GetObject(ctx, b.cfg.Bucket, b.lockKey(name), minio.GetObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return nil, "", b.clock.now(), nil
	}
	if err != nil {
		return nil, "", time.Time{}, b.fail("read lock", err)
	}
	defer func() { _ = r.Close() }()
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = errTooLarge
	}
	if err != nil {
		return nil, "", time.Time{}, b.fail("read lock", err)
	}
	if info.ETag == "" {
		return nil, "", time.Time{}, b.fail("read lock", errors.New("the server gives it no ETag"))
	}
	return body, info.ETag, b.clock.now(), nil
}

// WriteLock writes a lock where nothing is, or over the very version that is there.
func (b Locks) WriteLock(ctx context.Context, name string, body []byte, version string) (bool, error) {
	c, err := b.open(ctx)
	if err != nil {
		return false, err
	}
	opts := minio.PutObjectOptions{ContentType: "application/json", DisableMultipart: true}
	if version == "" {
		opts.SetMatchETagExcept("*")
	} else {
		opts.SetMatchETag(version)
	}
	_, err = c.PutObject(ctx, b.cfg.Bucket, b.lockKey(name), bytes.NewReader(body), int64(len(body)), opts)
	if err == nil {
		return true, nil
	}
	answer := minio.ToErrorResponse(err)
	switch {
	case answer.Code == minio.PreconditionFailed, answer.StatusCode == http.StatusPreconditionFailed,
		answer.StatusCode == http.StatusConflict, version != "" && answer.Code == minio.NoSuchKey:
		return false, nil
	case answer.StatusCode == http.StatusNotImplemented:
		return false, fmt.Errorf(`%w: it has no conditional writes, so no lock can be kept there. Write lock = "local" for this store to exclude only the consoles of one machine`,
			b.fail("write lock", err))
	}
	return false, b.fail("write lock", err)
}

// RemoveLock removes a lock.
func (b Locks) RemoveLock(ctx context.Context, name string) error {
	c, err := b.open(ctx)
	if err != nil {
		return err
	}
	if err := c.RemoveObject(ctx, b.cfg.Bucket, b.lockKey(name), minio.RemoveObjectOptions{}); err != nil {
		return b.fail("remove lock", err)
	}
	return nil
}

// serverClock tells the time by what a server's answers said, to the second.
type serverClock struct {
	to http.RoundTripper

	mu  sync.Mutex
	off time.Duration // the server's clock less ours
}

// RoundTrip passes a request on and looks at the answer's date.
func (s *serverClock) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := s.to.RoundTrip(req)
	if err != nil {
		return res, err //nolint:wrapcheck // a transport's own
	}
	if at, perr := http.ParseTime(res.Header.Get("Date")); perr == nil {
		s.mu.Lock()
		s.off = time.Until(at)
		s.mu.Unlock()
	}
	return res, nil
}

func (s *serverClock) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.off).UTC().Truncate(time.Second)
}
