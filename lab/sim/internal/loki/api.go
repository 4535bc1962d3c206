// Package loki answers the Loki HTTP API about a simulated world, over lines that are made up as they are read.
package loki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

const (
	defaultLimit = 100
	maxLimit     = 5000
	maxSeries    = 500
	timeout      = 30 * time.Second
	maxTails     = 10
)

// Server is Loki.
type Server struct {
	world *world.World
	known *memory
	mux   *http.ServeMux
	tails chan struct{}
}

// New makes a Loki that the world ships its logs to.
func New(w *world.World) *Server {
	s := &Server{world: w, known: &memory{}, mux: http.NewServeMux(), tails: make(chan struct{}, maxTails)}
	for path, h := range map[string]http.HandlerFunc{
		"/query": s.query, "/query_range": s.queryRange, "/labels": s.labelNames, "/label/{name}/values": s.labelValues,
		"/series": s.series, "/tail": s.tail, "/status/buildinfo": s.buildinfo,
	} {
		s.mux.HandleFunc("/loki/api/v1"+path, h)
	}
	s.mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ready\n")) })
	return s
}

// ServeHTTP answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		fail(w, err)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// fail answers as Loki does, in plain text.
func fail(w http.ResponseWriter, err error) {
	http.Error(w, err.Error(), http.StatusBadRequest)
}

func (s *Server) query(w http.ResponseWriter, r *http.Request) {
	at, err := instant(r.Form.Get("time"), s.world.Now())
	if err != nil {
		fail(w, err)
		return
	}
	s.run(w, r, at, at, 0)
}

