package fleet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return t0.Add(-d) }

// status is a healthy source that answered two seconds ago.
func status(id SourceID, hosts ...string) SourceStatus {
	return SourceStatus{
		ID: id, Hosts: hosts, State: SourceOK, LastSuccess: ago(2 * time.Second), LastAttempt: ago(2 * time.Second),
		MaxAge: time.Minute,
	}
}

func instance(host, service, tag string) Instance {
	return Instance{
		ID: host + service + tag, Kind: "container", Host: host, Name: "nexgate-" + service + "-1",
		Subject: Subject{Host: host, Project: "nexgate", Service: service, Container: "nexgate-" + service + "-1"},
		Release: Release{Image: "reg/" + service, Tag: tag, Digest: "sha256:" + strings.Repeat(tag[len(tag)-1:], 64), ImageID: "sha256:id" + tag},
		State:   StateRunning, Health: HealthHealthy,
		Life: Life{CreatedAt: ago(time.Hour), StartedAt: ago(time.Hour)},
	}
}

func history(service string, tags ...string) History {
	h := History{Subject: Subject{Environment: "prod", Service: service}}
	for i, tag := range tags {
		h.Releases = append(h.Releases, Release{
			Tag: tag, Commit: fmt.Sprintf("%040d", i+1), Author: "ana", Subject: "bump " + service, At: ago(time.Duration(i*24+2) * time.Hour),
		})
	}
	return h
}

func series(values ...float64) Series {
	return Series{Start: t0.Add(-time.Duration(len(values)-1) * time.Minute), Step: time.Minute, Values: values}
}

func metric(service string, name MetricName, values ...float64) MetricFact {
	return MetricFact{Subject: Subject{Environment: "prod", Service: service}, Name: name, Series: series(values...)}
}

func prod(reports ...Report) Input {
	return Input{
		Seq: 1, Now: t0, Environment: "prod", Reports: reports,
		Hosts: []Host{{Name: "prod-1", Environment: "prod"}, {Name: "prod-2", Environment: "prod"}},
	}
}

func docker(host string, instances ...Instance) Report {
	return Report{
		Status: status(MakeSourceID("docker", host), host),
		Facts:  Facts{Hosts: []Host{{Name: host, Environment: "prod", Up: true}}, Instances: instances},
	}
}

func git(histories ...History) Report {
	return Report{Status: status("git/infra"), Facts: Facts{Histories: histories}}
}

func prom(metrics ...MetricFact) Report {
	return Report{Status: status("prometheus/p"), Facts: Facts{Metrics: metrics}}
}

func service(t *testing.T, s *Snapshot, name string) Service {
	t.Helper()
	svc, ok := s.Find(ServiceKey{"prod", name})
	if !ok {
		t.Fatalf("no service %s in %+v", name, s.Services)
	}
	return *svc
}

func codes(svc Service) string {
	var out []string
	for _, r := range svc.Reasons {
		out = append(out, r.Severity.String()+":"+r.Code)
	}
	return strings.Join(out, " ")
}

