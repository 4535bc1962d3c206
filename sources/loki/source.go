package loki

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// The bounds of one observation.
const (
	span      = time.Hour
	step      = time.Minute
	parallel  = 3
	timeout   = 15 * time.Second
	maxAnswer = 64 << 20
	maxSeries = 5_000 // entries_limit_per_query; Loki ignores it for metric queries
	labelSpan = 6 * time.Hour
	shapeAge  = 10 * time.Minute
)

// Source is one Loki server.
type Source struct {
	id        fleet.SourceID
	title     string // in errors
	cfg       Config
	deps      sources.Deps
	transport *sources.Transport
	client    *client

	mu    sync.Mutex
	known shape
}

// New makes the source. It does no I/O.
func New(name string, cfg *Config, deps sources.Deps) (*Source, error) {
	transport, err := cfg.Transport(deps, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Title("loki", name), err)
	}
	return &Source{
		id: fleet.MakeSourceID("loki", name), title: cfg.Title("loki", name), cfg: *cfg, deps: deps,
		transport: transport, client: &client{address: cfg.URL, tenant: cfg.Tenant, base: transport},
	}, nil
}

// ID names the source.
func (s *Source) ID() fleet.SourceID { return s.id }

// Timing is the clock of the source.
func (s *Source) Timing() sources.Timing {
	every := s.cfg.Poll.Or(defaultPoll)
	return sources.Timing{Every: every, Timeout: timeout, MaxAge: max(3*every, 45*time.Second)}
}

// Close ends the idle connections.
func (s *Source) Close() error {
	s.transport.Close()
	return nil
}

func (s *Source) fail(err error) error { return fmt.Errorf("%s: %w", s.title, err) }

// Observe counts the error lines of every service over the last hour.
func (s *Source) Observe(ctx context.Context) (fleet.Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	facts, err := s.observe(ctx)
	if err != nil {
		s.forget()
		return fleet.Facts{}, s.fail(err)
	}
	facts.ObservedAt = s.deps.Now()
	return facts, nil
}

func (s *Source) observe(ctx context.Context) (fleet.Facts, error) {
	sh, known := s.current()
	var early *attempt
	if !known {
		early = s.try(ctx, s.guess())
		defer early.end()
		var err error
		if sh, err = s.shape(ctx); err != nil {
			return fleet.Facts{}, err
		}
	}
	q, err := s.question(sh)
	if errors.Is(err, errNoLabels) {
		return fleet.Facts{Detail: "no logs", Warnings: []string{"the server has no logs of the last hours"}}, nil
	}
	if err != nil {
		return fleet.Facts{}, err
	}
	if early.asked(q) {
		facts, err := early.result()
		if len(facts.Metrics) == 0 {
			s.forget() // what it said of its streams came before the labels were kept
		}
		return facts, err
	}
	return s.answers(ctx, q)
}

// question is all that one observation asks.
type question struct {
	selector string
	queries  []query
}

func (s *Source) question(sh shape) (question, error) {
	selector, err := s.selector(sh)
	if err != nil {
		return question{}, err
	}
	return question{selector: selector, queries: s.queries(sh, selector)}, nil
}

// answers asks it all at once.
func (s *Source) answers(ctx context.Context, q question) (fleet.Facts, error) {
	grid := sources.NewGrid(s.deps.Now(), span, step)
	answers := make([]answer, len(q.queries))
	var streams []labelSet
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	group.Go(func() error {
		var err error
		if streams, err = s.client.series(ctx, []string{q.selector}, grid.Start, grid.End()); err != nil {
			return fmt.Errorf("streams: %w", err)
		}
		return nil
	})
	for i, one := range q.queries {
		group.Go(func() error {
			var err error
			answers[i], err = s.ask(ctx, one, grid)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fleet.Facts{}, err //nolint:wrapcheck // made above
	}
	return s.facts(q.queries, answers, streams, grid), nil
}

// query is one metric and how it is asked for.
type query struct {
	name   fleet.MetricName
	unit   fleet.Unit
	text   string
	custom bool
	scoped bool // its text chooses the environment itself
}

// queries are log_errors and the added ones, by name.
func (s *Source) queries(sh shape, selector string) []query {
	var out []query
	if _, custom := s.cfg.Queries[string(fleet.MetricLogErrors)]; !custom {
		out = append(out, query{name: fleet.MetricLogErrors, unit: fleet.UnitPerMinute, text: s.errorLines(sh, selector)})
	}
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Queries)) {
		own := s.cfg.Queries[name]
		if strings.TrimSpace(own) == "" {
			continue // left out by the config
		}
		out = append(out, query{
			name: fleet.MetricName(name), unit: s.cfg.unit(name), custom: true,
			text:   fill(own, s.deps.Environment, map[string]string{"selector": selector, "errors": s.cfg.filter()}),
			scoped: scoped(own) || strings.Contains(own, "$selector") || strings.Contains(own, "${selector}"),
		})
	}
	return out
}

