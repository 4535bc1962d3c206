package promote

import (
	"context"
	"fmt"
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
	digest := manifest.Digest
	switch {
	case err != nil:
		p.check(actions.CheckFail, name, "%s would not be able to pull it: %v", host, err)
	case digest == "":
		p.check(actions.CheckFail, name, "it does not tell the one digest of %s, an image for several platforms: that both are the same cannot be proven", p.to.Ref())
	case digest != p.to.Digest:
		p.check(actions.CheckFail, name, "the tag %s has been moved: it is %s now, %s runs %s: deploy %s again first, so that what is promoted is what was tried",
			p.to.Tag, fleet.ShortDigest(digest), p.a.cfg.From, fleet.ShortDigest(p.to.Digest), p.a.cfg.From)
	default:
		p.check(actions.CheckOK, name, "%s is %s, as %s would pull it", p.to.Ref(), digest, host)
		p.proven = true
	}
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
	if p.proven {
		p.check(actions.CheckOK, "same artifact", "%s in %s, in the registry, and as %s will pull it: %s", p.to.Digest, p.a.cfg.From, p.a.cfg.To, p.to.Tag)
	}
}
