package fleet

import (
	"cmp"
	"slices"
)

// member is an instance as it was reported, on its way into a row.
type member struct {
	in        *Instance
	host      *hostView // nil when nobody knows its host
	unseen    bool      // what the host is now
	companion bool
}

func (j *joiner) addInstances(rep *Report, p *places) {
	var host *hostView // of the instance before: a report has mostly one
	hostName, unseen := "", false
	for i := range p.instances {
		at := &p.instances[i]
		if at.row == nil {
			continue
		}
		in := &rep.Facts.Instances[i]
		if host == nil || in.Host != hostName {
			host, hostName = j.memory.hosts[in.Host], in.Host
			unseen = host != nil && host.unseen
		}
		j.touch(at.row)
		at.row.members.add(member{in: in, host: host, unseen: unseen, companion: at.companion})
	}
}

// settleInstances puts the reported instances into the row and says how fresh the facts are on which it stands. It reports
// whether they are those of the last join.
func (j *joiner) settleInstances(r *row) (same bool) {
	list, anew := r.members.end()
	if anew || r.svc.Instances == nil {
		anew = true
		j.takeInstances(r, list)
	}
	for _, v := range r.kept.views {
		r.svc.see(v)
	}
	return !anew
}

// takeInstances puts the reported instances in order. None is touched, they are the report's: of one on a host that
// cannot be seen there is a copy, of unknown health.
func (j *joiner) takeInstances(r *row, list []member) {
	j.found = j.found[:0]
	for i := range list {
		j.found = append(j.found, &list[i])
	}
	sortMembers(j.found)
	k, svc := &r.kept, &r.svc
	svc.Instances = j.instanceRoom.take(len(j.found))
	k.views, j.hosts = k.views[:0], j.hosts[:0]
	companions := 0
	for i, m := range j.found {
		svc.Instances[i] = m.in
		if m.unseen {
			unseen := *m.in
			svc.Instances[i], unseen.Health = &unseen, HealthUnknown
		}
		if m.companion {
			companions++
		}
		if i == 0 || m.in.Host != j.found[i-1].in.Host {
			k.views, j.hosts = append(k.views, m.host), append(j.hosts, m.in.Host)
		}
	}
	svc.Hosts = append(j.hostRoom.take(len(j.hosts))[:0], j.hosts...)
	k.main = svc.Instances
	if companions > 0 {
		k.main = make([]*Instance, 0, len(j.found)-companions)
		for i, m := range j.found {
			if !m.companion {
				k.main = append(k.main, svc.Instances[i])
			}
		}
	}
}

// see takes account of one of the hosts that the row stands on.
func (s *Service) see(h *hostView) {
	if h == nil {
		return
	}
	if s.Seen.IsZero() || h.seen.Before(s.Seen) {
		s.Seen = h.seen
	}
	s.Stale = s.Stale || h.unseen
}

func sortMembers(list []*member) {
	slices.SortFunc(list, func(a, b *member) int {
		x, y := a.in, b.in
		if by := cmp.Compare(x.Host, y.Host); by != 0 {
			return by
		}
		if by := cmp.Compare(x.Name, y.Name); by != 0 {
			return by
		}
		return cmp.Compare(x.ID, y.ID)
	})
}
