package world

import (
	"math"
	"time"
)

// Lang says what a service's logs and metrics look like.
type Lang string

// The sorts of programs of the estate.
const (
	Spring   Lang = "spring"  // Java, Micrometer names, JSON logs of logstash-encoder
	Node     Lang = "node"    // prom-client names, JSON logs of pino
	FastAPI  Lang = "fastapi" // instrumentator names, JSON logs
	Traefik  Lang = "traefik" // access log in JSON
	Postgres Lang = "postgres"
	Redis    Lang = "redis"
	Plain    Lang = "plain" // anything else: plain lines
)

// Serves reports whether programs of this sort are asked over HTTP and count it.
func (l Lang) Serves() bool {
	return l == Spring || l == Node || l == FastAPI
}

// Profile is how a service behaves when all is well.
type Profile struct {
	Lang       Lang
	RPS        float64 // mean requests a second of the whole service
	Errors     float64 // share of requests that end in 500
	P50, P95   time.Duration
	CPU        float64 // cores at mean traffic
	Memory     int64   // bytes, warm
	Lines      float64 // log lines a second
	ErrorLines float64 // of these, lines a second that tell of an error
	Boot       time.Duration
	Unshipped  bool // its log goes nowhere but to the engine
}

// Flaws are what is wrong with one image. The zero value is a good one; what is not zero
// takes the place of the profile's figure once Onset has passed since the start.
type Flaws struct {
	Onset      time.Duration
	UnderLoad  bool // only an instance with a good share of the traffic shows them
	Errors     float64
	P50, P95   time.Duration
	CPU        float64
	Memory     int64
	ErrorLines float64
	Unhealthy  bool          // its health check fails
	CrashAfter time.Duration // it ends with exit code 1 after this long
}

func (f Flaws) apply(p Profile) Profile {
	pick := func(to *float64, v float64) {
		if v != 0 {
			*to = v
		}
	}
	pick(&p.Errors, f.Errors)
	pick(&p.CPU, f.CPU)
	pick(&p.ErrorLines, f.ErrorLines)
	if f.P50 != 0 {
		p.P50 = f.P50
	}
	if f.P95 != 0 {
		p.P95 = f.P95
	}
	if f.Memory != 0 {
		p.Memory = f.Memory
	}
	return p
}

// loaded is the share of a service's traffic from which flaws under load show.
const loaded = 0.25

// flawed is how the container behaves once its image's flaws have set in.
func (c *Container) flawed() Profile {
	if c.Image.Flaws.UnderLoad && c.Spec.Share < loaded {
		return c.Spec.Profile
	}
	return c.Image.Flaws.apply(c.Spec.Profile)
}

// wave is one sine of the traffic: the day, the quarter of an hour, the minute.
type wave struct{ period, size float64 }

var waves = [...]wave{{86400, 0.30}, {900, 0.10}, {97, 0.05}} //nolint:gochecknoglobals // a constant table

// traffic is the integral of the wobbling traffic (1 on the mean) from one moment to another, in seconds.
func traffic(seed uint64, from, to time.Time) float64 {
	a, b := seconds(from), seconds(to)
	if b <= a {
		return 0
	}
	sum := b - a
	for i, w := range waves {
		omega := 2 * math.Pi / w.period
		phase := float64(mix(seed, uint64(i))%1000) / 1000 * 2 * math.Pi
		if i == 0 {
			phase = 0.2 // the day is the same for everybody
		}
		sum -= w.size / omega * (math.Cos(omega*b+phase) - math.Cos(omega*a+phase))
	}
	return sum
}

// seconds counts from a fixed day of this century, so that the sines keep their precision.
func seconds(t time.Time) float64 {
	const epoch = 1735689600 // 2025-01-01
	return float64(t.Unix()-epoch) + float64(t.Nanosecond())/1e9
}

// RunAt is the life that a container was in at a time.
func (c *Container) RunAt(t time.Time) (r Run, ok bool) {
	for i := len(c.Runs) - 1; i >= 0; i-- {
		r := c.Runs[i]
		if t.Before(r.Start) {
			continue
		}
		return r, r.End.IsZero() || t.Before(r.End)
	}
	return Run{}, false
}

