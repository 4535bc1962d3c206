package shellwords

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		line string
		want Command
		err  error
	}{
		{line: `hostname`, want: Command{Argv: []string{"hostname"}}},
		{line: `date +%s`, want: Command{Argv: []string{"date", "+%s"}}},
		{line: `exec docker info --format '{{json .}}'`, want: Command{Argv: []string{"docker", "info", "--format", "{{json .}}"}}},
		{line: `cd -- '/opt/a b' && exec env AI_TAG=0.4.1 docker compose up`, want: Command{
			Dir: "/opt/a b", Env: map[string]string{"AI_TAG": "0.4.1"}, Argv: []string{"docker", "compose", "up"},
		}},
		{line: `K='it'\''s' cat "a\"b"`, want: Command{Env: map[string]string{"K": "it's"}, Argv: []string{"cat", `a"b`}}},
		{line: `cat ''`, want: Command{Argv: []string{"cat", ""}}},
		{line: `cat 'a;rm -rf /'`, want: Command{Argv: []string{"cat", "a;rm -rf /"}}},
		{line: `cat a; rm b`, err: ErrShell},
		{line: `cat a | sh`, err: ErrShell},
		{line: `cat $HOME`, err: ErrShell},
		{line: "cat `id`", err: ErrShell},
		{line: `cat "$(id)"`, err: ErrShell},
		{line: `cat a & b`, err: ErrShell},
		{line: `true && true`, err: ErrShell},
		{line: `cat 'a`, err: ErrUnterminated},
		{line: `cat "a`, err: ErrUnterminated},
		{line: ` `, err: ErrEmpty},
		{line: `env A=b`, err: ErrEmpty},
		{line: `&& a`, err: ErrEmpty},
	} {
		got, err := Parse(tc.line)
		if !errors.Is(err, tc.err) {
			t.Errorf("Parse(%q): error %v, want %v", tc.line, err, tc.err)
			continue
		}
		if d := cmp.Diff(tc.want, got); err == nil && d != "" {
			t.Errorf("Parse(%q):\n%s", tc.line, d)
		}
	}
}

// FuzzQuoted holds that whatever is quoted comes back as it was, as one word.
func FuzzQuoted(f *testing.F) {
	for _, s := range []string{"", "a b", "it's", "$(id)", "a\nb", "&&", "\\", `"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			t.Skip("no argument holds a zero byte")
		}
		quoted := "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		got, err := Parse("cat " + quoted)
		if err != nil {
			t.Fatalf("Parse(cat %s): %v", quoted, err)
		}
		if len(got.Argv) != 2 || got.Argv[1] != s {
			t.Fatalf("Parse(cat %s) = %q, want one argument %q", quoted, got.Argv, s)
		}
	})
}

// FuzzParse holds that no line makes it panic, and that what it accepts is a command.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"cd -- a && exec env K=V x", "a 'b", "cd &&", `"\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := Parse(s); err == nil && len(got.Argv) == 0 {
			t.Fatalf("Parse(%q) gave no argv and no error", s)
		}
	})
}
