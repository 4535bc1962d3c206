package actions

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func follow(t *testing.T, j *Journal, name string) *Follower {
	t.Helper()
	f, err := j.Follow(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func texts(t *testing.T, f *Follower, limit int) string {
	t.Helper()
	list, err := f.Next(limit)
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, e := range list {
		out += e.Text + " "
	}
	return out
}

func TestFollow(t *testing.T) {
	j := openJournal(t)
	day := time.Date(2025, 11, 21, 23, 0, 0, 0, time.UTC)
	note := func(at time.Time, text string) {
		t.Helper()
		if _, err := j.Append(Entry{At: at, Kind: EntryNote, Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	note(day, "old")
	f := follow(t, j, "loki")
	if got := texts(t, f, 10); got != "" {
		t.Errorf("what was before is news: %q", got)
	}
	note(day, "a")
	note(day.Add(2*time.Hour), "b") // the next day's file
	if got := texts(t, f, 10); got != "a b " {
		t.Errorf("got %q", got)
	}
	if _, err := j.Follow("loki"); !errors.Is(err, ErrFollowed) {
		t.Errorf("followed twice: %v", err)
	}
	// It is not done with: the next process begins there again.
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = follow(t, j, "loki")
	if got := texts(t, f, 1); got != "a " {
		t.Errorf("after a restart: %q", got)
	}
	list, _ := f.Next(1)
	if len(list) != 1 || list[0].Text != "b" {
		t.Fatalf("then: %+v", list)
	}
	if err := f.Done(list[0].Seq); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	note(day.Add(50*time.Hour), "c")
	other := follow(t, j, "grafana") // of its own
	if got := texts(t, other, 10); got != "" {
		t.Errorf("another one: %q", got)
	}
	f = follow(t, j, "loki")
	if got := texts(t, f, 10); got != "c " {
		t.Errorf("after it was done: %q", got)
	}
	// A line that is being written is left until it is whole.
	name := filepath.Join(j.Dir(), "2025-11-24.jsonl")
	line, _, err := seal(Entry{At: day, Kind: EntryNote, Text: "d"}, list[0].Seq+2, "")
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = file.Write(b)
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(line[:20])
	if got := texts(t, f, 10); got != "" {
		t.Errorf("half a line: %q", got)
	}
	write(line[20:])
	if got := texts(t, f, 10); got != "d " {
		t.Errorf("the whole line: %q", got)
	}
	_ = errors.Join(f.Close(), other.Close())
}

func TestFollowSpoiltCursor(t *testing.T) {
	j := openJournal(t)
	for i := range 3 {
		if _, err := j.Append(Entry{At: time.Now(), Kind: EntryNote, Text: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	f := follow(t, j, "../x")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path, []byte("{\"v\":1,\"se"), 0o600); err != nil {
		t.Fatal(err)
	}
	f = follow(t, j, "../x")
	if got := texts(t, f, 10); got != "" || f.seq != 3 {
		t.Errorf("from a spoilt cursor: %q at %d", got, f.seq)
	}
	if filepath.Dir(f.path) != filepath.Join(j.Dir(), followersDir) {
		t.Errorf("the cursor is at %s", f.path)
	}
	_ = f.Close()
}