// Sums are the counters of one life of a process at one moment.
type Sums struct {
	Elapsed time.Duration
	before  float64 // requests before the flaws set in
	after   float64
	good    Profile
	bad     Profile
	share   float64
	busyA   float64 // traffic-seconds before, after
	busyB   float64
	restA   float64 // seconds before, after
	restB   float64
}

// SumsAt gives the counters at a time; ok is false when nothing ran then.
//
// They are the expected numbers, not draws: with a short window over little
// traffic anything else would be mostly noise.
func (c *Container) SumsAt(t time.Time) (s Sums, ok bool) {
	run, ok := c.RunAt(t)
	if !ok {
		return Sums{}, false
	}
	p := c.Spec.Profile
	onset := run.Start.Add(c.Image.Flaws.Onset)
	if onset.After(t) {
		onset = t
	}
	seed := serviceSeed(c.Spec)
	s = Sums{
		Elapsed: t.Sub(run.Start), good: p, bad: c.flawed(), share: c.Spec.Share,
		busyA: traffic(seed, run.Start, onset), busyB: traffic(seed, onset, t),
		restA: onset.Sub(run.Start).Seconds(), restB: t.Sub(onset).Seconds(),
	}
	s.before, s.after = p.RPS*s.share*s.busyA, p.RPS*s.share*s.busyB
	return s, true
}

// Requests served.
func (s Sums) Requests() float64 { return s.before + s.after }

// Errors is how many of them ended in 500.
func (s Sums) Errors() float64 { return s.before*s.good.Errors + s.after*s.bad.Errors }

// Under is how many of them took at most le seconds.
func (s Sums) Under(le float64) float64 {
	return s.before*cdf(s.good, le) + s.after*cdf(s.bad, le)
}

// Latency is the sum of all their durations in seconds.
func (s Sums) Latency() float64 { return s.before*mean(s.good) + s.after*mean(s.bad) }

// CPU is the processor time used, in core seconds.
func (s Sums) CPU() float64 {
	const idle = 0.35 // of the mean is used without any traffic
	return s.good.CPU*(idle*s.restA+(1-idle)*s.busyA) + s.bad.CPU*(idle*s.restB+(1-idle)*s.busyB)
}

// Memory is the working set in bytes: it warms up within some minutes.
func (s Sums) Memory() float64 {
	warm := func(p Profile, seconds float64) float64 {
		return float64(p.Memory) * (0.82 + 0.18*(1-math.Exp(-seconds/300)))
	}
	m := warm(s.good, s.Elapsed.Seconds())
	if s.restB > 0 && s.bad.Memory != s.good.Memory {
		m += (warm(s.bad, s.restB) - m) * (1 - math.Exp(-s.restB/90))
	}
	return m * (1 + 0.01*math.Sin(s.Elapsed.Seconds()/41))
}

// cdf is the share of requests within x seconds: durations are log-normal.
func cdf(p Profile, x float64) float64 {
	if p.P50 <= 0 || p.P95 <= p.P50 {
		return 1
	}
	mu, sigma := shape(p)
	return 0.5 * math.Erfc(-(math.Log(x)-mu)/(sigma*math.Sqrt2))
}

func mean(p Profile) float64 {
	if p.P50 <= 0 || p.P95 <= p.P50 {
		return 0
	}
	mu, sigma := shape(p)
	return math.Exp(mu + sigma*sigma/2)
}

func shape(p Profile) (mu, sigma float64) {
	const z95 = 1.6448536269514722
	return math.Log(p.P50.Seconds()), math.Log(p.P95.Seconds()/p.P50.Seconds()) / z95
}

func serviceSeed(s *Spec) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range []byte(s.Environment + "/" + s.Service) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// mix is splitmix64 over two numbers: the one source of chance in the world, the same for the same seed.
func mix(a, b uint64) uint64 {
	z := a + (b+1)*0x9e3779b97f4a7c15
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}
