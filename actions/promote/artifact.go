package promote

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

var (
	// namePattern is what a service may be called: the name ends in paths, branches and argv.
	namePattern  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$`)
	idPattern    = regexp.MustCompile(`^[0-9a-f]{12,64}$`)
	imagePattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	tagPattern   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

// listArgv are the containers of a Compose service on a host, whatever the project is called there.
func listArgv(service string) []string {
	return []string{
		"docker", "ps", "--all", "--no-trunc",
		"--filter", "label=com.docker.compose.service=" + service,
		"--filter", "label=com.docker.compose.oneoff=False",
		"--format", "{{json .}}",
	}
}

// staged reads, from the containers themselves, what the service runs on all hosts of the environment before. The snapshot of this
// console does not know them, and git only knows what should run there.
func (p *planner) staged(ctx context.Context) {
	name := p.a.cfg.From + " runs"
	for _, host := range p.a.deps.HostsOf(p.a.cfg.From) {
		if err := p.stagedOn(ctx, host); err != nil {
			p.check(actions.CheckFail, name, "%v", err)
			return
		}
	}
	switch {
	case len(p.running) == 0:
		p.check(actions.CheckFail, name, "no container of %s with an image of %s is on %s", p.service, p.image, orNone(p.a.deps.HostsOf(p.a.cfg.From)))
	case len(p.running) > 1:
		p.check(actions.CheckFail, name, "%d different releases: %s: finish that deploy first", len(p.running), strings.Join(p.words(), " and "))
	default:
		p.to = p.running[0]
		p.check(actions.CheckOK, name, "%s on %s, healthy", p.words()[0], strings.Join(p.on, ", "))
	}
}

func orNone(hosts []string) string {
	if len(hosts) == 0 {
		return "any host (none is configured)"
	}
	return strings.Join(hosts, ", ")
}

func (p *planner) words() []string {
	out := make([]string, 0, len(p.running))
	for _, r := range p.running {
		out = append(out, r.Tag+" "+fleet.ShortDigest(r.Digest))
	}
	return out
}

// stagedOn reads one host.
func (p *planner) stagedOn(ctx context.Context, name string) error {
	h, err := p.a.deps.Host(name)
	if err != nil {
		return fmt.Errorf("host %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, compose.AskTimeout)
	defer cancel()
	probe := compose.Probe{Host: h}
	list, err := probe.Containers(ctx, listArgv(p.service))
	if err != nil {
		return err //nolint:wrapcheck // it names the host
	}
	for _, c := range list {
		tag, ok := strings.CutPrefix(c.Image, p.image+":")
		switch {
		case !ok:
			continue // a companion, or another image under the same name
		case c.State != "running" || c.Health() == "unhealthy" || c.Health() == "starting":
			return fmt.Errorf("%s on %s is not well: %s", c.Names, name, c.Status)
		case !idPattern.MatchString(c.ID) || !tagPattern.MatchString(tag):
			return fmt.Errorf("%s on %s runs %q, which is no name of an image", c.Names, name, c.Image)
		}
		digest, err := digestOf(ctx, probe, c.ID, p.image)
		if err != nil {
			return fmt.Errorf("%s on %s: %w", c.Names, name, err)
		}
		r := fleet.Release{Image: p.image, Tag: tag, Digest: digest}
		if !slices.ContainsFunc(p.running, func(o fleet.Release) bool { return o.Tag == r.Tag && o.Digest == r.Digest }) {
			p.running = append(p.running, r)
		}
		if !slices.Contains(p.on, name) {
			p.on = append(p.on, name)
		}
	}
	return nil
}

// digestOf is the digest of the image that a container was made of, not of what its tag means on the host by now.
func digestOf(ctx context.Context, probe compose.Probe, id, repository string) (string, error) {
	image, err := probe.Text(ctx, "docker", "container", "inspect", "--format", "{{.Image}}", id)
	if err != nil {
		return "", err //nolint:wrapcheck // it names the host
	}
	if !imagePattern.MatchString(image) {
		return "", fmt.Errorf("its engine does not say which image it is")
	}
	im, err := probe.Image(ctx, image)
	if err != nil {
		return "", err //nolint:wrapcheck // as above
	}
	if im == nil || !imagePattern.MatchString(im.Digest(repository)) {
		return "", fmt.Errorf("its image has no digest of %s: it was built or loaded there, not pulled", repository)
	}
	return im.Digest(repository), nil
}

// registered asks the registry, from a host that will pull, what the tag is now.
func (p *planner) registered(ctx context.Context) {
	const name = "registry"
	host := p.svc.Hosts[0]
	h, err := p.a.deps.Host(host)
	if err != nil {
		p.check(actions.CheckFail, name, "host %s: %v", host, err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, compose.AskTimeout)
	defer cancel()
	probe := compose.Probe{Host: h}
	engine, err := probe.Engine(ctx)
	if err != nil {
		p.check(actions.CheckFail, name, "%v", err)
		return
	}
	manifest, err := probe.Manifest(ctx, p.to.Ref(), engine.Insecure(p.image))
	switch digest := manifest.Digest; {
	case err != nil:
		p.check(actions.CheckFail, name, "%s would not be able to pull it: %v", host, err)
	case len(manifest.Platforms) > 0:
		p.several(ctx, probe, engine, manifest)
	case digest == "":
		p.check(actions.CheckFail, name, "the docker program of %s does not tell the digest of %s, which is of a newer form than it knows: that both are the same cannot be proven there; update docker on it",
			host, p.to.Ref())
	case digest != p.to.Digest:
		p.moved(fleet.ShortDigest(digest))
	default:
		p.check(actions.CheckOK, name, "%s is %s, as %s would pull it", p.to.Ref(), digest, host)
		p.proof = digest
	}
}

// moved says that a tag is something else in the registry than what was tried.
func (p *planner) moved(now string) {
	p.check(actions.CheckFail, "registry", "the tag %s has been moved: it is %s now, %s runs %s: deploy %s again first, so that what is promoted is what was tried",
		p.to.Tag, now, p.a.cfg.From, fleet.ShortDigest(p.to.Digest), p.a.cfg.From)
}

// several proves it for an image for several platforms. What runs has either the digest of the whole, which names the very
// same images for every platform, or that of one platform's, which then has to be what every host pulls.
func (p *planner) several(ctx context.Context, probe compose.Probe, engine compose.Engine, now compose.Manifest) {
	const name = "registry"
	hosts, err := p.platforms(ctx)
	if err != nil {
		p.check(actions.CheckFail, name, "%v", err)
		return
	}
	one := slices.Contains(slices.Collect(maps.Values(now.Platforms)), p.to.Digest)
	if !one {
		tried, err := probe.Manifest(ctx, p.image+"@"+p.to.Digest, engine.Insecure(p.image))
		switch {
		case err != nil:
			p.check(actions.CheckFail, name, "what %s runs, %s, is not in the registry any more: %v", p.a.cfg.From, fleet.ShortDigest(p.to.Digest), err)
			return
		case len(tried.Platforms) == 0 || !maps.Equal(tried.Platforms, now.Platforms):
			p.moved("another set of images for " + strings.Join(slices.Sorted(maps.Keys(now.Platforms)), ", "))
			return
		}
	}
	var words []string
	for _, host := range p.svc.Hosts {
		digest := now.For(hosts[host])
		switch {
		case digest == "":
			p.check(actions.CheckFail, name, "%s has no image for %s, which %s needs", p.to.Ref(), hosts[host], host)
			return
		case one && digest != p.to.Digest:
			p.check(actions.CheckFail, name, "%s would pull %s for %s, which is not what %s runs, %s: it was tried on another platform, and pulled without the whole that belongs together",
				host, fleet.ShortDigest(digest), hosts[host], p.a.cfg.From, fleet.ShortDigest(p.to.Digest))
			return
		}
		if w := digest + " for " + hosts[host]; !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	p.proof = p.to.Digest
	if !one {
		p.proof += ", an image for several platforms, which is " + strings.Join(words, " and ")
	}
	p.check(actions.CheckOK, name, "%s is %s, as %s would pull it", p.to.Ref(), strings.Join(words, " and "), strings.Join(p.svc.Hosts, ", "))
}

// platforms are those of the hosts that will pull.
func (p *planner) platforms(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range p.svc.Hosts {
		h, err := p.a.deps.Host(name)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", name, err)
		}
		engine, err := compose.Probe{Host: h}.Engine(ctx)
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the host
		}
		if out[name] = remote.Clean(engine.Platform()); out[name] == "" {
			return nil, fmt.Errorf("the engine of %s does not say for which platform it pulls", name)
		}
	}
	return out, nil
}

// compared says what runs in the environment that gets it.
func (p *planner) compared() {
	var words []string
	for _, in := range p.svc.Instances {
		if in.OneOff || in.Release.Image != p.image {
			continue
		}
		w := strings.TrimSpace(remote.Clean(in.Release.Tag) + " " + fleet.ShortDigest(in.Release.Digest))
		if !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	p.check(actions.CheckOK, p.a.cfg.To+" runs", "%s", strings.Join(words, " and "))
	if p.proof != "" {
		p.check(actions.CheckOK, "same artifact", "%s in %s, in the registry, and as %s will pull it: %s", p.proof, p.a.cfg.From, p.a.cfg.To, p.to.Tag)
	}
}
