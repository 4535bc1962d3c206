package remote

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

func rsaKey(t testing.TB) ssh.Signer {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ecdsaKey(t testing.TB) ssh.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKnownHosts(t *testing.T) {
	ed, rs, ec, other := newKey(t, ""), rsaKey(t), ecdsaKey(t), newKey(t, "")
	f := newFakeSSHD(t, rs, ec, ed)
	host, port, _ := net.SplitHostPort(f.address)
	hashed := func(k ssh.Signer) string {
		return knownhosts.Line([]string{xknownhosts.HashHostname(xknownhosts.Normalize(f.address))}, k.PublicKey()) + "\n"
	}
	revoked := "@revoked " + knownLine(f.address, ed)
	for _, tc := range []struct {
		name  string
		files []string // contents; "-" is a missing file
		want  string   // of the error's type; "" is no error
	}{
		{"plain", []string{knownLine(f.address, ed)}, ""},
		{"only rsa, server has all", []string{knownLine(f.address, rs)}, ""},
		{"only ecdsa, server has all", []string{knownLine(f.address, ec)}, ""},
		{"hashed", []string{"# comment\n\n" + hashed(ed)}, ""},
		{"second file", []string{"-", knownLine("127.0.0.9:22", other), knownLine(f.address, ed)}, ""},
		{"pattern", []string{"127.0.0.* " + authorized(ed)}, ""},
		{"missing file", []string{"-"}, "*remote.UnknownKeyError"},
		{"empty file", []string{""}, "*remote.UnknownKeyError"},
		{"another port", []string{fmt.Sprintf("[%s]:1%s %s", host, port, authorized(ed))}, "*remote.UnknownKeyError"},
		{"another host", []string{knownLine("10.9.9.9:22", ed)}, "*remote.UnknownKeyError"},
		{"changed", []string{"\n" + knownLine(f.address, other)}, "*remote.ChangedKeyError"},
		{"changed, hashed", []string{"-", "\n" + hashed(other)}, "*remote.ChangedKeyError"},
		{"the kind on record first is right", []string{knownLine(f.address, rs) + knownLine(f.address, other)}, ""},
		{"the kind on record first has changed", []string{"\n" + knownLine(f.address, other) + knownLine(f.address, rs)}, "*remote.ChangedKeyError"},
		{"revoked", []string{revoked + knownLine(f.address, ed)}, "*remote.RevokedKeyError"},
		{"broken line", []string{"127.0.0.1 ssh-ed25519 AAAAbroken!\n"}, "*errors.errorString"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := f.config()
			cfg.KnownHosts = nil
			for i, text := range tc.files {
				file := filepath.Join(t.TempDir(), fmt.Sprintf("known %d", i))
				if text != "-" {
					writeFile(t, file, text)
				}
				cfg.KnownHosts = append(cfg.KnownHosts, file)
			}
			_, err := run(t, one(t, cfg, Options{}), "true")
			checkTrust(t, tc.want, err, cfg)
		})
	}
}

func checkTrust(t *testing.T, want string, err error, cfg Config) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("err = %v", err)
		}
		return
	}
	if !errors.Is(err, ErrNotStarted) {
		t.Fatalf("err = %v", err)
	}
	var unknown *UnknownKeyError
	var changed *ChangedKeyError
	var revoked *RevokedKeyError
	host, port, _ := net.SplitHostPort(cfg.Address)
	last := cfg.KnownHosts[len(cfg.KnownHosts)-1]
	switch want {
	case "*remote.UnknownKeyError":
		if !errors.As(err, &unknown) {
			t.Fatalf("err = %v", err)
		}
		command := fmt.Sprintf("ssh-keyscan -t ed25519 -p %s %s >> '%s'", port, host, cfg.KnownHosts[0])
		if unknown.Command != command || !strings.HasPrefix(unknown.Fingerprint, "SHA256:") || unknown.Host != "prod-1" {
			t.Errorf("%+v, want command %s", unknown, command)
		}
		if !strings.Contains(err.Error(), command) || !strings.Contains(err.Error(), unknown.Fingerprint) {
			t.Errorf("err = %v", err)
		}
	case "*remote.ChangedKeyError":
		if !errors.As(err, &changed) || !strings.Contains(err.Error(), last+":2 has ssh-ed25519 SHA256:") {
			t.Errorf("err = %v", err)
		}
	case "*remote.RevokedKeyError":
		if !errors.As(err, &revoked) || !strings.Contains(err.Error(), last+":1") {
			t.Errorf("err = %v", err)
		}
	default:
		if !strings.Contains(err.Error(), last+":1") {
			t.Errorf("err = %v, want one that names the line", err)
		}
	}
}

