package loki

import (
	"sort"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

// stream is one stream: the output of one container name, through all the containers it had.
type stream struct {
	labels     labels.Labels
	source     string // "stdout", "stderr"
	containers []*world.Container
	down       time.Time // nothing is shipped since; zero is never
}

// streams gives what the hosts ship, with the labels of the Docker driver.
func streams(w *world.World, matchers []*labels.Matcher) []*stream {
	down := map[string]time.Time{}
	for _, h := range w.Hosts() {
		down[h.Name] = h.Down
	}
	var out []*stream
	byKey := map[string]int{}
	for _, c := range w.History() {
		s := c.Spec
		if s.Profile.Unshipped {
			continue
		}
		for _, source := range []string{"stdout", "stderr"} {
			key := s.Host + "/" + s.Name + "/" + source
			if i, ok := byKey[key]; ok {
				if i >= 0 {
					out[i].containers = append(out[i].containers, c)
				}
				continue
			}
			byKey[key] = -1
			ls := labels.FromStrings("compose_project", s.Project, "compose_service", s.Service, "container_name", s.Name,
				"env", s.Environment, "host", s.Host, "service_name", s.Service, "source", source)
			if match(ls, matchers) {
				byKey[key] = len(out)
				out = append(out, &stream{labels: ls, source: source, containers: []*world.Container{c}, down: down[s.Host]})
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return labels.Compare(out[i].labels, out[j].labels) < 0 })
	return out
}

func match(ls labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// lines gives the stream's lines in [from, to), in order of time.
func (s *stream) lines(from, to, now time.Time) []world.Line {
	if !s.down.IsZero() && s.down.Before(to) {
		to = s.down
	}
	if to.After(now) {
		to = now
	}
	var out []world.Line
	for i := len(s.containers) - 1; i >= 0; i-- { // oldest first
		c := s.containers[i]
		if !c.Removed.IsZero() && c.Removed.Before(from.Add(-time.Minute)) {
			continue
		}
		for _, l := range c.Lines(from, to, now) {
			if l.Stream == s.source {
				out = append(out, l)
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].At.Before(out[j].At) })
	return out
}

// level is what Loki would find as detected_level.
func level(line string) string {
	line = strings.ToLower(line[:min(len(line), 300)])
	for _, l := range []struct{ words, level string }{
		{`"level":"error"|level=error|error: |panic: `, "error"}, {`"level":"warn"|level=warn`, "warn"}, {`"level":"info"|level=info|log: `, "info"},
	} {
		for word := range strings.SplitSeq(l.words, "|") {
			if strings.Contains(line, word) {
				return l.level
			}
		}
	}
	return "unknown"
}

// detectedLevel is the label that Loki gives each line beside its stream's.
const detectedLevel = "detected_level"
