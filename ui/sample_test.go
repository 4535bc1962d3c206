package ui

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

// sampleNow is the moment of every sample.
var sampleNow = time.Date(2026, 11, 21, 14, 3, 22, 0, time.UTC)

func ago(d time.Duration) time.Time { return sampleNow.Add(-d) }

func digest(n int) string { return fmt.Sprintf("sha256:%064x", 0x1f2e3d4c5b6a0000+n*0x1357) + "" }

func sampleRelease(svc, tag string, at time.Duration, author, subject string) fleet.Release {
	n := 0
	for _, c := range svc + tag {
		n = n*31 + int(c)
	}
	return fleet.Release{
		Image: "ghcr.io/nexgate-hq/" + svc, Tag: tag, Digest: "sha256:" + fmt.Sprintf("%064x", uint64(n)*0x9e3779b97f4a7c15)[48:] + digest(n)[10:58],
		Commit: fmt.Sprintf("%07x", uint32(n)*2654435761>>4), Author: author, Subject: subject, At: ago(at),
	}
}

// wave makes an hour of samples around a level; from the jump on they are multiplied.
func wave(seed uint64, level float64, jump int, factor float64) fleet.Series {
	r := rand.New(rand.NewPCG(seed, 7))
	v := make([]float64, 61)
	for i := range v {
		v[i] = level * (0.8 + 0.3*math.Sin(float64(i)/7) + 0.25*r.Float64())
		if jump > 0 && i >= jump {
			v[i] *= factor
		}
	}
	return fleet.Series{Start: ago(time.Hour), Step: time.Minute, Values: v}
}

func sampleMetric(name fleet.MetricName, unit fleet.Unit, s fleet.Series) fleet.Metric {
	last, ok := s.Last()
	m := fleet.Metric{Name: name, Unit: unit, Series: s, Latest: last, Has: ok, Source: "prometheus/ops"}
	if !ok {
		m.Note = "no traffic"
	}
	return m
}

type figures struct{ rps, errs, p95, cpu, mem, logs, jump, factor float64 }

func sampleMetrics(seed uint64, f figures) map[fleet.MetricName]fleet.Metric {
	j := int(f.jump)
	nan := fleet.Series{Start: ago(time.Hour), Step: time.Minute, Values: make([]float64, 61)}
	for i := range nan.Values {
		nan.Values[i] = math.NaN()
	}
	out := map[fleet.MetricName]fleet.Metric{
		fleet.MetricRPS:       sampleMetric(fleet.MetricRPS, fleet.UnitPerSecond, wave(seed, f.rps, 0, 1)),
		fleet.MetricCPU:       sampleMetric(fleet.MetricCPU, fleet.UnitCores, wave(seed+1, f.cpu, j, 1.6)),
		fleet.MetricMemory:    sampleMetric(fleet.MetricMemory, fleet.UnitBytes, wave(seed+2, f.mem*(1<<20), 0, 1)),
		fleet.MetricLogErrors: sampleMetric(fleet.MetricLogErrors, fleet.UnitPerMinute, wave(seed+3, f.logs, j, 40)),
	}
	if f.rps == 0 {
		out[fleet.MetricErrorRatio] = sampleMetric(fleet.MetricErrorRatio, fleet.UnitRatio, nan)
		out[fleet.MetricP95] = sampleMetric(fleet.MetricP95, fleet.UnitSeconds, nan)
		return out
	}
	out[fleet.MetricErrorRatio] = sampleMetric(fleet.MetricErrorRatio, fleet.UnitRatio, wave(seed+4, f.errs, j, f.factor))
	out[fleet.MetricP95] = sampleMetric(fleet.MetricP95, fleet.UnitSeconds, wave(seed+5, f.p95, j, 4))
	return out
}

