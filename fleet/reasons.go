package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// reasonOrder is the order of attention among reasons of one severity: what is
// dead first, what is slow later, what merely differs last.
var reasonOrder = []string{
	"down", "crash_loop", "oom", "unhealthy", "paused", "errors", "probe_down", "not_running",
	"partial", "start_failed", "restarts", "latency", "memory", "log_errors", "cpu", "starting",
	"host_unreachable", "mixed", "tag_drift", "digest_drift", "scrape_down", "desired_unreadable",
	"backup_never", "backup_stale", "backup_failed", "backup_shrunken", "backup_unverified", "drill_failed", "drill_stale", "sync_pending", "lock_expired", "locked", "held", "finished",
}

// ReasonCodes are all that a reason may have.
func ReasonCodes() []string { return slices.Clone(reasonOrder) }

func reasonRank(code string) int {
	for i, c := range reasonOrder {
		if c == code {
			return i
		}
	}
	return len(reasonOrder)
}

// reasons lists why the service needs attention, worst first. same: nothing that the row is made of has changed
// since the last join.
func (j *joiner) reasons(r *row, t Thresholds, same bool) []Reason {
	k := &r.kept
	if !same || !k.calm || !k.gitSeen.Equal(r.gitSeen) || k.gitStale != r.gitStale {
		k.reasons = slices.Concat(j.stateReasons(r, t), j.metricReasons(r, t), j.driftReasons(r))
		sortReasons(k.reasons)
		k.calm, k.gitSeen, k.gitStale = calm(r.svc.Instances), r.gitSeen, r.gitStale
	}
	others := slices.Concat(j.hostReasons(r), j.backupReasons(r), j.pending[r.svc.Key.Name], j.lockReasons(&r.svc))
	if len(others) == 0 {
		return k.reasons
	}
	out := slices.Concat(k.reasons, others)
	sortReasons(out)
	return out
}

func sortReasons(list []Reason) {
	slices.SortStableFunc(list, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(reasonRank(a.Code), reasonRank(b.Code)), cmp.Compare(a.Text, b.Text))
	})
}

// calm reports whether what the instances give reason for stays so while time passes: none began, ended or is
// starting, which are told with their age.
func calm(list []*Instance) bool {
	for _, in := range list {
		switch in.State {
		case StateRunning, StatePaused, StateRestarting:
		case StateCreated, StateExited, StateRemoving, StateDead, StateUnknown:
			return false
		default:
			return false
		}
		if len(in.Life.Exits) > 0 || in.Health == HealthStarting {
			return false
		}
	}
	return len(list) > 0
}

func (j *joiner) hostReasons(r *row) []Reason {
	var out []Reason
	for i, h := range r.kept.views {
		if h == nil || !h.unseen {
			continue
		}
		text := r.svc.Hosts[i] + " cannot be seen"
		if !h.seen.IsZero() {
			text += ", shown as of " + Ago(j.in.Now.Sub(h.seen)) + " ago"
		}
		out = append(out, Reason{Code: "host_unreachable", Severity: SeverityWarning, Text: text, Since: h.host.Since})
	}
	return out
}

// stateReasons are those that the instances themselves give. Instances on a host
// that cannot be seen raise none of their own.
func (j *joiner) stateReasons(r *row, t Thresholds) []Reason {
	if len(r.svc.Instances) == 0 {
		return j.absent(r)
	}
	var out []Reason
	seen, bad := 0, 0
	for _, in := range r.svc.Instances {
		if effectiveHealth(in) == HealthUnknown {
			continue
		}
		seen++
		reasons := j.instanceReasons(in, r, t)
		if len(reasons) > 0 && reasons[0].Severity == SeverityCritical {
			bad++
		}
		out = append(out, reasons...)
	}
	if bad > 0 && bad < seen && len(j.main) > 1 {
		out = append(out, Reason{Code: "partial", Severity: SeverityWarning, Text: fmt.Sprintf("%d of %d instances affected", bad, seen)})
	}
	return out
}

// absent is for a service that git desires and nobody runs. It says so only when
// every host of the environment could be seen.
func (j *joiner) absent(r *row) []Reason {
	if !j.allSeen() || r.svc.Releases.Desired.IsZero() {
		return nil
	}
	return []Reason{{
		Code: "not_running", Severity: SeverityWarning, Source: r.desiredBy,
		Text: "desired " + r.svc.Releases.Desired.Version() + ", no instance on any host",
	}}
}

