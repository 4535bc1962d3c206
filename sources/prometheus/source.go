package prometheus

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
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
	parallel  = 10 // a server answers 20 at a time by default
	timeout   = 10 * time.Second
	maxAnswer = 64 << 20
	maxSeries = 20_000 // of one answer
)

// Source is one Prometheus server, or what speaks like one.
type Source struct {
	id        fleet.SourceID
	title     string // in errors
	poll      time.Duration
	window    string
	cfg       *Config
	deps      sources.Deps
	labels    sources.Labels
	queries   []query
	transport *sources.Transport
	api       v1.API
}

// New makes the source. It does no I/O.
func New(name string, cfg *Config, deps sources.Deps) (*Source, error) {
	title := cfg.Title("prometheus", name)
	transport, err := cfg.Transport(deps, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	var rt http.RoundTripper = transport
	if cfg.Tenant != "" {
		rt = tenant{RoundTripper: transport, id: cfg.Tenant}
	}
	client, err := api.NewClient(api.Config{Address: cfg.URL, RoundTripper: rt})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	return &Source{
		id: fleet.MakeSourceID("prometheus", name), title: title,
		poll: time.Duration(cfg.Poll), window: time.Duration(cfg.Window).String(),
		cfg: cfg, deps: deps, labels: cfg.Labels, queries: plan(cfg, deps),
		transport: transport, api: v1.NewAPI(client),
	}, nil
}

// tenant names the tenant of a server that has several.
type tenant struct {
	http.RoundTripper
	id string
}

// RoundTrip adds the header.
func (t tenant) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("X-Scope-OrgID", t.id)
	return t.RoundTripper.RoundTrip(req) //nolint:wrapcheck // wrapped by the query
}

// ID names the source.
func (s *Source) ID() fleet.SourceID { return s.id }

// Timing is the clock of the source.
func (s *Source) Timing() sources.Timing {
	return sources.Timing{Every: s.poll, Timeout: timeout, MaxAge: max(3*s.poll, 30*time.Second)}
}

// Close ends the idle connections.
func (s *Source) Close() error {
	s.transport.Close()
	return nil
}

// answer is what one query brought.
type answer struct {
	facts    []fleet.MetricFact
	warnings []string
	server   []string // what the server warns of
	refused  error    // the server is well but does not take this query
}

// Observe asks for every metric over the last hour.
func (s *Source) Observe(ctx context.Context) (fleet.Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	read := reader{labels: s.labels, deps: s.deps, grid: sources.NewGrid(s.deps.Now(), span, step)}
	answers := make([]answer, len(s.queries))
	var once sync.Once
	var first error
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, q := range s.queries {
		group.Go(func() error {
			var err error
			answers[i], err = s.ask(gctx, q, read)
			if err != nil {
				once.Do(func() { first = err }) // the others only see themselves cancelled
			}
			return err
		})
	}
	_ = group.Wait()
	if first != nil {
		return fleet.Facts{}, first
	}
	return s.facts(answers)
}

// facts puts the answers together; an error only when every query was refused.
func (s *Source) facts(answers []answer) (fleet.Facts, error) {
	facts := fleet.Facts{}
	refused := 0
	var server []string
	seen := map[fleet.MetricName]int{}
	for i, a := range answers {
		q := s.queries[i]
		seen[q.name] = len(a.facts)
		facts.Metrics = append(facts.Metrics, a.facts...)
		if a.refused != nil {
			refused++
			facts.Warnings = append(facts.Warnings, q.refusal(a.refused))
		}
		facts.Warnings = append(facts.Warnings, a.warnings...)
		server = append(server, a.server...)
	}
	slices.Sort(server)
	facts.Warnings = append(facts.Warnings, sources.Bounded(slices.Compact(server))...)
	if refused > 0 && refused == len(answers) {
		return fleet.Facts{}, fmt.Errorf("%s: no query is accepted: %w", s.title, answers[0].refused)
	}
	facts.Warnings = append(facts.Warnings, s.doubts(seen, len(facts.Metrics))...)
	facts.Detail = fmt.Sprintf("%d series", len(facts.Metrics))
	facts.ObservedAt = s.deps.Now()
	return facts, nil
}

// doubts says when the answers are whole but hardly what was meant.
func (s *Source) doubts(seen map[fleet.MetricName]int, all int) []string {
	rates := seen[fleet.MetricRPS] + seen[fleet.MetricCPU]
	switch {
	case all == 0 && len(s.queries) > 0:
		return []string{fmt.Sprintf("nothing is known of environment %s here: check [sources.labels] environment and host", s.deps.Environment)}
	case rates == 0 && seen[fleet.MetricUp] > 0:
		return []string{fmt.Sprintf("targets are up but no rate has a value: window %s must be at least four scrape intervals", s.window)}
	default:
		return nil
	}
}

// ask sends one query and reads its answer.
func (s *Source) ask(ctx context.Context, q query, read reader) (answer, error) {
	value, warnings, _, err := s.api.QueryRange(ctx, q.text, v1.Range{Start: read.grid.Start, End: read.grid.End(), Step: read.grid.Step})
	if err != nil {
		if refuses(err) {
			return answer{refused: explain(err)}, nil
		}
		return answer{}, fmt.Errorf("%s: query %s: %w", s.title, q.name, explain(err))
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return answer{}, fmt.Errorf("%s: query %s: the answer is no range of samples", s.title, q.name)
	}
	var out answer
	if len(matrix) > maxSeries {
		return answer{refused: fmt.Errorf("%d series, more than %d: aggregate in the query", len(matrix), maxSeries)}, nil
	}
	out.facts, out.warnings = read.read(q, matrix)
	for _, w := range warnings {
		out.server = append(out.server, "the server says: "+remote.Clean(w))
	}
	return out, nil
}
