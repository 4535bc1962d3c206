package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/ui"
)

// mark is the shape that goes with a severity, so that nothing is told by colour.
func mark(s fleet.Severity) string {
	switch s {
	case fleet.SeverityCritical:
		return "✖"
	case fleet.SeverityWarning:
		return "▲"
	case fleet.SeverityInfo:
		return "·"
	case fleet.SeverityOK:
		return "●"
	default:
		return "?"
	}
}

// statusTable prints a snapshot for people: sources that fail first, a hold of the environment, then the rows.
func statusTable(w io.Writer, snap *fleet.Snapshot) error {
	for _, s := range snap.Sources {
		if (s.State != fleet.SourceOK || s.Stale(snap.At)) && !s.Follows(snap.Hosts) {
			if _, err := fmt.Fprintf(w, "! %s %s%s: %s\n", s.ID, s.State, sourceAge(s, snap.At), ui.Sanitize(s.Why())); err != nil {
				return fmt.Errorf("print: %w", err)
			}
		}
	}
	for i := range snap.Holds {
		if h := &snap.Holds[i]; h.Service == "" { // a service's own hold is among its reasons
			if _, err := fmt.Fprintf(w, "■ %s\n", ui.Sanitize(h.Words(snap.At))); err != nil {
				return fmt.Errorf("print: %w", err)
			}
		}
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	rows := []string{"\tSERVICE\tHOSTS\tHEALTH\tRUNNING\tDESIRED\tRPS\tERRORS\tP95\tWHY"}
	for i := range snap.Services {
		rows = append(rows, statusRow(&snap.Services[i]))
	}
	if _, err := fmt.Fprintln(tw, strings.Join(rows, "\n")); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func sourceAge(s fleet.SourceStatus, now time.Time) string {
	age, ok := s.Age(now)
	if !ok {
		return ", never answered"
	}
	return ", facts " + fleet.Ago(age) + " old"
}

func statusRow(s *fleet.Service) string {
	why := ""
	if len(s.Reasons) > 0 {
		why = s.Reasons[0].Text
		if n := len(s.Reasons) - 1; n > 0 {
			why += fmt.Sprintf(" (+%d)", n)
		}
	}
	desired := "–"
	if !s.Releases.Desired.IsZero() {
		desired = s.Releases.Desired.Version()
	}
	cells := []string{
		mark(s.Severity), s.Key.Name, strings.Join(s.Hosts, ","), string(s.Health), s.Releases.Running.Version(), desired,
		figure(s, fleet.MetricRPS, fleet.Rate), figure(s, fleet.MetricErrorRatio, fleet.Percent), figure(s, fleet.MetricP95, fleet.Seconds), why,
	}
	for i := range cells {
		cells[i] = ui.Sanitize(cells[i])
	}
	return strings.Join(cells, "\t")
}

func figure(s *fleet.Service, name fleet.MetricName, write func(float64) string) string {
	m, ok := s.Metrics.Get(name)
	if !ok || !m.Has {
		return "–"
	}
	return write(m.Latest)
}
