package loki

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/sources"
)

// serviceName is the label that Loki 3 gives every stream by itself.
const serviceName = "service_name"

// shape is what is known of the streams' labels.
type shape struct {
	names []string // all there are
	at    time.Time
}

func (s shape) has(name string) bool { return slices.Contains(s.names, name) }

// present gives the names that exist, in their order.
func (s shape) present(names []string) []string {
	var out []string
	for _, n := range names {
		if s.has(n) && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// errNoLabels says that the server is well and has no logs.
var errNoLabels = errors.New("no stream has a label")

// shape asks once which labels there are, and again when that is old or was wrong.
func (s *Source) shape(ctx context.Context) (shape, error) {
	if known, ok := s.current(); ok {
		return known, nil
	}
	now := s.deps.Now()
	names, err := s.client.labelNames(ctx, now.Add(-labelSpan), now)
	if err != nil {
		return shape{}, fmt.Errorf("labels: %w", err)
	}
	known := shape{names: names, at: now}
	s.mu.Lock()
	s.known = known
	s.mu.Unlock()
	s.remember(names)
	return known, nil
}

// current is what was found out not long ago.
func (s *Source) current() (shape, bool) {
	now := s.deps.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known, len(s.known.names) > 0 && now.Sub(s.known.at) < shapeAge && !s.known.at.After(now)
}

func (s *Source) forget() {
	s.mu.Lock()
	s.known = shape{}
	s.mu.Unlock()
}

// environment gives the matchers that choose the environment's streams. Loki wants one that
// does not match the empty value; strict says that one of them is such.
func (s *Source) environment(sh shape) (matchers []string, strict bool, err error) {
	env := sh.present(s.cfg.Labels.Environment)
	host := sh.present(s.cfg.Labels.Host)
	switch {
	case len(env) == 1:
		return []string{env[0] + "=" + strconv.Quote(s.deps.Environment)}, true, nil
	case len(env) > 1:
		// The first label a stream has counts: the others are looked at in the answer.
		return []string{env[0] + "=~" + strconv.Quote(regexp.QuoteMeta(s.deps.Environment)+"|")}, false, nil
	case len(s.deps.Environments) <= 1:
		return nil, false, nil
	case len(host) == 1 && len(s.deps.Hosts) > 0:
		return []string{oneOf(host[0], s.deps.Hosts)}, true, nil
	default:
		return nil, false, fmt.Errorf("no label says the environment (there are %s): set [sources.labels] environment, or selector",
			strings.Join(sh.names, ", "))
	}
}

// selector chooses the streams of the environment, or those more that the matchers ask for.
func (s *Source) selector(sh shape, more ...string) (string, error) {
	if own := strings.TrimSpace(s.cfg.Selector); own != "" {
		inner := strings.TrimSpace(fill(own[1:len(own)-1], s.deps.Environment, nil))
		return "{" + strings.Join(append(nonEmpty(inner), more...), ", ") + "}", nil
	}
	if len(sh.names) == 0 {
		return "", errNoLabels
	}
	matchers, strict, err := s.environment(sh)
	if err != nil {
		return "", err
	}
	if !strict && len(more) == 0 {
		label, ok := s.anchor(sh)
		if !ok {
			return "", fmt.Errorf("no label says the service (there are %s): set [sources.labels] service, or selector",
				strings.Join(sh.names, ", "))
		}
		matchers = append(matchers, label+`=~".+"`)
	}
	matchers = append(matchers, more...)
	return "{" + strings.Join(append(matchers, notOurs), ", ") + "}", nil
}

// notOurs leaves out what nexops itself has put there ([actions.journal.loki]): the record of a redeploy
// speaks of errors, and is none of the service's.
const notOurs = `job!="nexops"`

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{strings.TrimSuffix(s, ",")}
}

// anchor is the label that most streams have.
func (s *Source) anchor(sh shape) (string, bool) {
	if sh.has(serviceName) {
		return serviceName, true
	}
	names := sh.present(slices.Concat(s.cfg.Labels.Service, s.cfg.Labels.Container))
	if len(names) == 0 {
		return "", false
	}
	return names[0], true
}

// errorLines is the one metric query: error lines a minute, by the labels that name
// the service and the environment.
func (s *Source) errorLines(sh shape, selector string) string {
	by := sh.present(s.cfg.Labels.Service)
	if len(by) == 0 {
		by = sh.present(slices.Concat(s.cfg.Labels.Container, s.cfg.Labels.Host))
	}
	by = append(by, sh.present(s.cfg.Labels.Environment)...)
	if len(s.deps.Environments) > 1 && len(sh.present(s.cfg.Labels.Environment)) == 0 {
		by = append(by, sh.present(s.cfg.Labels.Host)...)
	}
	slices.Sort(by)
	by = slices.Compact(by)
	return "sum by (" + strings.Join(by, ",") + ") (count_over_time(" + selector + " " + s.cfg.filter() + " [1m]))"
}

// fill puts the environment and further values into LogQL of the config.
func fill(text, environment string, more map[string]string) string {
	env := sources.EscapeQuoted(environment)
	pairs := []string{"${env}", env, "$env", env}
	for name, value := range more {
		pairs = append(pairs, "${"+name+"}", value, "$"+name, value)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// oneOf matches a label that has one of the values.
func oneOf(label string, values []string) string {
	if len(values) == 1 {
		return label + "=" + strconv.Quote(values[0])
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = regexp.QuoteMeta(v)
	}
	return label + "=~" + strconv.Quote(strings.Join(quoted, "|"))
}
