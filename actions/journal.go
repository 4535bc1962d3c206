package actions

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"sync"
	"time"
)

// Journal is an append-only record of what was planned, done and said: JSON lines,
// each chained to the one before by its hash, one file a UTC day. Several
// consoles share a folder: every append holds its lock.
type Journal struct {
	dir  string
	mu   sync.Mutex
	tail tail // as of the last append; checked against the file before it is believed
}

// tail is the end of the chain.
type tail struct {
	file string
	size int64
	seq  uint64
	hash string
	torn []byte // bytes after the last newline: a line a crash has cut short
	open bool   // only the newline is missing
}

const (
	journalLock = ".lock"
	runningDir  = "running"
	sumLength   = len(`,"sha256":""}`) + 2*sha256.Size
)

var journalName = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}\.jsonl$`)

// OpenJournal opens the journal in dir, making the folder. An error means that nothing can be put on
// record there, and so that nothing may be done.
func OpenJournal(dir string) (*Journal, error) {
	if err := os.MkdirAll(filepath.Join(dir, runningDir), 0o700); err != nil {
		return nil, fmt.Errorf("journal %s: %w", dir, err)
	}
	j := &Journal{dir: dir}
	unlock, err := j.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := j.readTail(); err != nil {
		return nil, err
	}
	return j, nil
}

// Dir is the folder of the journal.
func (j *Journal) Dir() string { return j.dir }

// lock takes the folder for this console.
func (j *Journal) lock() (unlock func(), err error) {
	file := filepath.Join(j.dir, journalLock)
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in the journal's own folder
	if err != nil {
		return nil, fmt.Errorf("journal %s: %w", j.dir, err)
	}
	if err := lockFile(f, true); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("journal %s: lock: %w", j.dir, err)
	}
	return func() { _ = f.Close() }, nil // closing lets go of it
}

// Append writes entries, in order, and returns when they are on the disk. V, Seq, Prev and
// SHA256 are set here; the entries as written are returned.
func (j *Journal) Append(entries ...Entry) ([]Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	unlock, err := j.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	t, err := j.readTail()
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, nil
	}
	file, err := j.fileFor(entries[0].At, t.file)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if len(t.torn) > 0 {
		entries = append([]Entry{tornNote(t.torn, entries[0])}, entries...)
	}
	if len(t.torn) > 0 || t.open {
		file = t.file
		buf.WriteByte('\n')
	}
	out := make([]Entry, len(entries))
	for i, e := range entries {
		line, sealed, err := seal(e, t.seq+1, t.hash)
		if err != nil {
			return nil, err
		}
		buf.Write(line)
		t.seq, t.hash, out[i] = sealed.Seq, sealed.SHA256, sealed
	}
	size, err := j.write(file, buf.Bytes())
	if err != nil {
		j.tail = tail{} // part of it may be there: read it again next time
		return nil, err
	}
	j.tail = tail{file: file, size: size, seq: t.seq, hash: t.hash}
	return out, nil
}

func tornNote(torn []byte, first Entry) Entry {
	sum := sha256.Sum256(torn)
	return Entry{
		At: first.At, Kind: EntryNote, Console: first.Console,
		Text: "the line before was cut short when a console or its machine stopped",
		Torn: &TornRecord{Bytes: len(torn), SHA256: hex.EncodeToString(sum[:])},
	}
}

// seal gives the line of an entry at its place in the chain.
func seal(e Entry, seq uint64, prev string) ([]byte, Entry, error) {
	e.V, e.Seq, e.At, e.Prev, e.SHA256 = JournalVersion, seq, e.At.UTC(), prev, ""
	line, err := json.Marshal(e)
	if err != nil {
		return nil, e, fmt.Errorf("journal: write entry %d: %w", seq, err)
	}
	sum := sha256.Sum256(line)
	e.SHA256 = hex.EncodeToString(sum[:])
	line = append(line[:len(line)-1], `,"sha256":"`+e.SHA256+"\"}\n"...)
	return line, e, nil
}

// unseal checks the line of an entry by itself and reads it.
func unseal(line []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return e, fmt.Errorf("not an entry: %w", err)
	}
	if len(line) < sumLength || !bytes.HasPrefix(line[len(line)-sumLength:], []byte(`,"sha256":"`)) {
		return e, errors.New("it has no sha256 at its end")
	}
	sum := sha256.Sum256(append(bytes.Clone(line[:len(line)-sumLength]), '}'))
	if hex.EncodeToString(sum[:]) != e.SHA256 {
		return e, errors.New("its text does not match its sha256: it was changed")
	}
	return e, nil
}

// fileFor is the file of a day. Time that goes back never starts an older file: files stay in the order of the chain.
func (j *Journal) fileFor(at time.Time, newest string) (string, error) {
	name := at.UTC().Format("2006-01-02") + ".jsonl"
	if name < newest {
		return newest, nil
	}
	if name == newest {
		return name, nil
	}
	f, err := os.OpenFile(j.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("journal %s: %w", j.dir, err)
	}
	if err := f.Close(); err != nil {
		return "", fmt.Errorf("journal %s: %w", j.dir, err)
	}
	return name, syncDir(j.dir)
}

