package notify

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// Message is what a target is told, and what a template may use.
type Message struct {
	Event       string    `json:"event"` // started, ended
	At          time.Time `json:"at"`
	Plan        string    `json:"plan"` // its id: nexops journal --plan ID
	Title       string    `json:"title"`
	Action      string    `json:"action"`
	Environment string    `json:"environment"`
	Services    []string  `json:"services"`
	Hosts       []string  `json:"hosts"`
	Who         string    `json:"who"`
	Why         string    `json:"why"`
	RollbackOf  string    `json:"rollback_of"` // the plan that this automatic rollback takes back
	Outcome     string    `json:"outcome"`     // of ended: good, degraded, failed, cancelled, unknown
	Reasons     []string  `json:"reasons"`     // of ended: why it is not good
	Duration    string    `json:"duration"`    // of ended: "2 min"
}

// defaultText is used where the config has none.
const defaultText = `{{mark .}} {{.Title}}{{if .Outcome}}: {{.Outcome}}{{if .Duration}} after {{.Duration}}{{end}}{{else}}: started{{end}}
by {{.Who}}{{if .Why}}: {{.Why}}{{end}}{{range .Reasons}}
- {{.}}{{end}}`

// mark is a shape beside the word.
func mark(m Message) string {
	switch m.Outcome {
	case "":
		return "▶"
	case string(actions.OutcomeGood):
		return "✓"
	case string(actions.OutcomeUnknown):
		return "?"
	default:
		return "✖"
	}
}

// parseText makes the template and tries it, so that a mistake is one of the config.
func parseText(text string) (*template.Template, error) {
	if text == "" {
		text = defaultText
	}
	t, err := template.New("text").Option("missingkey=error").Funcs(template.FuncMap{"mark": mark, "join": strings.Join}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("it is no template: %w", err)
	}
	for _, m := range []Message{{}, {Event: OnEnded, Outcome: "good", Services: []string{"ai"}, Hosts: []string{"prod-1"}, Reasons: []string{"x"}}} {
		if _, err := render(t, m); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// maxText bounds what a template makes.
const maxText = 16 << 10

var errLong = errors.New("the text is too long")

// bounded is a text that does not grow without end.
type bounded struct{ strings.Builder }

// Write takes the next bytes while there is room.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxText {
		return 0, errLong
	}
	return b.Builder.Write(p) //nolint:wrapcheck // never fails
}

func render(t *template.Template, m Message) (string, error) {
	var b bounded
	if err := t.Execute(&b, m); err != nil {
		return "", fmt.Errorf("the template cannot be filled in: %w", err)
	}
	return b.String(), nil
}

// redacted is the message without what has become known as a secret since it was put on record.
func (m Message) redacted(r *actions.Redactor) Message {
	m.Title, m.Who, m.Why = r.Text(m.Title), r.Text(m.Who), r.Text(m.Why)
	reasons := make([]string, 0, len(m.Reasons))
	for _, reason := range m.Reasons {
		reasons = append(reasons, r.Text(reason))
	}
	m.Reasons = reasons
	return m
}

// item is one entry with what its plan was.
type item struct {
	entry      actions.Entry
	record     *actions.PlanRecord // nil when it is not of a plan, or that is not on record any more
	began      time.Time
	rollbackOf string
}

// message is what an entry has to tell; ok is false for entries that tell nobody anything.
func (it item) message() (m Message, ok bool) {
	r := it.record
	if r == nil {
		return m, false
	}
	m = Message{
		At: it.entry.At, Plan: it.entry.Plan, Title: r.Title, Action: r.Action, Environment: r.Environment, Services: r.Services,
		Who: r.Who, Why: r.Why, RollbackOf: it.rollbackOf, Hosts: []string{}, Reasons: []string{},
	}
	for _, move := range r.Moves {
		m.Hosts = append(m.Hosts, move.Host)
	}
	switch {
	case it.entry.Kind == actions.EntryPlan:
		m.Event = OnStarted
	case it.entry.Kind == actions.EntryOutcome && it.entry.Outcome != nil:
		m.Event, m.Outcome = OnEnded, string(it.entry.Outcome.Outcome)
		m.Reasons = append(m.Reasons, it.entry.Outcome.Reasons...)
		m.Duration = fleet.Ago(it.entry.At.Sub(it.began))
	default:
		return m, false
	}
	return m, true
}
