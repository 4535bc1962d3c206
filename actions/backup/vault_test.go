package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// packed is a gzipped archive of files in this order: name, content, name, content...
func packed(t *testing.T, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for i := 0; i+1 < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o600, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// snapshotOf is a snapshot as Vault makes one.
func snapshotOf(t *testing.T, state string) []byte {
	t.Helper()
	sums := fmt.Sprintf("%x  meta.json\n%x  state.bin\n", sha256.Sum256([]byte("{}")), sha256.Sum256([]byte(state)))
	return packed(t, "meta.json", "{}", "state.bin", state, "SHA256SUMS", sums)
}

func TestLooks(t *testing.T) {
	good := packed(t, "a", "1", "b", strings.Repeat("x", 10_000))
	snap := snapshotOf(t, "raft")
	wrong := packed(t, "meta.json", "{}", "state.bin", "other", "SHA256SUMS", fmt.Sprintf("%x  meta.json\n%064d  state.bin\n", sha256.Sum256([]byte("{}")), 0))
	cases := []struct {
		name string
		look func(b []byte) (string, error)
		in   []byte
		want string // "" is an error
	}{
		{"tar", tarOf, good, "tar lists 2 entries"},
		{"tar cut off", tarOf, good[:len(good)-20], ""},
		{"tar of nothing", tarOf, packed(t), ""},
		{"no tar", tarOf, []byte("hello"), ""},
		{"snapshot", snapOf, snap, "the 2 checksums of the snapshot are right"},
		{"snapshot cut off", snapOf, snap[:len(snap)-9], ""},
		{"snapshot with another state", snapOf, wrong, ""},
		{"no snapshot", snapOf, good, ""},
	}
	for _, tt := range cases {
		got, err := tt.look(tt.in)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q %v", tt.name, got, err)
		}
	}
}

func tarOf(b []byte) (string, error)  { return lookTar(bytes.NewReader(b)) }
func snapOf(b []byte) (string, error) { return lookSnapshot(bytes.NewReader(b)) }

// vaultStandIn answers as Vault does on the two paths that are asked. It is no Vault.
func vaultStandIn(t *testing.T, status int, body []byte, declared int) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("X-Vault-Token") != canary:
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/v1/sys/health":
			w.WriteHeader(status)
		default:
			w.Header().Set("Content-Length", fmt.Sprint(declared))
			_, _ = w.Write(body)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestVaultSnapshot(t *testing.T) {
	snap := snapshotOf(t, "raft")
	cases := []struct {
		name     string
		status   int
		token    remote.Secret
		declared int
		want     actions.Outcome // "" is a plan that cannot be run
		why      string
	}{
		{"well", 200, "env:CANARY", len(snap), actions.OutcomeGood, ""},
		{"it breaks off", 200, "env:CANARY", len(snap) + 10, actions.OutcomeFailed, "broke off"},
		{"sealed", 503, "env:CANARY", 0, "", "vault is sealed"},
		{"a standby", 429, "env:CANARY", 0, "", "standby"},
		{"a token that may not", 200, "env:OTHER", 0, "", "the token may not do this"},
	}
	for _, tt := range cases {
		s := newStage(t)
		t.Setenv("OTHER", "another")
		server := vaultStandIn(t, tt.status, snap, tt.declared)
		s.cfg.Jobs["ai-db"] = &Job{Kind: KindVault, Environment: "prod", To: "ops", Vault: &Vault{URL: server.URL, Token: tt.token}}
		if errs := s.cfg.Validate(); len(errs) > 0 {
			t.Fatal(errs)
		}
		p, err := New(s.cfg, s.deps()).Plan(t.Context(), s.Latest(), intent(Name))
		if err != nil {
			t.Fatal(err)
		}
		ok, why := p.Runnable()
		if ok {
			_, end := s.execute(context.Background(), p)
			why = strings.Join(end.Reasons, " ")
			if end.Outcome != tt.want {
				t.Errorf("%s: ended %s %v", tt.name, end.Outcome, end.Reasons)
			}
		}
		if ok != (tt.want != "") || !strings.Contains(why, tt.why) || strings.Contains(why, canary) {
			t.Errorf("%s: runnable %v: %q", tt.name, ok, why)
		}
		if tt.want == actions.OutcomeGood {
			if run, _ := s.record("json"); run.State != fleet.BackupVerified || !strings.HasSuffix(run.File, ".snap") {
				t.Errorf("%+v", run)
			}
		}
	}
}