func TestReasons(t *testing.T) {
	with := func(f func(*Instance)) Instance {
		in := instance("prod-1", "ai", "0.4.2")
		f(&in)
		return in
	}
	healthy := instance("prod-1", "ai", "0.4.2")
	h := git(history("ai", "0.4.2", "0.4.1"))
	cases := []struct {
		name    string
		reports []Report
		codes   string
		text    string
	}{
		{"fine", []Report{docker("prod-1", healthy), h}, "", ""},
		{"no metrics is no alarm", []Report{docker("prod-1", healthy), h, prom()}, "", ""},
		{"unhealthy", []Report{docker("prod-1", with(func(i *Instance) { i.Health, i.HealthOutput = HealthUnhealthy, "connection refused" }))}, "critical:unhealthy", "unhealthy: connection refused"},
		{"paused", []Report{docker("prod-1", with(func(i *Instance) { i.State = StatePaused }))}, "critical:paused", "paused"},
		{"down", []Report{docker("prod-1", with(func(i *Instance) {
			i.State, i.Life.ExitCode, i.Life.FinishedAt = StateExited, 1, ago(3*time.Minute)
		}))}, "critical:down", "down: exited (code 1) 3 min ago"},
		{"out of memory", []Report{docker("prod-1", with(func(i *Instance) {
			i.State, i.Life.ExitCode, i.Life.OOMKilled, i.Limits.Memory = StateExited, 137, true, 128<<20
		}))}, "critical:oom", "killed, out of memory (limit 128M)"},
		{"job that ended well", []Report{docker("prod-1", with(func(i *Instance) { i.State = StateExited }))}, "info:finished", "exited (code 0)"},
		{"desired service that ended well is down", []Report{docker("prod-1", with(func(i *Instance) { i.State = StateExited })), h}, "critical:down", "down: exited (code 0)"},
		{"crash loop", []Report{docker("prod-1", with(func(i *Instance) {
			i.State, i.Life.ExitCode = StateRestarting, 3
			i.Life.Exits = []time.Time{ago(11 * time.Minute), ago(4 * time.Minute), ago(3 * time.Minute), ago(2 * time.Minute), ago(time.Minute)}
		}))}, "critical:crash_loop", "crash loop: 4 unexpected ends in 10 min, last code 3"},
		{"one restart", []Report{docker("prod-1", with(func(i *Instance) { i.Life.Exits = []time.Time{ago(time.Minute)} }))}, "warning:restarts", "restarted: 1 unexpected end in 10 min"},
		{"starting too long", []Report{docker("prod-1", with(func(i *Instance) { i.Health, i.Life.StartedAt = HealthStarting, ago(5*time.Minute) }))}, "warning:starting", "still starting after 5 min"},
		{"starting", []Report{docker("prod-1", with(func(i *Instance) { i.Health, i.Life.StartedAt = HealthStarting, ago(time.Minute) }))}, "", ""},
		{"drift", []Report{docker("prod-1", healthy), docker("prod-2", instance("prod-2", "ai", "0.4.1")), h}, "warning:tag_drift", "running 0.4.1 on prod-2, desired 0.4.2"},
		{"mixed without a desire", []Report{docker("prod-1", healthy), docker("prod-2", instance("prod-2", "ai", "0.4.1"))}, "warning:mixed", "instances run 0.4.1 and 0.4.2"},
		{"same tag, two digests", []Report{docker("prod-1", healthy), docker("prod-2", func() Instance {
			in := instance("prod-2", "ai", "0.4.2")
			in.Release.Digest = "sha256:" + strings.Repeat("f", 64)
			return in
		}()), h}, "warning:digest_drift", "tag 0.4.2 same, digest differs: 222222222222 on prod-1, ffffffffffff on prod-2"},
		{"tag moved on the host", []Report{func() Report {
			r := docker("prod-1", healthy)
			r.Facts.Images = []Image{{Host: "prod-1", ID: "sha256:other", Tags: []string{"reg/ai:0.4.2"}}}
			return r
		}(), h}, "warning:digest_drift", "tag 0.4.2 moved on prod-1: runs id0.4.2, the tag is now other"},
		{"errors", []Report{docker("prod-1", healthy), h, prom(metric("ai", MetricErrorRatio, .001, .001, .071), metric("ai", MetricRPS, 10, 10, 10))}, "critical:errors", "errors 0.1 % → 7.1 % (bound 5.0 %)"},
		{"errors from the start", []Report{docker("prod-1", healthy), h, prom(metric("ai", MetricErrorRatio, .5, .5), metric("ai", MetricRPS, 10, 10))}, "critical:errors", "errors 50 % > 5.0 %"},
		{"one request failed at night", []Report{docker("prod-1", healthy), h, prom(metric("ai", MetricErrorRatio, 1), metric("ai", MetricRPS, 0.01))}, "", ""},
		{"no traffic", []Report{docker("prod-1", healthy), h, prom(metric("ai", MetricErrorRatio, .5, math.NaN()), metric("ai", MetricRPS, 1, 0))}, "", ""},
		{"slow", []Report{docker("prod-1", healthy), h, prom(metric("ai", MetricP95, .04, 1.9))}, "warning:latency", "p95 40 ms → 1.9 s (bound 1.0 s)"},
		{"memory", []Report{docker("prod-1", healthy), h, prom(metric("ai", MetricMemoryRatio, .5, .96))}, "warning:memory", "memory 96 % of limit"},
		{"memory against the engine's limit", []Report{docker("prod-1", with(func(i *Instance) { i.Limits.Memory = 100 })), h, prom(metric("ai", MetricMemory, 50, 98))}, "critical:memory", "memory 98 % of limit"},
		{"log errors", []Report{docker("prod-1", healthy), h, prom(metric("ai", MetricLogErrors, 0, 312))}, "warning:log_errors", "log errors 0 → 312/min (bound 10)"},
		{"probe", []Report{docker("prod-1", healthy), h, prom(metric("ai", MetricProbe, 1, 0))}, "critical:probe_down", "probe fails"},
		{"not running", []Report{docker("prod-1"), docker("prod-2"), h}, "warning:not_running", "desired 0.4.2, no instance on any host"},
		{"not running, but one host is not seen", []Report{docker("prod-1"), h}, "", ""},
		{"odd tag file", []Report{docker("prod-1", healthy), git(History{Subject: Subject{Environment: "prod", Service: "ai"}, Problem: "services/ai/tag.env: empty"})}, "warning:desired_unreadable", "services/ai/tag.env: empty"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			svc := service(t, Join(prod(c.reports...)), "ai")
			if got := codes(svc); got != c.codes {
				t.Fatalf("codes %q, want %q; %+v", got, c.codes, svc.Reasons)
			}
			if c.text != "" && svc.Reasons[0].Text != c.text {
				t.Errorf("text %q, want %q", svc.Reasons[0].Text, c.text)
			}
		})
	}
}

