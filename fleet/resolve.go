package fleet

import "strings"

// resolver decides which service a Subject means.
type resolver struct {
	rules       Rules
	environment string
	hostEnv     map[string]string // configured host to its environment
	reports     []Report
	containers  map[[2]string]string // {host, container name} to service, made on first need
	asked       bool                 // byContainer was
}

func newResolver(in Input) *resolver {
	r := &resolver{
		rules: in.Rules, environment: in.Environment,
		hostEnv: map[string]string{}, reports: in.Reports,
	}
	for _, h := range in.Hosts {
		r.hostEnv[h.Name] = h.Environment
	}
	return r
}

// byContainer knows the container names of instances, so that a metric which has
// only a container's name still finds its service.
func (r *resolver) byContainer(host, name string) (service string, ok bool) {
	r.asked = true
	if r.containers == nil {
		r.containers = map[[2]string]string{}
		for _, rep := range r.reports {
			for i := range rep.Facts.Instances {
				in := &rep.Facts.Instances[i]
				if in.Subject.Service != "" {
					r.containers[[2]string{in.Host, in.Name}] = r.raw(&in.Subject)
				}
			}
		}
	}
	service, ok = r.containers[[2]string{host, name}]
	return service, ok
}

// here reports whether the subject belongs to the environment of the snapshot.
func (r *resolver) here(s *Subject) bool {
	if s.Environment != "" {
		return s.Environment == r.environment
	}
	if s.Host != "" {
		env, known := r.hostEnv[s.Host]
		return !known || env == "" || env == r.environment
	}
	return true
}

// resolve gives the service of a subject. companion is true when the subject is
// a helper container of that service rather than the service itself.
func (r *resolver) resolve(s *Subject) (key ServiceKey, companion, ok bool) {
	if !r.here(s) {
		return ServiceKey{}, false, false
	}
	name := r.raw(s)
	if name == "" || r.ignored(name) {
		return ServiceKey{}, false, false
	}
	if main, is := r.rules.Companions[name]; is {
		name, companion = main, true
	}
	return ServiceKey{Environment: r.environment, Name: name}, companion, true
}

// raw is the service name before companions are folded in.
func (r *resolver) raw(s *Subject) string {
	name := s.Service
	if name == "" && s.Container != "" {
		name = r.fromContainer(s)
	}
	if alias, is := r.rules.Aliases[name]; is {
		name = alias
	}
	return name
}

func (r *resolver) fromContainer(s *Subject) string {
	if name, ok := r.byContainer(s.Host, s.Container); ok {
		return name
	}
	if _, ok := r.rules.Aliases[s.Container]; ok {
		return s.Container
	}
	for _, p := range r.rules.Containers {
		if mid, ok := matchStar(p, s.Container); ok && mid != "" {
			return mid
		}
	}
	return s.Container
}

func (r *resolver) ignored(name string) bool { return r.rules.ignores(name) }

// Row gives the service whose row shows what a source calls by a name, a companion that of which it is a part; ok is
// false when it is not shown.
func (r Rules) Row(name string) (row string, ok bool) {
	if alias, is := r.Aliases[name]; is {
		name = alias
	}
	if name == "" || r.ignores(name) {
		return "", false
	}
	if main, is := r.Companions[name]; is {
		name = main
	}
	return name, true
}

func (r Rules) ignores(name string) bool {
	for _, p := range r.Ignore {
		if _, ok := matchStar(p, name); ok {
			return true
		}
	}
	return false
}

// matchStar matches a pattern with at most one "*" and gives what the star stood for.
func matchStar(pattern, s string) (star string, ok bool) {
	before, after, has := strings.Cut(pattern, "*")
	if !has {
		return "", pattern == s
	}
	if len(s) < len(before)+len(after) || !strings.HasPrefix(s, before) || !strings.HasSuffix(s, after) {
		return "", false
	}
	return s[len(before) : len(s)-len(after)], true
}
