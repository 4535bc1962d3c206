package store

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Partial is the end of the name of a file that is being written.
const Partial = ".partial"

// Stamp is how nexops writes the time into the names of its own backups, in UTC.
const Stamp = "20060102T150405Z"

// Pattern is the name of a backup with the time it was made: "ganymede_{date:20060102-1504}.sql.gz". What stands
// after "date:" is a layout of Go's time package; one "*" may stand for anything.
type Pattern struct {
	before, layout, after string
	zone                  *time.Location
}

// ParsePattern reads a pattern; zone is that of its times, nil is UTC.
func ParsePattern(s string, zone *time.Location) (Pattern, error) {
	before, rest, ok := strings.Cut(s, "{date:")
	layout, after, ok2 := strings.Cut(rest, "}")
	switch {
	case !ok || !ok2 || layout == "":
		return Pattern{}, fmt.Errorf(`%q has no {date:...}: write "db_{date:20060102-1504}.sql.gz"`, s)
	case strings.ContainsAny(s, "/\x00"):
		return Pattern{}, errors.New("a pattern is of a file's name, without folders")
	case strings.Contains(after, "{date:"):
		return Pattern{}, errors.New("a pattern has one {date:...}")
	}
	// A layout that does not say the day gives no time.
	day := time.Date(2021, 11, 23, 0, 0, 0, 0, time.UTC)
	if back, err := time.Parse(layout, day.Format(layout)); err != nil || !back.Equal(day) {
		return Pattern{}, fmt.Errorf(`{date:%s} does not say year, month and day: write them as 2006, 01 and 02`, layout)
	}
	if zone == nil {
		zone = time.UTC
	}
	return Pattern{before: before, layout: layout, after: after, zone: zone}, nil
}

// Time gives the time in a name; ok is false for the name of something else.
func (p Pattern) Time(name string) (at time.Time, ok bool) {
	rest, ok := cutStar(name, p.before)
	if !ok {
		return time.Time{}, false
	}
	for _, r := range rest {
		// The layout may be of any length ("2 Jan" is): all ends are tried.
		for end := min(len(r), len(p.layout)+8); end > 0; end-- {
			if tail, ok := cutStar(r[end:], p.after); !ok || !ends(tail, p.after) {
				continue
			}
			if at, err := time.ParseInLocation(p.layout, r[:end], p.zone); err == nil {
				return at.UTC(), true
			}
		}
	}
	return time.Time{}, false
}

// cutStar gives what may follow a beginning in which "*" stands for anything.
func cutStar(s, beginning string) (rests []string, ok bool) {
	head, tail, star := strings.Cut(beginning, "*")
	rest, ok := strings.CutPrefix(s, head)
	if !ok || !star {
		return []string{rest}, ok
	}
	for i := 0; i <= len(rest); i++ {
		if r, is := strings.CutPrefix(rest[i:], tail); is {
			rests = append(rests, r)
		}
	}
	return rests, len(rests) > 0
}

// ends reports whether one of the rests is nothing: the name ends there.
func ends(rests []string, pattern string) bool {
	for _, r := range rests {
		if r == "" || strings.HasSuffix(pattern, "*") {
			return true
		}
	}
	return false
}

// FileName is the name of a backup that nexops makes.
func FileName(job string, at time.Time, ext string) string {
	return job + "-" + at.UTC().Format(Stamp) + "." + ext
}

// Own reads the name of a backup of a job as FileName makes it: its time, and what follows the dot.
func Own(job, name string) (at time.Time, ext string, ok bool) {
	rest, ok := strings.CutPrefix(name, job+"-")
	stamp, ext, dot := strings.Cut(rest, ".")
	if !ok || !dot || ext == "" {
		return time.Time{}, "", false
	}
	at, err := time.Parse(Stamp, stamp)
	return at, ext, err == nil
}

// The ends of the names of what lies beside a backup.
const (
	RecordExt = "json"       // what is known of it
	DrillExt  = "drill.json" // what came of restoring it
)
