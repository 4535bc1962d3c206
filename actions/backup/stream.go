package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
)

// meter counts and hashes what passes.
type meter struct {
	mu  sync.Mutex
	n   int64
	sum hash.Hash
}

func newMeter() *meter { return &meter{sum: sha256.New()} }

// Write never fails.
func (m *meter) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n += int64(len(p))
	_, _ = m.sum.Write(p)
	return len(p), nil
}

func (m *meter) size() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n
}

func (m *meter) digest() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return hex.EncodeToString(m.sum.Sum(nil))
}

// errReaderEnded says that whoever read a stream wants no more of it.
var errReaderEnded = errors.New("the reader ended")

// errWriterFailed is what a reader gets in the place of the end of a stream that was cut off: a backup that ends
// early must not look whole.
var errWriterFailed = errors.New("the stream was cut off")

// pour runs from and lets into read what it writes, until both have ended. What passes goes through m. When one
// of them fails the other is stopped. Into begins with the first bytes: of a program that cannot even begin
// nothing is written. 32 KiB of the stream are held at a time.
func pour(ctx context.Context, from, into store.Call, m *meter, out io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pr, pw := io.Pipe()
	var reader sync.WaitGroup
	var intoErr error
	begin := sync.OnceFunc(func() {
		reader.Go(func() {
			intoErr = into.Run(ctx, pr, out)
			_ = pr.CloseWithError(errReaderEnded)
			if intoErr != nil {
				cancel(errReaderEnded) // from writes into nothing now: it need not go on
			}
		})
	})
	fromErr := from.Run(ctx, nil, &relay{m: m, to: pw, begin: begin})
	if fromErr != nil {
		_ = pw.CloseWithError(errWriterFailed)
	} else {
		begin() // it had nothing to say: that, too, is read
		_ = pw.Close()
	}
	reader.Wait()
	return worse(fromErr, intoErr)
}

// worse tells which of the two ends of a stream was the cause.
func worse(fromErr, intoErr error) error {
	switch {
	case intoErr == nil:
		return fromErr
	case fromErr == nil || errors.Is(fromErr, errReaderEnded) || errors.Is(fromErr, context.Canceled):
		return intoErr
	case errors.Is(intoErr, errWriterFailed):
		return fromErr
	default:
		return fmt.Errorf("%w; and where it was written: %w", fromErr, intoErr)
	}
}

// relay passes a stream on and measures it. When its reader has ended it goes on measuring.
type relay struct {
	m     *meter
	to    io.Writer
	begin func() // called before the first byte is passed on
	dead  bool
}

func (r *relay) Write(p []byte) (int, error) {
	_, _ = r.m.Write(p)
	if r.dead {
		return len(p), nil
	}
	r.begin()
	if _, err := r.to.Write(p); err != nil {
		r.dead = true
	}
	return len(p), nil
}

// watchEvery is how often the room is looked at while a backup is being written.
const watchEvery = 5 * time.Second

// floorError says that a place has too little room.
type floorError struct {
	place       string
	free, floor int64
}

func (e *floorError) Error() string {
	return fmt.Sprintf("only %s are left on %s, %s always stay free: make room, or choose another store",
		fleet.Bytes(float64(e.free)), e.place, fleet.Bytes(float64(e.floor)))
}

// guard ends ctx when the room of a place falls below its floor, and says every so often how far it is.
// stop waits for its end.
func guard(ctx context.Context, p store.Place, floor int64, every time.Duration, m *meter, say func(string)) (context.Context, func() error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			free, known, err := p.Free(ctx)
			if err == nil && known && free < floor {
				cancel(&floorError{place: p.String(), free: free, floor: floor})
				return
			}
			say(fleet.Bytes(float64(m.size())) + " so far")
		}
	})
	return ctx, func() error {
		var low *floorError
		cause := context.Cause(ctx)
		cancel(nil)
		looking.Wait()
		if errors.As(cause, &low) {
			return low
		}
		return nil
	}
}

// outcome turns the error of a call into a step's: a connection that was lost leaves nobody knowing how it ended.
func outcome(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, remote.ErrConnectionLost) && !errors.Is(err, remote.ErrNotStarted) {
		return fmt.Errorf("%w: %w", err, actions.ErrUnknown)
	}
	return err
}
