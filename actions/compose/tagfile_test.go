package compose

import (
	"bytes"
	"strings"
	"testing"
)

const someDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestSetTagChangesNothingElse(t *testing.T) {
	tests := []struct {
		name, in, want string
	}{
		{"one line", "AI_TAG=0.4.2\n", "AI_TAG=0.4.1\n"},
		{"no line end", "AI_TAG=0.4.2", "AI_TAG=0.4.1"},
		{"carriage returns", "# x\r\nAI_TAG=0.4.2\r\nB=1\r\n", "# x\r\nAI_TAG=0.4.1\r\nB=1\r\n"},
		{"double quotes", "AI_TAG=\"0.4.2\"\n", "AI_TAG=\"0.4.1\"\n"},
		{"single quotes and a comment", "AI_TAG='0.4.2'  # by CI\n", "AI_TAG='0.4.1'  # by CI\n"},
		{"a comment", "AI_TAG=0.4.2 # was 0.4.1\n", "AI_TAG=0.4.1 # was 0.4.1\n"},
		{"export and blanks", "  export AI_TAG = 0.4.2 \n", "  export AI_TAG = 0.4.1 \n"},
		{"other keys", "BASE_AI_TAG=9\nAI_TAG=0.4.2\nAI_TAG_OLD=8\n", "BASE_AI_TAG=9\nAI_TAG=0.4.1\nAI_TAG_OLD=8\n"},
		{"a comment with the key", "# AI_TAG=0.0.1\nAI_TAG=0.4.2\n", "# AI_TAG=0.0.1\nAI_TAG=0.4.1\n"},
		{"the last of two counts", "AI_TAG=0.4.0\nAI_TAG=0.4.2\n", "AI_TAG=0.4.0\nAI_TAG=0.4.1\n"},
		{"a byte order mark", "\ufeffAI_TAG=0.4.2\n", "\ufeffAI_TAG=0.4.1\n"},
		{"a pinned digest", "AI_TAG=0.4.2@sha256:" + strings.Repeat("b", 64) + "\n", "AI_TAG=0.4.1@" + someDigest + "\n"},
	}
	for _, tt := range tests {
		got, err := SetTag([]byte(tt.in), "AI_TAG", "0.4.1", someDigest)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %q, err %v, want %q", tt.name, got, err, tt.want)
		}
		if tag, _, err := ReadTag([]byte(tt.in), "AI_TAG"); err != nil || tag != "0.4.2" {
			t.Errorf("%s: read %q, err %v", tt.name, tag, err)
		}
	}
}

func TestOddTagFiles(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"empty", "", "it has no line AI_TAG=TAG (it has: none)"},
		{"another key", "WEB_TAG=1\n", "WEB_TAG"},
		{"no value", "AI_TAG=\n", "no value"},
		{"blank value", "AI_TAG=\" \"\n", "no value"},
		{"binary", "AI_TAG=0.4.2\x00", "binary"},
		{"not a tag", "AI_TAG=$(rm)\n", "not an image tag"},
		{"not a digest", "AI_TAG=0.4.2@sha256:12\n", "not an image tag"},
		{"huge", strings.Repeat("#\n", maxTagFile), "larger"},
	}
	for _, tt := range tests {
		if _, _, err := ReadTag([]byte(tt.in), "AI_TAG"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := SetTag([]byte("AI_TAG=1\n"), "AI_TAG", "1\nX=2", ""); err == nil {
		t.Error("a tag with a line end was written")
	}
}

func FuzzSetTag(f *testing.F) {
	f.Add([]byte("AI_TAG=0.4.2\n"))
	f.Add([]byte("export AI_TAG='1' # x\r\nB=\"2\"\r\n"))
	f.Add([]byte("AI_TAG=1\nAI_TAG=\"2\"\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := SetTag(in, "AI_TAG", "0.4.1", "")
		if err != nil {
			return
		}
		tag, _, err := ReadTag(out, "AI_TAG")
		if err != nil || tag != "0.4.1" {
			t.Errorf("%q became %q: reads %q, %v", in, out, tag, err)
		}
		if bytes.Count(in, []byte("\n")) != bytes.Count(out, []byte("\n")) {
			t.Errorf("%q became %q: other lines", in, out)
		}
	})
}

func TestLinesAreCut(t *testing.T) {
	var got []string
	l := &lines{stream: "stdout", emit: func(_, line string) { got = append(got, line) }}
	for _, part := range []string{"on", "e\ntwo\r\nthr", "ee\rfour  \n\n", "last"} {
		if _, err := l.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	l.flush()
	if want := "one|two|three|four|last"; strings.Join(got, "|") != want {
		t.Errorf("lines %q, want %s", got, want)
	}
	got = nil
	if _, err := l.Write(bytes.Repeat([]byte("x"), 3*maxLine+1)); err != nil {
		t.Fatal(err)
	}
	l.flush()
	if len(got) != 4 || len(got[0]) != maxLine || len(got[3]) != 1 {
		t.Errorf("%d lines of an endless one", len(got))
	}
}