// allSeen reports whether every host of the environment can be seen now.
func (j *joiner) allSeen() bool {
	if j.unseen == nil {
		j.unseen = new(bool)
		for _, h := range j.memory.hosts {
			*j.unseen = *j.unseen || h.host.Environment == j.in.Environment && (!h.watched || h.seen.IsZero() || h.unseen)
		}
	}
	return !*j.unseen
}

func (j *joiner) instanceReasons(in *Instance, r *row, t Thresholds) []Reason {
	var out []Reason
	add := func(code string, sev Severity, since time.Time, text string) {
		where := ""
		if len(r.svc.Instances) > 1 {
			where = " (" + in.Name + " on " + in.Host + ")"
		}
		out = append(out, Reason{Code: code, Severity: sev, Since: since, Text: text + where})
	}
	exits := recent(in.Life.Exits, j.in.Now)
	switch {
	case in.State == StateRestarting || len(exits) >= t.RestartsCritical:
		add("crash_loop", SeverityCritical, firstTime(exits), crashText(in, exits))
	case in.State == StatePaused:
		add("paused", SeverityCritical, time.Time{}, "paused")
	case in.State == StateExited || in.State == StateDead:
		j.exitReason(in, r, add)
	case in.State == StateCreated && (in.Life.Error != "" || j.in.Now.Sub(in.Life.CreatedAt) > t.StartingGrace):
		add("start_failed", SeverityCritical, in.Life.CreatedAt, strings.TrimSuffix("created but never started: "+in.Life.Error, ": "))
	case len(exits) >= t.RestartsWarning:
		add("restarts", SeverityWarning, firstTime(exits), crashText(in, exits))
	}
	if in.State == StateRunning {
		j.healthReason(in, t, add)
	}
	return out
}

type addReason func(code string, sev Severity, since time.Time, text string)

func (j *joiner) exitReason(in *Instance, r *row, add addReason) {
	ago := ""
	if !in.Life.FinishedAt.IsZero() {
		ago = " " + Ago(j.in.Now.Sub(in.Life.FinishedAt)) + " ago"
	}
	switch {
	case in.Life.OOMKilled:
		add("oom", SeverityCritical, in.Life.FinishedAt, "killed, out of memory"+limitText(in)+ago)
	case finished(in) && r.desiredBy == "":
		add("finished", SeverityInfo, in.Life.FinishedAt, "exited (code 0)"+ago)
	default:
		add("down", SeverityCritical, in.Life.FinishedAt, fmt.Sprintf("down: %s (code %d)%s", in.State, in.Life.ExitCode, ago))
	}
}

func (j *joiner) healthReason(in *Instance, t Thresholds, add addReason) {
	switch {
	case in.Health == HealthUnhealthy:
		text := "unhealthy"
		if in.HealthOutput != "" {
			text += ": " + in.HealthOutput
		}
		add("unhealthy", SeverityCritical, time.Time{}, text)
	case in.Health == HealthStarting && j.in.Now.Sub(in.Life.StartedAt) > t.StartingGrace:
		add("starting", SeverityWarning, in.Life.StartedAt, "still starting after "+Ago(j.in.Now.Sub(in.Life.StartedAt)))
	}
	if in.Life.OOMKilled {
		add("oom", SeverityWarning, in.Life.StartedAt, "was killed, out of memory"+limitText(in))
	}
}

func limitText(in *Instance) string {
	if in.Limits.Memory == 0 {
		return ""
	}
	return " (limit " + Bytes(float64(in.Limits.Memory)) + ")"
}

