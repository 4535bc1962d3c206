package fleet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// random is an estate in which everything that Join looks at occurs, well and badly.
func random(seed uint64) Input {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 7))}
	in := Input{Seq: seed, Now: t0, Environment: "prod", Rules: Rules{
		Aliases: map[string]string{"nexgate-1": "s-1"}, Ignore: []string{"x-*"}, Containers: []string{"c-*"},
		Companions: map[string]string{"s-2-db": "s-2", "s-3-db": "s-3"},
		Services:   map[string]Thresholds{"s-4": {P95Warning: time.Millisecond}},
	}}
	hosts := 1 + g.IntN(4)
	for h := range hosts {
		name := fmt.Sprintf("h-%d", h)
		in.Hosts = append(in.Hosts, Host{Name: name, Environment: pick(g, "prod", "prod", "prod", "", "staging")})
		rep := docker(name)
		g.trouble(&rep.Status)
		for i := range g.IntN(8) {
			rep.Facts.Instances = append(rep.Facts.Instances, g.instance(name, i))
		}
		for range g.IntN(5) {
			tag := pick(g, "1.0.0", "1.0.1", "1.0.2")
			rep.Facts.Images = append(rep.Facts.Images, Image{
				Host: name, ID: pick(g, "sha256:a", "sha256:b", "sha256:c"), Tags: []string{"registry:5000/" + g.name() + ":" + tag},
				Digests: []string{"registry:5000/" + g.name() + "@sha256:" + pick(g, "d", "e")}, Created: t0.Add(-time.Duration(g.IntN(90)) * time.Minute),
			})
		}
		rep.Facts.Changes = g.changes("h-0", 4)
		rep.Facts.Locks = []Lock{{Subject: Subject{Environment: "prod", Service: g.name(), Host: name}, Owner: "ana", Until: t0.Add(time.Duration(g.IntN(9)-3) * time.Minute)}}
		rep.Facts.Holds = []Hold{{Environment: "prod", Service: pick(g, "", g.name()), Host: name, Owner: pick(g, "ana", "bo"), Until: t0.Add(time.Duration(g.IntN(9)-2) * time.Hour)}}
		in.Reports = append(in.Reports, rep)
	}
	in.Reports = append(in.Reports, g.git("git/a"), g.metricsReport("prometheus/a"), g.metricsReport("prometheus/b"), g.git("git/b"))
	return in
}

type generator struct{ *rand.Rand }

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

func (g *generator) name() string {
	return pick(g, "s-0", "s-1", "nexgate-1", "s-2", "s-2-db", "s-3", "s-3-db", "s-4", "x-5")
}

func (g *generator) trouble(s *SourceStatus) {
	switch g.IntN(6) {
	case 0:
		s.State, s.Error, s.FailingFrom = SourceFailing, "no answer", t0.Add(-time.Minute)
	case 1:
		s.LastSuccess = t0.Add(-time.Hour)
	}
}

func (g *generator) instance(host string, i int) Instance {
	in := instance(host, g.name(), pick(g, "1.0.0", "1.0.1", "1.0.2"))
	in.Name = fmt.Sprintf("c-%d-%d", i, g.IntN(3))
	in.ID = in.Name + host
	in.State = pick(g, StateRunning, StateRunning, StateRunning, StateExited, StateRestarting, StatePaused, StateCreated)
	in.Health = pick(g, HealthHealthy, HealthUnhealthy, HealthStarting, HealthNone, "")
	in.Release.Tag = pick(g, in.Release.Tag, in.Release.Tag, in.Release.Tag, "")
	in.Release.Image = pick(g, "registry:5000/"+in.Subject.Service, "")
	in.Release.ImageID = pick(g, "sha256:a", "sha256:b", "")
	in.Release.Digest = pick(g, "sha256:d", "sha256:e", "")
	in.Life.CreatedAt = t0.Add(-time.Duration(g.IntN(120)) * time.Minute)
	in.Life.OOMKilled = g.IntN(9) == 0
	in.Life.ExitCode = g.IntN(2)
	in.Limits = Limits{CPU: float64(g.IntN(2)), Memory: int64(g.IntN(2)) << 10}
	in.OneOff = g.IntN(9) == 0
	for range g.IntN(5) {
		in.Life.Exits = append(in.Life.Exits, t0.Add(-time.Duration(g.IntN(12))*time.Minute))
	}
	if g.IntN(6) == 0 {
		in.Subject.Service, in.Subject.Container = "", in.Name
	}
	return in
}

func (g *generator) changes(host string, n int) []Change {
	var out []Change
	for range g.IntN(n) {
		at := t0.Add(-time.Duration(g.IntN(20)) * time.Minute)
		c := Change{Kind: pick(g, ChangeDeploy, ChangeRestart, ChangeHostUp), At: at, Subject: Subject{Environment: "prod", Host: host, Service: pick(g, "", g.name())}}
		if c.Kind == ChangeDeploy {
			c.From, c.To = Release{Tag: "1.0.1"}, Release{Tag: "1.0.2"}
			c.Who = pick(g, "", "bo")
		}
		out = append(out, c)
	}
	return out
}

func (g *generator) git(id SourceID) Report {
	rep := git()
	rep.Status.ID = id
	g.trouble(&rep.Status)
	for i := range 5 {
		h := history(fmt.Sprintf("s-%d", i), pick(g, "1.0.2", "1.0.1"), pick(g, "1.0.1", "1.0.0"), "1.0.0")
		if g.IntN(8) == 0 {
			h.Problem = "tag.env is empty"
		}
		rep.Facts.Histories = append(rep.Facts.Histories, h)
	}
	rep.Facts.Changes = g.changes("", 6)
	rep.Facts.Backups = []BackupJob{{Name: "b", Subject: Subject{Service: g.name()}, Every: time.Hour, Runs: []BackupRun{{Started: t0.Add(-3 * time.Hour), Size: 5, State: BackupVerified}}}}
	return rep
}

