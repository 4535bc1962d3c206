package redeploy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/remote"
)

func TestConfigIsValidated(t *testing.T) {
	tests := []struct {
		toml string
		want []string // one for each mistake
	}{
		{``, nil},
		{`tag_home = "svn"`, []string{`tag_home: "svn" is not allowed: checkout or git`}},
		{`tag_home = "git"`, []string{"git_url: needed", "branches: needed"}},
		{"tag_home = \"git\"\ngit_url = \"https://ana:pw@x/y\"\nbranches = {prod = \"-x\"}", []string{"git_url: holds a password", `branches.prod: "-x" is no branch`}},
		{"tag_home = \"git\"\ngit_url = \"--upload-pack=x\"\nbranches = {prod = \"a..b\"}", []string{"git_url:", "branches.prod"}},
		{`tag_file = "../x"`, []string{"tag_file:"}},
		{`tag_file = "/etc/tags/{service}.env"`, nil},
		{`tag_key = "A B"`, []string{"tag_key:"}},
		{"soak = \"2h\"\nmax_age = \"1ms\"\nstart = \"9h\"", []string{"soak:", "start:", "max_age:"}},
		{`compose = []`, []string{"compose:"}},
		{"[services.ai]\ndir = \"opt/x\"\ncheckout = \"y\"\ntag_file = \"-f\"\ntag_key = \"1\"", []string{"services.ai.dir:", "services.ai.checkout:", "services.ai.tag_file:", "services.ai.tag_key:"}},
	}
	for _, tt := range tests {
		c := DefaultConfig()
		if err := toml.NewDecoder(strings.NewReader(tt.toml)).DisallowUnknownFields().Decode(&c); err != nil {
			t.Errorf("%s: %v", tt.toml, err)
			continue
		}
		errs := c.Validate()
		if len(errs) != len(tt.want) {
			t.Errorf("%s: %v, want %v", tt.toml, errs, tt.want)
			continue
		}
		for i, err := range errs {
			if !strings.HasPrefix(err.Error(), tt.want[i]) {
				t.Errorf("%s: %v, want %s", tt.toml, err, tt.want[i])
			}
		}
	}
	lock := actions.LockConfig{Dir: "locks", Expiry: remote.Duration(time.Second)}
	if errs := lock.Validate(); len(errs) != 2 {
		t.Errorf("lock: %v", errs)
	}
	def := actions.DefaultLockConfig()
	if errs := def.Validate(); len(errs) != 0 {
		t.Errorf("the default lock: %v", errs)
	}
}

func TestScaleIsKept(t *testing.T) {
	s := newStage(t, compose.HomeCheckout, "prod-1")
	snap := s.Latest()
	svc := &snap.Services[0]
	second := *svc.Instances[0]
	second.ID, second.Name = "second", "nexgate-ai-2"
	second.Labels = map[string]string{compose.LabelDir: second.Labels[compose.LabelDir], compose.LabelFiles: second.Labels[compose.LabelFiles], compose.LabelNumber: "2"}
	leftOver := *svc.Instances[0]
	leftOver.ID, leftOver.Name = "third", "1f2e_nexgate-ai-1"
	svc.Instances = append(svc.Instances, &second, &leftOver)
	p, err := s.action().Plan(t.Context(), snap, s.intent(""))
	if err != nil {
		t.Fatal(err)
	}
	last := p.Steps[len(p.Steps)-1].Argv
	if want := []string{"up", "-d", "--no-deps", "--scale", "ai=2", "ai"}; !slices.Equal(last[len(last)-len(want):], want) {
		t.Errorf("up is %v", last)
	}
	if !strings.Contains(fmt.Sprint(p.Checks), "there are 2, the file asks for 1: 2 are kept") {
		t.Errorf("checks %v", p.Checks)
	}
	want := []string{
		"docker", "compose", "--project-directory", s.hosts[0].dir, "-p", "nexgate",
		"-f", s.hosts[0].dir + "/prod/stack.yml",
	}
	if !slices.Equal(last[:len(want)], want) {
		t.Errorf("up is %v, want %v first", last, want)
	}
}
