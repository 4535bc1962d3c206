package docker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

func TestConfig(t *testing.T) {
	cfg := Kind().NewConfig()
	if errs := cfg.Validate(); len(errs) != 0 {
		t.Errorf("the defaults are refused: %v", errs)
	}
	text := "hosts = ['b', 'a']\npoll = '10s'\nsocket = '/run/x.sock'\n[sockets]\nb = '/run/b.sock'\nz = 'unix:///run/z.sock'\n"
	if err := toml.Unmarshal([]byte(text), cfg); err != nil {
		t.Fatal(err)
	}
	c, ok := cfg.(*Config)
	if !ok {
		t.Fatalf("config is a %T", cfg)
	}
	if time.Duration(c.Poll) != 10*time.Second || c.socketOf("a") != "/run/x.sock" || c.socketOf("b") != "/run/b.sock" {
		t.Errorf("config: %+v", c)
	}
	if got := strings.Join(c.HostNames(), " "); got != "a b z" {
		t.Errorf("hosts: %s", got)
	}
	c.Poll, c.Socket = 0, "tcp://1.2.3.4:2375"
	all := errors.Join(c.Validate()...).Error()
	for _, want := range []string{"poll: 0s is too short", "socket: \"tcp://1.2.3.4:2375\" is no unix socket", "sockets.z: give the path alone", "sockets.z: the host is not in hosts"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in:\n%s", want, all)
		}
	}
}

func TestBuild(t *testing.T) {
	deps := sources.Deps{
		Environment: "prod", Hosts: []string{"a", "b", "c"},
		Host: func(name string) (remote.Host, error) {
			if name == "c" {
				return nil, errors.New("no such host")
			}
			return remote.Local(name), nil
		},
		HostEnvironment: func(h string) string { return map[string]string{"b": "ops"}[h] },
		Now:             time.Now,
	}
	cfg := &Config{Hosts: []string{"b", "elsewhere", "a"}, Socket: defaultSocket, Poll: remote.Duration(time.Minute)}
	built, err := Kind().Build("docker", cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	if len(built) != 2 || built[0].ID() != "docker/a" || built[1].ID() != "docker/b" {
		t.Fatalf("sources: %v", built)
	}
	b, ok := built[1].(*source)
	if !ok || b.environment != "ops" || b.Timing().Every != time.Minute {
		t.Errorf("source: %+v", b)
	}
	if _, err := Kind().Build("docker", &Config{}, deps); err == nil || !strings.Contains(err.Error(), "docker c: no such host") {
		t.Errorf("unknown host: %v", err)
	}
}

func TestDefaultSocket(t *testing.T) {
	for in, want := range map[string]string{
		"": defaultSocket, "unix:///run/user/1000/docker.sock": "/run/user/1000/docker.sock",
		"tcp://1.2.3.4:2375": defaultSocket, "unix://": defaultSocket,
	} {
		if got := DefaultSocket(func(string) string { return in }); got != want {
			t.Errorf("DOCKER_HOST=%q: %s", in, got)
		}
	}
}