func sampleInstance(svc, host string, r fleet.Release, up time.Duration) *fleet.Instance {
	return &fleet.Instance{
		ID: "c0ffee", Kind: "container", Host: host, Name: "nexgate-" + svc + "-1", Release: r,
		Subject: fleet.Subject{Environment: "prod", Host: host, Project: "nexgate", Service: svc, Container: "nexgate-" + svc + "-1"},
		State:   fleet.StateRunning, Health: fleet.HealthHealthy, Limits: fleet.Limits{Memory: 2 << 30, CPU: 2},
		Life: fleet.Life{CreatedAt: ago(up), StartedAt: ago(up)},
	}
}

func sampleService(name, host string, r fleet.Release, up time.Duration, m map[fleet.MetricName]fleet.Metric) fleet.Service {
	return fleet.Service{
		Key: fleet.ServiceKey{Environment: "prod", Name: name}, Hosts: []string{host},
		Instances: []*fleet.Instance{sampleInstance(name, host, r, up)},
		Releases:  fleet.Releases{Desired: r, Running: r}, Health: fleet.HealthHealthy, Metrics: fleet.MetricsOf(m), Seen: ago(2 * time.Second),
		Changes: []fleet.Change{{Kind: fleet.ChangeDeploy, At: ago(up), Who: r.Author, To: r, What: "→ " + r.Tag + ": " + r.Subject}},
	}
}

// sampleAI is the bad deploy.
func sampleAI() fleet.Service {
	old := sampleRelease("ai-service", "0.4.1", 76*time.Hour, "ana", "ai: cache embeddings")
	bad := sampleRelease("ai-service", "0.4.2", 6*time.Minute, "mia", "ai: faster tokenizer")
	s := sampleService("ai", "prod-1", bad, 5*time.Minute, sampleMetrics(1, figures{12, 0.0016, 0.5, 0.5, 1180, 6, 54, 45}))
	s.Severity, s.Health = fleet.SeverityCritical, fleet.HealthUnhealthy
	s.Releases.Previous, s.Releases.History = old, []fleet.Release{bad, old}
	s.Instances[0].Health, s.Instances[0].HealthOutput = fleet.HealthUnhealthy, "HTTP 500 from /health: tokenizer not loaded"
	s.Instances[0].Life.Restarts = 4
	s.Reasons = []fleet.Reason{
		{Code: "unhealthy", Severity: fleet.SeverityCritical, Text: "unhealthy: HTTP 500 from /health: tokenizer not loaded", Since: ago(3 * time.Minute)},
		{Code: "errors", Severity: fleet.SeverityCritical, Text: "errors 7.1 % > 5 %", Since: ago(5 * time.Minute)},
		{Code: "log_errors", Severity: fleet.SeverityWarning, Text: "log errors 312 a minute > 10", Since: ago(5 * time.Minute)},
	}
	deploy := fleet.Change{Kind: fleet.ChangeDeploy, At: ago(6 * time.Minute), Who: "mia", From: old, To: bad, What: "0.4.1 → 0.4.2: ai: faster tokenizer"}
	s.Suspect = &fleet.Suspect{Text: "likely deploy 0.4.1 → 0.4.2 (8f3c1e2, 6 min ago): errors rose from 0.1 % to 7.1 % 40 s after it", Onset: ago(5 * time.Minute), Change: deploy}
	s.Changes = []fleet.Change{
		{Kind: fleet.ChangeRestart, At: ago(4 * time.Minute), What: "nexgate-ai-1 died, code 1"}, deploy,
		{Kind: fleet.ChangeDeploy, At: ago(76 * time.Hour), Who: "ana", To: old, What: "0.4.0 → 0.4.1: ai: cache embeddings"},
	}
	s.Changes[0], s.Changes[1] = s.Changes[1], s.Changes[0]
	s.Changes[0].At = ago(4 * time.Minute)
	s.Suspect.Change.At = s.Changes[0].At
	s.Changes[1].At = ago(5 * time.Minute)
	return s
}

