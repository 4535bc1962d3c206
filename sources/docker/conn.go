package docker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"

	"github.com/nexgate-hq/nexops/remote"
)

const (
	// minAPI is what Docker 1.12 speaks; older engines lack the fields we read.
	minAPI = "1.24"
	// maxInspects is how many inspects run at once; also the connections kept for them.
	maxInspects = 8
	idleTimeout = 90 * time.Second
)

// engine is the connection to one host's Docker Engine: the vendor's client over
// the socket as the host sees it. The client is made on first use and made again
// after a failure, so that what was negotiated with an engine does not outlive it.
type engine struct {
	host   remote.Host
	socket string

	mu      sync.Mutex
	cli     *client.Client
	dialErr error // of the last dial; nil when it worked
}

func newEngine(host remote.Host, socket string) *engine {
	return &engine{host: host, socket: socket}
}

// client gives the client, its API version settled with the engine.
func (e *engine) client(ctx context.Context) (*client.Client, error) {
	cli, err := e.current()
	if err != nil {
		return nil, err
	}
	// NewVersionError is the client's way to negotiate without a question about a feature.
	if err := cli.NewVersionError(ctx, "1.12", "reading"); err != nil {
		return nil, fmt.Errorf("negotiate: %w", err)
	}
	if v := cli.ClientVersion(); versions.LessThan(v, minAPI) {
		return nil, &tooOldError{version: v}
	}
	return cli, nil
}

func (e *engine) current() (*client.Client, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cli != nil {
		return e.cli, nil
	}
	transport := &http.Transport{
		MaxIdleConns: 2 * maxInspects, MaxIdleConnsPerHost: 2 * maxInspects,
		IdleConnTimeout: idleTimeout, DisableCompression: true,
	}
	cli, err := client.NewClientWithOpts(
		client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}),
		client.WithHost("unix://"+e.socket), // before the dialer: it resets it
		client.WithDialContext(e.dial),
		client.WithAPIVersionNegotiation(),
	)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	e.cli = cli
	return cli, nil
}

// dial reaches the socket as the host sees it, and remembers why it could not:
// the vendor's client replaces that reason by a question.
func (e *engine) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, err := e.host.Dial(ctx, "unix", e.socket)
	e.mu.Lock()
	e.dialErr = err
	e.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", e.socket, err)
	}
	return conn, nil
}

func (e *engine) lastDialError() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.dialErr
}

// reset drops the client after a failure: the engine may come back as another
// version. Streams that still run on the old one keep running.
func (e *engine) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cli != nil {
		_ = e.cli.Close() // closes idle connections only, has nothing to say
		e.cli = nil
	}
	e.dialErr = nil
}
