package compose

import (
	"testing"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

func TestTagPlaces(t *testing.T) {
	c := DefaultConfig()
	services := map[string]Override{"web": {TagFile: "{environment}/{service}.env", TagKey: "WEB"}}
	tests := []struct{ name, file, key string }{
		{"ai", "services/ai/tag.env", "AI_TAG"},
		{"file-thunder", "services/file-thunder/tag.env", "FILE_THUNDER_TAG"},
		{"web", "prod/web.env", "WEB"},
	}
	for _, tt := range tests {
		key := fleet.ServiceKey{Environment: "prod", Name: tt.name}
		if file, tag := c.TagFileOf(key, services[tt.name]), c.TagKeyOf(key, services[tt.name]); file != tt.file || tag != tt.key {
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
		o := RepoOptions{URL: tt.url, Via: "ops", Host: func(name string) (remote.Host, error) { return via{remote.Local(name), args}, nil }}
		if got, err := o.sshCommand(); err != nil || got != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.url, got, err, tt.want)
		}
	}
	o := RepoOptions{Via: "ops", Host: func(name string) (remote.Host, error) { return remote.Local(name), nil }}
	if _, err := o.sshCommand(); err == nil {
		t.Error("a host without ssh was taken as git_via")
	}
}