// sampleSnapshot is a small estate with one of everything.
func sampleSnapshot() *fleet.Snapshot {
	notifOld := sampleRelease("notification", "1.7.9", 72*time.Hour, "leo", "retry on 429")
	notif := sampleService("notification", "prod-1", notifOld, 72*time.Hour, sampleMetrics(20, figures{4, 0, 0.04, 0.02, 310, 0, 0, 1}))
	notif.Releases.Desired = sampleRelease("notification", "1.8.0", 2*time.Hour, "leo", "templates in four languages")
	notif.Severity = fleet.SeverityWarning
	notif.Reasons = []fleet.Reason{{Code: "tag_drift", Severity: fleet.SeverityWarning, Text: "running 1.7.9 on prod-1, desired 1.8.0", Since: ago(2 * time.Hour)}}
	notif.Changes = append([]fleet.Change{{Kind: fleet.ChangeDeploy, At: ago(2 * time.Hour), Who: "leo", From: notifOld, To: notif.Releases.Desired, What: "1.7.9 → 1.8.0: templates in four languages"}}, notif.Changes...)

	gwRel := sampleRelease("vpn-gateway", "3.2.0", 200*time.Hour, "ana", "wireguard 1.0.20260101")
	gw := sampleService("vpn-gateway", "prod-2", gwRel, 200*time.Hour, sampleMetrics(30, figures{rps: 9, errs: 0.0004, p95: 0.02, cpu: 0.1, mem: 90}))
	gw.Health, gw.Severity, gw.Stale, gw.Seen = fleet.HealthUnknown, fleet.SeverityWarning, true, ago(3*time.Minute)
	gw.Instances[0].State, gw.Instances[0].Health = fleet.StateUnknown, fleet.HealthUnknown
	gw.Reasons = []fleet.Reason{{Code: "host_unreachable", Severity: fleet.SeverityWarning, Text: "prod-2 cannot be seen, shown as of 3 min ago", Since: ago(3 * time.Minute)}}

	backend := sampleService("nexgate-backend", "prod-1", sampleRelease("nexgate-backend", "2.11.0", 75*time.Hour, "mia", "orders: paging"), 75*time.Hour,
		sampleMetrics(40, figures{rps: 140, errs: 0.001, p95: 0.12, cpu: 0.31, mem: 1640}))
	ft := sampleService("file-thunder", "prod-1", sampleRelease("file-thunder", "1.3.0", 300*time.Hour, "leo", "chunked upload"), 90*time.Hour,
		sampleMetrics(50, figures{rps: 2.2, errs: 0, p95: 0.9, cpu: 0.6, mem: 420}))
	second := sampleInstance("file-thunder", "prod-1", ft.Releases.Running, 90*time.Hour)
	second.Name, second.Release = "file-thunder-clamav", fleet.Release{Image: "clamav/clamav", Tag: "1.4"}
	ft.Instances = append(ft.Instances, second)
	traefik := sampleService("traefik", "prod-1", sampleRelease("traefik", "v3.6.1", 900*time.Hour, "ana", ""), 900*time.Hour, sampleMetrics(60, figures{rps: 161, errs: 0.0011, p95: 0.09, cpu: 0.2, mem: 140}))
	batch := sampleService("report-batch", "prod-1", sampleRelease("report-batch", "0.9.14", 500*time.Hour, "mia", "quarterly"), 500*time.Hour, sampleMetrics(70, figures{cpu: 0.01, mem: 64}))
	redis := sampleService("redis", "prod-1", sampleRelease("redis", "7.4.2", 900*time.Hour, "ana", ""), 900*time.Hour, nil)
	redis.Changes, redis.Instances[0].Limits = nil, fleet.Limits{}
	redis.Severity = fleet.SeverityInfo
	redis.Reasons = []fleet.Reason{{Code: "locked", Severity: fleet.SeverityInfo, Text: "leo@laptop: moving to 7.6", Since: ago(10 * time.Minute)}}

	return &fleet.Snapshot{
		Seq: 7, At: sampleNow, Environment: "prod",
		Hosts: []fleet.Host{
			{Name: "ops", Up: true, Since: ago(500 * time.Hour)}, {Name: "prod-1", Up: true, Since: ago(900 * time.Hour)},
			{Name: "prod-2", Error: "dial tcp 10.8.0.12:22: connect: connection refused", Since: ago(3 * time.Minute)},
		},
		Services: []fleet.Service{sampleAI(), notif, gw, redis, backend, batch, ft, traefik},
		Sources:  sampleSources(true),
	}
}