func crashText(in *Instance, exits []time.Time) string {
	what := "crash loop"
	if in.State != StateRestarting && len(exits) < 3 {
		what = "restarted"
	}
	n := fmt.Sprintf("%d restarts", in.Life.Restarts)
	if len(exits) > 0 {
		n = plural(len(exits), "unexpected end", "unexpected ends") + " in 10 min"
	}
	if in.Life.ExitCode != 0 {
		n += fmt.Sprintf(", last code %d", in.Life.ExitCode)
	}
	return what + ": " + n
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// recent keeps the ends of the last ten minutes.
func recent(list []time.Time, now time.Time) []time.Time {
	var out []time.Time
	for _, at := range list {
		if now.Sub(at) <= 10*time.Minute {
			out = append(out, at)
		}
	}
	return out
}

func firstTime(list []time.Time) time.Time {
	if len(list) == 0 {
		return time.Time{}
	}
	return list[0]
}

// driftReasons compare what runs with what should, host by host. A container that is
// younger than what is known of git is not judged: its commit may not have been read yet.
func (j *joiner) driftReasons(r *row) []Reason {
	var out []Reason
	if r.problem != "" && !r.gitStale {
		out = append(out, Reason{Code: "desired_unreadable", Severity: SeverityWarning, Text: r.problem, Source: r.desiredBy})
	}
	desired := r.svc.Releases.Desired
	if r.gitStale {
		desired = Release{}
	}
	if uniform(j.main, desired) {
		return append(out, j.digestReasons(r)...)
	}
	hosts := map[string]map[string]bool{} // running tag to hosts
	for _, in := range j.main {
		if effectiveHealth(in) == HealthUnknown || in.Release.Tag == "" || in.Life.CreatedAt.After(r.gitSeen) && r.desiredBy != "" {
			continue
		}
		if hosts[in.Release.Tag] == nil {
			hosts[in.Release.Tag] = map[string]bool{}
		}
		hosts[in.Release.Tag][in.Host] = true
	}
	drifted := false
	for _, tag := range sortedKeys(hosts) {
		if desired.Tag != "" && tag != desired.Tag {
			drifted = true
			out = append(out, Reason{
				Code: "tag_drift", Severity: SeverityWarning, Since: desired.At, Source: r.desiredBy,
				Text: fmt.Sprintf("running %s on %s, desired %s", tag, strings.Join(sortedKeys(hosts[tag]), ", "), desired.Tag),
			})
		}
	}
	if r.svc.Releases.Mixed && !drifted && len(hosts) > 1 {
		out = append(out, Reason{Code: "mixed", Severity: SeverityWarning, Text: "instances run " + strings.Join(sortedKeys(hosts), " and ")})
	}
	return append(out, j.digestReasons(r)...)
}

// uniform reports whether all instances run the desired tag, or, where nothing is
// desired, one and the same: the common case, told without building anything.
func uniform(list []*Instance, desired Release) bool {
	for _, in := range list {
		want := desired.Tag
		if want == "" {
			want = list[0].Release.Tag
		}
		if in.Release.Tag != want {
			return false
		}
	}
	return true
}

// digestReasons find one tag that means two artifacts: between hosts, or between
// the running container and the image that now bears its tag.
func (j *joiner) digestReasons(r *row) []Reason {
	var byTag map[string]map[string]string // tag to digest to host
	var out []Reason
	for _, in := range j.main {
		if in.Release.Digest == "" || in.Release.Tag == "" || in.State != StateRunning || in.Health == HealthUnknown {
			continue
		}
		if byTag == nil && in.Release.Digest != j.main[0].Release.Digest {
			byTag = digestsByTag(j.main)
		}
		if now := j.memory.images.index.on(in.Host, in.Release); now != "" && in.Release.ImageID != "" && now != in.Release.ImageID {
			out = append(out, Reason{Code: "digest_drift", Severity: SeverityWarning, Text: fmt.Sprintf(
				"tag %s moved on %s: runs %s, the tag is now %s", in.Release.Tag, in.Host, ShortDigest(in.Release.ImageID), ShortDigest(now))})
		}
	}
	for _, tag := range sortedKeys(byTag) {
		if len(byTag[tag]) > 1 {
			var parts []string
			for _, d := range sortedKeys(byTag[tag]) {
				parts = append(parts, ShortDigest(d)+" on "+byTag[tag][d])
			}
			out = append(out, Reason{Code: "digest_drift", Severity: SeverityWarning, Text: "tag " + tag + " same, digest differs: " + strings.Join(parts, ", ")})
		}
	}
	return out
}

func digestsByTag(list []*Instance) map[string]map[string]string {
	by := map[string]map[string]string{}
	for _, in := range list {
		if in.Release.Digest == "" || in.Release.Tag == "" || in.State != StateRunning || in.Health == HealthUnknown {
			continue
		}
		if by[in.Release.Tag] == nil {
			by[in.Release.Tag] = map[string]string{}
		}
		by[in.Release.Tag][in.Release.Digest] = in.Host
	}
	return by
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