func (j *Journal) path(name string) string { return filepath.Join(j.dir, name) }

// write appends bytes and brings them to the disk.
func (j *Journal) write(name string, b []byte) (size int64, err error) {
	f, err := os.OpenFile(j.path(name), os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // in the journal's own folder
	if err != nil {
		return 0, fmt.Errorf("journal %s: %w", j.dir, err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("journal %s: %w", j.dir, cerr)
		}
	}()
	if _, err := f.Write(b); err != nil {
		return 0, fmt.Errorf("journal %s: %w", j.dir, err)
	}
	if err := f.Sync(); err != nil {
		return 0, fmt.Errorf("journal %s: %w", j.dir, err)
	}
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("journal %s: %w", j.dir, err)
	}
	return info.Size(), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the journal's own folder
	if err != nil {
		return fmt.Errorf("journal %s: %w", dir, err)
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("journal %s: %w", dir, err)
	}
	return nil
}

// files are the journal's files, oldest first.
func (j *Journal) files() ([]string, error) {
	list, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("journal %s: %w", j.dir, err)
	}
	var names []string
	for _, e := range list {
		if e.Type().IsRegular() && journalName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// readTail finds the end of the chain: from memory when no other console has written since.
func (j *Journal) readTail() (tail, error) {
	names, err := j.files()
	if err != nil || len(names) == 0 {
		return tail{}, err
	}
	newest := names[len(names)-1]
	if newest == j.tail.file {
		if info, err := os.Stat(j.path(newest)); err == nil && info.Size() == j.tail.size {
			return j.tail, nil
		}
	}
	for i := len(names) - 1; i >= 0; i-- {
		t, err := j.tailOf(names[i])
		if err != nil {
			return tail{}, err
		}
		if t.seq == 0 && len(t.torn) == 0 {
			continue // made and not yet written to
		}
		if len(t.torn) == 0 && !t.open {
			t.file = newest
		}
		return t, nil
	}
	return tail{file: newest}, nil
}

// tailOf reads the last whole entry of one file, and what is torn behind it.
func (j *Journal) tailOf(name string) (tail, error) {
	b, err := os.ReadFile(j.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return tail{}, nil
	}
	if err != nil {
		return tail{}, fmt.Errorf("journal %s: %w", j.dir, err)
	}
	t := tail{file: name, size: int64(len(b))}
	end := bytes.LastIndexByte(b, '\n')
	t.torn = b[end+1:]
	if e, err := unseal(t.torn); err == nil {
		t.seq, t.hash, t.torn, t.open = e.Seq, e.SHA256, nil, true
		return t, nil
	}
	for end > 0 {
		start := bytes.LastIndexByte(b[:end], '\n') + 1
		if e, err := unseal(b[start:end]); err == nil {
			t.seq, t.hash = e.Seq, e.SHA256
			return t, nil
		}
		end = start - 1
	}
	return t, nil
}

// Query chooses entries.
type Query struct {
	Plan  string // of one plan
	Since time.Time
	Limit int // the newest so many; 0 is 10,000
	// Keep chooses among the entries: the others are not counted either. nil keeps all.
	Keep func(*Entry) bool
}

const maxRead = 10_000

// Read gives entries, oldest first. Lines that are no entries are left out: Verify tells of them.
func (j *Journal) Read(q Query) ([]Entry, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = maxRead
	}
	names, err := j.files()
	if err != nil {
		return nil, err
	}
	var out []Entry
	for i := len(names) - 1; i >= 0 && len(out) < limit; i-- {
		if !q.Since.IsZero() && names[i] < q.Since.UTC().AddDate(0, 0, -1).Format("2006-01-02")+".jsonl" {
			break
		}
		list, err := j.readFile(names[i], q)
		if err != nil {
			return nil, err
		}
		out = append(list, out...)
	}
	if len(out) > limit {
		out = out[len(out)-limit:]
	}
	return out, nil
}

func (j *Journal) readFile(name string, q Query) ([]Entry, error) {
	var out []Entry
	err := j.eachLine(name, func(_ int, line []byte, _ bool) error {
		var e Entry
		if json.Unmarshal(line, &e) != nil || e.Seq == 0 {
			return nil
		}
		if (q.Plan == "" || e.Plan == q.Plan) && !e.At.Before(q.Since) && (q.Keep == nil || q.Keep(&e)) {
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

// eachLine calls fn with every line of a file; the last one is not whole when it has no end.
func (j *Journal) eachLine(name string, fn func(number int, line []byte, whole bool) error) error {
	f, err := os.Open(j.path(name))
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.dir, err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.path(name), err)
	}
	for number := 1; len(b) > 0; number++ {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		if err := fn(number, line, whole); err != nil {
			return err
		}
		b = rest
	}
	return nil
}