func TestUnreachableHostHidesItsOwnAlarmsButNotTheRow(t *testing.T) {
	bad := instance("prod-1", "ai", "0.4.2")
	bad.Health = HealthUnhealthy
	r := docker("prod-1", bad)
	r.Status.State, r.Status.Error = SourceFailing, "connection refused"
	r.Status.LastSuccess, r.Status.FailingFrom = ago(40*time.Second), ago(38*time.Second)
	snap := Join(prod(r, docker("prod-2", instance("prod-2", "backend", "1.0.0"))))
	svc := service(t, snap, "ai")
	if codes(svc) != "warning:host_unreachable" || svc.Health != HealthUnknown || !svc.Stale {
		t.Errorf("%s %s stale=%v", codes(svc), svc.Health, svc.Stale)
	}
	if want := "prod-1 cannot be seen, shown as of 40 s ago"; svc.Reasons[0].Text != want {
		t.Errorf("text %q", svc.Reasons[0].Text)
	}
	if h := snap.Hosts[0]; h.Up || h.Error != "connection refused" || !h.Since.Equal(ago(38*time.Second)) {
		t.Errorf("host %+v", h)
	}
	if other := service(t, snap, "backend"); other.Severity != SeverityOK {
		t.Errorf("backend: %s", codes(other))
	}
}

func TestDesiredServiceWhereAHostCannotBeSeenIsUnknown(t *testing.T) {
	h := git(history("ai", "1.0.0"))
	if svc := service(t, Join(prod(docker("prod-1"), h)), "ai"); svc.Health != HealthUnknown || len(svc.Reasons) != 0 {
		t.Errorf("%s %s", svc.Health, codes(svc))
	}
	if svc := service(t, Join(prod(docker("prod-1"), docker("prod-2"), h)), "ai"); svc.Health != HealthDown {
		t.Errorf("%s", svc.Health)
	}
}

func TestStaleMetricsRaiseNothing(t *testing.T) {
	p := prom(metric("ai", MetricErrorRatio, .001, .5))
	p.Status.LastSuccess = ago(2 * time.Minute)
	svc := service(t, Join(prod(docker("prod-1", instance("prod-1", "ai", "1.0.0")), p)), "ai")
	if len(svc.Reasons) != 0 {
		t.Errorf("reasons from stale metrics: %s", codes(svc))
	}
	if m, _ := svc.Metrics.Get(MetricErrorRatio); !m.Has || m.Latest != .5 {
		t.Errorf("the figure itself must stay: %+v", m)
	}
}

func TestPreviousGood(t *testing.T) {
	cases := []struct {
		running string
		history []string // newest first
		want    string
	}{
		{"0.4.2", []string{"0.4.2", "0.4.1", "0.4.0"}, "0.4.1"},
		{"0.4.1", []string{"0.4.2", "0.4.1", "0.4.0"}, "0.4.0"},                   // not deployed yet
		{"0.4.1", []string{"0.4.1", "0.4.2", "0.4.1", "0.4.0"}, "0.4.0"},          // 0.4.2 was rolled back
		{"0.4.3", []string{"0.4.3", "0.4.1", "0.4.2", "0.4.1", "0.4.0"}, "0.4.1"}, // fixed after a roll back
		{"0.4.2", []string{"0.4.2"}, ""},
		{"9.9.9", []string{"0.4.2", "0.4.1"}, ""}, // runs what git never said
	}
	for _, c := range cases {
		snap := Join(prod(docker("prod-1", instance("prod-1", "ai", c.running)), git(history("ai", c.history...))))
		if got := service(t, snap, "ai").Releases.Previous.Tag; got != c.want {
			t.Errorf("running %s of %v: previous %q, want %q", c.running, c.history, got, c.want)
		}
	}
}

