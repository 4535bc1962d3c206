package machine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/nexgate-hq/nexops/lab/sim/internal/composefile"
	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

const composeVersion = "2.40.3"

// composeArgs are what stands before and after the subcommand of docker compose.
type composeArgs struct {
	dir      string
	project  string
	files    []string
	envFiles []string
	sub      string
	flags    map[string]string
	services []string
}

func (c *call) compose(ctx context.Context, args []string) int {
	a, err := parseCompose(args)
	if err != nil {
		return c.fail(16, "%v", err)
	}
	if a.sub == "version" {
		if _, short := a.flags["--short"]; short {
			return c.say("%s", composeVersion)
		}
		return c.say("Docker Compose version v%s", composeVersion)
	}
	p, err := c.load(a)
	if err != nil {
		return c.fail(15, "%v", err)
	}
	for _, s := range a.services {
		if _, ok := p.Services[s]; !ok {
			return c.fail(1, "no such service: %s", s)
		}
	}
	if len(a.services) == 0 {
		a.services = p.Names()
	}
	switch a.sub {
	case "config":
		return c.composeConfig(p, a)
	case "ps":
		return c.composePs(p, a)
	case "pull":
		return c.composePull(ctx, p, a)
	case "restart":
		return c.composeRestart(ctx, p, a)
	default:
		return c.composeUp(ctx, p, a)
	}
}

// composeFlags gives the flags a subcommand takes; true when one has a value.
func composeFlags(sub string) map[string]bool {
	return map[string]map[string]bool{
		"version": {"--short": false},
		"config":  {"--format": true, "--services": false, "--images": false},
		"ps":      {"--format": true, "-a": false, "--all": false},
		"restart": {"--no-deps": false, "-t": true, "--timeout": true},
		"pull":    {"-q": false, "--quiet": false},
		"up": {
			"-d": false, "--detach": false, "--no-deps": false, "--force-recreate": false, "--quiet-pull": false,
			"--no-color": false, "--wait": false, "--scale": true, "--no-recreate": false, "--pull": true,
		},
	}[sub]
}

func parseCompose(args []string) (composeArgs, error) {
	a := composeArgs{flags: map[string]string{}}
	known := map[string]bool{"--project-directory": true, "-p": true, "--project-name": true, "-f": true, "--file": true, "--env-file": true, "--ansi": true, "--progress": true}
	for len(args) > 0 {
		name, value, inline := args[0], "", false
		if strings.HasPrefix(name, "--") {
			name, value, inline = strings.Cut(name, "=")
		}
		args = args[1:]
		if !strings.HasPrefix(name, "-") {
			if a.sub != "" {
				a.services = append(a.services, name)
				continue
			}
			if known = composeFlags(name); known == nil {
				return a, fmt.Errorf("unknown docker command: %q", "compose "+name)
			}
			a.sub = name
			continue
		}
		wants, ok := known[name]
		if !ok {
			return a, fmt.Errorf("unknown flag: %s", name)
		}
		if wants && !inline {
			if len(args) == 0 {
				return a, fmt.Errorf("flag needs an argument: %s", name)
			}
			value, args = args[0], args[1:]
		}
		a.set(name, value)
	}
	if a.sub == "" {
		return a, fmt.Errorf("no subcommand")
	}
	return a, nil
}

func (a *composeArgs) set(name, value string) {
	switch name {
	case "--project-directory":
		a.dir = value
	case "-p", "--project-name":
		a.project = value
	case "-f", "--file":
		if a.sub == "" {
			a.files = append(a.files, value)
		}
	case "--env-file":
		a.envFiles = append(a.envFiles, value)
	default:
		a.flags[name] = value
	}
}

func (c *call) load(a composeArgs) (*composefile.Project, error) {
	dir := c.dir
	if a.dir != "" {
		dir = c.abs(a.dir)
	}
	in := composefile.Input{
		Name: a.project, Dir: dir, Environment: c.env,
		Read: func(p string) ([]byte, error) { return c.m.root.ReadFile(rel(p)) },
	}
	for _, f := range a.files {
		in.Files = append(in.Files, c.abs(f))
	}
	for _, f := range a.envFiles {
		in.EnvFiles = append(in.EnvFiles, c.abs(f))
	}
	p, err := composefile.Load(in)
	if err != nil {
		return nil, err //nolint:wrapcheck // printed as it is
	}
	return p, nil
}

func (c *call) composeConfig(p *composefile.Project, a composeArgs) int {
	if _, ok := a.flags["--services"]; ok {
		return c.say("%s", strings.Join(a.services, "\n"))
	}
	if _, ok := a.flags["--images"]; ok {
		for _, s := range a.services {
			_ = c.say("%s", p.Image(s))
		}
		return 0
	}
	doc := p.Document(a.services)
	if a.flags["--format"] == "json" {
		return c.json(doc, "  ")
	}
	out, err := yaml.Marshal(doc)
	if err != nil {
		return c.fail(1, "%v", err)
	}
	_, _ = c.stdout.Write(out)
	return 0
}

func (c *call) composePs(p *composefile.Project, a composeArgs) int {
	for _, k := range c.m.World.Containers(c.m.Name) {
		_, all1 := a.flags["-a"]
		_, all2 := a.flags["--all"]
		if k.Spec.Project != p.Name || !slices.Contains(a.services, k.Spec.Service) || (k.State != world.Running && !all1 && !all2) {
			continue
		}
		if a.flags["--format"] == "json" {
			_ = c.json(map[string]any{
				"ID": k.ID[:12], "Name": k.Name, "Service": k.Spec.Service, "Project": p.Name, "Image": k.Image.Ref(), "State": k.State, "Health": k.Health,
			}, "")
			continue
		}
		_ = c.say("%s\t%s\t%s\t%s", k.Name, k.Image.Ref(), k.Spec.Service, k.State)
	}
	return 0
}