// A token that goes over http to another machine can be read by whoever is on the way.
func TestVaultOverPlainHTTP(t *testing.T) {
	for _, tt := range []struct {
		url   string
		plain bool
		want  string // "" is allowed
	}{
		{"https://vault.example.org:8200", false, ""},
		{"http://127.0.0.1:8200", false, ""}, {"http://[::1]:8200", false, ""}, {"http://localhost:8200", false, ""},
		{"http://vault.example.org:8200", true, ""},
		{"http://vault.example.org:8200", false, "jobs.ai-db.vault.url: the token would go to vault.example.org:8200 in clear"},
		{"http://10.0.0.7:8200", false, "jobs.ai-db.vault.url: the token would go to 10.0.0.7:8200 in clear"},
		{"http://localhost.example.org", false, "in clear"}, {"http://127.0.0.1.example.org", false, "in clear"},
		{"HTTP://vault.example.org", false, "in clear"}, {"ftp://x", false, "must be Vault's address"}, {"https://u:p@x", false, "must be Vault's address"}, {"", false, "must be Vault's address"},
	} {
		s := newStage(t)
		s.cfg.Jobs["ai-db"] = &Job{Kind: KindVault, Environment: "prod", To: "ops", Vault: &Vault{URL: tt.url, Token: "env:CANARY", PlainHTTP: tt.plain}}
		got := ""
		for _, err := range s.cfg.Validate() {
			got += err.Error()
		}
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q", tt.url, got)
		}
	}
}

// What answers and is no Vault may never come to an end.
func TestTheAnswerAboutVaultsHealthIsBounded(t *testing.T) {
	sent := make(chan int, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n, block := 0, bytes.Repeat([]byte("x"), 64<<10)
		for range 1000 {
			k, err := w.Write(block)
			if n += k; err != nil {
				break
			}
		}
		sent <- n
	}))
	t.Cleanup(server.Close)
	s := newStage(t)
	s.cfg.Jobs["ai-db"] = &Job{Kind: KindVault, Environment: "prod", To: "ops", Vault: &Vault{URL: server.URL, Token: "env:CANARY"}}
	p, err := New(s.cfg, s.deps()).Plan(t.Context(), s.Latest(), intent(Name))
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := p.Runnable(); ok || !strings.Contains(why, "more than 64 KiB came") {
		t.Errorf("%v %q", ok, why)
	}
	if n := <-sent; n > 32<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

// The other kinds, with the real programs of this machine.
func TestFilesAndCommands(t *testing.T) {
	s := newStage(t)
	put := func(name string) { s.write(name, strings.Repeat("data ", 1000)) }
	put("data/a")
	put("data/b.tmp")
	cases := []struct {
		name string
		job  Job
		want string
	}{
		{"files", Job{Kind: KindFiles, Files: &Files{Paths: []string{s.dir + "/data"}, Exclude: []string{"*.tmp"}}}, "tar lists 2 entries"},
		{"a command with a check", Job{Kind: KindCommand, Command: &Command{Argv: []string{"echo", "hello"}, Ext: "txt", Check: []string{"grep", "-q", "hello"}}}, "grep says it is whole"},
		{"a check that is not content", Job{Kind: KindCommand, Command: &Command{Argv: []string{"echo", "hello"}, Ext: "txt", Check: []string{"grep", "-q", "bye"}}}, ""},
		{"a command without", Job{Kind: KindCommand, Command: &Command{Argv: []string{"echo", "hello"}, Ext: "txt"}}, "read back, 6 bytes"},
		{"what should be gzip and is not", Job{Kind: KindCommand, Command: &Command{Argv: []string{"echo", "hello"}, Ext: "sql.gz"}}, ""},
		{"a command that fails", Job{Kind: KindCommand, Command: &Command{Argv: []string{"false"}, Ext: "txt"}}, ""},
	}
	for _, tt := range cases {
		job := tt.job
		job.Environment, job.Host, job.To, job.Folder = "prod", "ops", "ops", strings.ReplaceAll(tt.name, " ", "-")
		s.cfg.Jobs["ai-db"] = &job
		if errs := s.cfg.Validate(); len(errs) > 0 {
			t.Fatal(errs)
		}
		list, end := s.run(New(s.cfg, s.deps()))
		var said []string
		for _, ev := range list {
			said = append(said, ev.Text)
		}
		if (end.Outcome == actions.OutcomeGood) != (tt.want != "") || !strings.Contains(strings.Join(said, "\n"), tt.want) {
			t.Errorf("%s: ended %s %v: %q", tt.name, end.Outcome, end.Reasons, said)
		}
	}
}
