package ui

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

func TestSanitize(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "GET /health 200", "GET /health 200"},
		{"colour goes", "\x1b[1;31mERROR\x1b[0m x", "ERROR x"},
		{"cursor is shown", "a\x1b[2J\x1b[Hb", "a␛[2J␛[Hb"},
		{"title is shown", "\x1b]0;owned\x07", "␛]0;owned␇"},
		{"clipboard is shown", "\x1b]52;c;ZXZpbA==\x1b\\", "␛]52;c;ZXZpbA==␛\\"},
		{"c1 csi", "\u009b2J", "‹009B›2J"},
		{"raw c1 byte", "\x9b2J", "\ufffd2J"},
		{"backspace", "ab\x08c", "ab␈c"},
		{"delete", "a\x7f", "a␡"},
		{"carriage return inside", "safe\revil", "safe␍evil"},
		{"line end of windows", "text\r\n", "text"},
		{"tab to the next stop", "ab\tc", "ab      c"},
		{"bidi override", "\u202etxt.exe", "‹202E›txt.exe"},
		{"zero width", "pass\u200bword", "password"},
		{"joined emoji", "👩\u200d💻", "👩💻"},
		{"byte order mark", "\ufeffx", "x"},
		{"many marks", "a\u0301\u0301\u0301\u0301\u0301", "a\u0301\u0301\u0301"},
		{"wide stays", "漢字 ü", "漢字 ü"},
		{"long fake colour", "\x1b[" + strings.Repeat("1;", 100) + "m", "␛[" + strings.Repeat("1;", 100) + "m"},
	} {
		if got := Sanitize(c.in); got != c.want {
			t.Errorf("%s: Sanitize(%q) = %q, want %q", c.name, c.in, got, c.want)
		}
	}
}

func TestSingleRunesTakeOneColumn(t *testing.T) {
	for r := rune(0x80); r < 0x30000; r++ {
		if isSingle(r) && ansi.StringWidth(string(r)) != 1 {
			t.Errorf("%U takes %d columns", r, ansi.StringWidth(string(r)))
		}
		if isSingle(r) && visible(r, 0) != string(r) {
			t.Errorf("%U needs care", r)
		}
	}
}

func FuzzSanitize(f *testing.F) {
	for _, l := range sampleLog() {
		f.Add(l.Text)
	}
	f.Add("\x1b\x1b[0m[2J")
	f.Add("\x1b[\x1b[0m31m")
	f.Add("\xc2\x9b\u2066a\r\r\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := Sanitize(s)
		if !utf8.ValidString(got) {
			t.Fatalf("not UTF-8: %q", got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || isBidi(r) || r == 0x2028 || r == 0x2029 {
				t.Fatalf("%q keeps %U of %q", got, r, s)
			}
		}
		if ansi.Strip(got) != got {
			t.Fatalf("%q still has a sequence", got)
		}
		if again := Sanitize(got); again != got {
			t.Fatalf("not stable: %q, then %q", got, again)
		}
	})
}

// FuzzLine draws foreign text in a cell and looks at what would reach the terminal.
func FuzzLine(f *testing.F) {
	f.Add("evil \x1b[2J 漢字", 7)
	f.Add("e\u0301e\u0301", 1)
	f.Fuzz(func(t *testing.T, s string, w int) {
		if w < 0 || w > 300 || len(s) > 2000 {
			return
		}
		th, err := NewTheme("mono", true)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		ln(sp(tokText, s)).encode(th, w, &b)
		if got := ansi.StringWidth(b.String()); got != w {
			t.Fatalf("%q takes %d columns, want %d", b.String(), got, w)
		}
		if strings.ContainsAny(b.String(), "\n\r\x07\x08") {
			t.Fatalf("control character in %q", b.String())
		}
	})
}