func (g *generator) metricsReport(id SourceID) Report {
	rep := prom()
	rep.Status.ID = id
	g.trouble(&rep.Status)
	for range g.IntN(40) {
		name := pick(g, MetricRPS, MetricErrorRatio, MetricP95, MetricP99, MetricCPU, MetricMemory, MetricMemoryRatio, MetricLogErrors, MetricUp, MetricProbe, "other")
		values := make([]float64, 1+g.IntN(5))
		for i := range values {
			values[i] = pick(g, 0, 0.5, 2, 1200, math.NaN())
		}
		f := metric(g.name(), name, values...)
		f.Detail = pick(g, "", "detail")
		if g.IntN(5) == 0 {
			f.Series.Step *= 2
		}
		rep.Facts.Metrics = append(rep.Facts.Metrics, f)
	}
	return rep
}

// TestJoinerRemembersNothingWrong holds that a Joiner, which keeps what has not changed, gives what Join gives, while reports
// come anew, fail, grow old, vanish and come back, and that a snapshot which was given is not touched by the next.
func TestJoinerRemembersNothingWrong(t *testing.T) {
	for seed := range uint64(50) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 11))}
		in := random(seed)
		joiner := NewJoiner(in.Environment, in.Hosts, in.Rules)
		var last *Snapshot
		var lastText string
		for step := range uint64(12) {
			in.Seq, in.Now = step, in.Now.Add(time.Duration(g.IntN(3))*time.Minute)
			in.Reports = g.next(in.Reports, random(1000*seed+step).Reports)
			got := joiner.Join(in.Seq, in.Now, in.Reports)
			if want := Join(in); text(*got) != text(*want) || !reflect.DeepEqual(withoutNaN(got), withoutNaN(want)) {
				t.Fatalf("seed %d, step %d: it gives\n%s\n\nJoin gives\n%s", seed, step, text(*got), text(*want))
			}
			if last != nil && text(*last) != lastText {
				t.Fatalf("seed %d, step %d: it touches the snapshot before", seed, step)
			}
			last, lastText = got, text(*got)
		}
	}
}

// withoutNaN is a copy of a snapshot in which what is no number is, so that it can be compared.
func withoutNaN(s *Snapshot) Snapshot {
	out := *s
	out.Services = slices.Clone(s.Services)
	for i := range out.Services {
		svc := &out.Services[i]
		svc.Metrics = slices.Clone(svc.Metrics)
		for k := range svc.Metrics {
			m := &svc.Metrics[k]
			m.Series = cloneSeries(m.Series)
			for x, v := range m.Series.Values {
				if math.IsNaN(v) {
					m.Series.Values[x] = -1e300
				}
			}
			if math.IsNaN(m.Latest) {
				m.Latest = -1e300
			}
		}
	}
	return out
}

// next is what a while makes of reports: most stay, some are new, fail, answer again, vanish or come back.
func (g *generator) next(now, others []Report) []Report {
	out := slices.Clone(now)
	for i := range out {
		switch g.IntN(8) {
		case 0:
			out[i].Facts.Instances = slices.Clone(out[i].Facts.Instances)
		case 1:
			out[i].Status.State = pick(g, SourceOK, SourceFailing)
		case 2:
			for _, o := range others {
				if o.Status.ID == out[i].Status.ID {
					out[i] = o
				}
			}
		}
	}
	for _, o := range others {
		has := slices.ContainsFunc(out, func(r Report) bool { return r.Status.ID == o.Status.ID })
		if !has && g.IntN(3) == 0 {
			out = append(out, o)
		}
	}
	if len(out) > 1 && g.IntN(4) == 0 {
		i := g.IntN(len(out))
		out = slices.Delete(out, i, i+1)
	}
	return out
}

// TestSameForAnyOrderOfReportsAtRandom holds the promise of Join, and that it does not touch what it was given.
func TestSameForAnyOrderOfReportsAtRandom(t *testing.T) {
	for seed := range uint64(300) {
		in := random(seed)
		before := text(in)
		want := text(*Join(in))
		if text(in) != before {
			t.Fatalf("seed %d: Join changes its input", seed)
		}
		in.Reports = slices.Clone(in.Reports)
		slices.Reverse(in.Reports)
		if got := text(*Join(in)); got != want {
			t.Fatalf("seed %d: another order of reports gives another snapshot:\n%s\n\n%s", seed, got, want)
		}
	}
}

// text is all of a value, what pointers point to included; NaN is not equal to itself.
func text(v any) string {
	switch v := v.(type) {
	case Snapshot:
		out := fmt.Sprintf("%+v", v.Changes)
		for _, s := range v.Services {
			if s.Suspect != nil {
				out += fmt.Sprintf("%+v", *s.Suspect)
			}
			if s.Lock != nil {
				out += fmt.Sprintf("%+v", *s.Lock)
			}
			if s.Hold != nil {
				out += fmt.Sprintf("%+v", *s.Hold)
			}
			for _, in := range s.Instances {
				out += fmt.Sprintf("%+v", *in)
			}
			s.Suspect, s.Claims, s.Instances = nil, Claims{}, nil
			out += fmt.Sprintf("%+v\n", s)
		}
		v.Services = nil
		return out + fmt.Sprintf("%+v", v)
	default:
		return fmt.Sprintf("%+v", v)
	}
}
