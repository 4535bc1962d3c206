package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Endpoint is how a system that speaks HTTP is reached: where, through which host,
// and as whom. Kinds embed it in their Config.
type Endpoint struct {
	URL                string `toml:"url"`
	Via                string `toml:"via"` // config name of a host; "" is this machine
	BearerToken        Secret `toml:"bearer_token"`
	Username           string `toml:"username"`
	Password           Secret `toml:"password"`
	CAFile             string `toml:"ca_file"`
	CertFile           string `toml:"cert_file"`
	KeyFile            string `toml:"key_file"`
	ServerName         string `toml:"server_name"`
	InsecureSkipVerify bool   `toml:"insecure_skip_verify"`
}

// Validate gives every mistake in the endpoint.
func (e Endpoint) Validate() []error {
	var errs []error
	u, err := url.Parse(e.URL)
	switch {
	case e.URL == "":
		errs = append(errs, errors.New(`url: missing: where it listens, like "http://127.0.0.1:9090"`))
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		errs = append(errs, errors.New(`url: must be http://host:port or https://host:port, a path prefix may follow`))
	case u.User != nil:
		errs = append(errs, errors.New("url: holds a user or password: put them under username and password"))
	case u.RawQuery != "" || u.Fragment != "":
		errs = append(errs, errors.New("url: must end before the ? or #"))
	}
	if e.BearerToken != "" && (e.Username != "" || e.Password != "") {
		errs = append(errs, errors.New("bearer_token: allowed only without username and password"))
	}
	if (e.Username == "") != (e.Password == "") {
		errs = append(errs, errors.New("username, password: both or none"))
	}
	if (e.CertFile == "") != (e.KeyFile == "") {
		errs = append(errs, errors.New("cert_file, key_file: both or none"))
	}
	return errs
}

// HostNames gives the host it goes through, if any.
func (e Endpoint) HostNames() []string {
	if e.Via == "" {
		return nil
	}
	return []string{e.Via}
}

// Place names the endpoint for people: "http://127.0.0.1:9090 via ops".
func (e Endpoint) Place() string {
	if e.Via == "" {
		return e.URL
	}
	return e.URL + " via " + e.Via
}

// Title names the source in errors: "loki http://127.0.0.1:3100 via ops", with its own
// name where that is not the kind's.
func (e Endpoint) Title(kind, name string) string {
	if name == kind {
		return kind + " " + e.Place()
	}
	return kind + " " + name + " " + e.Place()
}

// Reach is how an endpoint is got at: it gives the connection to a host by config name, and reads secrets.
type Reach interface {
	ReachHost(name string) (Host, error)
	ReachSecret(ctx context.Context, s Secret) (string, error)
}

// Transport makes the way to the endpoint. It does no I/O: files and secrets are
// read on first use, and again after a failure. No answer may be longer than limit bytes.
func (e Endpoint) Transport(reach Reach, limit int64) (*HTTPTransport, error) {
	t := &HTTPTransport{
		endpoint: e, limit: limit, dial: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, secret: reach.ReachSecret,
	}
	if e.Via != "" {
		host, err := reach.ReachHost(e.Via)
		if err != nil {
			return nil, fmt.Errorf("via: %w", err)
		}
		t.dial = host.Dial
	}
	return t, nil
}

// HTTPTransport is an http.RoundTripper that dials through the endpoint's host, signs
// every request and bounds every answer.
type HTTPTransport struct {
	endpoint Endpoint
	limit    int64
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	secret   func(ctx context.Context, s Secret) (string, error)

	mu     sync.Mutex
	base   *http.Transport
	header http.Header // nil until the secrets have been read
}

// ErrTooLong says that an answer was longer than allowed.
var ErrTooLong = errors.New("answer too long")

// ErrElsewhere says that a request was not sent: it would have taken the credentials,
// and the way through the host, to another place than the configured one.
var ErrElsewhere = errors.New("redirected elsewhere, which is not followed")

