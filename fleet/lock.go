package fleet

import (
	"cmp"
	"slices"
	"time"
)

// Claims are what people lay on a service.
type Claims struct {
	Lock *Lock // somebody acts on it, or did until their console died
	Hold *Hold // somebody wants it left alone: it, or the whole environment
}

// Lock says that somebody is acting on a service, or was when their console died.
// Times are on this console's clock, whatever the clock of the host says where it is kept.
type Lock struct {
	Subject Subject
	Owner   string // "ana@laptop"; "" when the lock does not say
	Reason  string // "redeploy ai on prod: 0.4.2 → 0.4.1"
	Plan    string // the plan it was taken for
	Since   time.Time
	Until   time.Time // renewed while the action runs; zero when it never ends by itself
	Seen    time.Time // when its host was read; set by Join
	Stale   bool      // that is too long ago: it may have been renewed or given back since; set by Join
}

// Expired reports whether nobody has renewed the lock in time: its console is likely dead. Of one that
// was not seen of late nobody knows.
func (l *Lock) Expired(now time.Time) bool {
	return !l.Stale && !l.Until.IsZero() && !now.Before(l.Until)
}

// Words say who holds it and what for: "locked by ana@laptop: redeploy ai on prod: 0.4.2 → 0.4.1".
func (l *Lock) Words(now time.Time) string {
	out := "locked by " + orSomebody(l.Owner)
	if l.Expired(now) {
		out = "lock of " + orSomebody(l.Owner) + ", expired " + Ago(now.Sub(l.Until)) + " ago"
	}
	return withReason(out+asOf(now, l.Seen, l.Stale), l.Reason)
}

// Hold says that an environment, or one service of it, is to be left as it is: by whom, until
// when, and why. Times are on this console's clock.
type Hold struct {
	Environment string
	Service     string // "" is the whole environment
	Host        string // where it is kept
	Owner       string
	Reason      string
	Since       time.Time
	Until       time.Time // zero: until somebody clears it
	Seen        time.Time // when its host was read; set by Join
	Stale       bool      // that is too long ago: it may have been cleared since; set by Join
}

// Over reports whether the hold has ended by itself.
func (h *Hold) Over(now time.Time) bool { return !h.Until.IsZero() && !now.Before(h.Until) }

// Words say what is held, by whom, for how long and why: "prod is held by ana@laptop for another 2 h: migration".
func (h *Hold) Words(now time.Time) string {
	what := h.Environment
	if h.Service != "" {
		what = ServiceKey{h.Environment, h.Service}.String()
	}
	out := what + " is held by " + orSomebody(h.Owner)
	if !h.Until.IsZero() {
		out += " for another " + Ago(h.Until.Sub(now))
	}
	return withReason(out+asOf(now, h.Seen, h.Stale), h.Reason)
}

// asOf marks what was read too long ago to be sure of.
func asOf(now, seen time.Time, stale bool) string {
	if !stale {
		return ""
	}
	return " (as of " + Ago(now.Sub(seen)) + " ago)"
}

func orSomebody(owner string) string {
	if owner == "" {
		return "somebody who does not say who"
	}
	return owner
}

func withReason(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ": " + reason
}

// addLocks puts each lock on its service. Of several, on several hosts, the one that holds longest
// is shown: it is what an action would meet.
func (j *joiner) addLocks(rep Report) {
	for i := range rep.Facts.Locks {
		l := &rep.Facts.Locks[i]
		key, _, ok := j.resolver.resolve(&l.Subject)
		if !ok {
			continue
		}
		svc := &j.row(key).svc
		if svc.Lock == nil || compareLocks(l, svc.Lock) > 0 {
			kept := *l
			kept.Seen, kept.Stale = rep.Status.LastSuccess, rep.Status.Stale(j.in.Now)
			svc.Lock = &kept
		}
	}
}

// addHolds collects the holds of the environment that are not over. One and the same hold may be
// kept on several hosts; it is one.
func (j *joiner) addHolds(rep Report) {
	for _, h := range rep.Facts.Holds {
		if h.Environment != j.in.Environment || h.Over(j.in.Now) {
			continue
		}
		h.Seen, h.Stale = rep.Status.LastSuccess, rep.Status.Stale(j.in.Now)
		at := slices.IndexFunc(j.holds, func(o Hold) bool { return o.Service == h.Service })
		switch {
		case at < 0:
			j.holds = append(j.holds, h)
		case compareHolds(&h, &j.holds[at]) > 0:
			j.holds[at] = h
		}
	}
}

// holdOf is the hold that a service is under: its own, else that of the environment.
func (j *joiner) holdOf(name string) *Hold {
	var found *Hold
	for i := range j.holds {
		if h := &j.holds[i]; h.Service == name || h.Service == "" && found == nil {
			kept := *h
			found = &kept
		}
	}
	return found
}

// lockReasons say in words who acts on the service, or wants it left alone. A hold of the whole
// environment is no reason of each of its services: the snapshot has it once.
func (j *joiner) lockReasons(svc *Service) []Reason {
	var out []Reason
	if l := svc.Lock; l != nil {
		r := Reason{Code: "locked", Severity: SeverityInfo, Text: l.Words(j.in.Now), Since: l.Since}
		if l.Expired(j.in.Now) { // what it was taken for may have been left half done
			r.Code, r.Severity = "lock_expired", SeverityWarning
		}
		out = append(out, r)
	}
	if h := svc.Hold; h != nil && h.Service != "" {
		out = append(out, Reason{Code: "held", Severity: SeverityInfo, Text: h.Words(j.in.Now), Since: h.Since})
	}
	return out
}

func sortHolds(list []Hold) {
	slices.SortFunc(list, func(a, b Hold) int { return cmp.Compare(a.Service, b.Service) })
}

// lastUntil orders ends: one that never comes is last.
func lastUntil(a, b time.Time) int {
	switch {
	case a.IsZero() && b.IsZero():
		return 0
	case a.IsZero():
		return 1
	case b.IsZero():
		return -1
	}
	return a.Compare(b)
}

func compareLocks(a, b *Lock) int {
	return cmp.Or(lastUntil(a.Until, b.Until), cmp.Compare(b.Subject.Host, a.Subject.Host), cmp.Compare(b.Plan, a.Plan), cmp.Compare(b.Owner, a.Owner))
}

func compareHolds(a, b *Hold) int {
	return cmp.Or(lastUntil(a.Until, b.Until), cmp.Compare(b.Host, a.Host), cmp.Compare(b.Owner, a.Owner))
}
