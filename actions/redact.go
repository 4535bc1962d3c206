package actions

import (
	"regexp"
	"slices"
	"sort"
	"strings"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// minSecret is the shortest value that is looked for: shorter ones would garble every text.
const minSecret = 4

//nolint:gosec // names of secrets, not one
const secretName = `(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?|authorization)`

// Redactor takes secrets out of texts: known values wherever they stand, values
// of keys whose name says secret, and the credentials in URLs.
type Redactor struct {
	values *strings.Replacer
	names  []nameRule
}

type nameRule struct {
	match *regexp.Regexp
	with  string
}

// NewRedactor makes a Redactor that also knows these secret values.
func NewRedactor(values ...string) *Redactor {
	var known []string
	for _, v := range values {
		for _, part := range append([]string{v}, strings.Split(v, "\n")...) {
			part = strings.TrimSpace(part)
			if len(part) >= minSecret && !slices.Contains(known, part) {
				known = append(known, part)
			}
		}
	}
	// The longest first: a value that holds another one is replaced whole.
	sort.Slice(known, func(i, j int) bool { return len(known[i]) > len(known[j]) })
	var pairs []string
	for _, v := range known {
		pairs = append(pairs, v, Redacted)
	}
	return &Redactor{values: strings.NewReplacer(pairs...), names: nameRules()}
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
		// --password abc
		{regexp.MustCompile(`(?i)(--?[\w-]*` + secretName + `\s+)([^\s\[-]\S*)`), "${1}" + Redacted},
	}
}

// Text gives s without the secrets.
func (r *Redactor) Text(s string) string {
	if r == nil || s == "" {
		return s
	}
	s = r.values.Replace(s)
	for _, rule := range r.names {
		s = rule.match.ReplaceAllString(s, rule.with)
	}
	return s
}

// Argv gives a copy of argv without the secrets; "--password", "abc" is seen across two words.
func (r *Redactor) Argv(argv []string) []string {
	if r == nil || argv == nil {
		return argv
	}
	flag := regexp.MustCompile(`(?i)^--?[\w-]*` + secretName + `$`)
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = r.Text(a)
		if i > 0 && flag.MatchString(argv[i-1]) && !strings.HasPrefix(a, "-") {
			out[i] = Redacted
		}
	}
	return out
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
