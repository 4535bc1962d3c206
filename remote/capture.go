package remote

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"sync"
)

// maxOutput is how much of a stream a Result keeps.
const maxOutput = 1 << 20

// capture keeps the first bytes of a stream and hands all of them on. It
// never fails: a writer that does gets no more, the command is not disturbed.
type capture struct {
	mu        sync.Mutex
	next      io.Writer
	max       int
	kept      []byte
	truncated bool
}

func newCapture(next io.Writer, limit int) *capture { return &capture{next: next, max: limit} }

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keep := min(len(p), c.max-len(c.kept))
	c.kept = append(c.kept, p[:keep]...)
	c.truncated = c.truncated || keep < len(p)
	if c.next != nil {
		if _, err := c.next.Write(p); err != nil {
			c.next = nil
		}
	}
	return len(p), nil
}

// mute hands nothing on any more.
func (c *capture) mute() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = nil
}

func (c *capture) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.kept)
}

// result is what two captures hold.
func result(code int, stdout, stderr *capture) Result {
	r := Result{Code: code, Stdout: stdout.bytes(), Stderr: stderr.bytes()}
	stdout.mu.Lock()
	defer stdout.mu.Unlock()
	stderr.mu.Lock()
	defer stderr.mu.Unlock()
	r.Truncated = stdout.truncated || stderr.truncated
	return r
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
