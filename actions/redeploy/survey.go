package redeploy

import (
	"context"
	"fmt"
	"strings"

	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// survey is what the preflights found on one host.
type survey struct {
	*compose.Survey
	file    string         // the tag file, links resolved
	content []byte         // of it
	tag     string         // in it
	local   *compose.Image // of the release to go to; nil when it has to be pulled
	digest  string         // of the release to go to, where known
	// rendered is what Compose would make of the service with the tag to go to.
	rendered compose.Rendered
	conf     *configured // of a strategy that only changes the configuration
	pullSize int64       // of the image, compressed; 0 when not known
	moved    bool        // the tag names something else: the image is pulled by its digest
	scale    int         // for --scale; 0 leaves it to the file
}

// survey asks a host everything. What it cannot find out it says as a failed check.
func (p *planner) survey(ctx context.Context, pl *compose.Place) *survey {
	asked, whole := compose.Surveyor{
		Places: p.a.cfg.places(), Key: p.t.Key, Hosts: p.a.deps.Host, Now: p.a.deps.Now,
	}.Ask(ctx, pl)
	s := &survey{Survey: asked}
	if !whole {
		return s
	}
	file := p.a.cfg.tagFile(p.t.Key)
	s.file = s.Path(file)
	if p.checkTagFile(ctx, s) {
		p.checkRender(ctx, s)
	}
	if p.repo != nil {
		s.CheckPull(ctx, p.repo, p.head, file)
	} else {
		s.CheckClean(ctx, s.file)
	}
	p.checkImage(ctx, s)
	p.preflights(ctx, s)
	if p.way.survey != nil {
		p.way.survey(p, ctx, s)
	}
	return s
}

// checkTagFile reads the tag file. It must hold a tag that we know of: another one
// means that somebody is in the middle of something.
func (p *planner) checkTagFile(ctx context.Context, s *survey) bool {
	const name = "tag file"
	real, err := s.Probe.Text(ctx, "readlink", "-f", s.file)
	if err == nil && strings.HasPrefix(real, "/") {
		s.file = real
	}
	content, err := s.Probe.Run(ctx, remote.Command{Argv: []string{"cat", s.file}})
	if err != nil {
		s.Fail(name, "%v", err)
		return false
	}
	key := p.a.cfg.tagKey(p.t.Key)
	tag, _, err := compose.ReadTag(content, key)
	if err != nil {
		s.Fail(name, "%s: %v", s.file, err)
		return false
	}
	s.content, s.tag = content, tag
	desired, running := p.svc.Releases.Desired.Tag, s.Place.From.Tag
	switch tag {
	case running:
		s.OK(name, "%s has %s", s.file, compose.ChangedLine(content, key))
	case p.t.to.Tag:
		s.OK(name, "%s already has %s", s.file, compose.ChangedLine(content, key))
	case desired:
		s.Warn(name, "%s has %s, which git desires, but %s runs", s.file, compose.ChangedLine(content, key), running)
	default:
		s.Fail(name, "%s has %s, but %s runs and nothing tells of %s: somebody is changing it, look again", s.file, compose.ChangedLine(content, key), running, tag)
		return false
	}
	return true
}

// checkRender makes sure that the tag key really decides which image runs.
func (p *planner) checkRender(ctx context.Context, s *survey) {
	const name = "compose file"
	argv := p.renderArgv(s.Place)
	now, err := s.Probe.Render(ctx, argv, p.t.Service, nil)
	if err != nil {
		s.Fail(name, "%v", err)
		return
	}
	key := p.a.cfg.tagKey(p.t.Key)
	then, err := s.Probe.Render(ctx, argv, p.t.Service, map[string]string{key: p.t.to.Tag})
	switch {
	case err != nil:
		s.Fail(name, "%v", err)
		return
	case !isRef(then.Image, p.t.Image, p.t.to.Tag):
		s.Fail(name, "with %s=%s the service %s would run %s, not %s", key, p.t.to.Tag, p.t.Service, remote.Clean(then.Image), p.t.to.Ref())
		return
	case !isRef(now.Image, p.t.Image, s.tag):
		s.Fail(name, "the tag file says %s but Compose makes %s of it: it reads the tag from elsewhere", s.tag, remote.Clean(now.Image))
		return
	}
	s.rendered = then
	s.OK(name, "%s=%s makes %s", key, p.t.to.Tag, p.t.to.Ref())
	if have, n := s.Place.Count(), then.Count(); n != have {
		s.scale = have
		s.Warn("instances", "there are %d, the file asks for %d: %d are kept", have, n, have)
	}
}

func (p *planner) renderArgv(pl *compose.Place) []string {
	return pl.Argv(p.a.cfg.Compose, "config", "--format", "json", p.t.Service)
}

// isRef reports whether an image reference is that repository and tag, pinned or not.
func isRef(ref, repository, tag string) bool {
	bare, _, _ := strings.Cut(ref, "@")
	return bare == repository+":"+tag
}

// checkImage makes sure that the image is on the host or can be pulled.
func (p *planner) checkImage(ctx context.Context, s *survey) {
	name := "image " + p.t.to.Version()
	ref := p.t.to.Ref()
	local, err := s.Probe.Image(ctx, ref)
	if err != nil {
		s.Fail(name, "%v", err)
		return
	}
	known := p.t.to.Digest
	if local != nil {
		s.local, s.digest = local, local.Digest(p.t.Image)
		if known != "" && s.digest != "" && known != s.digest {
			p.movedTag(ctx, s, fmt.Sprintf("the host's %s is %s, but %s is known as %s: the tag was moved", ref, fleet.ShortDigest(s.digest), p.t.to.Version(), fleet.ShortDigest(known)))
			return
		}
		if s.digest == "" {
			s.digest = known
		}
		s.OK(name, "%s, %s, on the host", fleet.ShortDigest(orElse(s.digest, local.ID)), fleet.Bytes(float64(local.Size)))
		return
	}
	manifest, err := s.Probe.Manifest(ctx, ref, s.Engine.Insecure(p.t.Image))
	digest := manifest.Digest
	if err != nil {
		s.Fail(name, "not on the host, and it cannot be pulled: %v", err)
		return
	}
	if known != "" && digest != "" && known != digest {
		p.movedTag(ctx, s, fmt.Sprintf("the registry's %s is %s, but %s is known as %s: the tag was moved", ref, fleet.ShortDigest(digest), p.t.to.Version(), fleet.ShortDigest(known)))
		return
	}
	s.digest, s.pullSize = orElse(digest, known), manifest.Size
	s.OK(name, "not on the host, the registry has it%s: it will be pulled", inWords(s.digest))
}

// movedTag refuses a tag that names something else now, or has the release pulled by its digest, where the config says so
// and the registry still has it.
func (p *planner) movedTag(ctx context.Context, s *survey, said string) {
	name := "image " + p.t.to.Version()
	if p.a.cfg.MovedTag != MovedPull {
		s.Fail(name, "%s; moved_tag = %q in [actions.redeploy] has it pulled by its digest", said, MovedPull)
		return
	}
	ref := p.byDigest()
	manifest, err := s.Probe.Manifest(ctx, ref, s.Engine.Insecure(p.t.Image))
	if err != nil {
		s.Fail(name, "%s, and by its digest it cannot be pulled: %v", said, err)
		return
	}
	s.local, s.digest, s.pullSize, s.moved = nil, p.t.to.Digest, manifest.Size, true
	s.Warn(name, "%s: it is pulled by its digest, and the tag on the host is moved back", said)
}

// byDigest is the release by what it is, not by what it is called.
func (p *planner) byDigest() string { return p.t.Image + "@" + p.t.to.Digest }

func inWords(digest string) string {
	if digest == "" {
		return ""
	}
	return " as " + fleet.ShortDigest(digest)
}

func orElse(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
