package actionstest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Estate is a small estate of one Compose service on some hosts, whose engines are made up: what is run on a host changes what
// the next snapshot shows.
type Estate struct {
	Key       fleet.ServiceKey
	Secret    string           // in what the programs print where nobody should look
	Limit     int64            // memory limit of a container
	Hosts     []*Host          // as the action reaches them
	Available int64            // memory that the hosts have left, in bytes
	Rendered  map[string]any   // what compose config says of the service, besides its image
	Change    func(*Container) // what becomes of a container that is started
	Files     map[string]string
	Answer    func(host string, argv []string) (remote.Result, bool) // what is asked besides

	mu         sync.Mutex
	containers map[string][]*Container
	made       int
}

// Container is one container of an Estate.
type Container struct {
	ID, Host, Tag, Health string
	State                 string
	Number                int
	Started               time.Time
}

// Image is the repository of the service's image.
const Image = "registry.lab:5000/nexgate/ai-service"

// Digest is the digest of a tag's image.
func Digest(tag string) string {
	return "sha256:" + strings.Repeat(fmt.Sprintf("%02x", tag[len(tag)-1]), 32)
}

// NewEstate makes an estate in which each host runs n containers of 0.4.2.
func NewEstate(n int, hosts ...string) *Estate {
	e := &Estate{
		Key: fleet.ServiceKey{Environment: "prod", Name: "ai"}, Secret: "canary-4711-bird", Limit: 300 << 20, Available: 4 << 30,
		containers: map[string][]*Container{}, Files: map[string]string{},
	}
	for _, name := range hosts {
		e.Hosts = append(e.Hosts, NewHost(name, func(_ context.Context, cmd remote.Command) (remote.Result, error) {
			return e.answer(name, cmd.Argv), nil
		}))
		for i := range n {
			e.start(name, i+1)
		}
	}
	return e
}

// Host gives a host by its name.
func (e *Estate) Host(name string) (remote.Host, error) {
	for _, h := range e.Hosts {
		if h.Name() == name {
			return h, nil
		}
	}
	return nil, fmt.Errorf("no host %s", name)
}

// start makes and starts a container. The caller holds the lock, or nobody else is there yet.
func (e *Estate) start(host string, number int) {
	e.made++
	c := &Container{
		ID: fmt.Sprintf("%064x", 0xabc000+e.made), Host: host, Tag: "0.4.2", State: "running", Health: "healthy", Number: number,
		Started: time.Now(),
	}
	if e.Change != nil {
		e.Change(c)
	}
	e.containers[host] = append(e.containers[host], c)
}

// Edit changes every container, wherever it is.
func (e *Estate) Edit(change func(*Container)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for host, list := range e.containers {
		for _, c := range list {
			change(c)
		}
		e.containers[host] = slices.DeleteFunc(list, func(c *Container) bool { return c.Host != host })
	}
}

// Retag makes every container one of another release.
func (e *Estate) Retag(tag string) { e.Edit(func(c *Container) { c.Tag = tag }) }

// Containers are those of a host, by number.
func (e *Estate) Containers(host string) []Container {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Container
	for _, c := range e.containers[host] {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Container) int { return a.Number - b.Number })
	return out
}

// State is a fingerprint of what runs.
func (e *Estate) State() string {
	var b strings.Builder
	for _, h := range e.Hosts {
		for _, c := range e.Containers(h.Name()) {
			fmt.Fprintf(&b, "%s %s %d %s %s\n", c.Host, c.ID, c.Number, c.State, c.Started)
		}
	}
	return b.String()
}

// Poke does nothing: the facts are always new.
func (e *Estate) Poke() {}

// Latest is what is true now.
func (e *Estate) Latest() *fleet.Snapshot {
	now := time.Now()
	svc := fleet.Service{Key: e.Key, Seen: now}
	snap := &fleet.Snapshot{At: now, Environment: e.Key.Environment}
	for _, h := range e.Hosts {
		name := h.Name()
		svc.Hosts = append(svc.Hosts, name)
		snap.Hosts = append(snap.Hosts, fleet.Host{Name: name, Environment: e.Key.Environment, Up: true})
		snap.Sources = append(snap.Sources, fleet.SourceStatus{
			ID: fleet.SourceID("docker/" + name), Kind: "docker", Hosts: []string{name}, State: fleet.SourceOK, LastSuccess: now,
		})
		for _, c := range e.Containers(name) {
			svc.Instances = append(svc.Instances, e.instance(c))
			svc.Releases.Running = svc.Instances[0].Release
		}
	}
	snap.Services = []fleet.Service{svc}
	return snap
}