func sampleSources(dead bool) []fleet.SourceStatus {
	ok := func(kind, name, detail string, lat, old time.Duration, hosts ...string) fleet.SourceStatus {
		return fleet.SourceStatus{ID: fleet.MakeSourceID(kind, name), Kind: kind, Name: name, Hosts: hosts, State: fleet.SourceOK,
			LastSuccess: ago(old), LastAttempt: ago(old), Latency: lat, MaxAge: 5 * time.Minute, Detail: detail}
	}
	out := []fleet.SourceStatus{
		ok("docker", "prod-1", "29.0.1", 12*time.Millisecond, 2*time.Second, "prod-1"),
		ok("docker", "prod-2", "29.0.1", 12*time.Millisecond, 3*time.Minute, "prod-2"),
		ok("git", "infra", "8f3c1e2", 48*time.Millisecond, 2*time.Minute),
		ok("loki", "loki", "", 14*time.Millisecond, 5*time.Second),
		ok("prometheus", "prometheus", "", 9*time.Millisecond, 4*time.Second),
	}
	if dead {
		out[1].State, out[1].FailingFrom = fleet.SourceFailing, ago(3*time.Minute)
		out[1].Error = "docker prod-2: dial tcp 10.8.0.12:22: connect: connection refused; is the host up?"
	}
	return out
}

// sampleMany is an estate of a size: services with instances on several hosts.
func sampleMany(services, instances int) *fleet.Snapshot {
	s := &fleet.Snapshot{Seq: 9, At: sampleNow, Environment: "prod", Sources: sampleSources(false), Hosts: []fleet.Host{{Name: "prod-1", Up: true}}}
	for i := range services {
		name := fmt.Sprintf("service-%04d", i)
		r := sampleRelease(name, fmt.Sprintf("1.%d.0", i%30), time.Duration(i+1)*time.Hour, "ana", "a change")
		svc := sampleService(name, fmt.Sprintf("prod-%d", i%7), r, time.Duration(i+1)*time.Hour, sampleMetrics(uint64(i), figures{rps: float64(i % 50), errs: 0.001, p95: 0.2, cpu: 0.2, mem: 300}))
		for j := 1; j < instances; j++ {
			in := sampleInstance(name, fmt.Sprintf("prod-%d", (i+j)%7), r, time.Hour)
			in.Name = fmt.Sprintf("nexgate-%s-%d", name, j+1)
			svc.Instances = append(svc.Instances, in)
		}
		if i < services/10 {
			svc.Severity, svc.Reasons = fleet.SeverityWarning, []fleet.Reason{{Code: "cpu", Severity: fleet.SeverityWarning, Text: "cpu 97 % of limit"}}
		}
		s.Services = append(s.Services, svc)
	}
	return s
}

// fakeAction redeploys in the imagination.
type fakeAction struct {
	spec  actions.Spec
	off   string
	fail  error
	block chan struct{} // when set, Plan waits for it

	mu    sync.Mutex
	plans int
}

func newRedeploy() *fakeAction {
	return &fakeAction{spec: actions.Spec{Name: "redeploy", Key: "R", Title: "redeploy previous", Help: "puts the previous release back", Risk: actions.RiskHigh}}
}

func (a *fakeAction) Spec() actions.Spec { return a.spec }

func (a *fakeAction) Offer(snap *fleet.Snapshot, t []fleet.Ref) actions.Offer {
	s, ok := snap.Find(t[0].Service)
	switch {
	case a.off != "":
		return actions.Offer{Reason: a.off}
	case !ok || s.Releases.Previous.IsZero():
		return actions.Offer{Reason: "no earlier good release is known"}
	}
	return actions.Offer{Enabled: true, Title: "redeploy " + s.Key.Name + " " + s.Releases.Previous.Version()}
}