// scoped reports whether LogQL of the config asks for one environment by itself.
func scoped(text string) bool {
	return strings.Contains(text, "$env") || strings.Contains(text, "${env}")
}

// answer is what one query brought.
type answer struct {
	matrix  model.Matrix
	refused error // the server is well but does not take this query
}

func (s *Source) ask(ctx context.Context, q query, grid sources.Grid) (answer, error) {
	matrix, err := s.client.matrix(ctx, q.text, grid)
	if err == nil {
		return answer{matrix: matrix}, nil
	}
	var status *sources.HTTPError
	if q.custom && errors.As(err, &status) && status.Status == http.StatusBadRequest {
		return answer{refused: err}, nil
	}
	return answer{}, fmt.Errorf("query %s: %w", q.name, err)
}

// facts turns the answers into facts. A service that has streams and no error line has a
// rate of zero; one without streams has none at all.
func (s *Source) facts(queries []query, answers []answer, streams []labelSet, grid sources.Grid) fleet.Facts {
	facts := fleet.Facts{Detail: fmt.Sprintf("%d streams", len(streams))}
	for i, q := range queries {
		if err := answers[i].refused; err != nil {
			facts.Warnings = append(facts.Warnings, fmt.Sprintf("%s: %s; mend queries.%s", q.name, err, q.name))
			continue
		}
		rows := map[fleet.Subject][]float64{}
		if q.name == fleet.MetricLogErrors {
			s.quiet(rows, streams, grid)
		}
		nameless := s.lay(rows, q, answers[i].matrix, grid)
		if nameless > 0 && q.custom {
			facts.Warnings = append(facts.Warnings, fmt.Sprintf("%s: %d of %d series name no service: let the query keep one of the labels %s",
				q.name, nameless, len(answers[i].matrix), strings.Join(s.cfg.Labels.Service, ", ")))
		}
		for subject, values := range rows {
			facts.Metrics = append(facts.Metrics, fleet.MetricFact{Subject: subject, Name: q.name, Unit: q.unit, Series: grid.Series(values)})
		}
	}
	slices.SortFunc(facts.Metrics, func(a, b fleet.MetricFact) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Subject.Service, b.Subject.Service),
			cmp.Compare(a.Subject.Container, b.Subject.Container), cmp.Compare(a.Subject.Host, b.Subject.Host))
	})
	if len(streams) == 0 {
		s.forget()
		facts.Warnings = append(facts.Warnings, fmt.Sprintf(
			"no stream of the last hour is of environment %s: check [sources.labels] environment, or selector", remote.Clean(s.deps.Environment)))
	}
	return facts
}

// quiet gives every service that has streams a rate of zero.
func (s *Source) quiet(rows map[fleet.Subject][]float64, streams []labelSet, grid sources.Grid) {
	for _, set := range streams {
		subject, ok := s.subject(func(name string) string { return set[name] }, scoped(s.cfg.Selector))
		if !ok || rows[subject] != nil {
			continue
		}
		rows[subject] = make([]float64, grid.Slots)
	}
}

// lay adds the samples to the rows and counts the series that name no service.
func (s *Source) lay(rows map[fleet.Subject][]float64, q query, matrix model.Matrix, grid sources.Grid) (nameless int) {
	for _, series := range matrix {
		get := func(name string) string { return string(series.Metric[model.LabelName(name)]) }
		subject, ok := s.subject(get, q.scoped || scoped(s.cfg.Selector))
		if subject.Service == "" && subject.Container == "" {
			nameless++
		}
		if !ok {
			continue
		}
		values := grid.Empty()
		for _, p := range series.Values {
			grid.Put(values, p.Timestamp.Time(), float64(p.Value))
		}
		if rows[subject] == nil {
			rows[subject] = grid.Empty()
		}
		sources.MergeOf(q.unit).Into(rows[subject], values)
	}
	return nameless
}

// subject maps labels to what the rows are about: the service, whichever host and
// container its lines come from; the container only where no service is named.
func (s *Source) subject(get func(string) string, scoped bool) (fleet.Subject, bool) {
	deps := s.deps
	if scoped && sources.First(s.cfg.Labels.Environment, get) == "" {
		deps.Environments = nil // the selector has chosen the environment
	}
	subject, ok := s.cfg.Labels.Subject(get, deps)
	if subject.Service != "" {
		subject.Host, subject.Container = "", ""
	}
	return subject, ok
}
