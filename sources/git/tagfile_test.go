package git

import (
	"strings"
	"testing"
	"unicode"
)

func TestParseTagFile(t *testing.T) {
	pin := "sha256:" + strings.Repeat("a1", 32)
	tests := []struct {
		name, service, content string
		want                   TagFile
		problem                string // part of the error; "" for none
	}{
		{"plain", "ai", "AI_TAG=0.4.2\n", TagFile{"AI_TAG", "0.4.2", ""}, ""},
		{"no newline at the end", "ai", "AI_TAG=0.4.2", TagFile{"AI_TAG", "0.4.2", ""}, ""},
		{"crlf", "ai", "# tags\r\nAI_TAG=0.4.2\r\n", TagFile{"AI_TAG", "0.4.2", ""}, ""},
		{"byte order mark", "ai", "\xef\xbb\xbfAI_TAG=0.4.2\n", TagFile{"AI_TAG", "0.4.2", ""}, ""},
		{"double quotes", "ai", `AI_TAG="0.4.2"`, TagFile{"AI_TAG", "0.4.2", ""}, ""},
		{"single quotes", "ai", `AI_TAG='0.4.2' # why`, TagFile{"AI_TAG", "0.4.2", ""}, ""},
		{"export", "ai", "export\tAI_TAG=0.4.2", TagFile{"AI_TAG", "0.4.2", ""}, ""},
		{"a key that begins with export", "export", "EXPORT_TAG=1\nexported=2", TagFile{"EXPORT_TAG", "1", ""}, ""},
		{"comment after the value", "ai", "AI_TAG=0.4.2   # pinned by ana", TagFile{"AI_TAG", "0.4.2", ""}, ""},
		{"spaces and blank lines", "ai", "\n\n  AI_TAG = 0.4.2  \n\n", TagFile{"AI_TAG", "0.4.2", ""}, ""},
		{"dashes in the name", "file-thunder", "X_TAG=1\nFILE_THUNDER_TAG=2", TagFile{"FILE_THUNDER_TAG", "2", ""}, ""},
		{"one key of another name", "notification-server", "NOTIFICATION_TAG=1.8.0", TagFile{"NOTIFICATION_TAG", "1.8.0", ""}, ""},
		{"one tag among others", "ai", "NOTE=x\nLLM_TAG=7", TagFile{"LLM_TAG", "7", ""}, ""},
		{"the last one counts", "ai", "AI_TAG=1\nAI_TAG=2", TagFile{"AI_TAG", "2", ""}, ""},
		{"an odd line beside a good one", "ai", "<<<<<<< HEAD\nAI_TAG=2", TagFile{"AI_TAG", "2", ""}, ""},
		{"pinned by digest", "ai", "AI_TAG=0.4.2@" + pin, TagFile{"AI_TAG", "0.4.2", pin}, ""},
		{"two keys, none is the service's", "ai", "A_TAG=1\nB_TAG=2", TagFile{}, "2 keys (A_TAG, B_TAG) and none is AI_TAG"},
		{"empty file", "ai", "", TagFile{}, "empty: no tag is set"},
		{"only comments", "ai", "# AI_TAG=1\n", TagFile{}, "empty: no tag is set"},
		{"empty value", "ai", "AI_TAG=\n", TagFile{}, "empty: AI_TAG has no value"},
		{"empty value with comment", "ai", "AI_TAG= # later", TagFile{}, "empty: AI_TAG has no value"},
		{"no equals sign", "ai", "AI_TAG\n", TagFile{}, "line 1: not KEY=VALUE"},
		{"open quote", "ai", `AI_TAG="0.4.2`, TagFile{}, "the quote is not closed"},
		{"text after the quote", "ai", `AI_TAG="0.4".2`, TagFile{}, "text after the closing quote"},
		{"not a tag", "ai", "AI_TAG=0.4/2", TagFile{}, `"0.4/2" is not an image tag`},
		{"a variable", "ai", "AI_TAG=${CI_TAG}", TagFile{}, "is not an image tag"},
		{"an escape", "ai", "AI_TAG=\x1b[31m1", TagFile{}, `"[31m1" is not an image tag`},
		{"bad digest", "ai", "AI_TAG=1@sha256:12", TagFile{}, "is not a digest"},
		{"a tag too long", "ai", "AI_TAG=" + strings.Repeat("1", 129), TagFile{}, "is not an image tag"},
		{"binary", "ai", "AI_TAG=1\x00", TagFile{}, "binary"},
		{"UTF-16", "ai", "\xff\xfeA\x00I\x00", TagFile{}, "binary"},
		{"huge", "ai", "AI_TAG=1\n" + strings.Repeat("#", MaxTagFile), TagFile{}, "larger than 64 KiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseTagFile(tt.service, []byte(tt.content))
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if (err != nil) != (tt.problem != "") || (err != nil && !strings.Contains(err.Error(), tt.problem)) {
				t.Errorf("error %v, want %q", err, tt.problem)
			}
		})
	}
}

func TestTagKey(t *testing.T) {
	for service, want := range map[string]string{
		"ai": "AI_TAG", "file-thunder": "FILE_THUNDER_TAG", "web.2": "WEB_2_TAG", "größe": "GR__E_TAG",
	} {
		if got := TagKey(service); got != want {
			t.Errorf("%s: %s, want %s", service, got, want)
		}
	}
}

func FuzzParseTagFile(f *testing.F) {
	for _, s := range []string{"AI_TAG=1\r\n", "\xef\xbb\xbfexport AI_TAG='1' # x", "A=1\nB=2", "AI_TAG=\"", "AI_TAG=1@sha256:", "=", "#"} {
		f.Add("ai", []byte(s))
	}
	f.Fuzz(func(t *testing.T, service string, content []byte) {
		got, err := ParseTagFile(service, content)
		if err != nil {
			if got != (TagFile{}) {
				t.Errorf("an error and %+v", got)
			}
			if strings.IndexFunc(err.Error(), unicode.IsControl) >= 0 {
				t.Errorf("control characters in %q", err)
			}
			return
		}
		if !tagGrammar.MatchString(got.Tag) || !keyGrammar.MatchString(got.Key) {
			t.Errorf("accepted %+v", got)
		}
		if again, err := ParseTagFile(service, []byte(got.Key+"="+got.Tag+"\n")); err != nil || again.Tag != got.Tag {
			t.Errorf("not stable: %+v, %v", again, err)
		}
	})
}
