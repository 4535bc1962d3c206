package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nexgate-hq/nexops/remote"
)

// Container is what the engine lists of a container.
type Container struct {
	ID     string
	Names  string
	Image  string // the reference it was started by
	State  string // running, exited, restarting...
	Status string // in words, with its health: "Up 3 seconds (healthy)"
}

// Health is what the status says of the health: "healthy", "unhealthy", "starting", or "" without a health check.
func (c Container) Health() string {
	for _, h := range []string{"unhealthy", "healthy", "starting"} {
		if strings.Contains(c.Status, "("+h+")") || strings.Contains(c.Status, "(health: "+h+")") {
			return h
		}
	}
	return ""
}

// ContainersArgv lists all containers of a service on a host, whether they run or not.
func (p *Place) ContainersArgv(service string) []string {
	return []string{
		"docker", "ps", "--all", "--no-trunc",
		"--filter", "label=com.docker.compose.project=" + p.Project,
		"--filter", "label=com.docker.compose.service=" + service,
		"--filter", "label=com.docker.compose.oneoff=False",
		"--format", "{{json .}}",
	}
}

// Containers runs ContainersArgv.
func (p Probe) Containers(ctx context.Context, argv []string) ([]Container, error) {
	out, err := p.Run(ctx, remote.Command{Argv: argv})
	if err != nil {
		return nil, err
	}
	var list []Container
	for _, line := range bytes.Split(bytes.TrimSpace(out), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var c Container
		if err := json.Unmarshal(line, &c); err != nil || c.ID == "" {
			return nil, fmt.Errorf("%s: docker ps is not understood", p.Host.Name())
		}
		c.Names, c.Image, c.Status = remote.Clean(c.Names), remote.Clean(c.Image), remote.Clean(c.Status)
		list = append(list, c)
	}
	return list, nil
}
