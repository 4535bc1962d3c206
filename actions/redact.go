package actions

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// minSecret is the shortest value that is looked for: shorter ones would garble every text.
const minSecret = 4

//nolint:gosec // names of secrets, not one
const secretName = `(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?|authorization)` +
	`(?:[_-]?(?:key|id|base|value|data|hash|access)){0,3}`

// secretShape is what secrets of well-known systems look like, whatever stands before them.
//
//nolint:gosec // shapes of secrets, not one
const secretShape = `\b(?:hv[sb]\.[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}` +
	`|xox[abeprs]-[A-Za-z0-9-]{10,}|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+|AKIA[A-Z0-9]{16}|(?:bot)?[0-9]{6,12}:AA[A-Za-z0-9_-]{30,})`

// Redactor takes secrets out of texts: known values wherever they stand, values
// of keys whose name says secret, and the credentials in URLs.
type Redactor struct {
	names []nameRule
	flag  *regexp.Regexp

	mu     sync.Mutex // of known
	known  []string
	values atomic.Pointer[strings.Replacer]
}

type nameRule struct {
	match *regexp.Regexp
	with  string
}

// NewRedactor makes a Redactor that also knows these secret values.
func NewRedactor(values ...string) *Redactor {
	r := &Redactor{names: nameRules(), flag: regexp.MustCompile(`(?i)^--?[\w-]*` + secretName + `$`)}
	r.Learn(values...)
	return r
}

// Learn makes more secret values known. Texts that are redacted from now on are without them.
func (r *Redactor) Learn(values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range values {
		for _, part := range append([]string{v}, strings.Split(v, "\n")...) {
			r.remember(strings.TrimSpace(part))
		}
	}
	// The longest first: a value that holds another one is replaced whole.
	sort.Slice(r.known, func(i, j int) bool { return len(r.known[i]) > len(r.known[j]) })
	pairs := make([]string, 0, 2*len(r.known))
	for _, v := range r.known {
		pairs = append(pairs, v, Redacted)
	}
	r.values.Store(strings.NewReplacer(pairs...))
}

// remember notes a value, and the ways in which URLs, JSON and HTTP write it.
func (r *Redactor) remember(value string) {
	if len(value) < minSecret {
		return
	}
	for _, form := range []string{
		value, url.QueryEscape(value), url.PathEscape(value), url.UserPassword("", value).String()[1:],
		quoted(value, true), quoted(value, false), base64.StdEncoding.EncodeToString([]byte(value)),
	} {
		if !slices.Contains(r.known, form) {
			r.known = append(r.known, form)
		}
	}
}

// quoted is how JSON writes a value between its quotes.
func quoted(value string, html bool) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(html)
	_ = enc.Encode(value) // a string: it cannot fail
	return strings.TrimSuffix(strings.TrimPrefix(b.String(), `"`), "\"\n")
}

// Known gives s without the secret values that are known by themselves, and changes nothing else:
// for records that have a form of their own, like JSON.
func (r *Redactor) Known(s string) string {
	if r == nil {
		return s
	}
	return r.values.Load().Replace(s)
}

// suspicious reports whether a rule could match: nearly no line of a log is, and the rules are slow. What is not plain ASCII
// is left to the rules, which fold more letters than this does.
func suspicious(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return true
		}
	}
	s = strings.ToLower(s)
	for _, sign := range [...]string{
		"://", "bearer", "basic", "pass", "pwd", "secret", "token", "key", "credential", "authorization", "hooks.slack.com",
		"hvs.", "hvb.", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "eyj", "akia", ":aa",
	} {
		if strings.Contains(s, sign) {
			return true
		}
	}
	return false
}

func nameRules() []nameRule {
	return []nameRule{
		// https://user:password@host, and https://token@host: for http a lone user is a token.
		{regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*):[^\s/@]+@`), "${1}:" + Redacted + "@"},
		{regexp.MustCompile(`(?i)(https?://)[^\s/:@\[]+@`), "${1}" + Redacted + "@"},
		// Authorization: Bearer abc, --header "Authorization: Basic abc"
		{regexp.MustCompile(`(?i)\b((?:bearer|basic)\s+)[A-Za-z0-9+/=._~-]{8,}`), "${1}" + Redacted},
		// "password": "abc"
		{regexp.MustCompile(`(?i)("[\w.-]*` + secretName + `"\s*:\s*)"(?:[^"\\]|\\.)*"`), `${1}"` + Redacted + `"`},
		// PASSWORD="a b", DB_PASSWORD=abc, --password=abc, token: abc
		{regexp.MustCompile(`(?i)\b([\w.-]*` + secretName + `\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s"',;&\[][^\s,;&]*)`), "${1}" + Redacted},
		// https://hooks.slack.com/services/T/B/abc
		{regexp.MustCompile(`(?i)(hooks\.slack\.com/(?:services|workflows)/)[^\s"'<>]+`), "${1}" + Redacted},
		{regexp.MustCompile(secretShape), Redacted},
		// ["--password", "abc"]
		{regexp.MustCompile(`(?i)("--?[\w-]*` + secretName + `"\s*,\s*)"(?:[^"\\]|\\.)*"`), `${1}"` + Redacted + `"`},
		// --password abc
		{regexp.MustCompile(`(?i)(--?[\w-]*` + secretName + `\s+)([^\s\[-]\S*)`), "${1}" + Redacted},
	}
}

// Text gives s without the secrets.
func (r *Redactor) Text(s string) string {
	if r == nil || s == "" {
		return s
	}
	s = r.Known(s)
	if !suspicious(s) {
		return s
	}
	for _, rule := range r.names {
		s = rule.match.ReplaceAllString(s, rule.with)
	}
	return s
}

// named gives the value of a key without secrets: nothing of it when the key's name says secret.
func (r *Redactor) named(key, value string) string {
	if r != nil && value != "" && r.flag.MatchString("--"+key) {
		return Redacted
	}
	return r.Text(value)
}

// Argv gives a copy of argv without the secrets; "--password", "abc" is seen across two words.
func (r *Redactor) Argv(argv []string) []string {
	if r == nil || argv == nil {
		return argv
	}
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = r.Text(a)
		if i > 0 && r.flag.MatchString(argv[i-1]) && !strings.HasPrefix(a, "-") {
			out[i] = Redacted
		}
	}
	return out
}

// Plan takes the secrets out of everything of a plan that people see. What its steps do stays.
func (r *Redactor) Plan(p *Plan) {
	p.Title, p.Risks = r.Text(p.Title), r.texts(p.Risks)
	for i := range p.Checks {
		p.Checks[i].Name, p.Checks[i].Detail = r.Text(p.Checks[i].Name), r.Text(p.Checks[i].Detail)
		p.Checks[i].Diff = r.texts(p.Checks[i].Diff)
	}
	for i := range p.Steps {
		p.Steps[i].Argv = r.Argv(p.Steps[i].Argv)
		if into := p.Steps[i].Into; into != nil {
			p.Steps[i].Into = &Pipe{Host: into.Host, Argv: r.Argv(into.Argv)}
		}
	}
}

func (r *Redactor) texts(list []string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = r.Text(s)
	}
	return out
}
