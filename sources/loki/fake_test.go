package loki

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// stored is one line of the fake.
type stored struct {
	at     int64
	labels string // JSON
	text   string
}

// fakeLoki answers like Loki, from lines in memory, and can be made to misbehave.
type fakeLoki struct {
	mu     sync.Mutex
	labels []string
	series string // JSON
	matrix string // JSON, of any metric query
	lines  []stored
	asked  []string                       // queries
	tails  func(*websocket.Conn)          // what a live tail does
	before func(http.ResponseWriter) bool // answers instead, when true
	limit  int
	server *httptest.Server
}

func newFake(t testing.TB) *fakeLoki {
	t.Helper()
	f := &fakeLoki{
		labels: []string{"compose_service", "env", "host", "service_name", "container_name"},
		series: `[{"env":"prod","compose_service":"ai","host":"prod-1"}]`, limit: 5000,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/loki/api/v1/labels", f.guard(func(w http.ResponseWriter, _ *http.Request) {
		names, _ := json.Marshal(f.labels)
		_, _ = fmt.Fprintf(w, `{"status":"success","data":%s}`, names)
	}))
	mux.HandleFunc("/loki/api/v1/series", f.guard(func(w http.ResponseWriter, r *http.Request) {
		f.note(r.FormValue("match"))
		_, _ = fmt.Fprintf(w, `{"status":"success","data":%s}`, f.series)
	}))
	mux.HandleFunc("/loki/api/v1/query_range", f.guard(f.query))
	mux.HandleFunc("/loki/api/v1/tail", f.guard(f.tail))
	f.server = httptest.NewServer(mux)
	t.Cleanup(f.server.Close)
	return f
}

func (f *fakeLoki) note(query string) {
	f.mu.Lock()
	f.asked = append(f.asked, query)
	f.mu.Unlock()
}

func (f *fakeLoki) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if f.before != nil && f.before(w) {
			return
		}
		next(w, r)
	}
}

func (f *fakeLoki) add(lines ...stored) {
	f.mu.Lock()
	f.lines = append(f.lines, lines...)
	f.mu.Unlock()
}

// query answers log queries backwards from the lines, and metric queries with one series.
func (f *fakeLoki) query(w http.ResponseWriter, r *http.Request) {
	f.note(r.FormValue("query"))
	from, _ := strconv.ParseInt(r.FormValue("start"), 10, 64)
	to, _ := strconv.ParseInt(r.FormValue("end"), 10, 64)
	if r.FormValue("step") != "" && f.matrix != "" {
		_, _ = w.Write([]byte(f.matrix))
		return
	}
	if r.FormValue("step") != "" {
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[
			{"metric":{"env":"prod","compose_service":"ai"},"values":[[%[1]d,"3"]]},
			{"metric":{"env":"prod","compose_service":"ai","service_name":"x"},"values":[[%[1]d,"4"]]},
			{"metric":{"env":"staging","compose_service":"ai"},"values":[[%[1]d,"100"]]}]}}`, to/1e9)
		return
	}
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	if limit > f.limit {
		http.Error(w, fmt.Sprintf("max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", limit, f.limit), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	lines := slices.Clone(f.lines)
	f.mu.Unlock()
	slices.Reverse(lines) // backwards, lines of one moment too
	slices.SortStableFunc(lines, func(a, b stored) int { return cmp.Compare(b.at, a.at) })
	streams := map[string][][2]string{}
	for _, l := range lines {
		if l.at >= from && l.at < to && limit > 0 {
			streams[l.labels] = append(streams[l.labels], [2]string{strconv.FormatInt(l.at, 10), l.text})
			limit--
		}
	}
	_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"streams","result":` + streamsJSON(streams) + `,"stats":{}}}`))
}

func streamsJSON(streams map[string][][2]string) string {
	type stream struct {
		Stream json.RawMessage `json:"stream"`
		Values [][2]string     `json:"values"`
	}
	out := []stream{}
	for labels, values := range streams {
		out = append(out, stream{json.RawMessage(labels), values})
	}
	text, _ := json.Marshal(out)
	return string(text)
}

func (f *fakeLoki) tail(w http.ResponseWriter, r *http.Request) {
	if f.tails == nil {
		http.Error(w, "no websocket here", http.StatusForbidden)
		return
	}
	upgrader := websocket.Upgrader{}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	f.tails(conn)
}

const aiLabels = `{"env":"prod","compose_service":"ai","container_name":"/shop-ai-1","host":"prod-1","stream":"stderr"}`

// frame is a message of the live tail.
func frame(lines ...stored) []byte {
	streams := map[string][][2]string{}
	for _, l := range lines {
		streams[l.labels] = append(streams[l.labels], [2]string{strconv.FormatInt(l.at, 10), l.text})
	}
	return []byte(`{"streams":` + streamsJSON(streams) + `}`)
}

func at(offset time.Duration, text string) stored {
	return stored{at: noon.Add(offset).UnixNano(), labels: aiLabels, text: text}
}

// drain reads a connection until it ends, so that pings are answered.
func drain(conn *websocket.Conn) {
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}
