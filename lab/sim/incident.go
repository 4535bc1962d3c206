package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/nexgate-hq/nexops/lab/sim/internal/nexgate"
)

// incident is something that has gone wrong when the estate starts.
type incident struct {
	bumps   func(now time.Time) []nexgate.Bump // deployed before the start
	waiting func(now time.Time) []nexgate.Bump // committed, not deployed
	begin   func(e *Estate)                    // once everything runs
}

// Incidents gives the names for Options.Incident.
func Incidents() []string { return slices.Sorted(maps.Keys(incidents())) }

func incidents() map[string]incident {
	none := func(time.Time) []nexgate.Bump { return nil }
	nothing := func(*Estate) {}
	drift := func(now time.Time) []nexgate.Bump {
		return []nexgate.Bump{{Branch: "master", Service: "notification-server", Tag: "1.8.0", At: now.Add(-2 * time.Hour), Author: "marko", Subject: "notification-server 1.8.0: web push"}}
	}
	return map[string]incident{
		"quiet":      {bumps: none, waiting: none, begin: nothing},
		"bad-deploy": {bumps: release("ai", "0.4.2", "faster tokenizer", 6*time.Minute+pressAfter), waiting: drift, begin: nothing},
		"crash-loop": {bumps: release("file-thunder", "3.2.2", "read config from vault", 8*time.Minute+pressAfter), waiting: drift, begin: nothing},
		"host-down":  {bumps: none, waiting: drift, begin: func(e *Estate) { e.unplug("prod-2", 4*time.Minute) }},
	}
}

// release is a deploy to prod that staging has tested the day before.
func release(service, tag, what string, ago time.Duration) func(now time.Time) []nexgate.Bump {
	return func(now time.Time) []nexgate.Bump {
		return []nexgate.Bump{
			{Branch: "staging", Service: service, Tag: tag, At: now.Add(-25 * time.Hour), Author: "nexgate-ci", Subject: "staging: " + service + " " + tag},
			{Branch: "master", Service: service, Tag: tag, At: now.Add(-ago), Author: "lea", Subject: service + " " + tag + ": " + what},
		}
	}
}

// script gives all commits of the infra repo and those that were deployed, in order of time.
func script(name string, now time.Time) (commits, applied []nexgate.Bump) {
	in := incidents()[name]
	applied = append(nexgate.History(now), in.bumps(now)...)
	waiting := in.waiting(now)
	for _, b := range waiting { // staging runs it already
		applied = append(applied, nexgate.Bump{
			Branch: "staging", Service: b.Service, Tag: b.Tag, At: b.At.Add(-24 * time.Hour), Author: "nexgate-ci", Subject: "staging: " + b.Service + " " + b.Tag,
		})
	}
	commits = append(slices.Clone(applied), waiting...)
	byTime := func(a, b nexgate.Bump) int { return a.At.Compare(b.At) }
	slices.SortStableFunc(commits, byTime)
	slices.SortStableFunc(applied, byTime)
	return commits, applied
}