func (s *Server) queryRange(w http.ResponseWriter, r *http.Request) {
	start, end, err := s.span(r)
	if err != nil {
		fail(w, err)
		return
	}
	step := time.Duration(max(1, math.Floor(end.Sub(start).Seconds()/250))) * time.Second
	if v := r.Form.Get("step"); v != "" {
		if step, err = duration(v); err != nil {
			fail(w, err)
			return
		}
	}
	switch {
	case end.Before(start):
		fail(w, errors.New("end timestamp must not be before or equal to start time"))
	case step <= 0:
		fail(w, errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	case end.Sub(start)/step > 11000:
		fail(w, errors.New("exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter"))
	default:
		s.run(w, r, start, end, step)
	}
}

func (s *Server) run(w http.ResponseWriter, r *http.Request, start, end time.Time, step time.Duration) {
	limit, err := limitOf(r)
	if err != nil {
		fail(w, err)
		return
	}
	logs, metric, err := parse(r.Form.Get("query"))
	if err != nil {
		fail(w, err)
		return
	}
	if logs != nil {
		forward := strings.EqualFold(r.Form.Get("direction"), "forward")
		answer(w, "streams", s.lines(logs, start, end, forward, limit))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	matrix, err := s.evaluate(ctx, metric, grid{start: start, end: end, step: step})
	switch {
	case err != nil:
		fail(w, err)
	case step > 0:
		answer(w, "matrix", matrix)
	default:
		answer(w, "vector", instantOf(matrix))
	}
}

// instantOf is an answer of one moment.
func instantOf(m model.Matrix) model.Vector {
	out := model.Vector{}
	for _, one := range m {
		out = append(out, &model.Sample{Metric: one.Metric, Timestamp: one.Values[0].Timestamp, Value: one.Values[0].Value})
	}
	return out
}

func answer(w http.ResponseWriter, kind string, result any) {
	reply(w, map[string]any{"resultType": kind, "result": result, "stats": map[string]any{}})
}

func limitOf(r *http.Request) (int, error) {
	v := r.Form.Get("limit")
	if v == "" {
		return defaultLimit, nil
	}
	n, err := strconv.ParseUint(v, 10, 32)
	switch {
	case err != nil || n == 0:
		return 0, errors.New("limit must be a positive value")
	case n > maxLimit && !metric(r.Form.Get("query")):
		return 0, fmt.Errorf("max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", n, maxLimit)
	}
	return int(n), nil //nolint:gosec // 32 bits
}

func metric(query string) bool {
	_, m, err := parse(query)
	return err == nil && m != nil
}

// span is the range of time of a request, by default the last hour.
func (s *Server) span(r *http.Request) (start, end time.Time, err error) {
	end, err = instant(r.Form.Get("end"), s.world.Now())
	if err != nil {
		return start, end, err
	}
	start, err = instant(r.Form.Get("start"), end.Add(-time.Hour))
	return start, end, err
}

func (s *Server) matching(r *http.Request, texts []string) ([]*stream, error) {
	sets := [][]*labels.Matcher{nil}
	if len(texts) > 0 {
		sets = nil
		for _, text := range texts {
			x, err := parseLogs(text)
			if err != nil {
				return nil, err
			}
			sets = append(sets, x.matchers)
		}
	}
	start, end, err := s.span(r)
	if err != nil {
		return nil, err
	}
	var out []*stream
	seen := map[string]bool{}
	for _, m := range sets {
		for _, st := range streams(s.world, m) {
			if !seen[st.labels.String()] && st.between(start, end) {
				seen[st.labels.String()] = true
				out = append(out, st)
			}
		}
	}
	return out, nil
}

// between reports whether a container of the stream was there at some time of the range.
func (s *stream) between(start, end time.Time) bool {
	for _, c := range s.containers {
		if c.Created.Before(end) && (c.Removed.IsZero() || c.Removed.After(start)) {
			return true
		}
	}
	return false
}

func (s *Server) labelNames(w http.ResponseWriter, r *http.Request) {
	s.distinct(w, r, func(add func(string), ls labels.Labels) { ls.Range(func(l labels.Label) { add(l.Name) }) })
}

func (s *Server) labelValues(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	s.distinct(w, r, func(add func(string), ls labels.Labels) {
		if v := ls.Get(name); v != "" {
			add(v)
		}
	})
}

func (s *Server) distinct(w http.ResponseWriter, r *http.Request, visit func(add func(string), ls labels.Labels)) {
	var query []string
	if q := r.Form.Get("query"); q != "" && q != "{}" {
		query = []string{q}
	}
	list, err := s.matching(r, query)
	if err != nil {
		fail(w, err)
		return
	}
	seen := map[string]bool{}
	out := []string{}
	for _, st := range list {
		visit(func(v string) {
			if !seen[v] {
				seen[v] = true
				out = append(out, v)
			}
		}, st.labels)
	}
	sort.Strings(out)
	reply(w, out)
}

func (s *Server) series(w http.ResponseWriter, r *http.Request) {
	list, err := s.matching(r, append(r.Form["match"], r.Form["match[]"]...))
	if err != nil {
		fail(w, err)
		return
	}
	out := make([]labels.Labels, len(list))
	for i, st := range list {
		out[i] = st.labels
	}
	reply(w, out)
}

func (s *Server) buildinfo(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_ = json.NewEncoder(w).Encode(map[string]string{"version": "3.6.3", "revision": "7c4d0a55", "branch": "HEAD", "goVersion": "go1.25.4"})
}

func reply(w http.ResponseWriter, data any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": data})
}

// instant reads nanoseconds, seconds with a fraction, or an RFC 3339 time.
func instant(v string, otherwise time.Time) (time.Time, error) {
	if v == "" {
		return otherwise, nil
	}
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		if len(v) <= 10 {
			return time.Unix(n, 0), nil
		}
		return time.Unix(0, n), nil
	}
	if f, err := strconv.ParseFloat(v, 64); err == nil {
		sec, frac := math.Modf(f)
		return time.Unix(int64(sec), int64(frac*1e9)), nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", v)
	}
	return t, nil
}

func duration(v string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(v, 64); err == nil {
		return time.Duration(f * float64(time.Second)), nil
	}
	d, err := model.ParseDuration(v)
	if err != nil {
		return 0, fmt.Errorf("cannot parse %q to a valid duration", v)
	}
	return time.Duration(d), nil
}