func (e *Estate) instance(c Container) *fleet.Instance {
	return &fleet.Instance{
		ID: c.ID, Kind: "container", Host: c.Host, Name: "nexgate-ai-" + strconv.Itoa(c.Number), State: fleet.State(c.State), Health: fleet.Health(c.Health),
		Subject: fleet.Subject{Environment: e.Key.Environment, Host: c.Host, Project: "nexgate", Service: e.Key.Name},
		Release: fleet.Release{Image: Image, Tag: c.Tag, Digest: Digest(c.Tag), ImageID: Digest(c.Tag + "1")},
		Life:    fleet.Life{CreatedAt: c.Started, StartedAt: c.Started}, Limits: fleet.Limits{Memory: e.Limit},
		Labels: map[string]string{
			"com.docker.compose.project.working_dir":  "/opt/nexgate",
			"com.docker.compose.project.config_files": "compose.yml",
			"com.docker.compose.container-number":     strconv.Itoa(c.Number),
		},
	}
}

// answer is what a host says to a command.
func (e *Estate) answer(host string, argv []string) remote.Result {
	if e.Answer != nil {
		if res, ok := e.Answer(host, argv); ok {
			return res
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	say := func(format string, args ...any) remote.Result {
		return remote.Result{Stdout: []byte(fmt.Sprintf(format, args...) + "\n")}
	}
	switch {
	case argv[0] == "hostname":
		return say("%s", host)
	case argv[0] == "date":
		return say("%d", time.Now().Unix())
	case Has("docker", "info")(argv):
		return say(`{"ID":"engine-%s","ServerVersion":"20.10.24","DockerRootDir":"/var/lib/docker"}`, host)
	case Has("version", "--short")(argv):
		return say("2.40.3")
	case argv[0] == "readlink":
		return say("%s", argv[len(argv)-1])
	case argv[0] == "id":
		return say("1000")
	case argv[0] == "stat": // folders of root's, that nobody else may change
		return say("%s", strings.TrimSuffix(strings.Repeat("0 41ed\n", len(argv)-3), "\n"))
	case argv[0] == "git":
		return remote.Result{Code: 128, Stderr: []byte("fatal: not a git repository\n")}
	case argv[0] == "cat" && argv[1] == "/proc/meminfo":
		return say("MemTotal: 9999999 kB\nMemAvailable: %d kB", e.Available>>10)
	default:
		return e.engine(host, argv)
	}
}

// engine is the docker program.
func (e *Estate) engine(host string, argv []string) remote.Result {
	switch {
	case Has("docker", "ps")(argv):
		return e.ps(host)
	case Has("compose", "config")(argv):
		svc := map[string]any{"image": Image + ":0.4.2", "environment": map[string]string{"PASSWORD": e.Secret}}
		for k, v := range e.Rendered {
			svc[k] = v
		}
		b, _ := json.Marshal(map[string]any{"services": map[string]any{e.Key.Name: svc}})
		return remote.Result{Stdout: b}
	case Has("compose", "restart")(argv):
		for _, c := range e.containers[host] {
			c.Started = time.Now()
			if e.Change != nil {
				e.Change(c)
			}
		}
	case Has("compose", "up", "--scale")(argv):
		_, n, _ := strings.Cut(argv[slices.Index(argv, "--scale")+1], "=")
		want, _ := strconv.Atoi(n)
		for i := len(e.containers[host]); i < want; i++ {
			e.start(host, i+1)
		}
	case Has("docker", "rm")(argv):
		e.containers[host] = slices.DeleteFunc(e.containers[host], func(c *Container) bool { return slices.Contains(argv, c.ID) })
	case Has("docker", "stop")(argv):
		for _, c := range e.containers[host] {
			if slices.Contains(argv, c.ID) {
				c.State = "exited"
			}
		}
	default:
		return remote.Result{Code: 127, Stderr: []byte("not known here: " + words(argv) + "\n")}
	}
	return remote.Result{Stderr: []byte("PASSWORD=" + e.Secret + "\n")}
}

func (e *Estate) ps(host string) remote.Result {
	var b strings.Builder
	for _, c := range e.containers[host] {
		status := "Up 2 minutes"
		if c.Health != "" {
			status += " (" + c.Health + ")"
		}
		if c.State != "running" {
			status = "Exited (0)"
		}
		fmt.Fprintf(&b, `{"ID":%q,"Names":"nexgate-ai-%d","Image":%q,"State":%q,"Status":%q}`+"\n", c.ID, c.Number, Image+":"+c.Tag, c.State, status)
	}
	return remote.Result{Stdout: []byte(b.String())}
}
