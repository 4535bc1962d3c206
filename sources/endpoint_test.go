package sources_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// relay is a host that dials one address, whatever is asked for.
type relay struct {
	remote.Host
	to    string
	asked *string
}

// Dial notes the address and goes to the other.
func (r relay) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	*r.asked = network + " " + address
	return (&net.Dialer{}).DialContext(ctx, "tcp", r.to) //nolint:wrapcheck // a test
}

func get(t *testing.T, rt http.RoundTripper, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return "", err //nolint:wrapcheck // a test
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err //nolint:wrapcheck // a test
}

func TestEndpointGoesThroughItsHost(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		_, _ = io.WriteString(w, user+":"+password)
	}))
	defer server.Close()
	t.Setenv("NEXOPS_TEST_PASSWORD", "geheim")
	e := sources.Endpoint{URL: "http://127.0.0.1:3100", Via: "ops", Username: "me", Password: "env:NEXOPS_TEST_PASSWORD"}
	if errs := e.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	var asked string
	rt, err := e.Transport(sources.Deps{Host: func(name string) (remote.Host, error) {
		if name != "ops" {
			t.Errorf("host %q", name)
		}
		return relay{to: server.Listener.Addr().String(), asked: &asked}, nil
	}}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	body, err := get(t, rt, e.URL+"/x")
	if err != nil || body != "me:geheim" || asked != "tcp 127.0.0.1:3100" {
		t.Errorf("got %q, %v, dialled %q", body, err, asked)
	}
}

// A redirect takes neither the credentials nor the way through a host anywhere else.
func TestEndpointFollowsNoRedirectElsewhere(t *testing.T) {
	got := make(chan string, 8)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
	}))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, other.URL+"/", http.StatusTemporaryRedirect)
		case "/here":
			http.Redirect(w, r, "/there", http.StatusFound)
		default:
			_, _ = io.WriteString(w, r.Header.Get("Authorization"))
		}
	}))
	defer server.Close()
	t.Setenv("NEXOPS_TEST_TOKEN", "geheim")
	rt, err := sources.Endpoint{URL: server.URL, BearerToken: "env:NEXOPS_TEST_TOKEN"}.Transport(sources.Deps{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	client := http.Client{Transport: rt}
	ask := func(path string) (string, error) {
		resp, err := client.Get(server.URL + path) //nolint:noctx // a test
		if err != nil {
			return "", err //nolint:wrapcheck // a test
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		return string(body), err //nolint:wrapcheck // a test
	}
	if body, err := ask("/here"); err != nil || body != "Bearer geheim" {
		t.Errorf("a redirect to the same place: %q, %v", body, err)
	}
	if _, err := ask("/elsewhere"); !errors.Is(err, remote.ErrElsewhere) {
		t.Errorf("a redirect elsewhere: %v", err)
	}
	select {
	case auth := <-got:
		t.Errorf("the other place was asked, with %q", auth)
	default:
	}
}

func TestEndpointTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	e := sources.Endpoint{URL: server.URL, CAFile: ca}
	rt, err := e.Transport(sources.Deps{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	if _, err := get(t, rt, server.URL); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "ca_file") {
		t.Errorf("without the file: %v", err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	if body, err := get(t, rt, server.URL); err != nil || body != "ok" {
		t.Errorf("with the file: %q, %v", body, err)
	}
}

func TestLongAnswerIsAnError(t *testing.T) {
	for size, ok := range map[int]bool{1 << 20: true, 1<<20 + 1: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", size))
		}))
		rt, err := sources.Endpoint{URL: server.URL}.Transport(sources.Deps{}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		body, err := get(t, rt, server.URL)
		if ok && (err != nil || len(body) != size) || !ok && !errors.Is(err, remote.ErrTooLong) {
			t.Errorf("%d bytes: got %d, %v", size, len(body), err)
		}
		rt.Close()
		server.Close()
	}
}

func TestEndpointMistakes(t *testing.T) {
	for url, want := range map[string]string{
		"":                       "url: missing",
		"127.0.0.1:9090":         "url: must be",
		"ftp://x":                "url: must be",
		"http://me:pw@x":         "url: holds a user or password",
		"http://x/?q=1":          "url: must end before",
		"https://x/prefix":       "",
		"http://[::1]:9090/path": "",
	} {
		errs := sources.Endpoint{URL: url}.Validate()
		switch {
		case want == "" && len(errs) > 0:
			t.Errorf("%s: %v", url, errs)
		case want != "" && (len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), want)):
			t.Errorf("%s: %v, want %s", url, errs, want)
		}
		for _, err := range errs {
			if strings.Contains(err.Error(), "pw") {
				t.Errorf("%v holds a secret", err)
			}
		}
	}
	both := sources.Endpoint{URL: "http://x", Username: "a", BearerToken: "env:X", CertFile: "c"}
	if errs := both.Validate(); len(errs) != 3 {
		t.Errorf("got %v", errs)
	}
}

// FuzzLabelsSubject: nothing of another environment is taken, and nothing without a name.
func FuzzLabelsSubject(f *testing.F) {
	f.Add("prod", "prod-1", "ai", "")
	f.Add("", "stage-1", "ai", "/c")
	f.Add("", "", "", "/")
	labels := sources.Labels{Service: []string{"s"}, Environment: []string{"e"}, Host: []string{"h"}, Container: []string{"c"}}
	deps := sources.Deps{Environment: "prod", Environments: []string{"prod", "staging"}, HostEnvironment: func(h string) string {
		return map[string]string{"prod-1": "prod", "stage-1": "staging"}[h]
	}}
	f.Fuzz(func(t *testing.T, env, host, service, container string) {
		set := map[string]string{"e": env, "h": host, "s": service, "c": container}
		subject, ok := labels.Subject(func(n string) string { return set[n] }, deps)
		want := env == "prod" || env == "" && host == "prod-1"
		named := service != "" || strings.TrimPrefix(container, "/") != ""
		if ok != (want && named) {
			t.Fatalf("%v: %+v, %v", set, subject, ok)
		}
		if ok && subject.Environment != "prod" {
			t.Fatalf("%+v", subject)
		}
	})
}

func TestGrid(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	g := sources.NewGrid(noon, 3*time.Minute, time.Minute)
	values := g.Empty()
	for offset, v := range map[int]float64{0: 4, -60: 3, -180: 1, -211: 9, 31: 9} {
		g.Put(values, noon.Add(time.Duration(offset)*time.Second), v)
	}
	if !g.End().Equal(noon) || g.Slots != 4 || values[0] != 1 || values[2] != 3 || values[3] != 4 || values[1] == values[1] {
		t.Errorf("got %v", values)
	}
	sources.MergeOf(fleet.UnitPerSecond).Into(values, []float64{1, 1, 1, values[1]})
	if values[0] != 2 || values[1] != 1 || values[3] != 4 {
		t.Errorf("merged %v", values)
	}
}