// TestDeployThatGitDoesNotKnowYet is the moment between a deploy and the next look at git: no drift
// is claimed, and the way back is known from what the engine saw.
func TestDeployThatGitDoesNotKnowYet(t *testing.T) {
	in := instance("prod-1", "ai", "0.1.1")
	in.Life.CreatedAt = ago(time.Second)
	d := docker("prod-1", in)
	d.Facts.Changes = []Change{
		{Kind: ChangeDeploy, At: ago(time.Second), Subject: in.Subject, From: Release{Image: "reg/ai", Tag: "0.1.0", Digest: "sha256:d0"}, To: in.Release},
		{Kind: ChangeDeploy, At: ago(time.Hour), Subject: in.Subject, From: Release{Tag: "0.0.9"}, To: Release{Tag: "0.1.0"}},
	}
	svc := service(t, Join(prod(d, git(history("ai", "0.1.0", "0.0.9")))), "ai")
	if len(svc.Reasons) != 0 {
		t.Errorf("reasons %s", codes(svc))
	}
	if p := svc.Releases.Previous; p.Tag != "0.1.0" || p.Digest != "sha256:d0" || p.Commit == "" {
		t.Errorf("previous %+v", p)
	}
}

func TestPreviousFromImagesWithoutGit(t *testing.T) {
	in := instance("prod-1", "ai", "3.0.0")
	in.Release.ImageID = "sha256:i3"
	r := docker("prod-1", in)
	r.Facts.Images = []Image{
		{Host: "prod-1", ID: "sha256:i1", Tags: []string{"reg/ai:1.0.0"}, Created: ago(72 * time.Hour)},
		{Host: "prod-1", ID: "sha256:i2", Tags: []string{"reg/ai:2.0.0"}, Digests: []string{"reg/ai@sha256:d2"}, Created: ago(48 * time.Hour)},
		{Host: "prod-1", ID: "sha256:i3", Tags: []string{"reg/ai:3.0.0"}, Created: ago(24 * time.Hour)},
		{Host: "prod-1", ID: "sha256:i4", Tags: []string{"reg/ai:4.0.0"}, Created: ago(time.Hour)},
	}
	prev := service(t, Join(prod(r)), "ai").Releases.Previous
	if prev.Tag != "2.0.0" || prev.Digest != "sha256:d2" || prev.ImageID != "sha256:i2" {
		t.Errorf("previous %+v", prev)
	}
}

func TestDigestsOfHistoryComeFromTheImagesOnTheHosts(t *testing.T) {
	r := docker("prod-1", instance("prod-1", "ai", "0.4.2"))
	r.Facts.Images = []Image{{Host: "prod-1", ID: "x", Tags: []string{"reg/ai:0.4.1"}, Digests: []string{"other@sha256:no", "reg/ai@sha256:yes"}}}
	if d := service(t, Join(prod(r, git(history("ai", "0.4.2", "0.4.1")))), "ai").Releases.Previous.Digest; d != "sha256:yes" {
		t.Errorf("digest %q", d)
	}
}

func TestSuspectIsTheDeploy(t *testing.T) {
	in := instance("prod-1", "ai", "0.4.2")
	in.Life.CreatedAt = ago(100 * time.Second)
	h := history("ai", "0.4.2", "0.4.1")
	h.Releases[0].At = ago(3 * time.Minute)
	p := prom(metric("ai", MetricErrorRatio, .001, .001, .06, .071), metric("ai", MetricRPS, 9, 9, 9, 9))
	svc := service(t, Join(prod(docker("prod-1", in), git(h), p)), "ai")
	if svc.Suspect == nil {
		t.Fatalf("no suspect; changes %+v", svc.Changes)
	}
	want := "likely deploy 0.4.1 → 0.4.2 (0000000, 1 min ago): errors rose from 0.1 % to 7.1 % within 1 min of it"
	if svc.Suspect.Text != want {
		t.Errorf("suspect %q, want %q", svc.Suspect.Text, want)
	}
	old := in
	old.Life.CreatedAt = ago(5 * time.Hour)
	if s := service(t, Join(prod(docker("prod-1", old), git(history("ai", "0.4.2", "0.4.1")), p)), "ai").Suspect; s != nil {
		t.Errorf("a deploy of 5 h ago is suspected: %q", s.Text)
	}
}

