package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/remote"
)

// sink is one receiver.
type sink interface {
	// name is unique and names its cursor: "to-ops", "loki".
	name() string
	// fresh is how old an entry may be and still be passed on.
	fresh() time.Duration
	// batch is how many entries go in one call.
	batch() int
	// request makes the call for entries; ok is false when they are not for this receiver.
	request(ctx context.Context, reach remote.Reach, redact *actions.Redactor, items []item) (r request, ok bool, err error)
}

// chat is a Target.
type chat struct {
	Target
	text *template.Template
}

func newChat(t Target) (*chat, error) {
	text, err := parseText(t.Text)
	if err != nil {
		return nil, fmt.Errorf("notify %s: text: %w", t.Name, err)
	}
	return &chat{t, text}, nil
}

func (c *chat) name() string         { return "to-" + c.Name }
func (c *chat) fresh() time.Duration { return time.Hour }
func (c *chat) batch() int           { return 1 }

// wants reports whether the target asked for such a message.
func (c *chat) wants(m Message) bool {
	if len(c.Environments) > 0 && !slices.Contains(c.Environments, m.Environment) {
		return false
	}
	on := c.On
	if len(on) == 0 {
		on = []string{OnEnded}
	}
	bad := m.Event == OnEnded && m.Outcome != string(actions.OutcomeGood)
	return slices.Contains(on, m.Event) || (bad && slices.Contains(on, OnBad))
}

func (c *chat) request(ctx context.Context, reach remote.Reach, redact *actions.Redactor, items []item) (request, bool, error) {
	m, ok := items[0].message()
	if !ok || !c.wants(m) {
		return request{}, false, nil
	}
	m = m.redacted(redact)
	text, err := render(c.text, m)
	if err != nil {
		return request{}, false, &refused{err.Error()}
	}
	r, err := c.to(ctx, reach, redact)
	if err != nil {
		return request{}, false, err
	}
	text = redact.Text(text)
	switch c.Kind {
	case KindTelegram:
		r.body = map[string]any{"chat_id": c.Chat, "text": cut(text, 4000), "disable_web_page_preview": true}
	case KindSlack:
		escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
		r.body = map[string]any{"text": escape.Replace(cut(text, 3000))}
	default:
		r.body = struct {
			Message
			Text string `json:"text"`
		}{m, text}
	}
	return r, true, nil
}

// to is where the target is. Its secrets are read for each call: they may have been renewed.
func (c *chat) to(ctx context.Context, reach remote.Reach, redact *actions.Redactor) (request, error) {
	r := request{to: c.Endpoint, header: http.Header{}}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		value, err := reach.ReachSecret(ctx, c.Headers[name])
		if err != nil {
			return r, fmt.Errorf("headers.%s: %w", name, err)
		}
		r.header.Set(name, value)
	}
	switch {
	case c.Kind == KindTelegram:
		token, err := reach.ReachSecret(ctx, c.Token)
		if err != nil {
			return r, fmt.Errorf("token: %w", err)
		}
		if r.to.URL == "" {
			r.to.URL = "https://api.telegram.org"
		}
		r.path = "/bot" + token + "/sendMessage"
	case !c.SecretURL.IsZero():
		address, err := reach.ReachSecret(ctx, c.SecretURL)
		if err != nil {
			return r, fmt.Errorf("secret_url: %w", err)
		}
		base, err := origin(address)
		if err != nil {
			return r, &refused{"secret_url: " + err.Error()}
		}
		r.to.URL, r.path = base, strings.TrimPrefix(strings.TrimSpace(address), base)
		// Servers name the path they do not know, without the host, and what is known by now is only the whole.
		redact.Learn(secretParts(r.path)...)
	}
	return r, nil
}

// secretParts are what of a secret address may be said without the rest: the path, and each part of it that looks like no word.
func secretParts(path string) []string {
	before, _, _ := strings.Cut(path, "?")
	out := []string{path, before}
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune("/?&=#", r) }) {
		const noWord = 12
		if len(part) >= noWord && strings.ContainsFunc(part, func(r rune) bool { return unicode.IsDigit(r) || unicode.IsUpper(r) }) {
			out = append(out, part)
		}
	}
	return out
}

// cut bounds a text for a chat.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// name, fresh, batch: Loki takes no lines that are older than the newest it has by hours.
func (l *Loki) name() string         { return "loki" }
func (l *Loki) fresh() time.Duration { return 24 * time.Hour }
func (l *Loki) batch() int           { return 200 }

// lokiStream is a stream of lines with its labels.
type lokiStream struct {
	Stream map[string]string `json:"stream"`
	Values [][2]string       `json:"values"`
}

// request puts the lines of the journal, as they are, into streams.
func (l *Loki) request(_ context.Context, _ remote.Reach, redact *actions.Redactor, items []item) (request, bool, error) {
	var streams []*lokiStream
	by := map[string]*lokiStream{}
	for _, it := range items {
		labels := map[string]string{"job": "nexops"}
		maps.Copy(labels, l.Labels)
		if r := it.record; r != nil {
			labels["env"], labels["service"], labels["action"] = r.Environment, strings.Join(r.Services, ","), r.Action
		}
		key := fmt.Sprint(labels["env"], "\x00", labels["service"], "\x00", labels["action"])
		s := by[key]
		if s == nil {
			s = &lokiStream{Stream: labels}
			by[key] = s
			streams = append(streams, s)
		}
		line, err := json.Marshal(it.entry)
		if err != nil {
			continue // it was read as JSON: it cannot fail
		}
		s.Values = append(s.Values, [2]string{strconv.FormatInt(it.entry.At.UnixNano(), 10), redact.Known(string(line))})
	}
	h := http.Header{}
	if l.Tenant != "" {
		h.Set("X-Scope-OrgID", l.Tenant)
	}
	return request{to: l.Endpoint, path: "/loki/api/v1/push", header: h, body: map[string]any{"streams": streams}}, len(streams) > 0, nil
}

func (g *Grafana) name() string         { return "grafana" }
func (g *Grafana) fresh() time.Duration { return 24 * time.Hour }
func (g *Grafana) batch() int           { return 1 }

// request makes an annotation of a plan that has ended: a region from its begin to its end.
func (g *Grafana) request(_ context.Context, _ remote.Reach, redact *actions.Redactor, items []item) (request, bool, error) {
	m, ok := items[0].message()
	if !ok || m.Event != OnEnded {
		return request{}, false, nil
	}
	began := items[0].began
	if began.IsZero() {
		began = m.At
	}
	tags := append([]string{"nexops", "env:" + m.Environment, m.Action, m.Outcome}, g.Tags...)
	for _, s := range m.Services {
		tags = append(tags, "service:"+s)
	}
	text := m.Title + ": " + m.Outcome + "\nby " + m.Who
	if m.Why != "" {
		text += ": " + m.Why
	}
	for _, reason := range m.Reasons {
		text += "\n" + reason
	}
	body := map[string]any{"time": began.UnixMilli(), "timeEnd": m.At.UnixMilli(), "tags": tags, "text": cut(redact.Text(text), 8000)}
	if g.Dashboard != "" {
		body["dashboardUID"] = g.Dashboard
	}
	return request{to: g.Endpoint, path: "/api/annotations", header: http.Header{}, body: body}, true, nil
}
