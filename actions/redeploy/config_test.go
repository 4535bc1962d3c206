package redeploy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
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

func TestTagPlaces(t *testing.T) {
	c := DefaultConfig()
	c.Services = map[string]Override{"web": {TagFile: "{environment}/{service}.env", TagKey: "WEB"}}
	tests := []struct{ name, file, key string }{
		{"ai", "services/ai/tag.env", "AI_TAG"},
		{"file-thunder", "services/file-thunder/tag.env", "FILE_THUNDER_TAG"},
		{"web", "prod/web.env", "WEB"},
	}
	for _, tt := range tests {
		key := fleet.ServiceKey{Environment: "prod", Name: tt.name}
		if file, tag := c.tagFile(key), c.tagKey(key); file != tt.file || tag != tt.key {
			t.Errorf("%s: %s %s", tt.name, file, tag)
		}
	}
}

// via is a host that the ssh program can reach.
type via struct {
	remote.Host
	args []string
}

func (v via) Address() string       { return "deploy@10.8.0.1:2222" }
func (v via) OpenSSHArgs() []string { return v.args }

func TestGitViaUsesTheHostsIdentity(t *testing.T) {
	args := []string{"-i", "/k ey", "-o", "BatchMode=yes", "-p", "2222", "-l", "deploy"}
	tests := []struct{ url, want string }{
		{"ssh://git@git.nexgate.internal/x", "ssh -i '/k ey' -o 'BatchMode=yes'"},
		{"ssh://10.8.0.1/x", "ssh -i '/k ey' -o 'BatchMode=yes' -p 2222 -l deploy"},
		{"git@10.8.0.1:x", "ssh -i '/k ey' -o 'BatchMode=yes' -p 2222"},
	}
	for _, tt := range tests {
		cfg := DefaultConfig()
		cfg.GitURL, cfg.GitVia = tt.url, "ops"
		a := &action{cfg: cfg, deps: Deps{Host: func(name string) (remote.Host, error) { return via{remote.Local(name), args}, nil }}}
		if got, err := a.sshCommand(); err != nil || got != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.url, got, err, tt.want)
		}
	}
	a := &action{cfg: Config{GitVia: "ops"}, deps: Deps{Host: func(name string) (remote.Host, error) { return remote.Local(name), nil }}}
	if _, err := a.sshCommand(); err == nil {
		t.Error("a host without ssh was taken as git_via")
	}
}

func TestScaleIsKept(t *testing.T) {
	s := newStage(t, HomeCheckout, "prod-1")
	snap := s.Latest()
	svc := &snap.Services[0]
	second := svc.Instances[0]
	second.ID, second.Name = "second", "nexgate-ai-2"
	second.Labels = map[string]string{labelDir: second.Labels[labelDir], labelFiles: second.Labels[labelFiles], labelNumber: "2"}
	leftOver := svc.Instances[0]
	leftOver.ID, leftOver.Name = "third", "1f2e_nexgate-ai-1"
	svc.Instances = append(svc.Instances, second, leftOver)
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