func TestDeployCarriesWhoFromTheCommit(t *testing.T) {
	in := instance("prod-1", "ai", "0.4.2")
	in.Life.CreatedAt = ago(time.Minute)
	r := docker("prod-1", in)
	r.Facts.Changes = []Change{{Kind: ChangeDeploy, At: ago(time.Minute), Subject: in.Subject, From: Release{Tag: "0.4.1"}, To: Release{Tag: "0.4.2"}}}
	g := git(history("ai", "0.4.2", "0.4.1"))
	g.Facts.Changes = []Change{{
		Kind: ChangeDeploy, At: ago(2 * time.Minute), Who: "ana", Subject: Subject{Environment: "prod", Service: "ai"},
		From: Release{Tag: "0.4.1"}, To: Release{Tag: "0.4.2", Commit: "abc1234", Subject: "ai: faster"},
	}}
	svc := service(t, Join(prod(r, g)), "ai")
	if len(svc.Changes) != 1 {
		t.Fatalf("changes %+v", svc.Changes)
	}
	c := svc.Changes[0]
	if c.Who != "ana" || c.What != "0.4.1 → 0.4.2: ai: faster" || !c.At.Equal(ago(time.Minute)) {
		t.Errorf("change %+v", c)
	}
}

func TestResolve(t *testing.T) {
	in := prod()
	in.Rules = Rules{
		Aliases: map[string]string{"nexgate-ai": "ai"}, Containers: []string{"vpn-*"}, Ignore: []string{"tmp-*"},
		Companions: map[string]string{"ft-clamav": "ft"},
	}
	in.Reports = []Report{{Facts: Facts{Instances: []Instance{{Host: "prod-1", Name: "odd_name", Subject: Subject{Service: "web"}}}}}}
	r := newResolver(in)
	cases := []struct {
		subject   Subject
		want      string
		companion bool
	}{
		{Subject{Service: "nexgate-ai"}, "ai", false},
		{Subject{Container: "vpn-api"}, "api", false},
		{Subject{Container: "vpn-"}, "vpn-", false},
		{Subject{Container: "plain"}, "plain", false},
		{Subject{Service: "tmp-1"}, "", false},
		{Subject{Service: "ft-clamav"}, "ft", true},
		{Subject{Host: "prod-1", Container: "odd_name"}, "web", false},
		{Subject{Environment: "staging", Service: "ai"}, "", false},
		{Subject{}, "", false},
	}
	for _, c := range cases {
		key, companion, ok := r.resolve(&c.subject)
		if key.Name != c.want || companion != c.companion || ok != (c.want != "") {
			t.Errorf("%+v: %q %v %v", c.subject, key.Name, companion, ok)
		}
	}
}

func TestCompanionsShareTheRowButNotTheRelease(t *testing.T) {
	db := instance("prod-1", "ft-postgres", "15.3")
	db.Health = HealthUnhealthy
	in := prod(docker("prod-1", instance("prod-1", "ft", "1.2.0"), db), git(history("ft", "1.2.0")))
	in.Rules.Companions = map[string]string{"ft-postgres": "ft"}
	snap := Join(in)
	svc := service(t, snap, "ft")
	if len(snap.Services) != 1 || len(svc.Instances) != 2 || svc.Releases.Running.Tag != "1.2.0" || svc.Health != HealthUnhealthy {
		t.Errorf("%d services, %+v", len(snap.Services), svc)
	}
	if !strings.Contains(svc.Reasons[0].Text, "nexgate-ft-postgres-1 on prod-1") {
		t.Errorf("the reason must name the container: %q", svc.Reasons[0].Text)
	}
}

