package locks

import (
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// claim is owner.json as the consoles write it (actions/README.md).
type claim struct {
	V           int       `json:"v"`
	Owner       string    `json:"owner"`
	Reason      string    `json:"reason"`
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until"`
	Plan        string    `json:"plan"`
	Environment string    `json:"environment"`
	Service     string    `json:"service"`
}

// listing is what the one command printed.
type listing struct {
	now    time.Time // the host's clock
	made   map[string]time.Time
	claims map[string]claim
	odd    []string // folders whose owner.json cannot be read
}

// The names of folders (actions/README.md).
const (
	holdMark     = "hold+"
	takeoverMark = ".takeover"
	maxFolders   = 1000
	beingMade    = 10 * time.Second // a hold is its folder first, and says whose it is right after
)

// parse reads the listing. What is foreign in the folder is passed over: it is not ours to judge.
func parse(out, dir string) (*listing, error) {
	l := &listing{made: map[string]time.Time{}, claims: map[string]claim{}}
	at := ""
	for i, line := range strings.Split(out, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case i == 0:
			n, err := strconv.ParseInt(rest, 10, 64)
			if word != "now" || err != nil {
				return nil, errNoClock
			}
			l.now = time.Unix(n, 0).UTC()
		case word == "dir":
			seconds, name, _ := strings.Cut(rest, " ")
			n, err := strconv.ParseInt(seconds, 10, 64)
			if folder, ok := child(name, dir); ok && err == nil {
				if len(l.made) == maxFolders {
					return nil, errTooMany
				}
				l.made[folder] = time.Unix(n, 0).UTC()
			}
		case word == "own":
			at, _ = child(path.Dir(rest), dir)
		case strings.HasPrefix(line, "{") && at != "":
			var c claim
			if err := json.Unmarshal([]byte(line), &c); err != nil || c.V == 0 {
				l.odd = append(l.odd, at)
			} else {
				l.claims[at] = c
			}
			at = ""
		}
	}
	return l, nil
}

// child is the name of a folder right below dir.
func child(name, dir string) (string, bool) {
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(dir, "/")+"/")
	return rest, ok && rest != "" && !strings.Contains(rest, "/")
}

// facts puts the host's times on our clock: what counts is how long ago and how long yet.
func (l *listing) facts(host string, now time.Time) fleet.Facts {
	ours := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		return now.Add(t.Sub(l.now))
	}
	var f fleet.Facts
	folders := make([]string, 0, len(l.made))
	for name := range l.made {
		folders = append(folders, name)
	}
	slices.Sort(folders)
	for _, name := range folders {
		c, says := l.claims[name]
		switch {
		case strings.HasSuffix(name, takeoverMark):
		case strings.HasPrefix(name, holdMark):
			switch {
			case says:
				f.Holds = append(f.Holds, fleet.Hold{
					Environment: short(c.Environment), Service: short(c.Service), Host: host, Owner: short(c.Owner), Reason: short(c.Reason),
					Since: ours(c.Since), Until: ours(c.Until),
				})
			case l.now.Sub(l.made[name]) > beingMade && !slices.Contains(l.odd, name):
				l.odd = append(l.odd, name) // what is held, and by whom, nobody can tell
			}
		default:
			if lock, ok := l.lock(name, c, says); ok {
				lock.Subject.Host = host
				lock.Since, lock.Until = ours(lock.Since), ours(lock.Until)
				f.Locks = append(f.Locks, lock)
			}
		}
	}
	for _, name := range l.odd {
		f.Warnings = append(f.Warnings, remote.Clean(name)+": its owner.json cannot be read")
	}
	return f
}

// lock is the lock in a folder. One that does not say whose it is, or is of an older console, is named by its folder.
func (l *listing) lock(name string, c claim, says bool) (fleet.Lock, bool) {
	if c.Environment == "" || c.Service == "" {
		environment, service, ok := strings.Cut(name, ".")
		if !ok {
			return fleet.Lock{}, false
		}
		c.Environment, c.Service = environment, service
	}
	if !says || c.Since.IsZero() {
		c.Since = l.made[name]
	}
	return fleet.Lock{
		Subject: fleet.Subject{Environment: short(c.Environment), Service: short(c.Service)},
		Owner:   short(c.Owner), Reason: short(c.Reason), Plan: short(c.Plan), Since: c.Since, Until: c.Until,
	}, true
}

// short is one short line of what another console wrote.
func short(s string) string {
	const longest = 300
	s = remote.Clean(s)
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return s
}
