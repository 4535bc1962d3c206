package engine

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/storage"
	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

const never = "0001-01-01T00:00:00Z"

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	args, err := filters.FromJSON(r.URL.Query().Get("filters"))
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	all := truthy(r.URL.Query().Get("all"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	out := []container.Summary{}
	now := s.world.Now()
	for _, c := range s.world.Containers(s.host) {
		if limit > 0 && len(out) >= limit {
			break
		}
		if !all && limit <= 0 && !args.Contains("status") && c.State != world.Running && c.State != world.Restarting {
			continue
		}
		if matches(c, args) {
			out = append(out, summary(c, now))
		}
	}
	s.reply(w, out, oldEndpoints)
}

func truthy(v string) bool {
	v = strings.ToLower(strings.TrimSpace(v))
	return v != "" && v != "0" && v != "no" && v != "false" && v != "none"
}

func matches(c *world.Container, args filters.Args) bool {
	health := c.Health
	if health == "" {
		health = "none"
	}
	return args.MatchKVList("label", c.Labels()) &&
		args.ExactMatch("status", c.State) && args.ExactMatch("health", health) &&
		args.Match("id", c.ID) && (args.Match("name", c.Name) || args.Match("name", "/"+c.Name))
}

func summary(c *world.Container, now time.Time) container.Summary {
	out := container.Summary{
		ID: c.ID, Names: []string{"/" + c.Name}, Image: c.Image.Ref(), ImageID: c.Image.ID,
		Command: strings.Join(c.Spec.Command, " "), Created: c.Created.Unix(), Ports: ports(c),
		Labels: c.Labels(), State: c.State, Status: Status(c, now), Mounts: []container.MountPoint{},
	}
	out.HostConfig.NetworkMode = networkOf(c)
	out.NetworkSettings = &container.NetworkSettingsSummary{
		Networks: map[string]*network.EndpointSettings{networkOf(c): endpoint(c)},
	}
	return out
}

// Status is the engine's sentence: "Up 3 days (healthy)".
func Status(c *world.Container, now time.Time) string {
	r, ran := c.LastRun()
	switch {
	case !ran:
		return "Created"
	case c.State == world.Restarting:
		return fmt.Sprintf("Restarting (%d) %s ago", r.Exit, units.HumanDuration(now.Sub(r.End)))
	case c.State == world.Exited:
		return fmt.Sprintf("Exited (%d) %s ago", r.Exit, units.HumanDuration(now.Sub(r.End)))
	}
	up := "Up " + units.HumanDuration(now.Sub(r.Start))
	switch c.Health {
	case world.HealthNone:
		return up
	case world.HealthStarting:
		return up + " (health: starting)"
	default:
		return up + " (" + c.Health + ")"
	}
}

func ports(c *world.Container) []container.Port {
	out := []container.Port{}
	for _, p := range c.Spec.Ports {
		port := container.Port{PrivatePort: u16(p.Private), Type: "tcp"}
		if p.Public != 0 && c.State == world.Running {
			port.IP, port.PublicPort = "0.0.0.0", u16(p.Public)
		}
		out = append(out, port)
	}
	return out
}

func u16(n int) uint16 { return uint16(n & 0xffff) } //nolint:gosec // masked

func networkOf(c *world.Container) string {
	if c.Spec.Project == "" {
		return "bridge"
	}
	return c.Spec.Project + "_default"
}

func endpoint(c *world.Container) *network.EndpointSettings {
	e := &network.EndpointSettings{NetworkID: hexID(c.Spec.Project), MacAddress: ""}
	if c.State == world.Running {
		e.EndpointID, e.Gateway, e.IPAddress, e.IPPrefixLen = hexID(c.ID), "172.20.0.1", c.IP(), 16
		e.MacAddress = "02:42:ac:14:00:" + c.ID[:2]
	}
	return e
}

func (s *Server) inspect(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	s.reply(w, Inspect(c), oldContainer)
}

// Inspect is the whole record of a container.
func Inspect(c *world.Container) container.InspectResponse {
	base := &container.ContainerJSONBase{
		ID: c.ID, Created: stamp(c.Created), Path: first(c.Spec.Command), Args: []string{}, State: state(c),
		Image: c.Image.ID, Name: "/" + c.Name, RestartCount: c.Restarts, Driver: "overlay2", Platform: "linux",
		ResolvConfPath: "/var/lib/docker/containers/" + c.ID + "/resolv.conf",
		HostnamePath:   "/var/lib/docker/containers/" + c.ID + "/hostname",
		HostsPath:      "/var/lib/docker/containers/" + c.ID + "/hosts",
		LogPath:        "/var/lib/docker/containers/" + c.ID + "/" + c.ID + "-json.log",
		HostConfig:     hostConfig(c), AppArmorProfile: "docker-default",
		GraphDriver: storage.DriverData{Name: "overlay2", Data: map[string]string{
			"LowerDir": "/var/lib/docker/overlay2/" + hexID(c.ID) + "-init/diff", "MergedDir": "/var/lib/docker/overlay2/" + hexID(c.ID) + "/merged",
			"UpperDir": "/var/lib/docker/overlay2/" + hexID(c.ID) + "/diff", "WorkDir": "/var/lib/docker/overlay2/" + hexID(c.ID) + "/work",
		}},
	}
	if len(c.Spec.Command) > 1 {
		base.Args = slices.Clone(c.Spec.Command[1:])
	}
	out := container.InspectResponse{ContainerJSONBase: base, Mounts: []container.MountPoint{}, Config: config(c)}
	out.NetworkSettings = &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{networkOf(c): endpoint(c)}}
	out.NetworkSettings.Ports = portMap(c, c.State == world.Running)
	out.NetworkSettings.SandboxID = hexID("sandbox" + c.ID)
	return out
}

