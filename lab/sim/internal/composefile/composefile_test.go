package composefile

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

func reader(files map[string]string) func(string) ([]byte, error) {
	return func(p string) ([]byte, error) {
		if text, ok := files[p]; ok {
			return []byte(text), nil
		}
		return nil, fmt.Errorf("%s: %w", p, fs.ErrNotExist)
	}
}

func TestWhoseValueWins(t *testing.T) {
	files := map[string]string{
		"/p/stack.yml":   "name: p\ninclude:\n  - path: ../s/service.yml\n    env_file: ../s/tag.env\n  - ../base.yml\n",
		"/s/service.yml": "services:\n  ai:\n    image: r/ai:${AI_TAG:-latest}\n",
		"/s/tag.env":     "# bumped by CI\nexport AI_TAG=\"0.4.2\"\r\n",
		"/base.yml":      "services:\n  db:\n    image: postgres:16\n",
		"/p/other.env":   "AI_TAG=0.4.0\n",
	}
	for _, tc := range []struct {
		name string
		in   Input
		want string
	}{
		{"the include's env_file", Input{}, "r/ai:0.4.2"},
		{"the project's env file", Input{EnvFiles: []string{"/p/other.env"}}, "r/ai:0.4.0"},
		{"the environment", Input{EnvFiles: []string{"/p/other.env"}, Environment: map[string]string{"AI_TAG": "0.3.9"}}, "r/ai:0.3.9"},
		{"empty is not set", Input{Environment: map[string]string{"AI_TAG": ""}}, "r/ai:latest"},
	} {
		in := tc.in
		in.Dir, in.Files, in.Read = "/p", []string{"/p/stack.yml"}, reader(files)
		p, err := Load(in)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got := p.Image("ai"); got != tc.want || p.Name != "p" || strings.Join(p.Names(), " ") != "ai db" {
			t.Errorf("%s: ai is %s in %s with %v, want %s", tc.name, got, p.Name, p.Names(), tc.want)
		}
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"services: [":              "parsing /p/stack.yml",
		"include:\n  - nope.yml\n": "open /p/nope.yml: no such file or directory",
		"include:\n  - path: x.yml\n    env_file: no.env\n": "env file /p/no.env not found",
		"include:\n  - stack.yml\n":                         "too many includes",
		"services:\n  a:\n    image: ${A:?say it}\n":        "required variable A is missing a value: say it",
		"services:\n  a:\n    image: ${\n":                  "invalid interpolation format",
	} {
		_, err := Load(Input{Dir: "/p", Files: []string{"/p/stack.yml"}, Read: reader(map[string]string{"/p/stack.yml": text})})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestInterpolate(t *testing.T) {
	env := map[string]string{"A": "1", "E": ""}
	for in, want := range map[string]string{
		"$A-${A}": "1-1", "$$A": "$A", "${E:-x}": "x", "${E-x}": "", "${N-x}": "x", "${N:-}": "", "${A:-x}": "1", "": "", "no": "no",
	} {
		if got, err := Interpolate(in, env); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

// FuzzInterpolate holds that no text makes it panic, and that one without a dollar stays as it is.
func FuzzInterpolate(f *testing.F) {
	for _, s := range []string{"${A:-", "${}", "$", "${A:}", "${A?}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Interpolate(s, map[string]string{"A": "1"})
		if !strings.Contains(s, "$") && (err != nil || got != s) {
			t.Fatalf("%q became %q, %v", s, got, err)
		}
	})
}
