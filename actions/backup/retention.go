package backup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/remote/store"
)

// copyOf is one backup of a job in its place.
type copyOf struct {
	name     string
	at       time.Time
	verified bool
}

// period gives the day, the week or the month that a time is in.
type period func(time.Time) string

func day(t time.Time) string   { return t.Format(time.DateOnly) }
func month(t time.Time) string { return t.Format("2006-01") }
func week(t time.Time) string {
	y, w := t.ISOWeek()
	return fmt.Sprintf("%d-W%02d", y, w)
}

// surplus gives the backups that are not kept, oldest first. Of each of the newest days, ISO weeks and months (in zone)
// that have a backup the newest verified one stays, the newest where none is verified; the newest of all
// always stays. Days without a backup do not count: after a month of holidays nothing is suddenly too old.
func surplus(list []copyOf, keep Keep, zone *time.Location) []copyOf {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b copyOf) int {
		if c := b.at.Compare(a.at); c != 0 {
			return c
		}
		return strings.Compare(b.name, a.name)
	})
	kept := map[string]bool{}
	if len(list) > 0 {
		kept[list[0].name] = true
	}
	for _, rule := range []struct {
		count int
		of    period
	}{{keep.Daily, day}, {keep.Weekly, week}, {keep.Monthly, month}} {
		for _, c := range best(list, rule.of, zone, rule.count) {
			kept[c.name] = true
		}
	}
	var out []copyOf
	for _, c := range list {
		if !kept[c.name] {
			out = append(out, c)
		}
	}
	slices.Reverse(out)
	return out
}

// best gives the one to keep of each of the newest periods. list is newest first.
func best(list []copyOf, of period, zone *time.Location, count int) []copyOf {
	var order []string
	by := map[string]copyOf{}
	for _, c := range list {
		p := of(c.at.In(zone))
		have, seen := by[p]
		if !seen {
			order = append(order, p)
		}
		if !seen || c.verified && !have.verified {
			by[p] = c
		}
	}
	var out []copyOf
	for _, p := range order[:min(count, len(order))] {
		out = append(out, by[p])
	}
	return out
}

// Bounds of what lies beside backups.
const (
	failedKept = 30 * 24 * time.Hour // records of runs that left no file
	drillsKept = 12
)

// outdated gives the names of all that goes once a new backup has been verified: backups that are not kept, their
// records, old records of failures, and old drills. list is the place's listing, now the new backup's time.
func outdated(job string, list []store.Object, verified map[string]bool, newest copyOf, keep Keep, zone *time.Location) []string {
	copies := []copyOf{newest}
	var failures, drills []copyOf
	files := map[string]bool{}
	for _, o := range list {
		at, ext, ok := store.Own(job, o.Name)
		switch {
		case !ok || strings.HasSuffix(ext, store.Partial) || o.Name == newest.name:
		case ext == store.DrillExt:
			drills = append(drills, copyOf{name: o.Name, at: at})
		case ext == store.RecordExt:
			failures = append(failures, copyOf{name: o.Name, at: at})
		default:
			files[at.Format(store.Stamp)] = true
			copies = append(copies, copyOf{name: o.Name, at: at, verified: verified[o.Name]})
		}
	}
	gone := map[string]bool{}
	var out []string
	for _, c := range surplus(copies, keep, zone) {
		if c.name == newest.name {
			continue // whatever the clocks say: what was made just now is never what goes
		}
		out = append(out, c.name)
		gone[c.at.Format(store.Stamp)] = true
	}
	for _, r := range failures { // of each record: its backup goes, or there never was one
		stamp := r.at.Format(store.Stamp)
		if gone[stamp] || !files[stamp] && newest.at.Sub(r.at) > failedKept {
			out = append(out, r.name)
		}
	}
	slices.SortFunc(drills, func(a, b copyOf) int { return b.at.Compare(a.at) })
	for _, d := range drills[min(drillsKept, len(drills)):] {
		out = append(out, d.name)
	}
	return out
}
