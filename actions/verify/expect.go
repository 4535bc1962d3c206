package verify

import (
	"sort"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// Expect is what an action wants of one service on one host. What is not set is not looked at; that all
// its instances run and that no health check fails is always wanted.
type Expect struct {
	Service fleet.ServiceKey
	Host    string
	Pick    func(*fleet.Instance) bool // which instances are meant; nil: all but one-off containers
	Release fleet.Release              // what they have to run; zero: anything
	New     bool                       // each was made again, or started again, after the plan was made
	Count   int                        // so many of them, no more and no fewer; 0: at least one
	None    bool                       // none runs there any more
}

// Well wants a service to be well on all hosts where it runs now, whatever it runs.
func Well(snap *fleet.Snapshot, key fleet.ServiceKey, hosts ...string) []Expect {
	return each(snap, key, hosts, func(Expect, []*fleet.Instance) Expect { return Expect{} })
}

// Restarted wants what runs now to run again: the same release and as many instances, each of
// them made or started anew. No hosts means all on which the service has instances.
func Restarted(snap *fleet.Snapshot, key fleet.ServiceKey, hosts ...string) []Expect {
	return each(snap, key, hosts, func(_ Expect, there []*fleet.Instance) Expect {
		return Expect{New: true, Count: len(there), Release: oneRelease(there)}
	})
}

// Scaled wants n instances of the service on a host, of the release that it runs there now.
func Scaled(snap *fleet.Snapshot, key fleet.ServiceKey, host string, n int) []Expect {
	return each(snap, key, []string{host}, func(_ Expect, there []*fleet.Instance) Expect {
		return Expect{Count: n, None: n == 0, Release: oneRelease(there)}
	})
}

// each makes one Expect a host.
func each(snap *fleet.Snapshot, key fleet.ServiceKey, hosts []string, what func(e Expect, there []*fleet.Instance) Expect) []Expect {
	on := map[string][]*fleet.Instance{}
	if svc, ok := snap.Find(key); ok {
		for _, in := range svc.Instances {
			if !in.OneOff {
				on[in.Host] = append(on[in.Host], in)
			}
		}
	}
	if len(hosts) == 0 {
		for host := range on {
			hosts = append(hosts, host)
		}
		sort.Strings(hosts)
	}
	var out []Expect
	for _, host := range hosts {
		e := what(Expect{}, on[host])
		e.Service, e.Host = key, host
		out = append(out, e)
	}
	return out
}

// oneRelease is what all instances run; zero when they run different ones, as companions of one service do.
func oneRelease(list []*fleet.Instance) fleet.Release {
	if len(list) == 0 {
		return fleet.Release{}
	}
	for _, in := range list[1:] {
		if in.Release.Image != list[0].Release.Image || !actions.SameArtifact(in.Release, list[0].Release) {
			return fleet.Release{}
		}
	}
	return list[0].Release
}

// place is one Expect with what is known of it while the plan runs.
type place struct {
	Expect
	label  string    // in words: the host, or "ai on prod-1" when several services are watched
	done   time.Time // when the change took effect there: facts from before are not judged
	before map[string]fleet.Life
}

func newPlace(snap *fleet.Snapshot, e Expect, several bool) *place {
	p := &place{Expect: e, label: e.Host, before: map[string]fleet.Life{}}
	if several {
		p.label = e.Service.Name + " on " + e.Host
	}
	if svc, ok := snap.Find(e.Service); ok {
		for _, in := range svc.Instances {
			p.before[in.ID] = in.Life
		}
	}
	return p
}

func (p *place) picks(in *fleet.Instance) bool {
	if in.Host != p.Host {
		return false
	}
	if p.Pick != nil {
		return p.Pick(in)
	}
	return !in.OneOff
}

// restarts counts how often the engine restarted a container since the plan was made. A
// container that was made again has begun at nothing.
func (p *place) restarts(in *fleet.Instance) int {
	return max(0, in.Life.Restarts-p.before[in.ID].Restarts)
}

// old reports whether an instance is as it was when the plan was made, neither made nor started again. The
// engine's own times are compared with one another, so that a skewed clock does not matter.
func (p *place) old(in *fleet.Instance) bool {
	was, there := p.before[in.ID]
	return there && in.Life.StartedAt.Equal(was.StartedAt)
}
