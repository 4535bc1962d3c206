package sources

import (
	"slices"

	"github.com/nexgate-hq/nexops/fleet"
)

// discreet gives facts in which what people and programs wrote (a commit's subject, the reason of a lock) holds no secret. The
// source's own slices stay as they are: it may give them again.
func discreet(f fleet.Facts, redact func(string) string) fleet.Facts {
	if redact == nil {
		return f
	}
	release := func(r *fleet.Release) { r.Subject = redact(r.Subject) }
	f.Histories = slices.Clone(f.Histories)
	for i := range f.Histories {
		h := &f.Histories[i]
		h.Problem, h.Releases = redact(h.Problem), slices.Clone(h.Releases)
		for j := range h.Releases {
			release(&h.Releases[j])
		}
	}
	f.Changes = slices.Clone(f.Changes)
	for i := range f.Changes {
		c := &f.Changes[i]
		c.What = redact(c.What)
		release(&c.From)
		release(&c.To)
	}
	f.Locks = slices.Clone(f.Locks)
	for i := range f.Locks {
		f.Locks[i].Reason = redact(f.Locks[i].Reason)
	}
	f.Holds = slices.Clone(f.Holds)
	for i := range f.Holds {
		f.Holds[i].Reason = redact(f.Holds[i].Reason)
	}
	f.Syncs = slices.Clone(f.Syncs)
	for i := range f.Syncs {
		f.Syncs[i].Subject = redact(f.Syncs[i].Subject)
	}
	f.Warnings = slices.Clone(f.Warnings)
	for i := range f.Warnings {
		f.Warnings[i] = redact(f.Warnings[i])
	}
	return f
}
