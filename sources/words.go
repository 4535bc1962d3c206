package sources

import (
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nexgate-hq/nexops/remote"
)

// OneLine makes text from outside fit for an error or a reason: one line, no control
// characters, valid UTF-8, at most limit bytes and an ellipsis.
func OneLine(text string, limit int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError || unicode.Is(unicode.Cf, r):
			return -1
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return ' '
		default:
			return r
		}
	}, text)
	clean = strings.Join(strings.Fields(clean), " ")
	if len(clean) <= limit {
		return clean
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(clean[cut]) {
		cut--
	}
	return clean[:cut] + "…"
}

// HTTPError says that a server answered, but not with what was asked for.
type HTTPError struct {
	Status int
	Body   string // first line or two, clean
}

// Error says what came and what to do about it.
func (e *HTTPError) Error() string {
	text := fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	if e.Body != "" {
		text += ": " + e.Body
	}
	if hint := HTTPHint(e.Status); hint != "" {
		text += "; " + hint
	}
	return text
}

// HTTPHint says what to do about an answer that is no success.
func HTTPHint(status int) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "check bearer_token, username and password"
	case status == http.StatusNotFound:
		return "check url: is it the server itself, with its path prefix?"
	case status == http.StatusTooManyRequests:
		return "the server asks for fewer requests: raise poll"
	case status/100 == 3:
		return "it redirects: set url to where it leads"
	case status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout:
		return "the server is not ready, or a proxy cannot reach it"
	default:
		return ""
	}
}

// Cause takes an error of net/http apart: the way it went wrong, without the
// method and the address that the caller names anyway.
func Cause(err error) error { return remote.HTTPCause(err) }

// EscapeQuoted makes s safe between any of the quotes of PromQL and LogQL.
func EscapeQuoted(s string) string {
	const hex = "0123456789abcdef"
	s = strings.ToValidUTF8(s, "\uFFFD")
	var out strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f || strings.IndexByte("\"'`\\{}", c) >= 0:
			out.WriteString(`\x`)
			out.WriteByte(hex[c>>4])
			out.WriteByte(hex[c&15])
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}
