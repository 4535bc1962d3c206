package docker

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Compose's labels on its containers.
const (
	labelProject = "com.docker.compose.project"
	labelService = "com.docker.compose.service"
	labelOneOff  = "com.docker.compose.oneoff"
)

const (
	maxHealthOutput  = 200
	defaultCPUPeriod = 100_000 // microseconds; the kernel's, when only a quota is set
)

// instanceOf makes a fact of what the list and the inspect of one container say.
func (s *source) instanceOf(sum container.Summary, rec container.InspectResponse, images imageIndex) fleet.Instance {
	labels := sum.Labels
	if rec.Config != nil && rec.Config.Labels != nil {
		labels = rec.Config.Labels
	}
	name := containerName(sum, rec)
	in := fleet.Instance{
		ID: sum.ID, Kind: "container", Host: s.host, Name: name,
		Subject: s.subject(name, labels),
		Release: releaseOf(createdWith(sum, rec), imageID(sum, rec), images),
		State:   fleet.State(sum.State), Health: fleet.HealthUnknown,
		OneOff: isOneOff(labels), Ports: ports(sum.Ports), Labels: keptLabels(labels),
	}
	in.Life.CreatedAt = time.Unix(sum.Created, 0)
	if rec.ContainerJSONBase == nil {
		return in
	}
	in.Life.Restarts = rec.RestartCount
	if t, ok := engineTime(rec.Created); ok {
		in.Life.CreatedAt = t
	}
	in.Limits = limits(rec.HostConfig)
	if rec.State != nil {
		fillState(&in, rec.State)
	}
	return in
}

// fillState takes what only the inspect knows. Its state wins over the list's: for
// some events the engine's list is a moment late, the inspect never is.
func fillState(in *fleet.Instance, st *container.State) {
	if st.Status != "" {
		in.State = fleet.State(st.Status)
	}
	in.Health = healthOf(in.State, st.Health)
	in.HealthOutput = healthOutput(st.Health)
	in.Life.ExitCode = st.ExitCode
	in.Life.OOMKilled = st.OOMKilled
	in.Life.Error = remote.Clean(st.Error)
	if t, ok := engineTime(st.StartedAt); ok {
		in.Life.StartedAt = t
	}
	if t, ok := engineTime(st.FinishedAt); ok {
		in.Life.FinishedAt = t
	}
}

// healthOf is the verdict of the engine's own check. A paused container keeps
// its last one: its state says the rest.
func healthOf(state fleet.State, h *container.Health) fleet.Health {
	if state != fleet.StateRunning && state != fleet.StatePaused {
		return fleet.HealthDown
	}
	if h == nil {
		return fleet.HealthNone
	}
	switch h.Status {
	case container.Healthy:
		return fleet.HealthHealthy
	case container.Starting:
		return fleet.HealthStarting
	case container.Unhealthy:
		return fleet.HealthUnhealthy
	case container.NoHealthcheck, "":
		return fleet.HealthNone
	default:
		return fleet.HealthUnknown
	}
}

func healthOutput(h *container.Health) string {
	if h == nil || len(h.Log) == 0 || h.Log[len(h.Log)-1] == nil {
		return ""
	}
	last := h.Log[len(h.Log)-1]
	out := oneLine(last.Output, maxHealthOutput)
	if out == "" && last.ExitCode != 0 {
		return fmt.Sprintf("check exited with code %d and said nothing", last.ExitCode)
	}
	return out
}

// subject is how the engine names a container for the join.
func (s *source) subject(name string, labels map[string]string) fleet.Subject {
	return fleet.Subject{
		Environment: s.environment, Host: s.host,
		Project: labels[labelProject], Service: labels[labelService], Container: name,
	}
}

// containerName is the name without its slash. Of several (links give some) the own one has no further slash.
func containerName(sum container.Summary, rec container.InspectResponse) string {
	if rec.ContainerJSONBase != nil && rec.Name != "" {
		return strings.TrimPrefix(rec.Name, "/")
	}
	for _, n := range sum.Names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return fleet.ShortDigest(sum.ID)
}

// createdWith is the image as the container's creator wrote it. The list shows
// the bare id instead once the tag has moved; the inspect never does.
func createdWith(sum container.Summary, rec container.InspectResponse) string {
	if rec.Config != nil && rec.Config.Image != "" {
		return rec.Config.Image
	}
	return sum.Image
}

func imageID(sum container.Summary, rec container.InspectResponse) string {
	if rec.ContainerJSONBase != nil && rec.Image != "" {
		return rec.Image
	}
	return sum.ImageID
}

func isOneOff(labels map[string]string) bool { return strings.EqualFold(labels[labelOneOff], "true") }

// keptLabels are those an action or the screen may need. Others may hold
// secrets, and are many.
func keptLabels(labels map[string]string) map[string]string {
	var out map[string]string
	for k, v := range labels {
		if strings.HasPrefix(k, "com.docker.compose.") || strings.HasPrefix(k, "org.opencontainers.image.") {
			if out == nil {
				out = map[string]string{}
			}
			out[k] = v
		}
	}
	return out
}

// ports are the published ones, as "0.0.0.0:8080->80/tcp".
func ports(list []container.Port) []string {
	var out []string
	for _, p := range list {
		if p.PublicPort == 0 {
			continue
		}
		from := net.JoinHostPort(p.IP, strconv.Itoa(int(p.PublicPort)))
		out = append(out, fmt.Sprintf("%s->%d/%s", from, p.PrivatePort, p.Type))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func limits(hc *container.HostConfig) fleet.Limits {
	if hc == nil {
		return fleet.Limits{}
	}
	out := fleet.Limits{Memory: hc.Memory}
	switch {
	case hc.NanoCPUs > 0:
		out.CPU = float64(hc.NanoCPUs) / 1e9
	case hc.CPUQuota > 0:
		period := hc.CPUPeriod
		if period <= 0 {
			period = defaultCPUPeriod
		}
		out.CPU = float64(hc.CPUQuota) / float64(period)
	}
	return out
}

// engineTime reads the engine's times; the year 1 means never.
func engineTime(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, err == nil && t.Year() > 1
}
