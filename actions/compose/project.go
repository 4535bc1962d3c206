package compose

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/remote"
)

// Rendered is what Compose makes of a service.
type Rendered struct {
	Image         string `json:"image"`
	Scale         *int   `json:"scale"`
	ContainerName string `json:"container_name"`
	NetworkMode   string `json:"network_mode"`
	Platform      string `json:"platform"` // "linux/arm64"; "" is the host's own
	Ports         []struct {
		Published any `json:"published"` // on the host: "8080", "8080-8090", "" for any; older versions give a number
	} `json:"ports"`
	DependsOn map[string]struct {
		Condition string `json:"condition"`
	} `json:"depends_on"`
	Deploy struct {
		Replicas *int `json:"replicas"`
	} `json:"deploy"`
}

// Single says why there can only be one container of it on a host; "" when there can be more.
func (r Rendered) Single() string {
	switch {
	case r.ContainerName != "":
		return "container_name gives it one name: take that out of its Compose file"
	case r.NetworkMode == "host":
		return "it has the host's network, where a port is only once"
	}
	for _, p := range r.Ports {
		if p.Published == nil {
			continue
		}
		port := fmt.Sprint(p.Published)
		if port != "" && port != "0" && !strings.Contains(port, "-") {
			return "it publishes port " + remote.Clean(port) + " of the host, which only one can have: let a proxy publish it"
		}
	}
	return ""
}

// Count is how many containers the file asks for.
func (r Rendered) Count() int {
	switch {
	case r.Scale != nil:
		return *r.Scale
	case r.Deploy.Replicas != nil:
		return *r.Deploy.Replicas
	default:
		return 1
	}
}

// Render asks Compose what it makes of the service. The answer holds the secrets of its environment:
// only what Rendered names is looked at, and nothing of it is shown.
func (p Probe) Render(ctx context.Context, argv []string, service string, env map[string]string) (Rendered, error) {
	out, err := p.Run(ctx, remote.Command{Argv: argv, Env: env})
	if err != nil {
		return Rendered{}, err
	}
	var doc struct {
		Services map[string]Rendered `json:"services"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return Rendered{}, fmt.Errorf("%s: what compose config says is not understood", p.Host.Name())
	}
	r, ok := doc.Services[service]
	if !ok {
		return Rendered{}, fmt.Errorf("%s: the Compose files have no service %s", p.Host.Name(), remote.Clean(service))
	}
	return r, nil
}

// Argv gives the argv of a compose call on a place.
func (p *Place) Argv(program []string, words ...string) []string {
	argv := append(slices.Clone(program), "--project-directory", p.Dir, "-p", p.Project)
	for _, f := range p.Files {
		argv = append(argv, "-f", f)
	}
	for _, f := range p.EnvFiles {
		argv = append(argv, "--env-file", f)
	}
	return append(argv, words...)
}
