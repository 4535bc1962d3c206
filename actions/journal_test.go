package actions

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var day = time.Date(2025, 11, 21, 14, 3, 0, 0, time.UTC)

func openJournal(t *testing.T) *Journal {
	t.Helper()
	j, err := OpenJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func note(at time.Time, text string) Entry {
	return Entry{At: at, Kind: EntryNote, Console: "ana@laptop 1", Text: text}
}

func mustAppend(t *testing.T, j *Journal, entries ...Entry) []Entry {
	t.Helper()
	out, err := j.Append(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestJournalChainsOverDaysAndReopening(t *testing.T) {
	j := openJournal(t)
	mustAppend(t, j, note(day, "one"), note(day, "two"))
	mustAppend(t, j, note(day.AddDate(0, 0, 1), "three"))
	again, err := OpenJournal(j.Dir())
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, again, note(day, "clock went back"))
	mustAppend(t, j, note(day.AddDate(0, 0, 2), "five"))
	if err := j.Verify(); err != nil {
		t.Fatal(err)
	}
	files, err := j.files()
	if err != nil || len(files) != 3 {
		t.Fatalf("files %v, err %v", files, err)
	}
	got, err := j.Read(Query{})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for i, e := range got {
		texts = append(texts, e.Text)
		if e.Seq != uint64(i+1) || e.V != JournalVersion {
			t.Errorf("entry %d has seq %d, v %d", i, e.Seq, e.V)
		}
	}
	if want := "one two three clock went back five"; strings.Join(texts, " ") != want {
		t.Errorf("read %q, want %q", texts, want)
	}
	if last, _ := j.Read(Query{Limit: 2}); len(last) != 2 || last[1].Text != "five" {
		t.Errorf("the newest two are %v", last)
	}
	info, err := os.Stat(filepath.Join(j.Dir(), files[0]))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, err %v", info.Mode(), err)
	}
}

func TestJournalVerifyFindsWhatWasDoneToIt(t *testing.T) {
	tests := []struct {
		name   string
		change func(lines [][]byte) [][]byte
		want   string
	}{
		{"nothing", func(l [][]byte) [][]byte { return l }, ""},
		{"a text changed", func(l [][]byte) [][]byte {
			l[1] = bytes.Replace(l[1], []byte("b"), []byte("x"), 1)
			return l
		}, "line 2"},
		{"the last changed", func(l [][]byte) [][]byte {
			l[3] = bytes.Replace(l[3], []byte(`"text":"d"`), []byte(`"text":"x"`), 1)
			return l
		}, "line 4"},
		{"one taken out", func(l [][]byte) [][]byte { return append(l[:1], l[2:]...) }, "line 2"},
		{"the first taken out", func(l [][]byte) [][]byte { return l[1:] }, "line 1"},
		{"two changed places", func(l [][]byte) [][]byte { l[1], l[2] = l[2], l[1]; return l }, "line 2"},
		{"one doubled", func(l [][]byte) [][]byte { return append(l[:2:2], l[1:]...) }, "line 3"},
		{"garbage put in", func(l [][]byte) [][]byte {
			return append(append(l[:2:2], []byte("garbage")), l[2:]...)
		}, "line 4"},
		{"a false key put in", func(l [][]byte) [][]byte {
			l[0] = bytes.Replace(l[0], []byte(`{"v":1`), []byte(`{"x":0,"v":1`), 1)
			return l
		}, "line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := openJournal(t)
			mustAppend(t, j, note(day, "a"), note(day, "b"), note(day, "c"), note(day, "d"))
			file := filepath.Join(j.Dir(), "2025-11-21.jsonl")
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines := tt.change(bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")))
			if err := os.WriteFile(file, append(bytes.Join(lines, []byte("\n")), '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
			err = j.Verify()
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("verify says %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("verify says %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestJournalGoesOnAfterATornLine(t *testing.T) {
	j := openJournal(t)
	mustAppend(t, j, note(day, "a"))
	file := filepath.Join(j.Dir(), "2025-11-21.jsonl")
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"v":1,"seq":2,"at":"2025-1`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Verify(); err != nil {
		t.Errorf("a torn end is no tampering: %v", err)
	}
	mustAppend(t, j, note(day.AddDate(0, 0, 1), "b"))
	if err := j.Verify(); err != nil {
		t.Errorf("after going on: %v", err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// Only the line end is missing: the entry counts.
	if err := os.WriteFile(file, bytes.TrimSuffix(b, []byte("\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, note(day, "c"))
	if err := j.Verify(); err != nil {
		t.Errorf("after a missing line end: %v", err)
	}
	got, err := j.Read(Query{})
	if err != nil || len(got) != 4 || got[1].Torn == nil || got[2].Text != "b" || got[3].Text != "c" {
		t.Errorf("read %+v, err %v", got, err)
	}
}

func TestJournalIsSharedByConsoles(t *testing.T) {
	j := openJournal(t)
	const consoles, each = 4, 15
	var all sync.WaitGroup
	for c := range consoles {
		all.Go(func() {
			mine, err := OpenJournal(j.Dir())
			if err != nil {
				t.Error(err)
				return
			}
			for i := range each {
				if _, err := mine.Append(note(day, fmt.Sprintf("%d/%d", c, i)), note(day, "x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := j.Verify(); err != nil {
		t.Fatal(err)
	}
	if got, _ := j.Read(Query{}); len(got) != 2*consoles*each {
		t.Errorf("%d entries, want %d", len(got), 2*consoles*each)
	}
}

func TestJournalThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(filepath.Join(file, "journal")); err == nil {
		t.Error("opened a journal below a file")
	}
}

func TestUnfinishedPlansAreTold(t *testing.T) {
	j := openJournal(t)
	record := &PlanRecord{Title: "redeploy ai on prod: 0.4.2 → 0.4.1", Steps: []StepRecord{{Name: "set tag"}, {Name: "up", Host: "prod-1"}}}
	entry := func(plan string, kind EntryKind) Entry {
		return Entry{At: day, Kind: kind, Plan: plan, Console: "ana@laptop 1"}
	}
	begin := entry("p1", EntryPlan)
	begin.Record = record
	event := entry("p1", EntryEvent)
	event.Event = &EventRecord{Kind: EventStepBegan, Step: 1}
	done := entry("p2", EntryOutcome)
	done.Outcome = &OutcomeRecord{Outcome: OutcomeGood}
	mustAppend(t, j, begin, entry("p2", EntryPlan), event, done)

	free, err := j.begin("p1")
	if err != nil {
		t.Fatal(err)
	}
	list, err := j.Unfinished(day)
	if err != nil || len(list) != 1 || list[0].Plan != "p1" || !list[0].Running {
		t.Fatalf("while it runs: %+v, err %v", list, err)
	}
	if err := j.Settle(list[0], day, "bo@desk 2", nil); err == nil {
		t.Error("settled a plan that is running")
	}
	free()
	if list, _ = j.Unfinished(day); len(list) != 1 || list[0].Running {
		t.Fatalf("after its console died: %+v", list)
	}
	if words := list[0].Words(); !strings.Contains(words, "in the middle of up on prod-1") {
		t.Errorf("words: %s", words)
	}
	if err := j.Settle(list[0], day, "bo@desk 2", []string{"ai on prod-1 runs 0.4.1 now"}); err != nil {
		t.Fatal(err)
	}
	if list, _ = j.Unfinished(day); len(list) != 0 {
		t.Errorf("after settling: %+v", list)
	}
	if err := j.Verify(); err != nil {
		t.Error(err)
	}
}

func FuzzUnseal(f *testing.F) {
	line, _, err := seal(note(day, "a"), 1, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.TrimSpace(line))
	f.Add([]byte(`{"v":1,"sha256":""}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := unseal(line)
		if err != nil {
			return
		}
		// What passes is what was sealed: change any byte but those of JSON's own freedom, and it must not.
		if !json.Valid(line) || len(e.SHA256) != 64 {
			t.Errorf("unsealed %q", line)
		}
	})
}
