package komodo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/lab/sim"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
	"github.com/nexgate-hq/nexops/sources/komodo"
)

const (
	testKey    = "K_test_K"
	testSecret = "S_not-for-screens_S"
	syncFile   = `
[[variable]]
name  = "DOMAIN"
value = "canary-variable-1"

[[stack]]
name   = "nexgate-prod"
deploy = true
tags   = ["prod"]
[stack.config]
server        = "prod-1"
project_name  = "nexgate-prod"
branch        = "master"
run_directory = "prod"
file_paths    = ["stack.yml"]
environment   = """
API_TOKEN=canary-token-2
"""
additional_env_files = [{ path = "../services/ai/tag.env", track = true }, { path = "../services/api/tag.env", track = true }]

[[stack]]
name   = "nexgate-staging"
deploy = true
tags   = ["staging"]
[stack.config]
server        = "stage-1"
project_name  = "nexgate-staging"
branch        = "master"
run_directory = "staging"
file_paths    = ["stack.yml"]
`
)

// estate is what Komodo acts on in these tests: files, and containers that follow them.
type estate struct {
	mu     sync.Mutex
	commit int
	files  map[string]string
	runs   map[string]string // service to image
	health map[string]string
	broken bool // up fails
	down   bool // the server cannot be reached
	ran    []string
}

func newEstate() *estate {
	return &estate{
		files: map[string]string{
			"komodo.toml": syncFile, "prod/stack.yml": "services: {}\n", "staging/stack.yml": "services: {}\n",
			"services/ai/tag.env": "AI_TAG=0.4.1\n", "services/api/tag.env": "API_TAG=2.0.0\n",
		},
		runs: map[string]string{"ai": "ghcr.io/x/ai:0.4.1", "api": "ghcr.io/x/api:2.0.0"}, health: map[string]string{},
	}
}

// push makes one commit.
func (e *estate) push(path, content string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.files[path] = content
	e.commit++
}

func (e *estate) images() map[string]string {
	tag := func(file string) string {
		_, t, _ := strings.Cut(strings.TrimSpace(e.files[file]), "=")
		return t
	}
	return map[string]string{"ai": "ghcr.io/x/ai:" + tag("services/ai/tag.env"), "api": "ghcr.io/x/api:" + tag("services/api/tag.env")}
}

func (e *estate) Run(_ context.Context, server string, argv []string) (sim.KomodoResult, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down {
		return sim.KomodoResult{}, errors.New("connection timed out")
	}
	text := strings.Join(argv, " ")
	e.ran = append(e.ran, server+": "+text)
	switch {
	case slices.Contains(argv, "config"):
		services := map[string]any{}
		if server == "prod-1" {
			for name, image := range e.images() {
				services[name] = map[string]string{"image": image, "command": "run canary-in-config"}
			}
		}
		out, _ := json.Marshal(map[string]any{"services": services})
		return sim.KomodoResult{Stdout: string(out)}, nil
	case slices.Contains(argv, "up"):
		if e.broken {
			return sim.KomodoResult{Code: 1, Stderr: "Error response from daemon: manifest unknown"}, nil
		}
		up := argv[slices.Index(argv, "up")+2:]
		for name, image := range e.images() {
			if len(up) == 0 || slices.Contains(up, name) {
				e.runs[name] = image
			}
		}
	}
	return sim.KomodoResult{Stdout: "done"}, nil
}

func (e *estate) Containers(_ context.Context, server, _ string) ([]sim.KomodoContainer, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if server != "prod-1" {
		return []sim.KomodoContainer{{Name: "x", Service: "x", State: "running"}}, nil
	}
	var out []sim.KomodoContainer
	for name, image := range e.runs {
		out = append(out, sim.KomodoContainer{Name: name, Service: name, Image: image, State: "running", Health: e.health[name]})
	}
	return out, nil
}

func (e *estate) Head(context.Context, string) (hash, subject string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return fmt.Sprintf("%040x", e.commit+0xabc), "commit " + fmt.Sprint(e.commit), nil
}

func (e *estate) Files(_ context.Context, _ string, paths []string) (map[string]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string]string{}
	for _, p := range paths {
		if text, ok := e.files[p]; ok {
			out[p] = text
		}
	}
	return out, nil
}

// core is a Komodo over an estate, listening on loopback.
type core struct {
	*sim.Komodo
	estate *estate
	server *httptest.Server
}

func newCore(t testing.TB, change func(o *sim.KomodoOptions)) *core {
	t.Helper()
	e := newEstate()
	o := sim.KomodoOptions{
		Estate: e, Servers: []string{"prod-1", "stage-1"}, Checkout: "/opt/infra",
		Users: []sim.KomodoUser{
			{ID: "66f0000000000000000000a1", Name: "ana", Key: testKey, Secret: testSecret},
			{ID: "66f0000000000000000000b2", Name: "eve", Key: "K_eve_K", Secret: testSecret, ReadOnly: true},
		},
		Syncs: []sim.KomodoSync{{Name: "nexgate-prod", Branch: "master", Path: "komodo.toml", Tags: []string{"prod"}}},
	}
	if change != nil {
		change(&o)
	}
	k, err := sim.NewKomodo(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	c := &core{Komodo: k, estate: e, server: httptest.NewServer(k)}
	t.Cleanup(func() {
		k.Close()
		c.server.CloseClientConnections()
		c.server.Close()
	})
	return c
}

// source is what is tested, for the environment prod.
func (c *core) source(t testing.TB, change func(*komodo.Config)) *komodo.Source {
	t.Helper()
	return newSource(t, c.server.URL, change)
}

func newSource(t testing.TB, url string, change func(*komodo.Config)) *komodo.Source {
	t.Helper()
	t.Setenv("NEXOPS_TEST_KOMODO_KEY", testKey)
	t.Setenv("NEXOPS_TEST_KOMODO_SECRET", testSecret)
	cfg := komodo.NewConfig()
	cfg.URL, cfg.Key, cfg.Secret = url, "env:NEXOPS_TEST_KOMODO_KEY", "env:NEXOPS_TEST_KOMODO_SECRET"
	if change != nil {
		change(cfg)
	}
	if errs := cfg.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	s, err := komodo.New("komodo", cfg, sources.Deps{
		Environment: "prod", Environments: []string{"prod", "staging"}, Hosts: []string{"prod-1"}, Now: time.Now,
		HostEnvironment: func(h string) string { return map[string]string{"prod-1": "prod", "stage-1": "staging"}[h] },
		Host:            func(string) (remote.Host, error) { return nil, errors.New("no hosts here") },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func observe(t testing.TB, s *komodo.Source) fleet.Facts {
	t.Helper()
	f, err := s.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// said collects what an execution tells.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) say(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

func (s *said) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}
