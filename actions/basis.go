package actions

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// NewPlanID makes an id that sorts by time and is unique among all consoles.
func NewPlanID(now time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return now.UTC().Format("20060102T150405.000Z") + "-" + hex.EncodeToString(b[:])
}

// Moved tells, one sentence each, what a plan stands on and a newer snapshot no longer says.
func Moved(p *Plan, snap *fleet.Snapshot) []string {
	var out []string
	for _, b := range p.Bases {
		if b.Now == nil {
			continue
		}
		if now := b.Now(snap); now != b.Value {
			out = append(out, fmt.Sprintf("%s %s, it was %s when the plan was made", b.What, orNothing(now), orNothing(b.Value)))
		}
	}
	return out
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// RunningBasis is the most common basis: what the instances of a service on one host run.
// pick chooses among the service's instances; nil takes all but one-off containers.
func RunningBasis(key fleet.ServiceKey, host string, pick func(*fleet.Instance) bool, snap *fleet.Snapshot) Basis {
	now := func(snap *fleet.Snapshot) string { return RunningOn(snap, key, host, pick) }
	return Basis{What: fmt.Sprintf("%s on %s runs", key.Name, host), Value: now(snap), Now: now}
}

// RunningOn says in one line what a service runs on a host: "0.4.2 1f2e3d4c5b6a",
// one part for each distinct release. "" when it has no instance there.
func RunningOn(snap *fleet.Snapshot, key fleet.ServiceKey, host string, pick func(*fleet.Instance) bool) string {
	svc, ok := snap.Find(key)
	if !ok {
		return ""
	}
	seen := map[string]bool{}
	var parts []string
	for _, in := range svc.Instances {
		if in.Host != host || in.OneOff || (pick != nil && !pick(in)) {
			continue
		}
		v := releaseWords(in.Release)
		if !seen[v] {
			seen[v] = true
			parts = append(parts, v)
		}
	}
	sort.Strings(parts)
	return strings.Join(parts, " and ")
}

// releaseWords names an artifact by tag and image id, which an engine always knows: the
// repository digest of one and the same image may become known only later.
func releaseWords(r fleet.Release) string {
	switch {
	case r.Tag != "" && r.ImageID != "":
		return r.Tag + " " + fleet.ShortDigest(r.ImageID)
	case r.Tag != "" && r.Digest != "":
		return r.Tag + " " + fleet.ShortDigest(r.Digest)
	default:
		return r.Version()
	}
}
