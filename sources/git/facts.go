package git

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// maxChanges is how many deploys of one environment are reported.
const maxChanges = 200

func unix(at int64) time.Time { return time.Unix(at, 0).UTC() }

// histories gives what git says about every service of one place.
func histories(p place, state *branchState, limit int) []fleet.History {
	var out []fleet.History
	for file, versions := range state.Files {
		service, ok := p.pattern.service(file)
		if !ok || len(versions) == 0 || versions[0].Gone {
			continue
		}
		out = append(out, fleet.History{
			Subject:  fleet.Subject{Environment: p.environment, Service: service},
			Releases: releases(versions, state.Images[file], limit),
			Problem:  versions[0].Problem,
		})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Subject.Service < out[j].Subject.Service })
	return out
}

// releases leaves out the times when the file was gone or unreadable, unless
// that is now: nothing can be put back to those. A tag that such a gap
// interrupted counts from its return.
func releases(versions []version, image string, limit int) []fleet.Release {
	var out []fleet.Release
	for i, v := range versions[:min(len(versions), limit)] {
		if i > 0 && v.Tag == "" {
			continue
		}
		r := v.release(image)
		if n := len(out); n > 0 && out[n-1].Tag == r.Tag && out[n-1].Digest == r.Digest {
			continue
		}
		out = append(out, r)
	}
	return out
}

// changes gives the newest deploys of one place, newest first. Which those are is found out before any is put into words: there
// may be a hundred times as many.
func changes(p place, state *branchState, limit int, source fleet.SourceID) []fleet.Change {
	type deploy struct {
		file, service string
		i             int // in the versions of the file
		*version
	}
	var all []deploy
	for file, versions := range state.Files {
		service, ok := p.pattern.service(file)
		if !ok {
			continue
		}
		for i := range versions[:min(len(versions), limit, maxChanges)] {
			all = append(all, deploy{file, service, i, &versions[i]})
		}
	}
	slices.SortFunc(all, func(a, b deploy) int {
		return cmp.Or(cmp.Compare(b.At, a.At), cmp.Compare(a.service, b.service), cmp.Compare(a.Commit, b.Commit))
	})
	all = all[:min(len(all), maxChanges)]
	var out []fleet.Change
	for _, d := range all {
		var before version
		if versions := state.Files[d.file]; d.i+1 < len(versions) {
			before = versions[d.i+1]
		}
		out = append(out, change(*d.version, before, state.Images[d.file], fleet.Subject{Environment: p.environment, Service: d.service}, source))
	}
	return out
}

func change(now, before version, image string, subject fleet.Subject, source fleet.SourceID) fleet.Change {
	c := fleet.Change{
		Kind:    fleet.ChangeDeploy,
		At:      unix(now.At),
		Subject: subject,
		Who:     now.Author,
		To:      now.release(image),
		Source:  source,
	}
	if before.Commit != "" {
		c.From = before.release(image)
	}
	from, to := label(before), label(now)
	switch {
	case now.Gone:
		c.What = from + " removed"
	case before.Commit == "" || before.Gone:
		c.What = to + " added"
	default:
		c.What = from + " → " + to
	}
	if now.Subject != "" {
		c.What += ": " + now.Subject
	}
	return c
}

func label(v version) string {
	switch {
	case v.Tag != "":
		return v.Tag
	case v.Problem != "":
		return "unreadable"
	default:
		return "nothing"
	}
}
