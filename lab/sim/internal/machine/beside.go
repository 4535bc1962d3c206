package machine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/lab/sim/internal/composefile"
	"github.com/nexgate-hq/nexops/lab/sim/internal/engine"
	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

// ofService are the containers of a Compose service here, newest first.
func (c *call) ofService(project, service string) []*world.Container {
	return slices.DeleteFunc(c.m.World.Containers(c.m.Name), func(k *world.Container) bool {
		return k.Spec.Project != project || k.Spec.Service != service
	})
}

// upBeside has so many containers of a service there, and leaves those that are.
func (c *call) upBeside(ctx context.Context, p *composefile.Project, service string, want int) int {
	ref := p.Image(service)
	img, ok := c.m.World.HostImage(c.m.Name, ref)
	if !ok {
		if code := c.pull(ctx, service, ref); code != 0 {
			return code
		}
		if img, ok = c.m.World.HostImage(c.m.Name, ref); !ok {
			return c.fail(1, "Error response from daemon: No such image: %s", ref)
		}
	}
	there := c.ofService(p.Name, service)
	for n := 1; len(there) < want; n++ {
		spec := *c.m.spec(p, service)
		spec.Name = fmt.Sprintf("%s-%s-%d", p.Name, service, n)
		if slices.ContainsFunc(there, func(k *world.Container) bool { return k.Name == spec.Name }) {
			continue
		}
		c.note(" Container %s  Create", spec.Name)
		if !c.pause(ctx, c.m.Pace) {
			return 130
		}
		if _, err := c.m.World.Replace(&spec, nil, img, c.m.World.Now()); err != nil {
			return c.fail(1, "Error response from daemon: %v", err)
		}
		c.note(" Container %s  Started", spec.Name)
		there = c.ofService(p.Name, service)
	}
	return 0
}

// listService is docker ps for the containers of one Compose service, as JSON.
func (c *call) listService(args []string) int {
	project, service := "", ""
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--all" || args[i] == "--no-trunc":
		case i+1 == len(args):
			return c.fail(125, "flag needs an argument: %s", args[i])
		case args[i] == "--format" && args[i+1] == "{{json .}}":
			i++
		case args[i] == "--filter":
			i++
			name, value, _ := strings.Cut(strings.TrimPrefix(args[i], "label=com.docker.compose."), "=")
			switch {
			case name == "project":
				project = value
			case name == "service":
				service = value
			case name == "oneoff" && value == "False":
			default:
				return c.fail(125, "the filter %s is not known here", args[i])
			}
		default:
			return c.fail(125, "unknown flag: %s", args[i])
		}
	}
	now := c.m.World.Now()
	for _, k := range c.ofService(project, service) {
		_ = c.json(map[string]any{
			"ID": k.ID, "Names": k.Name, "Image": k.Image.Ref(), "State": k.State, "Status": engine.Status(k, now),
		}, "")
	}
	return 0
}

// end stops or removes containers, which are given by name or id.
func (c *call) end(ctx context.Context, verb string, args []string) int {
	force := false
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch {
		case verb == "stop" && args[0] == "-t" && len(args) > 1:
			args = args[1:]
		case verb == "rm" && args[0] == "-f":
			force = true
		default:
			return c.fail(125, "unknown flag: %s", args[0])
		}
		args = args[1:]
	}
	for _, ref := range args {
		k, err := c.m.World.Find(c.m.Name, ref)
		if err != nil {
			return c.fail(1, "Error response from daemon: No such container: %s", ref)
		}
		switch {
		case verb == "stop":
			if !c.pause(ctx, c.m.Pace) {
				return 130
			}
			err = c.m.World.Stop(c.m.Name, k.ID, c.m.World.Now(), "15")
		case k.State == world.Running && !force:
			return c.fail(1, "Error response from daemon: cannot remove container %q: container is running: stop the container before removing or force remove", k.Name)
		default:
			err = c.m.World.Remove(c.m.Name, k.ID, c.m.World.Now())
		}
		if err != nil {
			return c.fail(1, "Error response from daemon: %v", err)
		}
		_ = c.say("%s", ref)
	}
	return 0
}
