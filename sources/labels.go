package sources

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/nexgate-hq/nexops/fleet"
)

// Labels says in which labels of a metric or log stream the parts of a Subject are.
// The first label of a list that a series has is taken.
type Labels struct {
	Service     []string `toml:"service"`
	Environment []string `toml:"environment"`
	Host        []string `toml:"host"`
	Container   []string `toml:"container"`
}

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// Validate gives every name that no label can have.
func (l Labels) Validate() []error {
	var errs []error
	check := func(key string, names []string) {
		for _, n := range names {
			if !labelName.MatchString(n) {
				errs = append(errs, fmt.Errorf("labels.%s: %q is no label name: letters, digits and _ only", key, n))
			}
		}
	}
	check("service", l.Service)
	check("environment", l.Environment)
	check("host", l.Host)
	check("container", l.Container)
	if len(l.Service) == 0 && len(l.Container) == 0 {
		errs = append(errs, fmt.Errorf("labels.service: name at least one label that says the service"))
	}
	return errs
}

// First is the value of the first of the names that the label set has.
func First(names []string, get func(name string) string) string {
	for _, n := range names {
		if v := get(n); v != "" {
			return v
		}
	}
	return ""
}

// Subject maps a label set, read by get, to the names of the join. ok is false when it
// is of another environment, of one that cannot be told, or names nothing.
func (l Labels) Subject(get func(name string) string, deps Deps) (subject fleet.Subject, ok bool) {
	subject = fleet.Subject{
		Environment: First(l.Environment, get),
		Host:        First(l.Host, get),
		Service:     First(l.Service, get),
		Container:   strings.TrimPrefix(First(l.Container, get), "/"),
	}
	if subject.Service == "" && subject.Container == "" {
		return subject, false
	}
	if subject.Environment == "" {
		subject.Environment = deps.environmentOf(subject.Host)
	}
	return subject, subject.Environment == deps.Environment
}

// environmentOf is the environment of something that says only on which host it is:
// the host's, or the only one there is.
func (d Deps) environmentOf(host string) string {
	if host != "" && d.HostEnvironment != nil {
		if env := d.HostEnvironment(host); env != "" {
			return env
		}
	}
	if len(d.Environments) <= 1 {
		return d.Environment
	}
	return ""
}