func (a *fakeAction) Plan(ctx context.Context, snap *fleet.Snapshot, in actions.Intent) (*actions.Plan, error) {
	a.mu.Lock()
	a.plans++
	n := a.plans
	a.mu.Unlock()
	if a.block != nil {
		select {
		case <-a.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if a.fail != nil {
		return nil, a.fail
	}
	key := in.Targets[0].Service
	s, ok := snap.Find(key)
	if !ok {
		return nil, errors.New("the service is gone")
	}
	from, to := s.Releases.Running, s.Releases.Previous
	return &actions.Plan{
		ID: fmt.Sprintf("p%d", n), Intent: in, Title: "redeploy " + key.String() + ": " + from.Version() + " → " + to.Version(), Environment: "prod", Made: sampleNow, Snapshot: snap.Seq,
		Moves: []actions.Move{{Service: key, Host: "prod-1", From: from, To: to}},
		Risks: []string{"restarts 1 container; about 5 s without " + key.Name, "Komodo syncs prod by hand only: nothing undoes this by itself"},
		Checks: []actions.Check{
			{Name: "previous image on prod-1", State: actions.CheckOK, Detail: "sha256:9a8b7c6d5e4f, 212 MB, no pull needed"},
			{Name: "snapshot is fresh", State: actions.CheckOK, Detail: "2 s old"},
			{Name: "host identity", State: actions.CheckOK, Detail: "ssh ed25519 SHA256:Yp0…"},
			{Name: "migrations", State: actions.CheckWarn, Detail: "0.4.2 may have migrated the database; 0.4.1 has to be able to read it"},
		},
		Steps: []actions.Step{
			{Name: "set tag", Host: "prod-1", Dir: "/srv/nexgate-infra", Argv: []string{"sed", "-i", "s/^AI_TAG=.*/AI_TAG=0.4.1/", "services/ai/tag.env"}, Mutates: true},
			{Name: "up", Host: "prod-1", Dir: "/srv/nexgate-infra", Argv: []string{"docker", "compose", "-f", "prod/stack.yml", "up", "-d", "--no-deps", "ai"}, Mutates: true},
		},
		Bases: []actions.Basis{actions.RunningBasis(key, "prod-1", nil, snap)},
		Undo:  &actions.Intent{Action: "redeploy", Targets: in.Targets, Args: map[string]string{"to": from.Version()}},
	}, nil
}

// fakeRunner runs what a test sends.
type fakeRunner struct {
	confirm actions.Confirm
	events  chan actions.Event

	mu   sync.Mutex
	runs []actions.Confirmation
	err  error
}

func (r *fakeRunner) Required(p *actions.Plan) (actions.Confirm, string) {
	return r.confirm, p.Intent.Targets[0].Service.String()
}

func (r *fakeRunner) Run(_ context.Context, p *actions.Plan, c actions.Confirmation) (<-chan actions.Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs = append(r.runs, c)
	if r.err != nil {
		return nil, r.err
	}
	if r.confirm == actions.ConfirmType && c.Typed != p.Intent.Targets[0].Service.String() {
		return nil, &actions.Refusal{Code: actions.RefusedConfirmation, Text: "that is not " + p.Intent.Targets[0].Service.String()}
	}
	return r.events, nil
}

func (r *fakeRunner) confirmations() []actions.Confirmation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]actions.Confirmation{}, r.runs...)
}

// sampleEvents is a whole run.
func sampleEvents(end actions.Outcome, reasons ...string) []actions.Event {
	at := func(s int) time.Time { return sampleNow.Add(time.Duration(s) * time.Second) }
	return []actions.Event{
		{At: at(0), Plan: "p1", Kind: actions.EventStarted, Step: -1}, {At: at(0), Plan: "p1", Kind: actions.EventLocked, Step: -1},
		{At: at(0), Plan: "p1", Kind: actions.EventStepBegan, Step: 0}, {At: at(1), Plan: "p1", Kind: actions.EventStepEnded, Step: 0},
		{At: at(1), Plan: "p1", Kind: actions.EventStepBegan, Step: 1},
		{At: at(2), Plan: "p1", Kind: actions.EventOutput, Step: 1, Stream: "stderr", Text: " Container nexgate-ai-1  Recreate"},
		{At: at(4), Plan: "p1", Kind: actions.EventOutput, Step: 1, Stream: "stderr", Text: " Container nexgate-ai-1  Started"},
		{At: at(4), Plan: "p1", Kind: actions.EventStepEnded, Step: 1},
		{At: at(5), Plan: "p1", Kind: actions.EventVerifying, Step: -1},
		{At: at(9), Plan: "p1", Kind: actions.EventOutput, Step: -1, Text: "healthy after 4 s, 0 restarts"},
		{At: at(30), Plan: "p1", Kind: actions.EventOutput, Step: -1, Text: "errors 0.1 %, before the bad release 0.1 %"},
		{At: at(35), Plan: "p1", Kind: actions.EventEnded, Step: -1, Outcome: end, Reasons: reasons},
	}
}