// RoundTrip sends one request.
func (t *HTTPTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if own := t.origin(); originOf(req.URL) != own {
		return nil, fmt.Errorf("%w: from %s to %s: correct url if that is where it is", ErrElsewhere, own, Clean(originOf(req.URL)))
	}
	base, err := t.transport()
	if err != nil {
		return nil, err
	}
	auth, err := t.Header(req.Context())
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	for k, v := range auth {
		req.Header[k] = v
	}
	resp, err := base.RoundTrip(req)
	if err != nil {
		return nil, err //nolint:wrapcheck // the client above wraps it once
	}
	if resp.StatusCode == http.StatusUnauthorized {
		t.forget() // the secret may have been renewed
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: t.limit, limit: t.limit}
	return resp, nil
}

// origin is where all requests belong: "http://127.0.0.1:9090".
func (t *HTTPTransport) origin() string {
	u, err := url.Parse(t.endpoint.URL)
	if err != nil {
		return ""
	}
	return originOf(u)
}

func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// Dial connects to an address the way the requests go, for protocols on top of HTTP.
func (t *HTTPTransport) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := t.dial(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", t.endpoint.Place(), err)
	}
	return conn, nil
}

// Header gives the headers that say who asks, for protocols on top of HTTP.
func (t *HTTPTransport) Header(ctx context.Context) (http.Header, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.header != nil {
		return t.header.Clone(), nil
	}
	h := http.Header{}
	switch e := t.endpoint; {
	case e.BearerToken != "":
		token, err := t.secret(ctx, e.BearerToken)
		if err != nil {
			return nil, fmt.Errorf("bearer_token: %w", err)
		}
		h.Set("Authorization", "Bearer "+token)
	case e.Password != "":
		password, err := t.secret(ctx, e.Password)
		if err != nil {
			return nil, fmt.Errorf("password: %w", err)
		}
		r := http.Request{Header: h}
		r.SetBasicAuth(e.Username, password)
	}
	t.header = h
	return h.Clone(), nil
}

func (t *HTTPTransport) forget() {
	t.mu.Lock()
	t.header = nil
	t.mu.Unlock()
}

// TLS gives the settings for an https endpoint; the files are read now.
func (t *HTTPTransport) TLS() (*tls.Config, error) {
	e := t.endpoint
	cfg := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         e.ServerName,
		InsecureSkipVerify: e.InsecureSkipVerify, //nolint:gosec // the config asks for it by that name
	}
	if e.CAFile != "" {
		pem, err := os.ReadFile(home(e.CAFile))
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s: holds no PEM certificate", e.CAFile)
		}
	}
	if e.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(home(e.CertFile), home(e.KeyFile))
		if err != nil {
			return nil, fmt.Errorf("cert_file %s, key_file %s: %w", e.CertFile, e.KeyFile, err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}

// home replaces a leading "~/", as everywhere in the config.
func home(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	dir, err := os.UserHomeDir()
	if !ok || err != nil {
		return path
	}
	return filepath.Join(dir, rest)
}

func (t *HTTPTransport) transport() (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.base != nil {
		return t.base, nil
	}
	base := &http.Transport{
		DialContext:           t.dial,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
	}
	if strings.HasPrefix(t.endpoint.URL, "https:") {
		cfg, err := t.TLS()
		if err != nil {
			return nil, err
		}
		base.TLSClientConfig = cfg
	}
	t.base = base
	return base, nil
}

// Close ends the idle connections.
func (t *HTTPTransport) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.base != nil {
		t.base.CloseIdleConnections()
	}
}

// boundedBody ends a body that is too long with an error, never silently.
type boundedBody struct {
	io.ReadCloser
	left, limit int64
}

// Read reads at most what is left.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		if n, err := b.ReadCloser.Read(make([]byte, 1)); n == 0 && err != nil {
			return 0, err //nolint:wrapcheck // io.EOF must stay itself
		}
		return 0, fmt.Errorf("%w: more than %d MiB", ErrTooLong, b.limit>>20)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err //nolint:wrapcheck // io.EOF must stay itself
}

// HTTPCause takes an error of net/http apart: the way it went wrong, without the
// method and the address that the caller names anyway.
func HTTPCause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", err)
	default:
		return err
	}
}
