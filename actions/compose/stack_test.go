package compose

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/remote"
)

// committed makes a checkout of files and gives it as a host has it, with its commit.
func committed(t *testing.T, files map[string]string) (*Survey, string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-C", dir}, args...)...) //nolint:gosec // a test's
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull,
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "x")
	s := &Survey{Place: &Place{Host: "h", Dir: filepath.Join(dir, "prod")}, Probe: Probe{Host: remote.Local("h")}, Repo: dir}
	return s, git("rev-parse", "HEAD")
}

// What a commit declares is read from git alone: the files of the checkout may be others by now.
func TestDeclared(t *testing.T) {
	s, commit := committed(t, map[string]string{
		"prod/stack.yml": `
include:
  - ../base/postgres.yml
  - path: [../services/ai/service.yml, ../services/ai/extra.yml]
    env_file: ../services/ai/tag.env
  - path: ../services/web/service.yml
    project_directory: ../services/web
    env_file: [../services/web/tag.env, ../services/web/none.env]
services:
  plain: {image: "reg/plain:1.0"}
  "-bad": {image: x}
`,
		"base/postgres.yml":       "services:\n  postgres:\n    image: postgres:${PG:-15}\n",
		"services/ai/service.yml": "services:\n  ai:\n    image: reg:5000/ai:${AI_TAG:-latest}\n    depends_on: [postgres, cache]\n",
		"services/ai/extra.yml":   "services:\n  ai:\n    depends_on: {plain: {condition: service_started}}\n  cache: {image: 'redis:$CACHE', deploy: {replicas: 0}}\n",
		"services/ai/tag.env":     "# x\nexport AI_TAG=\"0.4.2\"\n",
		"services/web/service.yml": "include: [inner/more.yml]\nservices:\n  web:\n    image: reg/web:$WEB_TAG\n    build: .\n" +
			"  tool: {image: reg/tool, profiles: [debug]}\n  many: {image: 'reg/many:1', scale: '${N}'}\n",
		"services/web/inner/more.yml": "services:\n  inner: {image: \"reg/inner:${WEB_TAG}\"}\n",
		"services/web/tag.env":        "WEB_TAG=2.0\n",
	})
	s.Place.Files = []string{s.Repo + "/prod/stack.yml"}
	if err := os.WriteFile(s.Repo+"/prod/stack.yml", []byte("services: {}"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := s.Declared(t.Context(), s.Place, commit)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Declared{
		"plain":    {File: "prod/stack.yml", Image: "reg/plain:1.0"},
		"postgres": {File: "base/postgres.yml"}, // the default may not be what an env file outside of git says
		"ai":       {File: "services/ai/service.yml", Image: "reg:5000/ai:0.4.2", Needs: []string{"postgres", "cache", "plain"}},
		"cache":    {File: "services/ai/extra.yml", Off: "git wants 0 of it"},
		"web":      {File: "services/web/service.yml"}, // it is built
		"tool":     {File: "services/web/service.yml", Image: "reg/tool", Off: "it is of the profile debug"},
		"many":     {File: "services/web/service.yml", Image: "reg/many:1"},
		"inner":    {File: "services/web/inner/more.yml", Image: "reg/inner:2.0"},
	}
	if !reflect.DeepEqual(got, want) {
		for name := range want {
			if !reflect.DeepEqual(got[name], want[name]) {
				t.Errorf("%s: %+v, not %+v", name, got[name], want[name])
			}
		}
		t.Errorf("%d services, not %d", len(got), len(want))
	}
}

// The whole truth or an error.
func TestDeclaredThatIsNotTold(t *testing.T) {
	big := "services: {}\n#" + strings.Repeat("x", maxStackFile)
	for name, tt := range map[string]struct{ stack, want string }{
		"gone":                    {"include: [../nope.yml]", "nope.yml is not in git"},
		"a URL":                   {"include: ['https://x/y.yml']", "which git alone does not tell"},
		"a variable":              {"include: ['../${X}.yml']", "which git alone does not tell"},
		"outside":                 {"include: ['../../x.yml']", "which git alone does not tell"},
		"absolute":                {"include: [/etc/x.yml]", "which git alone does not tell"},
		"a folder":                {"include: [../prod]", "is no file of at most"},
		"large":                   {"include: [../big.yml]", "is no file of at most"},
		"no YAML":                 {"services: [", "is not understood"},
		"itself, again and again": {"include: [stack.yml]", "more than 300 Compose files"},
	} {
		s, commit := committed(t, map[string]string{"prod/stack.yml": tt.stack, "big.yml": big})
		s.Place.Files = []string{s.Repo + "/prod/stack.yml"}
		if got, err := s.Declared(t.Context(), s.Place, commit); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	s, commit := committed(t, map[string]string{"prod/stack.yml": "services: {}"})
	for _, files := range [][]string{nil, {"/etc/hostname"}} {
		s.Place.Files = files
		if got, err := s.Declared(t.Context(), s.Place, commit); err == nil {
			t.Errorf("%v: %v", files, got)
		}
	}
}

// What others push is foreign: it is read or an error, and a word of it is never more than a word.
func FuzzStack(f *testing.F) {
	for _, seed := range []string{
		"include: [a.yml, {path: [b], env_file: c}]\nservices: {a: {image: 'x:${Y:-1}', depends_on: [b], scale: 2}}", "services: {a: &x {image: 1}, b: *x}",
		"include: 1", "services: []", "a: &a [*a]", "services: {a: {depends_on: {b: {}}, deploy: {replicas: x}, profiles: [p]}}", "include: [{path: {a: b}}]", "\x00", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := readStack(raw)
		if err != nil {
			return
		}
		st := &stack{s: &Survey{Place: &Place{}}, read: map[string][]byte{}, out: map[string]Declared{}}
		for name, svc := range doc.Services {
			st.add(name, stackFile{path: "x", vars: map[string]string{"Y": "2"}}, svc)
		}
		for name, d := range st.out {
			if strings.ContainsAny(d.Image, "$\x00 ") {
				t.Errorf("%q has the image %q", name, d.Image)
			}
			_ = fmt.Sprint(d)
		}
	})
}
