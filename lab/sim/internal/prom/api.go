// Package prom answers the Prometheus HTTP API about a simulated world: the
// queries run in Prometheus' own engine, over series that are made up as they are read.
package prom

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

const (
	maxPoints  = 11000
	maxSamples = 50_000_000
	timeout    = 30 * time.Second
)

// Server is Prometheus.
type Server struct {
	world  *world.World
	engine *promql.Engine
	mux    *http.ServeMux
}

// New makes a Prometheus that watches a world.
func New(w *world.World) *Server {
	s := &Server{world: w, mux: http.NewServeMux()}
	s.engine = promql.NewEngine(promql.EngineOpts{
		MaxSamples: maxSamples, Timeout: timeout, LookbackDelta: lookback, EnableAtModifier: true, EnableNegativeOffset: true,
	})
	for path, h := range map[string]func(*http.Request) (any, error){
		"/query": s.query, "/query_range": s.queryRange, "/labels": s.labelNames, "/label/{name}/values": s.labelValues,
		"/series": s.series, "/alerts": s.alerts, "/rules": s.rules, "/targets": s.targets, "/status/buildinfo": s.buildinfo,
	} {
		s.mux.HandleFunc("/api/v1"+path, func(rw http.ResponseWriter, r *http.Request) { answer(rw, r, h) })
	}
	for path, text := range map[string]string{"/-/ready": "Prometheus Server is Ready.\n", "/-/healthy": "Prometheus Server is Healthy.\n"} {
		s.mux.HandleFunc(path, func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(text)) })
	}
	return s
}

// ServeHTTP answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// badData is a mistake of the client.
type badData struct{ error }

func bad(text string) error { return badData{errors.New(text)} }

func answer(w http.ResponseWriter, r *http.Request, h func(*http.Request) (any, error)) {
	if err := r.ParseForm(); err != nil {
		fail(w, http.StatusBadRequest, "bad_data", err)
		return
	}
	data, err := h(r)
	var mistake badData
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": data})
	case errors.As(err, &mistake):
		fail(w, http.StatusBadRequest, "bad_data", err)
	case errors.As(err, new(promql.ErrQueryTimeout)):
		fail(w, http.StatusServiceUnavailable, "timeout", err)
	case errors.As(err, new(promql.ErrQueryCanceled)):
		fail(w, 499, "canceled", err)
	default:
		fail(w, http.StatusUnprocessableEntity, "execution", err)
	}
}

func fail(w http.ResponseWriter, code int, kind string, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "error", "errorType": kind, "error": err.Error()})
}

// storageFor looks whether the query's hints can be trusted to say which samples it needs.
func (s *Server) storageFor(text string) (queryable, error) {
	expr, err := parser.ParseExpr(text)
	if err != nil {
		return queryable{}, badData{err}
	}
	q := queryable{world: s.world}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if _, ok := n.(*parser.SubqueryExpr); ok {
			q.dense = true
		}
		return nil
	})
	return q, nil
}

func (s *Server) query(r *http.Request) (any, error) {
	at, err := s.time(r.Form.Get("time"), s.world.Now())
	if err != nil {
		return nil, err
	}
	store, err := s.storageFor(r.Form.Get("query"))
	if err != nil {
		return nil, err
	}
	q, err := s.engine.NewInstantQuery(r.Context(), store, nil, r.Form.Get("query"), at)
	if err != nil {
		return nil, badData{err}
	}
	return run(r.Context(), q)
}

func (s *Server) queryRange(r *http.Request) (any, error) {
	start, err1 := s.time(r.Form.Get("start"), time.Time{})
	end, err2 := s.time(r.Form.Get("end"), time.Time{})
	step, err3 := duration(r.Form.Get("step"))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	switch {
	case start.IsZero() || end.IsZero():
		return nil, bad("invalid parameter \"start\": cannot parse \"\" to a valid timestamp")
	case end.Before(start):
		return nil, bad("invalid parameter \"end\": end timestamp must not be before start time")
	case step <= 0:
		return nil, bad("invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer")
	case end.Sub(start)/step > maxPoints:
		return nil, bad("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")
	}
	return s.rangeOf(r.Context(), r.Form.Get("query"), start, end, step)
}

func (s *Server) rangeOf(ctx context.Context, text string, start, end time.Time, step time.Duration) (any, error) {
	store, err := s.storageFor(text)
	if err != nil {
		return nil, err
	}
	q, err := s.engine.NewRangeQuery(ctx, store, nil, text, start, end, step)
	if err != nil {
		return nil, badData{err}
	}
	return run(ctx, q)
}

