package git

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

var sha = strings.Repeat("1a", 20)

func readAll(log string) ([]string, error) {
	var got []string
	err := readLog(strings.NewReader(log), func(file string, e edit) {
		got = append(got, strings.Join([]string{file, e.mode, e.blob[:4], e.commit.author, e.commit.subject}, "|"))
	})
	return got, err
}

func TestReadLog(t *testing.T) {
	raw := func(mode, status, file string) string {
		return ":100644 " + mode + " " + sha + " " + sha + " " + status + "\x00" + file + "\x00"
	}
	head := func(author, subject string) string { return sha + "\x0012\x00" + author + "\x00" + subject + "\x00" }
	tests := []struct {
		name, log string
		want      []string
		fails     string
	}{
		{"nothing", "", nil, ""},
		{"one commit, two files", head("Ana", "both") + "\n" + raw("100644", "M", "a") + raw("000000", "D", "b\nc"), []string{"a|100644|1a1a|Ana|both", "b\nc|000000|1a1a|Ana|both"}, ""},
		{"a commit without files", head("Ana", "x") + head("Ben", "y") + "\n" + raw("100755", "A", "a"), []string{"a|100755|1a1a|Ben|y"}, ""},
		{"a subject like a diff, no author", head("", ":100644 100644 x") + "\n" + raw("100644", "M", "a"), []string{"a|100644|1a1a||:100644 100644 x"}, ""},
		{"no subject", head("Ana", "") + "\n" + raw("100644", "M", "a"), []string{"a|100644|1a1a|Ana|"}, ""},
		{"cut in a commit", sha + "\x0012\x00Ana", nil, "in the middle of a commit"},
		{"cut in a file", head("Ana", "x") + "\n:100644 100644 " + sha + " " + sha + " M\x00", nil, "cannot read"},
		{"a file before any commit", raw("100644", "M", "a"), nil, "cannot read"},
		{"another format", "commit " + sha + "\x001\x00\x00\x00", nil, "cannot read commit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readAll(tt.log)
			if (err != nil) != (tt.fails != "") || (err != nil && !strings.Contains(err.Error(), tt.fails)) {
				t.Fatalf("error %v, want %q", err, tt.fails)
			}
			if diff := cmp.Diff(tt.want, got); err == nil && diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzReadLog(f *testing.F) {
	f.Add(sha + "\x0012\x00Ana\x00both\x00\n:100644 100644 " + sha + " " + sha + " M\x00a\x00")
	f.Add(":\x00:\x00")
	f.Fuzz(func(t *testing.T, log string) {
		err := readLog(strings.NewReader(log), func(_ string, e edit) {
			if !isSHA(e.blob) || e.commit == nil || !isSHA(e.commit.sha) {
				t.Errorf("accepted %+v", e)
			}
			if strings.IndexFunc(e.commit.author+e.commit.subject, unicode.IsControl) >= 0 {
				t.Errorf("control characters in %+v", e.commit)
			}
		})
		if err != nil && strings.IndexFunc(err.Error(), unicode.IsControl) >= 0 {
			t.Errorf("control characters in %q", err)
		}
	})
}

func TestBroken(t *testing.T) {
	for text, want := range map[string]bool{
		"fatal: Could not read from remote repository.":                       false,
		"fatal: could not read Username for 'https://h': prompts disabled":    false,
		"fatal: unable to access 'https://h/': Could not resolve host: h":     false,
		"fatal: '/x' does not appear to be a git repository":                  false,
		"remote: fatal: bad object " + sha:                                    false,
		"fatal: not a git repository: '/c/repo.git'":                          true,
		"fatal: bad object refs/heads/master":                                 true,
		"error: object file ./objects/1a/1b is empty":                         true,
		"error: Could not read " + sha:                                        true,
		"warning: ignoring broken ref refs/heads/master":                      true,
		"error: cannot lock ref 'refs/heads/a/b': 'refs/heads/a' exists":      true,
		"x\nfatal: unable to read tree " + sha:                                true,
		"fatal: unable to find remote helper for 'foo'":                       false,
		"fatal: Unable to create '/c/repo.git/shallow.lock': File exists.":    true,
		"ssh: connect to host h port 22: Connection refused\nfatal: the rest": false,
	} {
		if got := broken(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
