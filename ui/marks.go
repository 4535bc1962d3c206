package ui

import (
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// severityMark is the shape and the token of a severity; its word is Severity.String.
func severityMark(s fleet.Severity) (string, token) {
	switch s {
	case fleet.SeverityCritical:
		return "✖", tokCrit
	case fleet.SeverityWarning:
		return "▲", tokWarn
	case fleet.SeverityInfo:
		return "◆", tokInfo
	case fleet.SeverityOK:
	}
	return "●", tokOK
}

// healthToken is the token of a health.
func healthToken(h fleet.Health) token {
	switch h {
	case fleet.HealthHealthy, fleet.HealthNone:
		return tokText
	case fleet.HealthStarting:
		return tokInfo
	case fleet.HealthUnhealthy, fleet.HealthDown:
		return tokCrit
	case fleet.HealthUnknown:
	}
	return tokWarn
}

// checkMark is the shape and token of a preflight.
func checkMark(c actions.CheckState) (string, token) {
	switch c {
	case actions.CheckOK:
		return "✓", tokOK
	case actions.CheckWarn:
		return "▲", tokWarn
	case actions.CheckFail:
	}
	return "✖", tokCrit
}

// outcomeMark is the shape and token of the end of an action; its word is the outcome itself.
func outcomeMark(o actions.Outcome) (string, token) {
	switch o {
	case actions.OutcomeGood:
		return "✓", tokOK
	case actions.OutcomeDegraded:
		return "▲", tokWarn
	case actions.OutcomeFailed:
		return "✖", tokCrit
	case actions.OutcomeCancelled:
		return "■", tokDim
	case actions.OutcomeUnknown:
	}
	return "?", tokWarn
}

// drift says how the running release differs from the desired one, or nothing.
func drift(r *fleet.Releases) string {
	d, run := r.Desired, r.Running
	switch {
	case d.IsZero() || run.IsZero():
		return ""
	case d.Tag != "" && d.Tag != run.Tag:
		return d.Tag
	case d.Digest != "" && run.Digest != "" && d.Digest != run.Digest:
		return fleet.ShortDigest(d.Digest)[:7]
	}
	return ""
}

// stateWord is what the service as a whole is doing, in one or two words, and since when.
func stateWord(s *fleet.Service) (word string, from time.Time, tok token) {
	tok = healthToken(s.Health)
	up := 0
	for _, in := range s.Instances {
		if in.State == fleet.StateRunning {
			up++
			if in.Life.StartedAt.After(from) {
				from = in.Life.StartedAt
			}
		}
	}
	switch s.Health {
	case fleet.HealthHealthy, fleet.HealthNone:
		word = "running"
	case fleet.HealthDown:
		word, from = downWord(s)
	case fleet.HealthUnhealthy, fleet.HealthStarting:
		word = string(s.Health)
	case fleet.HealthUnknown:
		word, from = "unseen", s.Seen
	default:
		word = string(s.Health)
	}
	if s.Health == fleet.HealthUnhealthy && len(s.Reasons) > 0 && !s.Reasons[0].Since.IsZero() {
		from = s.Reasons[0].Since
	}
	if n := len(s.Instances); n > 1 && s.Health != fleet.HealthUnknown && s.Health != fleet.HealthDown {
		if word == "running" {
			word = "up"
		}
		word = itoa(up) + "/" + itoa(n) + " " + short(word, 9)
	}
	return word, from, tok
}

// downWord is the state of the instance that ended last.
func downWord(s *fleet.Service) (string, time.Time) {
	word, from := "absent", time.Time{}
	for _, in := range s.Instances {
		if in.State != fleet.StateRunning && (word == "absent" || in.Life.FinishedAt.After(from)) {
			word, from = string(in.State), in.Life.FinishedAt
		}
	}
	return word, from
}

// lastChange is the newest change in a few characters.
func lastChange(c *fleet.Change) string {
	if !c.From.IsZero() && !c.To.IsZero() {
		return c.From.Version() + "→" + c.To.Version()
	}
	if c.Kind == fleet.ChangeDeploy && !c.To.IsZero() {
		return "→" + c.To.Version()
	}
	return string(c.Kind)
}

// short cuts a plain text without an ellipsis.
func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}