type result struct {
	Type   parser.ValueType `json:"resultType"`
	Result parser.Value     `json:"result"`
}

func run(ctx context.Context, q promql.Query) (any, error) {
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, res.Err
	}
	v := res.Value
	switch list := v.(type) { // an empty answer is [], not null
	case promql.Vector:
		if list == nil {
			v = promql.Vector{}
		}
	case promql.Matrix:
		if list == nil {
			v = promql.Matrix{}
		}
		// Close gives the points back to the engine's pool: keep our own.
		own := make(promql.Matrix, len(list))
		for i, s := range list {
			own[i] = promql.Series{Metric: s.Metric, Floats: append([]promql.FPoint(nil), s.Floats...)}
		}
		v = own
	}
	return result{v.Type(), v}, nil
}

// matchers reads match[] and gives one querier's worth of series for each.
func (s *Server) matching(r *http.Request) ([]*series, error) {
	now := s.world.Now()
	start, err1 := s.time(r.Form.Get("start"), now.Add(-retention))
	end, err2 := s.time(r.Form.Get("end"), now)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	sets := [][]*labels.Matcher{nil}
	if given := r.Form["match[]"]; len(given) > 0 {
		parsed, err := parser.ParseMetricSelectors(given)
		if err != nil {
			return nil, badData{err}
		}
		sets = parsed
	}
	q := &querier{queryable: queryable{world: s.world}, mint: start.UnixMilli(), maxt: end.UnixMilli()}
	var out []*series
	seen := map[uint64]bool{}
	for _, m := range sets {
		for _, one := range q.collect(r.Context(), nil, m) {
			if h := one.labels.Hash(); !seen[h] {
				seen[h] = true
				out = append(out, one)
			}
		}
	}
	return out, nil
}

func (s *Server) labelNames(r *http.Request) (any, error) {
	return s.distinct(r, func(add func(string), ls labels.Labels) { ls.Range(func(l labels.Label) { add(l.Name) }) })
}

func (s *Server) labelValues(r *http.Request) (any, error) {
	name := r.PathValue("name")
	if !model.LabelName(name).IsValid() {
		return nil, bad("invalid label name: " + strconv.Quote(name))
	}
	return s.distinct(r, func(add func(string), ls labels.Labels) {
		if v := ls.Get(name); v != "" {
			add(v)
		}
	})
}

func (s *Server) distinct(r *http.Request, visit func(add func(string), ls labels.Labels)) (any, error) {
	list, err := s.matching(r)
	if err != nil {
		return nil, err
	}
	out := []string{}
	seen := map[string]bool{}
	for _, one := range list {
		visit(func(v string) {
			if !seen[v] {
				seen[v] = true
				out = append(out, v)
			}
		}, one.labels)
	}
	sort.Strings(out)
	return out, nil
}

func (s *Server) series(r *http.Request) (any, error) {
	if len(r.Form["match[]"]) == 0 {
		return nil, bad("no match[] parameter provided")
	}
	list, err := s.matching(r)
	if err != nil {
		return nil, err
	}
	out := make([]labels.Labels, len(list))
	for i, one := range list {
		out[i] = one.labels
	}
	return out, nil
}

func (s *Server) buildinfo(*http.Request) (any, error) {
	return map[string]string{
		"version": "2.54.1", "revision": "e6cfa720fbe6280153fab13090a483dbd40bece3", "branch": "HEAD",
		"buildUser": "root@nexgate", "buildDate": "20240827-10:56:41", "goVersion": "go1.22.6",
	}, nil
}

func (s *Server) time(v string, otherwise time.Time) (time.Time, error) {
	if v == "" {
		return otherwise, nil
	}
	if f, err := strconv.ParseFloat(v, 64); err == nil {
		sec, frac := math.Modf(f)
		return time.Unix(int64(sec), int64(math.Round(frac*1000))*int64(time.Millisecond)), nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return time.Time{}, bad("cannot parse " + strconv.Quote(v) + " to a valid timestamp")
	}
	return t, nil
}

func duration(v string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(v, 64); err == nil {
		return time.Duration(f * float64(time.Second)), nil
	}
	d, err := model.ParseDuration(strings.TrimSpace(v))
	if err != nil {
		return 0, bad("cannot parse " + strconv.Quote(v) + " to a valid duration")
	}
	return time.Duration(d), nil
}
