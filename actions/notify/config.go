package notify

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/remote"
)

// Config is [actions.notify].
type Config struct {
	To []Target `toml:"to"`
}

// The kinds of target.
const (
	KindTelegram = "telegram"
	KindSlack    = "slack"
	KindWebhook  = "webhook"
)

// When a target is told.
const (
	OnStarted = "started"
	OnEnded   = "ended"
	OnBad     = "bad" // ended, and not good
)

// Target is one chat or webhook: [[actions.notify.to]].
type Target struct {
	Name         string                   `toml:"name"`
	Kind         string                   `toml:"kind"`
	Environments []string                 `toml:"environments"` // empty: all
	On           []string                 `toml:"on"`           // default ended
	Text         string                   `toml:"text"`         // a text/template over Message
	Token        remote.Secret            `toml:"token"`        // of a Telegram bot
	Chat         string                   `toml:"chat"`         // Telegram chat id, or @channel
	SecretURL    remote.Secret            `toml:"secret_url"`   // of a Slack webhook, or of a webhook whose URL is a secret
	Headers      map[string]remote.Secret `toml:"headers"`      // of a webhook
	remote.Endpoint
}

// JournalConfig is [actions.journal].
type JournalConfig struct {
	Loki    Loki    `toml:"loki"`
	Grafana Grafana `toml:"grafana"`
}

// Loki is where every entry of the journal goes as a line; without a url nowhere.
type Loki struct {
	remote.Endpoint
	Tenant string            `toml:"tenant"` // X-Scope-OrgID
	Labels map[string]string `toml:"labels"` // besides job, env, service and action
}

// Grafana is where every action goes as an annotation, from its begin to its end; without a url nowhere.
type Grafana struct {
	remote.Endpoint
	Dashboard string   `toml:"dashboard"` // uid; "" is all dashboards that show annotations by tag
	Tags      []string `toml:"tags"`      // besides nexops, the environment, services, action and outcome
}

// HostNames are the hosts the config names.
func (c *Config) HostNames() []string {
	var out []string
	for i := range c.To {
		out = append(out, c.To[i].HostNames()...)
	}
	return out
}

// HostNames are the hosts the config names.
func (c *JournalConfig) HostNames() []string {
	return append(c.Loki.HostNames(), c.Grafana.HostNames()...)
}

// Validate gives every mistake at once.
func (c *JournalConfig) Validate() []error {
	var errs []error
	for _, e := range []struct {
		at string
		to remote.Endpoint
	}{{"loki.", c.Loki.Endpoint}, {"grafana.", c.Grafana.Endpoint}} {
		if e.to.URL == "" && e.to.Via == "" && e.to.BearerToken == "" {
			continue
		}
		for _, err := range e.to.Validate() {
			errs = append(errs, fmt.Errorf("%s%w", e.at, err))
		}
	}
	for name := range c.Loki.Labels {
		if !labelName.MatchString(name) {
			errs = append(errs, fmt.Errorf("loki.labels: %q is no name of a label", name))
		}
	}
	return errs
}

var (
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	targetName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	chatName   = regexp.MustCompile(`^(-?[0-9]+|@[A-Za-z0-9_]+)$`)
)

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	var errs []error
	seen := map[string]bool{}
	for i := range c.To {
		t := &c.To[i]
		at := fmt.Sprintf("to[%d].", i)
		for _, err := range t.validate() {
			errs = append(errs, fmt.Errorf("%s%w", at, err))
		}
		if seen[t.Name] {
			errs = append(errs, fmt.Errorf("%sname: %q is there twice: each has its own", at, t.Name))
		}
		seen[t.Name] = true
	}
	return errs
}

func (t *Target) validate() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !targetName.MatchString(t.Name) {
		add("name: %q is not allowed: letters, digits, - and _", t.Name)
	}
	for _, on := range t.On {
		if !slices.Contains([]string{OnStarted, OnEnded, OnBad}, on) {
			add("on: %q is none: there is %s, %s, %s", on, OnStarted, OnEnded, OnBad)
		}
	}
	if _, err := parseText(t.Text); err != nil {
		add("text: %w", err)
	}
	for name := range t.Headers {
		if !headerName.MatchString(name) {
			add("headers: %q is no name of a header", name)
		}
	}
	return append(errs, t.validateKind()...)
}

func (t *Target) validateKind() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch t.Kind {
	case KindTelegram:
		if t.Token.IsZero() {
			add(`token: missing: where the bot's token is, like "env:TELEGRAM_TOKEN"`)
		}
		if !chatName.MatchString(t.Chat) {
			add("chat: %q is no chat: its number, or @channel", t.Chat)
		}
	case KindSlack:
		if t.SecretURL.IsZero() {
			add(`secret_url: missing: where the webhook's URL is, like "env:SLACK_WEBHOOK"`)
		}
	case KindWebhook:
		if t.SecretURL.IsZero() == (t.URL == "") {
			add("url: write either url or secret_url")
		}
	default:
		add("kind: %q is none: there is %s, %s, %s", t.Kind, KindTelegram, KindSlack, KindWebhook)
	}
	if t.URL != "" {
		errs = append(errs, t.Endpoint.Validate()...)
	}
	return errs
}

// origin is the scheme and host of an address, which alone may be named.
func origin(address string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("it is no http:// or https:// address")
	}
	return u.Scheme + "://" + u.Host, nil
}