// sampleLog is a log of two instances with everything that is hard about logs.
func sampleLog() []fleet.LogLine {
	text := []string{
		`{"level":"info","ts":"2026-11-21T14:03:10Z","message":"request","method":"POST","path":"/v1/embed","status":200,"ms":41}`,
		`{"level":"error","message":"tokenizer not loaded","trace_id":"5c1f9e","error":{"kind":"io","path":"/models/tok.bin"}}`,
		`level=warn msg="queue is long" depth=4120 limit=1000`,
		"plain text, as old programs write it",
		"\x1b[31mERROR\x1b[0m coloured by its program",
		"evil \x1b]0;owned\x07 \x1b[2J\x1b[H \x1b]52;c;ZXZpbA==\x07 \u202etxt.exe",
		"tabs\there\tand 漢字 and ünïcödé",
		`{"level":"info","message":"` + "a long line that goes on and on so that it has to be wrapped somewhere, and the continuation is set in a little so that the eye sees where the next line of the log begins" + `","n":1}`,
	}
	var out []fleet.LogLine
	for i, t := range text {
		out = append(out, fleet.LogLine{At: ago(time.Duration(len(text)-i) * 850 * time.Millisecond), Host: "prod-1", Service: "ai", Instance: fmt.Sprintf("nexgate-ai-%d", i%2+1), Stream: "stdout", Text: t})
	}
	out = append(out, fleet.LogLine{At: ago(time.Second), Stream: "nexops", Text: "nexgate-ai-1 was re-created, the log goes on"})
	return out
}

// tailOf gives lines and then stays open.
func tailOf(lines []fleet.LogLine) func(context.Context, sources.LogQuery, func(fleet.LogLine)) error {
	return func(ctx context.Context, _ sources.LogQuery, emit func(fleet.LogLine)) error {
		for _, l := range lines {
			emit(l)
		}
		<-ctx.Done()
		return nil
	}
}

const sampleJSON = `{
  "Id": "c0ffee",
  "Config": {
    "Env": [
      "AI_TAG=0.4.2",
      "DB_PASSWORD=(redacted)"
    ],
    "Image": "ghcr.io/nexgate-hq/ai-service:0.4.2"
  },
  "State": {
    "Health": {
      "FailingStreak": 12,
      "Status": "unhealthy"
    },
    "Running": true
  }
}`

// sampleOptions is a console on the sample estate.
func sampleOptions() Options {
	snap := sampleSnapshot()
	return Options{
		Environment: "prod", Version: "0.0.0-test", Who: "ana@laptop", Now: func() time.Time { return sampleNow },
		Latest:  func() *fleet.Snapshot { return snap },
		Actions: []actions.Action{newRedeploy()},
		Runner:  &fakeRunner{confirm: actions.ConfirmType, events: make(chan actions.Event, 64)},
		Tail:    tailOf(sampleLog()),
		Inspect: func(context.Context, *fleet.Instance) ([]byte, error) { return []byte(sampleJSON), nil },
		Record: Record{Journal: func(fleet.ServiceKey) []string {
			return []string{"2026-11-18 10:00:02Z  redeploy ai@prod 0.4.0 → 0.4.1  ana@laptop  good"}
		}},
		Look: Look{Theme: "dark", UTC: true},
	}
}
