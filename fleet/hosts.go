package fleet

import "time"

// hostView is a host while it is being joined.
type hostView struct {
	host    Host
	seen    time.Time // newest whole report on it
	failing bool
	stale   func(time.Time) bool
	watched bool // some source reports on it
	unseen  bool // its facts are not to be trusted as of now; set by settle
	err     string
	from    time.Time
}

// joinHosts makes the views of the hosts. A host keeps its view from one join to the next, made anew: rows point to it.
func joinHosts(in Input, reports []Report, old map[string]*hostView) map[string]*hostView {
	views := make(map[string]*hostView, len(old))
	add := func(h Host) {
		v := old[h.Name]
		if v == nil {
			v = new(hostView)
		}
		*v = hostView{host: h}
		views[h.Name] = v
	}
	for _, h := range in.Hosts {
		add(h)
	}
	for _, r := range reports {
		for _, name := range r.Status.Hosts {
			if views[name] == nil {
				add(Host{Name: name, Environment: in.Environment})
			}
			watch(views[name], r)
		}
		for _, h := range r.Facts.Hosts {
			if views[h.Name] == nil {
				add(h)
			}
			v := views[h.Name]
			describe(v, h)
			watch(v, r)
		}
	}
	for _, v := range views {
		settle(v, in.Now)
	}
	return views
}

func describe(v *hostView, h Host) {
	v.host.Up, v.host.Error, v.host.Since = h.Up, h.Error, h.Since
	v.host.Engine, v.host.CPUs, v.host.Memory = h.Engine, h.CPUs, h.Memory
	if v.host.Address == "" {
		v.host.Address = h.Address
	}
}

func watch(v *hostView, r Report) {
	v.watched = true
	v.stale = r.Status.Stale
	v.seen = r.Status.LastSuccess
	v.failing = r.Status.State == SourceFailing
	v.err = r.Status.Error
	v.from = r.Status.FailingFrom
}

func settle(v *hostView, now time.Time) {
	v.unseen = v.watched && (v.failing || v.stale(now))
	switch {
	case !v.watched:
	case v.failing:
		v.host.Up, v.host.Error, v.host.Since = false, v.err, v.from
	case v.stale(now) && !v.seen.IsZero():
		v.host.Up = false
		v.host.Error = "no answer for " + Ago(now.Sub(v.seen))
		v.host.Since = v.seen
	}
}
