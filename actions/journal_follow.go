package actions

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrFollowed says that another console follows the journal under that name.
var ErrFollowed = errors.New("another console does it")

// followersDir holds the cursors of the followers.
const followersDir = "followers"

// Follower reads the journal from where it was left, also by an earlier process, for whoever passes its
// entries on. The cursor lies beside the journal; one console at a time has it.
type Follower struct {
	j      *Journal
	path   string // of the cursor
	lock   *os.File
	seq    uint64 // of the last entry that is done with
	file   string // that is being read; "" is not known yet
	offset int64
}

// cursor is the file of a follower.
type cursor struct {
	V   int    `json:"v"`
	Seq uint64 `json:"seq"`
}

// Follow opens the cursor of that name. Who has none yet begins at the journal's end: what was
// before is nobody's news. The error is ErrFollowed when another console has it open.
func (j *Journal) Follow(name string) (*Follower, error) {
	dir := filepath.Join(j.dir, followersDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal %s: %w", dir, err)
	}
	path := filepath.Join(dir, safeName(name))
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in the journal's own folder
	if err != nil {
		return nil, fmt.Errorf("journal %s: %w", dir, err)
	}
	f := &Follower{j: j, path: path + ".json", lock: lock}
	if err := lockFile(lock, false); err != nil {
		_ = lock.Close()
		if errors.Is(err, errLocked) {
			return nil, ErrFollowed
		}
		return nil, fmt.Errorf("journal %s: %w", dir, err)
	}
	if err := f.load(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Follower) load() error {
	b, err := os.ReadFile(f.path)
	var c cursor
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("journal: %w", err)
	case json.Unmarshal(b, &c) == nil && c.V == JournalVersion:
		f.seq = c.Seq
		return nil
	}
	// There is none, or one that a crash has spoilt.
	f.j.mu.Lock()
	t, err := f.j.readTail()
	f.j.mu.Unlock()
	if err != nil {
		return err
	}
	return f.Done(t.seq)
}

// Done moves the cursor: all up to this entry is done with.
func (f *Follower) Done(seq uint64) error {
	b, err := json.Marshal(cursor{V: JournalVersion, Seq: seq})
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := os.WriteFile(f.path+".new", b, 0o600); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	f.seq = seq
	return nil
}

// Next gives the next entries, at most limit of them, oldest first; none when there is nothing new.
// Lines that are no entries are left out.
func (f *Follower) Next(limit int) ([]Entry, error) {
	names, err := f.j.files()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	if f.file == "" {
		if f.file, err = f.first(names); err != nil {
			return nil, err
		}
	}
	var out []Entry
	for _, name := range names {
		if name < f.file || len(out) >= limit {
			continue
		}
		if name > f.file {
			f.file, f.offset = name, 0
		}
		list, err := f.read(limit - len(out))
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// first is the file in which the next entry is, or will be.
func (f *Follower) first(names []string) (string, error) {
	for i := len(names) - 1; i > 0; i-- {
		line, err := f.firstLine(names[i])
		if err != nil {
			return "", err
		}
		if e, err := unseal(line); err == nil && e.Seq <= f.seq+1 {
			return names[i], nil
		}
	}
	return names[0], nil
}

func (f *Follower) firstLine(name string) ([]byte, error) {
	file, err := os.Open(f.j.path(name))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer func() { _ = file.Close() }()
	line, err := bufio.NewReader(file).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("journal %s: %w", name, err)
	}
	return bytes.TrimSuffix(line, []byte{'\n'}), nil
}

// read goes on in the file it is at. A last line without its end is left for the next time.
func (f *Follower) read(limit int) ([]Entry, error) {
	file, err := os.Open(f.j.path(f.file))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(f.offset, io.SeekStart); err != nil {
		return nil, fmt.Errorf("journal %s: %w", f.file, err)
	}
	r := bufio.NewReader(file)
	var out []Entry
	for len(out) < limit {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("journal %s: %w", f.file, err)
		}
		f.offset += int64(len(line))
		var e Entry
		if json.Unmarshal(line, &e) == nil && e.Seq > f.seq {
			out = append(out, e)
		}
	}
	return out, nil
}

// Close lets another console have the cursor.
func (f *Follower) Close() error {
	if err := f.lock.Close(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
