package fleet

import (
	"cmp"
	"slices"
)

// member is an instance as it was reported, on its way into a row.
type member struct {
	in        *Instance
	host      *hostView // nil when nobody knows its host
	companion bool
	next      int // in joiner.members, of the same row; 0 is none
}

func (j *joiner) addInstances(rep *Report) {
	var host *hostView // of the instance before: a report has mostly one
	var hostName string
	for i := range rep.Facts.Instances {
		in := &rep.Facts.Instances[i]
		if in.OneOff {
			continue
		}
		key, companion, ok := j.resolver.resolve(in.Subject)
		if !ok {
			continue
		}
		if host == nil || in.Host != hostName {
			host, hostName = j.hosts[in.Host], in.Host
		}
		r := j.row(key)
		j.members = append(j.members, member{in: in, host: host, companion: companion, next: r.first})
		r.first = len(j.members) - 1
	}
}

// settleInstances copies the reported instances into the row, in order, without
// touching the report: on a host that cannot be seen their health is unknown. It also sets how
// fresh the facts are on which the row stands.
func (j *joiner) settleInstances(r *row) {
	j.found, j.main = j.found[:0], j.main[:0]
	for k := r.first; k != 0; k = j.members[k].next {
		j.found = append(j.found, &j.members[k])
	}
	slices.Reverse(j.found) // as they were reported: mostly in order already
	sortMembers(j.found)
	svc := &r.svc
	svc.Instances = j.instanceRoom.take(len(j.found))
	if len(j.found) == 0 {
		return
	}
	hosts := j.hostRoom.take(len(j.found))[:0]
	for i, m := range j.found {
		svc.Instances[i] = *m.in
		if m.host != nil && m.host.unseen {
			svc.Instances[i].Health = HealthUnknown
		}
		if !m.companion {
			j.main = append(j.main, &svc.Instances[i])
		}
		if i == 0 || m.in.Host != hosts[len(hosts)-1] {
			hosts = append(hosts, m.in.Host)
			svc.see(m.host)
		}
	}
	svc.Hosts = hosts
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
