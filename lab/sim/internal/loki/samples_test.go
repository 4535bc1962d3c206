package loki

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grafana/dskit/user"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

// small is a world of two services that log, on a clock of the test's own.
func small(t *testing.T, now *time.Time) *world.World {
	t.Helper()
	w := world.New(1, func() time.Time { return *now })
	w.AddHost(world.Host{Name: "prod-1", Environment: "prod"})
	begun := now.Add(-3 * time.Hour)
	for _, lang := range []world.Lang{world.FastAPI, world.Spring, world.Postgres} {
		repo := fmt.Sprintf("service-%v", lang)
		img := w.Publish(world.Image{Repo: repo, Tag: "1"})
		if _, _, err := w.Pull("prod-1", repo+":1", begun); err != nil {
			t.Fatal(err)
		}
		spec := &world.Spec{
			Environment: "prod", Host: "prod-1", Project: "p", Service: repo, Name: "p-" + repo,
			Profile: world.Profile{Lang: lang, Lines: 1, ErrorLines: 0.3},
		}
		if _, err := w.Replace(spec, nil, img, begun); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// ask gives the answer of the server's HTTP API.
func ask(t *testing.T, s *Server, query string, from, to time.Time, step time.Duration) string {
	t.Helper()
	params := url.Values{
		"query": {query}, "start": {strconv.FormatInt(from.UnixNano(), 10)}, "end": {strconv.FormatInt(to.UnixNano(), 10)},
		"step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)}, "limit": {"100"}, "direction": {"forward"},
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/loki/api/v1/query_range?"+params.Encode(), nil))
	return w.Body.String()
}

// TestMemoryChangesNothing holds that an answer made of remembered minutes is the one made afresh.
func TestMemoryChangesNothing(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 7, 0, time.UTC)
	w := small(t, &now)
	s := New(w)
	const query = `sum by (host) (count_over_time({env="prod"} |= "ERROR" [1m]))`
	again := func(s *Server) string { return ask(t, s, query, now.Add(-time.Hour), now, 30*time.Second) }
	first := again(s)
	if second := again(s); second != first || len(first) < 100 {
		t.Errorf("asked twice:\n%s\nthen\n%s", first, second)
	}
	now = now.Add(95 * time.Second)
	if old, fresh := again(s), again(New(w)); old != fresh {
		t.Errorf("later, from memory:\n%s\nafresh\n%s", old, fresh)
	}
}

// TestAsLokisEngine holds that what is read of LogQL means what it means to Loki's own engine.
func TestAsLokisEngine(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 7, 0, time.UTC)
	w := small(t, &now)
	engine := logql.NewEngine(logql.EngineOpts{}, &store{world: w}, limits{}, nil)
	s := New(w)
	filled := 0
	for _, query := range []string{
		`{env="prod"}`, `{env="prod",source!="stderr"} |= "ERROR"`, `{env=~"prod|x"} != "INFO" !~ "GET|POST"`,
		`{env="prod"} |~ "(?i)(error|fatal)" |~ "(?i)\\b(error|fatal)\\b"`, "{env=\"prod\"} |~ `E[A-Z]+`", `{env="prod"} | detected_level=~"error|critical|fatal"`,
		`{env="prod"} | json`, `{env="prod"} | json | level="INFO"`, `{env="prod"} | logfmt`, `{env="prod"} | json | status >= 500`,
		`count_over_time({env="prod"}[1m])`, `rate({env="prod"} |= "ERROR" [2m])`, `bytes_over_time({env="prod"}[5m])`, `bytes_rate({env="prod"} != "x" [1m])`,
		`sum(count_over_time({env="prod"} |= "ERROR" [1m]))`, `sum by (compose_service, env) (count_over_time({env="prod"} |~ "(?i)error" [1m]))`,
		`sum(rate({env="prod"}[1m])) by (source)`, `avg without (source) (count_over_time({env="prod"}[1m]))`, `max by (env) (sum by (env, compose_service) (rate({env="prod"}[1m])))`,
		`min by (detected_level) (count_over_time({env="prod"} | json [1m]))`, `count(count_over_time({env="prod"}[1m]))`,
		`sum by (level) (count_over_time({env="prod"} | json | __error__="" [1m]))`, `sum by (level) (count_over_time({env="prod", compose_service!="service-postgres"} | json [1m]))`, `sum by (env) (count_over_time({env="prod"} [20s])) * 3`, `rate({env="prod"}[1m]) / 4`, `rate({env="prod"}[1m]) * x`, `{env=""}`, `{env="prod"`, `{env="prod"} |= `, `sum(count_over_time({env="prod"}))`, `topp(1)`, `{}`,
	} {
		from := now.Add(-10 * time.Minute)
		want, wantErr := reference(t, engine, query, from, now, 30*time.Second)
		raw := ask(t, s, query, from, now, 30*time.Second)
		got, ok := read(raw)
		switch {
		case wantErr != nil && !strings.HasPrefix(raw, kindOfError(wantErr)):
			t.Errorf("%s: %.200s\nwant the error %v", query, raw, wantErr)
		case wantErr == nil && (!ok || got != want):
			t.Errorf("%s: %.3000s\nwant %.3000s", query, cmpOr(got, raw), want)
		case len(want) > 100:
			filled++
		}
	}
	if filled < 15 {
		t.Errorf("only %d answers say anything", filled)
	}
}

// kindOfError is how an error of the engine begins, which is as much as anybody reads of it by program.
func kindOfError(err error) string {
	kind, _, _ := strings.Cut(err.Error(), " error")
	return kind + " error"
}

func reference(t *testing.T, engine *logql.QueryEngine, query string, from, to time.Time, step time.Duration) (string, error) {
	t.Helper()
	p, err := logql.NewLiteralParams(query, from, to, step, 0, logproto.FORWARD, 100, nil, nil)
	if err != nil {
		return "", err
	}
	res, err := engine.Query(p).Exec(user.InjectOrgID(t.Context(), "fake"))
	if err != nil {
		return "", err
	}
	var out []string
	switch data := res.Data.(type) {
	case promql.Matrix:
		for _, one := range data {
			line := one.Metric.String()
			for _, f := range one.Floats {
				line += fmt.Sprintf(" %d=%.9g", f.T, f.F)
			}
			out = append(out, line)
		}
	case logqlmodel.Streams:
		for _, one := range data {
			for _, e := range one.Entries {
				out = append(out, fmt.Sprintf("%s %d %s", one.Labels, e.Timestamp.UnixNano(), e.Line))
			}
		}
	default:
		t.Fatalf("%s: a %T", query, data)
	}
	slices.Sort(out)
	return strings.Join(out, "\n"), nil
}

// read writes an answer of the API as reference does.
func read(raw string) (string, bool) {
	var answer struct {
		Data struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if json.Unmarshal([]byte(raw), &answer) != nil {
		return "", false
	}
	var out []string
	var matrix model.Matrix
	var streams []answerStream
	if answer.Data.Type == "matrix" && json.Unmarshal(answer.Data.Result, &matrix) == nil {
		for _, one := range matrix {
			labels := map[string]string{}
			for name, value := range one.Metric {
				labels[string(name)] = string(value)
			}
			line := labelText(labels)
			for _, p := range one.Values {
				line += fmt.Sprintf(" %d=%.9g", int64(p.Timestamp), float64(p.Value))
			}
			out = append(out, line)
		}
	} else if json.Unmarshal(answer.Data.Result, &streams) == nil {
		for _, one := range streams {
			for _, v := range one.Values {
				out = append(out, labelText(one.Labels)+" "+v[0]+" "+v[1])
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n"), true
}

func labelText(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, name+"="+strconv.Quote(labels[name]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
