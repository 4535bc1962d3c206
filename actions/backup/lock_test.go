package backup

import (
	"io"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
)

// A job is locked where it takes effect: on its hosts, else in the bucket, else on this machine; where that leaves a gap it is said.
func TestWhereAJobIsLocked(t *testing.T) {
	bucket := store.Config{Endpoint: "https://s3.example.org", Bucket: "backups", Prefix: "prod"}
	local := bucket
	local.Lock = store.LockLocal
	for name, tt := range map[string]struct {
		to    store.Config
		hosts []string
		at    string
		warns bool
	}{
		"bucket to bucket":               {to: bucket, at: "s3 backups/prod/media"},
		"a host to a bucket":             {to: bucket, hosts: []string{"prod-1"}},
		"a server that keeps no locks":   {to: local, warns: true},
		"to this machine":                {to: store.Config{Path: "/srv/backups"}},
		"a host, and a server like that": {to: local, hosts: []string{"prod-1"}},
	} {
		place, err := store.Open(tt.to, "media", store.Deps{Host: func(string) (remote.Host, error) { return nil, io.EOF }})
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{Stores: map[string]*store.Config{"offsite": &tt.to}}
		w := &work{a: &action{cfg: cfg}, name: "media", job: &Job{To: "offsite"}, place: place}
		p := &actions.Plan{LockHosts: tt.hosts, Steps: []actions.Step{{Name: "look"}, {Name: "copy", Mutates: true}}}
		w.lock(p)
		at := ""
		if p.Steps[1].At != nil {
			at = p.Steps[1].At.String()
		}
		warned := len(p.Checks) == 1 && p.Checks[0].State == actions.CheckWarn && strings.Contains(p.Checks[0].Detail, "on another one may run media at the same time")
		if at != tt.at || p.Steps[0].At != nil || warned != tt.warns || len(p.Checks) > 1 {
			t.Errorf("%s: at %q, checks %+v", name, at, p.Checks)
		}
	}
}
