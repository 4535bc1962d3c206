package fleet

import "time"

// MetricName names a series that services have.
type MetricName string

// The metrics the join has opinions on. Others are carried and shown generically.
const (
	MetricRPS         MetricName = "rps"          // requests per second
	MetricErrorRatio  MetricName = "error_ratio"  // 0..1 of requests; no value when there is no traffic
	MetricP95         MetricName = "p95"          // seconds
	MetricP99         MetricName = "p99"          // seconds
	MetricCPU         MetricName = "cpu"          // cores
	MetricMemory      MetricName = "memory"       // bytes, working set
	MetricMemoryRatio MetricName = "memory_ratio" // 0..1 of the limit
	MetricLogErrors   MetricName = "log_errors"   // error lines per minute
	MetricUp          MetricName = "up"           // 0 or 1: the scrape works
	MetricProbe       MetricName = "probe"        // 0 or 1: the blackbox probe works
)

// Unit says how a metric's numbers read.
type Unit string

// The units of metrics.
const (
	UnitPerSecond Unit = "per_second"
	UnitPerMinute Unit = "per_minute"
	UnitRatio     Unit = "ratio"
	UnitSeconds   Unit = "seconds"
	UnitCores     Unit = "cores"
	UnitBytes     Unit = "bytes"
	UnitBool      Unit = "bool"
	UnitNone      Unit = ""
)

// Series is evenly spaced samples; NaN where there is none (for a ratio: no traffic).
type Series struct {
	Start  time.Time // time of Values[0]
	Step   time.Duration
	Values []float64
}

// At is the time of the i-th sample.
func (s Series) At(i int) time.Time { return s.Start.Add(time.Duration(i) * s.Step) }

// Last is the newest sample; ok is false when it is missing or NaN.
func (s Series) Last() (v float64, ok bool) {
	if len(s.Values) == 0 {
		return 0, false
	}
	v = s.Values[len(s.Values)-1]
	return v, v == v
}

// MetricFact is one series of one subject.
type MetricFact struct {
	Subject Subject
	Name    MetricName
	Unit    Unit
	Series  Series
	Detail  string // e.g. the probed URL, the scrape error
}
