package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// metrics are the request figures every service of the estate exposes, in
// Prometheus's text format.
type metrics struct {
	version string
	start   time.Time
	bounds  []float64

	mu       sync.Mutex
	requests map[series]uint64
	buckets  []uint64 // one a bound, not cumulative; the last is +Inf
	sum      float64
	count    uint64
}

type series struct {
	method string
	status int
}

func newMetrics(version string, start time.Time) *metrics {
	bounds := []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	return &metrics{
		version: version, start: start, bounds: bounds,
		// Both exist from the start, so that the first failure is a rise and not a new series.
		requests: map[series]uint64{{"GET", 200}: 0, {"GET", 500}: 0},
		buckets:  make([]uint64, len(bounds)+1),
	}
}

func (m *metrics) observe(method string, status int, took time.Duration) {
	s := took.Seconds()
	i, _ := slices.BinarySearch(m.bounds, s)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests[series{method, status}]++
	m.buckets[i]++
	m.sum += s
	m.count++
}

func (m *metrics) write(w io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintf(w, "# HELP app_build_info The running release.\n# TYPE app_build_info gauge\napp_build_info{version=%q} 1\n", m.version)
	fmt.Fprint(w, "# HELP http_requests_total Requests answered.\n# TYPE http_requests_total counter\n")
	keys := slices.SortedFunc(maps.Keys(m.requests), func(a, b series) int {
		if c := strings.Compare(a.method, b.method); c != 0 {
			return c
		}
		return a.status - b.status
	})
	for _, k := range keys {
		fmt.Fprintf(w, "http_requests_total{method=%q,status=\"%d\",handler=\"/\"} %d\n", k.method, k.status, m.requests[k])
	}
	fmt.Fprint(w, "# HELP http_request_duration_seconds Time to answer.\n# TYPE http_request_duration_seconds histogram\n")
	var n uint64
	for i, b := range m.bounds {
		n += m.buckets[i]
		fmt.Fprintf(w, "http_request_duration_seconds_bucket{handler=\"/\",le=%q} %d\n", strconv.FormatFloat(b, 'g', -1, 64), n)
	}
	fmt.Fprintf(w, "http_request_duration_seconds_bucket{handler=\"/\",le=\"+Inf\"} %d\n", m.count)
	fmt.Fprintf(w, "http_request_duration_seconds_sum{handler=\"/\"} %g\nhttp_request_duration_seconds_count{handler=\"/\"} %d\n", m.sum, m.count)
	m.process(w)
}

// process writes the figures of the process under the names every Prometheus client uses.
func (m *metrics) process(w io.Writer) {
	fmt.Fprintf(w, "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %d\n", m.start.Unix())
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) == nil {
		cpu := time.Duration(ru.Utime.Nano() + ru.Stime.Nano()).Seconds()
		fmt.Fprintf(w, "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %g\n", cpu)
	}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			if pages, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				fmt.Fprintf(w, "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %d\n", pages*int64(os.Getpagesize()))
			}
		}
	}
}