func (c *call) composePull(ctx context.Context, p *composefile.Project, a composeArgs) int {
	for _, s := range a.services {
		if code := c.pull(ctx, s, p.Image(s)); code != 0 {
			return code
		}
	}
	return 0
}

func (c *call) composeRestart(ctx context.Context, p *composefile.Project, a composeArgs) int {
	select {
	case c.m.slots <- struct{}{}:
		defer func() { <-c.m.slots }()
	case <-ctx.Done():
		return 130
	}
	for _, k := range c.m.World.Containers(c.m.Name) {
		if k.Spec.Project != p.Name || !slices.Contains(a.services, k.Spec.Service) {
			continue
		}
		c.note(" Container %s  Restarting", k.Name)
		if k.State == world.Running {
			if err := c.m.World.Stop(c.m.Name, k.ID, c.m.World.Now(), "15"); err != nil {
				return c.fail(1, "Error response from daemon: %v", err)
			}
			if !c.pause(ctx, c.m.Pace) {
				return 130
			}
		}
		if err := c.m.World.Start(c.m.Name, k.ID, c.m.World.Now()); err != nil {
			return c.fail(1, "Error response from daemon: %v", err)
		}
		c.note(" Container %s  Started", k.Name)
	}
	return 0
}

func (c *call) pull(ctx context.Context, service, ref string) int {
	c.note(" %s Pulling ", service)
	if !c.pause(ctx, c.m.Pace) {
		return 130
	}
	if _, _, err := c.m.World.Pull(c.m.Name, ref, c.m.World.Now()); err != nil {
		c.note(" %s Error manifest for %s not found: manifest unknown: manifest unknown", service, ref)
		return c.fail(18, "Error response from daemon: manifest for %s not found: manifest unknown: manifest unknown", ref)
	}
	c.note(" %s Pulled ", service)
	return 0
}

func (c *call) note(format string, args ...any) { _, _ = fmt.Fprintf(c.stderr, format+"\n", args...) }

func (c *call) composeUp(ctx context.Context, p *composefile.Project, a composeArgs) int {
	if _, ok := a.flags["-d"]; !ok {
		if _, ok = a.flags["--detach"]; !ok {
			return c.fail(1, "up in the foreground needs a terminal: use -d")
		}
	}
	scaled, n, _ := strings.Cut(a.flags["--scale"], "=")
	_, keep := a.flags["--no-recreate"]
	want, err := strconv.Atoi(n)
	if scaled != "" && (err != nil || (want != 1 && !keep)) {
		return c.fail(1, "this host re-creates one container a service: %s=%s works with --no-recreate only", scaled, n)
	}
	select {
	case c.m.slots <- struct{}{}:
		defer func() { <-c.m.slots }()
	case <-ctx.Done():
		return 130
	}
	_, force := a.flags["--force-recreate"]
	for _, s := range a.services {
		code := 0
		if keep && s == scaled {
			code = c.upBeside(ctx, p, s, want)
		} else {
			code = c.upService(ctx, p, s, force)
		}
		if code != 0 {
			return code
		}
	}
	return 0
}

func (c *call) upService(ctx context.Context, p *composefile.Project, service string, force bool) int {
	ref := p.Image(service)
	spec := c.m.spec(p, service)
	img, ok := c.m.World.HostImage(c.m.Name, ref)
	if !ok {
		if code := c.pull(ctx, service, ref); code != 0 {
			return code
		}
		if img, ok = c.m.World.HostImage(c.m.Name, ref); !ok {
			return c.fail(1, "Error response from daemon: No such image: %s", ref)
		}
	}
	var old *world.Container
	if there := c.ofService(p.Name, service); len(there) > 0 {
		old = there[0]
	}
	if old != nil && old.Image.ID == img.ID && old.State == world.Running && !force {
		c.note(" Container %s  Running", spec.Name)
		return 0
	}
	if old != nil && old.Image.ID == img.ID && !force {
		c.note(" Container %s  Starting", spec.Name)
		if err := c.m.World.Start(c.m.Name, old.ID, c.m.World.Now()); err != nil {
			return c.fail(1, "Error response from daemon: %v", err)
		}
		c.note(" Container %s  Started", spec.Name)
		return 0
	}
	verb := "Recreate"
	if old == nil {
		verb = "Create"
	}
	c.note(" Container %s  %s", spec.Name, verb)
	if !c.pause(ctx, c.m.Pace) {
		return 130
	}
	if _, err := c.m.World.Replace(spec, old, img, c.m.World.Now()); err != nil {
		return c.fail(1, "Error response from daemon: %v", err)
	}
	c.note(" Container %s  %sd", spec.Name, verb)
	c.note(" Container %s  Starting", spec.Name)
	c.note(" Container %s  Started", spec.Name)
	return 0
}

// spec is how a service behaves here: as the world's maker said, or as any plain program does.
func (m *Machine) spec(p *composefile.Project, service string) *world.Spec {
	if s, ok := m.specs[p.Name+"/"+service]; ok {
		return s
	}
	h, _ := m.World.Host(m.Name)
	return &world.Spec{
		Environment: h.Environment, Host: m.Name, Project: p.Name, Service: service, Name: p.Name + "-" + service + "-1",
		WorkDir: p.Dir, ConfigFile: strings.Join(p.Files, ","), Command: []string{"/" + service}, Share: 1,
		Profile: world.Profile{Lang: world.Plain, CPU: 0.01, Memory: 32 << 20, Lines: 0.05, Boot: time.Second},
	}
}