func TestAttentionOrder(t *testing.T) {
	sick := instance("prod-1", "z-sick", "1.0.0")
	sick.Health = HealthUnhealthy
	snap := Join(prod(docker("prod-1", instance("prod-1", "a-fine", "1.0.0"), sick, instance("prod-1", "m-drift", "1.0.0")), git(history("m-drift", "2.0.0", "1.0.0"))))
	var names []string
	for _, s := range snap.Services {
		names = append(names, s.Key.Name)
	}
	if got := strings.Join(names, " "); got != "z-sick m-drift a-fine" {
		t.Errorf("order %q", got)
	}
}

// TestSameForAnyOrderOfReports holds the promise of Join with a busy estate.
func TestSameForAnyOrderOfReports(t *testing.T) {
	in := busy(40)
	want := Join(in)
	for i := range 20 {
		rand.New(rand.NewPCG(uint64(i), 1)).Shuffle(len(in.Reports), func(a, b int) {
			in.Reports[a], in.Reports[b] = in.Reports[b], in.Reports[a]
		})
		if got := Join(in); !equalSnapshots(got, want) {
			t.Fatalf("shuffle %d gives another snapshot", i)
		}
	}
}

// equalSnapshots compares by text: NaN is not equal to itself.
func equalSnapshots(a, b *Snapshot) bool {
	return reflect.DeepEqual(fmt.Sprintf("%+v", *a), fmt.Sprintf("%+v", *b))
}

func busy(n int) Input {
	in := Input{Seq: 1, Now: t0, Environment: "prod"}
	var histories []History
	var metrics []MetricFact
	hosts := max(2, n/100)
	per := make([][]Instance, hosts)
	values := make([]float64, 60)
	for i := range values {
		values[i] = float64(i%7) / 100
	}
	for i := range n {
		name := fmt.Sprintf("svc-%04d", i/5)
		h := i % hosts
		inst := instance(fmt.Sprintf("h-%d", h), name, "1.0.2")
		if i%97 == 0 {
			inst = instance(fmt.Sprintf("h-%d", h), name, "1.0.1") // a few have drifted
		}
		inst.Name = fmt.Sprintf("nexgate-%s-%d", name, i%5)
		inst.ID = inst.Name + inst.Host
		if i%17 == 0 {
			inst.Health = HealthUnhealthy
		}
		per[h] = append(per[h], inst)
		if i%5 == 0 {
			histories = append(histories, history(name, "1.0.2", "1.0.1", "1.0.0"))
			for _, m := range []MetricName{MetricRPS, MetricErrorRatio, MetricP95, MetricCPU, MetricMemory, MetricLogErrors} {
				metrics = append(metrics, metric(name, m, values...))
			}
		}
	}
	for h := range hosts {
		name := fmt.Sprintf("h-%d", h)
		in.Hosts = append(in.Hosts, Host{Name: name, Environment: "prod"})
		in.Reports = append(in.Reports, docker(name, per[h]...))
	}
	in.Reports = append(in.Reports, git(histories...), prom(metrics...))
	return in
}

func BenchmarkJoin(b *testing.B) {
	for _, n := range []int{60, 1000, 10_000} {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			in := busy(n)
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				Join(in)
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op") // of all threads: on a busy machine it says more
		})
	}
}

// BenchmarkJoinAgain is what the console does: it joins after one host answered anew, after none did (ages become
// reasons), and after the metrics of all services came anew.
func BenchmarkJoinAgain(b *testing.B) {
	const n = 10_000
	for _, one := range []struct {
		name string
		anew func(in *Input, round int)
	}{
		{"nothing", func(*Input, int) {}},
		{"one host", func(in *Input, round int) {
			rep := &in.Reports[round%(n/100)]
			rep.Facts.Instances = slices.Clone(rep.Facts.Instances)
		}},
		{"all metrics", func(in *Input, _ int) {
			rep := &in.Reports[len(in.Reports)-1]
			rep.Facts.Metrics = slices.Clone(rep.Facts.Metrics)
		}},
	} {
		b.Run("anew="+one.name, func(b *testing.B) {
			in := busy(n)
			joiner := NewJoiner(in.Environment, in.Hosts, in.Rules)
			joiner.Join(in.Seq, in.Now, in.Reports)
			b.ReportAllocs()
			before := cpuTime(b)
			for round := 0; b.Loop(); round++ {
				one.anew(&in, round)
				joiner.Join(in.Seq, in.Now, in.Reports)
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is what this process has used of processors so far, in nanoseconds.
func cpuTime(b *testing.B) int64 {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}
