package fleet

import (
	"fmt"
	"math"
	"time"
)

// How far before the onset of trouble a change may lie and still be suspected.
const suspectWindow = 15 * time.Minute

// suspect states the likely cause of a service's trouble: the change nearest
// before its onset, with the evidence. nil when there is no trouble or no such change.
func suspect(svc *Service, t Thresholds, now time.Time) *Suspect {
	if svc.Severity < SeverityWarning {
		return nil
	}
	if s := suspectFromSeries(svc, t, now); s != nil {
		return s
	}
	return suspectFromState(svc, now)
}

func suspectFromSeries(svc *Service, t Thresholds, now time.Time) *Suspect {
	type candidate struct {
		name   MetricName
		code   string
		bound  float64
		figure func(float64) string
		noun   string
	}
	for _, c := range []candidate{
		{MetricErrorRatio, "errors", t.ErrorRatioWarning, Percent, "errors"},
		{MetricP95, "latency", t.P95Warning.Seconds(), Seconds, "p95"},
		{MetricLogErrors, "log_errors", t.LogErrorsWarning, Rate, "log errors a minute"},
	} {
		m, _ := svc.Metrics.Get(c.name)
		up, ok := findRise(m.Series, c.bound)
		if !ok || !hasReason(svc, c.code) {
			continue
		}
		// The rise lies somewhere between the last good sample and the first bad one.
		change, ok := nearest(svc.Changes, up.onset)
		if !ok {
			continue
		}
		evidence := c.noun + " at " + c.figure(m.Latest)
		if !math.IsNaN(up.before) {
			evidence = fmt.Sprintf("%s rose from %s to %s", c.noun, c.figure(up.before), c.figure(m.Latest))
		}
		return &Suspect{
			Onset: up.onset, Change: change,
			Text: fmt.Sprintf("likely %s: %s %s it", changeWords(change, now), evidence, delayWords(change.At, up, m.Series.Step)),
		}
	}
	return nil
}

// delayWords says how soon after the change the rise came, no finer than the samples allow.
func delayWords(change time.Time, up rise, step time.Duration) string {
	d := up.onset.Sub(change)
	switch {
	case d <= step:
		return "within " + Ago(max(step, time.Second)) + " of"
	default:
		return Ago(d) + " after"
	}
}

// suspectFromState is for trouble that shows in the containers themselves.
func suspectFromState(svc *Service, now time.Time) *Suspect {
	for _, r := range svc.Reasons {
		switch r.Code {
		case "down", "crash_loop", "unhealthy", "oom", "restarts", "start_failed":
		default:
			continue
		}
		onset := r.Since
		if onset.IsZero() {
			onset = now
		}
		for _, c := range svc.Changes {
			// The engine's restarts are the symptom here, never the cause.
			if c.Kind == ChangeRestart || c.At.After(onset.Add(time.Minute)) || onset.Sub(c.At) > suspectWindow {
				continue
			}
			return &Suspect{Onset: onset, Change: c, Text: fmt.Sprintf("likely %s: %s since then", changeWords(c, now), r.Text)}
		}
		return nil
	}
	return nil
}

func hasReason(svc *Service, code string) bool {
	for _, r := range svc.Reasons {
		if r.Code == code {
			return true
		}
	}
	return false
}

// nearest is the change that best explains an onset: deploys before restarts,
// then the newest that is not after the onset by more than one sample.
func nearest(changes []Change, onset time.Time) (Change, bool) {
	var best *Change
	for i := range changes {
		c := &changes[i]
		if c.At.After(onset) || onset.Sub(c.At) > suspectWindow {
			continue
		}
		if best == nil || (best.Kind != ChangeDeploy && c.Kind == ChangeDeploy) {
			best = c
		}
	}
	if best == nil {
		return Change{}, false
	}
	return *best, true
}

func changeWords(c Change, now time.Time) string {
	w := string(c.Kind)
	if c.Kind == ChangeDeploy && !c.To.IsZero() {
		w = "deploy " + c.To.Version()
		if !c.From.IsZero() {
			w = "deploy " + c.From.Version() + " → " + c.To.Version()
		}
	} else if c.What != "" {
		w += " (" + c.What + ")"
	}
	who := ""
	if len(c.To.Commit) >= 7 {
		who = c.To.Commit[:7] + ", "
	}
	if c.Who != "" {
		who += c.Who + ", "
	}
	return fmt.Sprintf("%s (%s%s ago)", w, who, Ago(now.Sub(c.At)))
}