// The host has no key of the kind on record any more: that is a change, not a failed handshake.
func TestKindOfKeyChanged(t *testing.T) {
	f := newFakeSSHD(t, rsaKey(t))
	cfg := f.config()
	writeFile(t, cfg.KnownHosts[0], knownLine(f.address, newKey(t, "")))
	_, err := run(t, one(t, cfg, Options{}), "true")
	var changed *ChangedKeyError
	if !errors.As(err, &changed) || !strings.Contains(err.Error(), "only rsa-sha2-256") || !strings.Contains(err.Error(), cfg.KnownHosts[0]+":1") {
		t.Errorf("err = %v", err)
	}
}

// The command that the error gives does what it says, with the real programs.
func TestScanCommandAddsTheKey(t *testing.T) {
	if _, err := exec.LookPath("ssh-keyscan"); err != nil {
		t.Skip("no ssh-keyscan on this machine")
	}
	s := startSSHD(t)
	cfg := s.config(t)
	cfg.KnownHosts = []string{filepath.Join(t.TempDir(), "my hosts")}
	h := one(t, cfg, Options{})
	_, err := run(t, h, "true")
	var unknown *UnknownKeyError
	if !errors.As(err, &unknown) || unknown.Fingerprint != ssh.FingerprintSHA256(s.hostKey.PublicKey()) {
		t.Fatalf("err = %v", err)
	}
	if out, err := exec.Command("sh", "-c", unknown.Command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", unknown.Command, err, out)
	}
	for errors.As(err, &unknown) { // until the backoff is over
		_, err = run(t, h, "true")
	}
	if err != nil {
		t.Error(err)
	}
}

func TestScanCommandOfAJump(t *testing.T) {
	near, err := newSSHHost("near", Config{Address: "jump.example:2222", User: "ana"}, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	far, err := newSSHHost("far", Config{Address: "10.0.0.4", User: "ana", KnownHosts: []string{"/k"}}, near, Options{})
	if err != nil {
		t.Fatal(err)
	}
	tr := &trust{h: far, files: []string{"/k"}}
	want := "ssh -p 2222 -l ana jump.example -- ssh-keyscan -t ecdsa -p 22 10.0.0.4 >> /k"
	if got := tr.scanCommand("ecdsa-sha2-nistp256"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := tr.scanCommand("ssh-rsa"); !strings.Contains(got, "-t rsa") {
		t.Errorf("got %s", got)
	}
}

func lockedKey(t testing.TB, file, pass string) ssh.Signer {
	t.Helper()
	key := ecdsaRaw(t)
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "test", []byte(pass))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, string(pem.EncodeToMemory(block)))
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ecdsaRaw(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// serveAgent is an agent that holds keys.
func serveAgent(t testing.TB, keys ...any) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: k}); err != nil {
			t.Fatal(err)
		}
	}
	l, path := listenUnix(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, c); _ = c.Close() }()
		}
	}()
	return path
}

func env(pairs ...string) Options {
	return Options{LookupEnv: func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}}
}