func state(c *world.Container) *container.State {
	st := &container.State{
		Status: c.State, Running: c.State == world.Running || c.State == world.Restarting,
		Restarting: c.State == world.Restarting, Pid: c.Pid(), StartedAt: never, FinishedAt: never,
	}
	for _, r := range c.Runs {
		st.StartedAt = stamp(r.Start)
		if !r.End.IsZero() {
			st.FinishedAt, st.ExitCode, st.OOMKilled = stamp(r.End), r.Exit, r.OOM
		}
	}
	if c.State == world.Running {
		st.ExitCode, st.OOMKilled = 0, false
	}
	if c.Health != world.HealthNone {
		st.Health = health(c)
	}
	return st
}

func health(c *world.Container) *container.Health {
	h := &container.Health{Status: c.Health, Log: []*container.HealthcheckResult{}}
	r, ok := c.LastRun()
	if !ok || c.Health == world.HealthStarting {
		return h
	}
	result := &container.HealthcheckResult{Start: r.Start.Add(c.Spec.Profile.Boot), Output: `{"status":"UP"}`}
	if c.Health == world.HealthUnhealthy {
		h.FailingStreak = 3
		result.ExitCode, result.Output = 1, "wget: server returned error: HTTP/1.1 503 Service Unavailable\n"
	}
	result.End = result.Start.Add(38 * time.Millisecond)
	h.Log = append(h.Log, result)
	return h
}

func hostConfig(c *world.Container) *container.HostConfig {
	h := &container.HostConfig{
		NetworkMode: container.NetworkMode(networkOf(c)), PortBindings: portMap(c, true), LogConfig: container.LogConfig{
			Type: "json-file", Config: map[string]string{"max-file": "3", "max-size": "10m"},
		},
		RestartPolicy: container.RestartPolicy{Name: "unless-stopped"}, IpcMode: "private", CgroupnsMode: "private", Runtime: "runc",
		ShmSize: 64 << 20, Isolation: "", ConsoleSize: [2]uint{0, 0},
		MaskedPaths:   []string{"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"},
		ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
	}
	h.Memory, h.MemorySwap = c.Spec.Memory, 2*c.Spec.Memory
	h.NanoCPUs = int64(c.Spec.CPU * 1e9)
	return h
}

func config(c *world.Container) *container.Config {
	out := &container.Config{
		Hostname: c.ID[:12], AttachStdout: true, AttachStderr: true, Env: slices.Clone(c.Spec.Env),
		Cmd: slices.Clone(c.Spec.Command), Image: c.Image.Ref(), Labels: c.Labels(), ExposedPorts: nat.PortSet{},
	}
	for _, p := range c.Spec.Ports {
		out.ExposedPorts[natPort(p.Private)] = struct{}{}
	}
	if c.Spec.Check {
		out.Healthcheck = &container.HealthConfig{
			Test:     []string{"CMD-SHELL", "wget -qO- http://127.0.0.1:8080/health || exit 1"},
			Interval: 10 * time.Second, Timeout: 3 * time.Second, StartPeriod: c.Spec.Profile.Boot, Retries: 3,
		}
	}
	return out
}

func portMap(c *world.Container, bound bool) nat.PortMap {
	out := nat.PortMap{}
	for _, p := range c.Spec.Ports {
		var b []nat.PortBinding
		if p.Public != 0 && bound {
			b = []nat.PortBinding{{HostIP: "0.0.0.0", HostPort: strconv.Itoa(p.Public)}}
		}
		out[natPort(p.Private)] = b
	}
	return out
}

func natPort(n int) nat.Port { return nat.Port(strconv.Itoa(n) + "/tcp") }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func first(argv []string) string {
	if len(argv) == 0 {
		return ""
	}
	return argv[0]
}
