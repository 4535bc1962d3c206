package git

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	webUser     = regexp.MustCompile(`(?i)\b(https?://)[^/@\s]+@`)
	urlPassword = regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*://[^/@:\s]*):[^/@\s]*@`)
)

// clean makes text from a repository or a remote fit for one line: valid UTF-8, no
// control or direction characters, at most limit bytes.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, r == '\t', r == '\n', r == '\r':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		default:
			return r
		}
	}, s)
	s = strings.TrimSpace(s)
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.TrimSpace(s[:cut]) + "…"
}

// redact takes credentials out of the URLs in s. The user of an https URL is as
// often as not a token, so it goes too; "git@" of an ssh URL stays, it helps.
func redact(s string) string {
	s = webUser.ReplaceAllString(s, "${1}***@")
	return urlPassword.ReplaceAllString(s, "${1}:***@")
}
