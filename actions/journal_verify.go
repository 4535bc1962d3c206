package actions

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Verify walks the whole chain. Its error names the file and line of the first entry that
// was changed, taken out, put in or moved. It cannot see that entries are missing at the very
// end: nothing follows them.
func (j *Journal) Verify() error {
	unlock, err := j.lock()
	if err != nil {
		return err
	}
	defer unlock()
	names, err := j.files()
	if err != nil {
		return err
	}
	w := &chainWalk{}
	for _, name := range names {
		err := j.eachLine(name, func(number int, line []byte, whole bool) error {
			if err := w.line(line, whole); err != nil {
				return fmt.Errorf("journal %s: line %d: %w", j.path(name), number, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if w.torn != nil && w.ended {
		return fmt.Errorf("journal %s: the last line is no entry: %w", j.dir, w.why)
	}
	return nil
}

// chainWalk goes along the chain. A torn line is forgiven when the next entry owns
// up to it, or when it has no end and nothing follows it yet.
type chainWalk struct {
	seq   uint64
	hash  string
	torn  []byte
	ended bool  // the torn line has a line end
	why   error // why it is no entry
}

func (w *chainWalk) line(line []byte, whole bool) error {
	e, err := unseal(line)
	if err != nil {
		if w.torn != nil || json.Valid(line) { // what a crash cuts short is not JSON
			return err
		}
		w.torn, w.ended, w.why = append([]byte{}, line...), whole, err
		return nil
	}
	if w.torn != nil && !ownsUp(e, w.torn) {
		return fmt.Errorf("the line before is no entry, and entry %d does not tell of it: %w", e.Seq, w.why)
	}
	w.torn = nil
	if e.Prev != w.hash || e.Seq != w.seq+1 {
		return fmt.Errorf("entry %d does not follow entry %d: something was taken out, put in or moved", e.Seq, w.seq)
	}
	w.seq, w.hash = e.Seq, e.SHA256
	return nil
}

func ownsUp(e Entry, torn []byte) bool {
	if e.Torn == nil {
		return false
	}
	sum := sha256.Sum256(torn)
	return e.Torn.Bytes == len(torn) && e.Torn.SHA256 == hex.EncodeToString(sum[:])
}
