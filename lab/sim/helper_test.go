package sim_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/docker/docker/client"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/nexgate-hq/nexops/lab/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start makes an estate that ends with the test.
func start(t testing.TB, opts sim.Options) *sim.Estate {
	t.Helper()
	opts.Dir = t.TempDir()
	e, err := sim.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

// login connects to a host as the ordinary SSH client does, checking its key.
func login(t testing.TB, e *sim.Estate, host string) *ssh.Client {
	t.Helper()
	pem, err := os.ReadFile(e.KeyPath())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	check, err := knownhosts.New(e.KnownHostsPath())
	if err != nil {
		t.Fatal(err)
	}
	address, err := e.Address(host)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ssh.Dial("tcp", address, &ssh.ClientConfig{User: "deploy", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: check})
	if err != nil {
		t.Fatalf("ssh %s: %v", host, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// run runs one command line on a host.
func run(t testing.TB, c *ssh.Client, line, stdin string) (code int, stdout, stderr string) {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var out, errOut bytes.Buffer
	s.Stdin, s.Stdout, s.Stderr = strings.NewReader(stdin), &out, &errOut
	err = s.Run(line)
	var exit *ssh.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitStatus()
	case err != nil:
		t.Fatalf("%s: %v", line, err)
	}
	return code, out.String(), errOut.String()
}

// must runs a command that has to end with 0.
func must(t testing.TB, c *ssh.Client, line, stdin string) string {
	t.Helper()
	code, out, errOut := run(t, c, line, stdin)
	if code != 0 {
		t.Fatalf("%s: exit code %d: %s", line, code, errOut)
	}
	return out
}

// engine is the ordinary Docker client over SSH.
func engine(t testing.TB, c *ssh.Client) *client.Client {
	t.Helper()
	d, err := client.NewClientWithOpts(client.WithHost("http://engine"), client.WithAPIVersionNegotiation(),
		client.WithDialContext(func(context.Context, string, string) (net.Conn, error) { return c.Dial("unix", "/var/run/docker.sock") }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// through is an HTTP client whose connections begin on a host.
func through(t testing.TB, c *ssh.Client) *http.Transport {
	t.Helper()
	tr := &http.Transport{DialContext: func(_ context.Context, network, address string) (net.Conn, error) { return c.Dial(network, address) }}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}
