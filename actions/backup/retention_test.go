package backup

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/remote/store"
)

func copies(stamps ...string) []copyOf {
	var out []copyOf
	for _, s := range stamps {
		name, unverified := strings.CutSuffix(s, " unverified")
		at, err := time.Parse("2006-01-02T15:04", name)
		if err != nil {
			panic(err)
		}
		out = append(out, copyOf{name: name, at: at, verified: !unverified})
	}
	return out
}

// every gives the start of a backup each day, the newest first.
func every(newest string, n int, step time.Duration) []copyOf {
	at := copies(newest)[0].at
	var out []copyOf
	for i := range n {
		t := at.Add(-time.Duration(i) * step)
		out = append(out, copyOf{name: t.Format("2006-01-02T15:04"), at: t, verified: true})
	}
	return out
}

func names(list []copyOf) string {
	var out []string
	for _, c := range list {
		out = append(out, c.name)
	}
	return strings.Join(out, " ")
}

func TestSurplus(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		list []copyOf
		keep Keep
		zone *time.Location
		want string
	}{
		{"nothing", nil, Keep{Daily: 7, Weekly: 4, Monthly: 12}, time.UTC, ""},
		{"one", copies("2026-01-01T02:00"), Keep{Daily: 1}, time.UTC, ""},
		{"a week is kept whole", every("2026-01-07T02:00", 7, 24*time.Hour), Keep{Daily: 7}, time.UTC, ""},
		{"the eighth day goes", every("2026-01-08T02:00", 8, 24*time.Hour), Keep{Daily: 7}, time.UTC, "2026-01-01T02:00"},
		{"of one day the newest stays", copies("2026-01-01T02:00", "2026-01-01T14:00", "2026-01-01T20:00"), Keep{Daily: 7}, time.UTC, "2026-01-01T02:00 2026-01-01T14:00"},
		{"the verified one of a day is worth more", copies("2026-01-02T02:00", "2026-01-01T02:00", "2026-01-01T14:00 unverified"), Keep{Daily: 7}, time.UTC, "2026-01-01T14:00"},
		{"the newest always stays", copies("2026-01-01T14:00 unverified", "2026-01-01T02:00"), Keep{Daily: 1}, time.UTC, ""},
		{"days without a backup do not count", copies("2026-03-01T02:00", "2026-01-02T02:00", "2026-01-01T02:00"), Keep{Daily: 2}, time.UTC, "2026-01-01T02:00"},
		{"weeks are ISO's, over the new year", copies("2027-01-03T02:00", "2026-12-28T02:00", "2026-12-27T02:00"), Keep{Daily: 1, Weekly: 2}, time.UTC, "2026-12-28T02:00"},
		{"months", copies("2026-03-31T02:00", "2026-03-01T02:00", "2026-02-28T02:00", "2026-02-01T02:00", "2026-01-31T02:00"), Keep{Daily: 1, Monthly: 2}, time.UTC, "2026-01-31T02:00 2026-02-01T02:00 2026-03-01T02:00"},
		// The night of 25 October 2026 has two 02:30 in Berlin; both are one day, which has 25 hours.
		{"the day that is 25 h long", copies("2026-10-25T22:30", "2026-10-25T01:30", "2026-10-25T00:30", "2026-10-24T22:30"), Keep{Daily: 1}, berlin, "2026-10-24T22:30 2026-10-25T00:30 2026-10-25T01:30"},
		// 23:30 UTC on 28 March is the 29th in Berlin, the day that is 23 h long.
		{"the day that is 23 h long", copies("2026-03-29T21:30", "2026-03-28T23:30", "2026-03-28T22:30"), Keep{Daily: 2}, berlin, "2026-03-28T23:30"},
		{"the same in UTC is another day", copies("2026-03-29T21:30", "2026-03-28T23:30", "2026-03-28T22:30"), Keep{Daily: 2}, time.UTC, "2026-03-28T22:30"},
		{"two of the same moment", append(copies("2026-01-01T02:00"), copyOf{name: "b", at: copies("2026-01-01T02:00")[0].at}), Keep{Daily: 3}, time.UTC, ""},
	}
	for _, tt := range cases {
		got := names(surplus(tt.list, tt.keep, tt.zone))
		if got != tt.want {
			t.Errorf("%s: %q goes, not %q", tt.name, got, tt.want)
		}
		back := slices.Clone(tt.list)
		slices.Reverse(back)
		if again := names(surplus(back, tt.keep, tt.zone)); again != got {
			t.Errorf("%s: in another order %q goes, not %q", tt.name, again, got)
		}
	}
}

// Whatever the history, a year of it leaves what was promised, and what is kept today was not thrown away yesterday.
func TestRetentionDayByDay(t *testing.T) {
	keep := Keep{Daily: 7, Weekly: 4, Monthly: 12}
	var held []copyOf
	start := copies("2025-01-01T02:00")[0].at
	for i := range 500 {
		at := start.Add(time.Duration(i) * 24 * time.Hour)
		held = append(held, copyOf{name: at.Format("2006-01-02T15:04"), at: at, verified: true})
		for _, gone := range surplus(held, keep, time.UTC) {
			held = slices.DeleteFunc(held, func(c copyOf) bool { return c.name == gone.name })
		}
		if i == 400 {
			months := map[string]bool{}
			for _, c := range held {
				months[month(c.at)] = true
			}
			if len(months) != 12 {
				t.Errorf("after %d days %d months are left: %s", i, len(months), names(held))
			}
		}
	}
	if len(held) < 7+2+11 || len(held) > 7+4+12 {
		t.Errorf("%d are left: %s", len(held), names(held))
	}
}

// A console whose clock is behind makes a backup that is older than those that are there. It stays all the same.
func TestTheNewBackupIsNeverRemoved(t *testing.T) {
	list := copies("2026-02-01T02:00", "2026-02-01T03:00")
	newest := copyOf{name: store.FileName("ai-db", list[0].at, "dump"), at: list[0].at, verified: true}
	later := store.Object{Name: store.FileName("ai-db", list[1].at, "dump"), Size: 1}
	if got := outdated("ai-db", []store.Object{later}, map[string]bool{later.Name: true}, newest, Keep{Daily: 1}, time.UTC); len(got) != 0 {
		t.Errorf("goes %q", got)
	}
}

func TestOutdated(t *testing.T) {
	now := copies("2026-02-01T02:00")[0].at
	newest := copyOf{name: store.FileName("ai-db", now, "dump"), at: now, verified: true}
	var list []store.Object
	add := func(ago time.Duration, ext string) {
		list = append(list, store.Object{Name: store.FileName("ai-db", now.Add(-ago), ext), Size: 1})
	}
	const d = 24 * time.Hour
	add(1*d, "dump")
	add(1*d, "json")
	add(2*d, "dump")
	add(2*d, "json")
	add(3*d, "json")  // a failure of late
	add(40*d, "json") // one of long ago
	add(5*d, "dump.partial")
	for i := range 14 {
		add(time.Duration(i)*d, "drill.json")
	}
	list = append(list, store.Object{Name: "ai-20260101T020000Z.dump"}, store.Object{Name: "notes.txt"}, store.Object{Name: "ai-db-old.dump"})
	got := outdated("ai-db", list, nil, newest, Keep{Daily: 2}, time.UTC)
	want := []string{"ai-db-20260130T020000Z.dump", "ai-db-20260130T020000Z.json", "ai-db-20251223T020000Z.json", "ai-db-20260120T020000Z.drill.json", "ai-db-20260119T020000Z.drill.json"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("goes %q, not %q", got, want)
	}
}