func TestKeys(t *testing.T) {
	f := newFakeSSHD(t)
	dir := t.TempDir()
	locked := filepath.Join(dir, "locked")
	lockedSigner := lockedKey(t, locked, "open sesame")
	plain := f.key
	wrong := filepath.Join(dir, "wrong")
	newKey(t, wrong)
	loose := filepath.Join(dir, "loose")
	newKey(t, loose)
	if err := os.Chmod(loose, 0o644); err != nil { // #nosec G302 -- the point of the test
		t.Fatal(err)
	}
	garbage := filepath.Join(dir, "garbage")
	writeFile(t, garbage, "hello")
	held := ecdsaRaw(t)
	heldSigner, _ := ssh.NewSignerFromKey(held)
	on := true
	sock := serveAgent(t, held)
	for _, tc := range []struct {
		name   string
		let    ssh.Signer
		files  []string
		agent  bool
		pass   Secret
		opts   Options
		want   []string // parts of the error; none is success
		refuse []string // parts it must not have
	}{
		{name: "file", files: []string{plain}},
		{name: "second file", files: []string{wrong, plain}},
		{name: "passphrase", let: lockedSigner, files: []string{locked}, pass: "env:PASS", opts: env("PASS", "open sesame")},
		{name: "wrong passphrase", let: lockedSigner, files: []string{locked}, pass: "env:PASS", opts: env("PASS", "close sesame"),
			want: []string{"the passphrase from env:PASS does not open it"}, refuse: []string{"sesame"}},
		{name: "no passphrase", let: lockedSigner, files: []string{locked}, want: []string{"locked: is encrypted", "ssh-add"}},
		{name: "passphrase not set", let: lockedSigner, files: []string{locked}, pass: "env:PASS", want: []string{"env:PASS", "not set"}},
		{name: "agent", let: heldSigner, agent: true, opts: env("SSH_AUTH_SOCK", sock)},
		{name: "agent is off", let: heldSigner, files: []string{wrong}, opts: env("SSH_AUTH_SOCK", sock), want: []string{"lets none of these keys in", wrong + " SHA256:"}},
		{name: "agent is gone", agent: true, opts: env("SSH_AUTH_SOCK", "/none"), want: []string{"no key to log in with", "agent: ", "set identity_files or start an agent"}},
		{name: "loose mode", files: []string{loose}, want: []string{"0644", "chmod 600"}},
		{name: "garbage", files: []string{garbage}, want: []string{"garbage: "}},
		{name: "missing", files: []string{dir + "/none"}, want: []string{"none: no such file"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f.letIn(tc.let)
			if tc.let == nil {
				f.letIn(signerOf(t, plain))
			}
			cfg := f.config()
			cfg.IdentityFiles, cfg.Passphrase = tc.files, tc.pass
			if tc.agent {
				cfg.Agent = &on
			}
			tc.opts.Home = dir
			_, err := run(t, one(t, cfg, tc.opts), "true")
			if len(tc.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var auth *AuthError
			if !errors.As(err, &auth) || !errors.Is(err, ErrNotStarted) {
				t.Fatalf("err = %v", err)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("err = %v, want %q in it", err, part)
				}
			}
			for _, part := range tc.refuse {
				if strings.Contains(err.Error(), part) {
					t.Errorf("err = %v, holds %q", err, part)
				}
			}
		})
	}
}

func signerOf(t testing.TB, file string) ssh.Signer {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.ParsePrivateKey(data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// An encrypted file whose key the agent holds needs no passphrase, and the default names are found.
func TestAgentOpensAnEncryptedFile(t *testing.T) {
	f := newFakeSSHD(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, ".ssh", "id_ecdsa")
	f.letIn(lockedKey(t, file, "x"))
	cfg := f.config()
	cfg.IdentityFiles = nil
	cfg.Passphrase = "cmd:echo x"
	if _, err := run(t, one(t, cfg, Options{Home: dir}), "true"); err != nil {
		t.Errorf("default name: %v", err)
	}
	data, _ := os.ReadFile(file)
	key, err := ssh.ParseRawPrivateKeyWithPassphrase(data, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	opts := env("SSH_AUTH_SOCK", serveAgent(t, key))
	opts.Home = dir
	on := true
	cfg.Passphrase, cfg.Agent, cfg.IdentityFiles = "", &on, []string{"~/.ssh/id_ecdsa"}
	if _, err := run(t, one(t, cfg, opts), "true"); err != nil {
		t.Errorf("by the agent: %v", err)
	}
}

// A certificate beside the key is used, as ssh does.
func TestCertificate(t *testing.T) {
	f := newFakeSSHD(t)
	ca := newKey(t, "")
	client := signerOf(t, f.key)
	cert := &ssh.Certificate{
		Key: client.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"deploy"},
		ValidBefore: ssh.CertTimeInfinity, KeyId: "test",
	}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	writeFile(t, f.key+"-cert.pub", string(ssh.MarshalAuthorizedKey(cert)))
	s, err := ssh.NewCertSigner(cert, client)
	if err != nil {
		t.Fatal(err)
	}
	f.letIn(s) // the server lets in the certificate alone
	if _, err := run(t, one(t, f.config(), Options{}), "true"); err != nil {
		t.Error(err)
	}
}

// What answers on the port may be no SSH server at all.
func TestNoSSHServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\x1b]0;x\a\r\n\r\n")
			_ = c.Close()
		}
	}()
	cfg := newFakeSSHD(t).config()
	cfg.Address = l.Addr().String()
	_, err = run(t, one(t, cfg, Options{}), "true")
	if !errors.Is(err, ErrNotStarted) || !strings.Contains(err.Error(), "handshake with "+cfg.Address) || strings.ContainsAny(err.Error(), "\x1b\a\r") {
		t.Errorf("err = %q", err)
	}
}
