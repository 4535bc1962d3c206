package redeploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// survey is what the preflights found on one host.
type survey struct {
	place  *place
	host   remote.Host
	probe  probe
	checks []actions.Check

	engine  engine
	file    string // the tag file, links resolved
	content []byte // of it
	tag     string // in it
	repo    string // root of the git checkout; "" when there is none
	head    string // its commit
	branch  string
	local   *image // of the release to go to; nil when it has to be pulled
	digest  string // of the release to go to, where known
	scale   int    // for --scale; 0 leaves it to the file
}

// askTimeout bounds one question to a host.
const askTimeout = 20 * time.Second

func (s *survey) add(state actions.CheckState, name, format string, args ...any) {
	s.checks = append(s.checks, actions.Check{
		Name: name + " on " + s.place.host, State: state, Detail: fmt.Sprintf(format, args...),
	})
}

func (s *survey) ok(name, format string, args ...any) { s.add(actions.CheckOK, name, format, args...) }
func (s *survey) warn(name, format string, args ...any) {
	s.add(actions.CheckWarn, name, format, args...)
}
func (s *survey) fail(name, format string, args ...any) {
	s.add(actions.CheckFail, name, format, args...)
}

// survey asks a host everything. What it cannot find out it says as a failed check.
func (p *planner) survey(ctx context.Context, pl *place) *survey {
	s := &survey{place: pl}
	host, err := p.a.deps.Host(pl.host)
	if err != nil {
		s.fail("host", "%v", err)
		return s
	}
	s.host, s.probe = host, probe{host: bounded{host}}
	if !p.checkHost(ctx, s) || !p.checkCompose(ctx, s) || !p.checkFolder(ctx, s) {
		return s // the rest would only say the same again
	}
	if p.checkTagFile(ctx, s) {
		p.checkRender(ctx, s)
	}
	p.checkGit(ctx, s)
	p.checkImage(ctx, s)
	return s
}

// bounded gives every question to a host a time.
type bounded struct{ remote.Host }

// Run runs a command that is over within askTimeout.
func (b bounded) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return b.Host.Run(ctx, cmd) //nolint:wrapcheck // the same host
}

// checkHost finds out that the host and its engine are there, and which they are.
func (p *planner) checkHost(ctx context.Context, s *survey) bool {
	const name = "host"
	hostname, err := s.probe.text(ctx, "hostname")
	if err != nil || hostname == "" {
		s.fail(name, "%s", orSaid(err, "it does not say its name"))
		return false
	}
	if s.engine, err = s.probe.engine(ctx); err != nil {
		s.fail(name, "%v", err)
		return false
	}
	s.ok(name, "%s, engine %s %s", remote.Clean(hostname), remote.Clean(s.engine.ServerVersion), fleet.ShortDigest(remote.Clean(s.engine.ID)))
	before := p.a.deps.Now()
	clock, err := s.probe.clock(ctx)
	if err != nil {
		s.warn("clock", "%v", err)
		return true
	}
	const tolerable = 30 * time.Second
	if off := clock.Sub(before); off.Abs() > tolerable {
		s.warn("clock", "%s off this machine's: the times of what happened do not fit together", fleet.Ago(off.Abs()))
	}
	return true
}

func orSaid(err error, otherwise string) string {
	if err != nil {
		return err.Error()
	}
	return otherwise
}

func (p *planner) checkCompose(ctx context.Context, s *survey) bool {
	const name = "compose"
	version, err := s.probe.text(ctx, append(append([]string(nil), p.a.cfg.Compose...), "version", "--short")...)
	version = remote.Clean(version)
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	switch {
	case err != nil:
		s.fail(name, "%v: install the Compose v2 plugin, or set compose in [actions.redeploy]", err)
		return false
	case major == "" || major == "0" || major == "1":
		s.fail(name, "version %s: Compose v2 is needed, v1 re-creates what v2 made under other names", version)
		return false
	}
	s.ok(name, "%s", version)
	return true
}

// checkFolder finds the project's folder and the checkout around it.
func (p *planner) checkFolder(ctx context.Context, s *survey) bool {
	dir := s.place.dir
	if _, err := s.probe.text(ctx, "readlink", "-f", dir); err != nil {
		s.fail("project", "%s is not there any more: %v: say where it is in [actions.redeploy.services.%s] dir", dir, err, p.t.key.Name)
		return false
	}
	if err := p.checkLabels(ctx, s); err != nil {
		s.fail("project", "%v; if it is right, say dir, files and env_files in [actions.redeploy.services.%s]", err, p.t.key.Name)
		return false
	}
	root := s.place.checkout
	if root == "" {
		root = dir
	}
	repo, err := s.probe.text(ctx, "git", "-C", root, "rev-parse", "--show-toplevel")
	var f *failure
	switch {
	case err == nil && strings.HasPrefix(repo, "/"):
		s.repo = repo
		if s.place.checkout == "" {
			root = repo
		}
	case errors.As(err, &f) && (f.res.Code == 127 || strings.Contains(string(f.res.Stderr), "not a git repository")):
	default:
		s.fail("project", "%s", orSaid(err, "git does not say where the checkout begins"))
		return false
	}
	s.file = tagPath(root, p.a.cfg.tagFile(p.t.key))
	s.ok("project", "%s in %s", s.place.project, dir)
	return true
}

// checkTagFile reads the tag file. It must hold a tag that we know of: another one
// means that somebody is in the middle of something.
func (p *planner) checkTagFile(ctx context.Context, s *survey) bool {
	const name = "tag file"
	real, err := s.probe.text(ctx, "readlink", "-f", s.file)
	if err == nil && strings.HasPrefix(real, "/") {
		s.file = real
	}
	content, err := s.probe.run(ctx, remote.Command{Argv: []string{"cat", s.file}})
	if err != nil {
		s.fail(name, "%v", err)
		return false
	}
	key := p.a.cfg.tagKey(p.t.key)
	tag, _, err := readTag(content, key)
	if err != nil {
		s.fail(name, "%s: %v", s.file, err)
		return false
	}
	s.content, s.tag = content, tag
	desired, running := p.svc.Releases.Desired.Tag, s.place.from.Tag
	switch tag {
	case running:
		s.ok(name, "%s has %s", s.file, changedLine(content, key))
	case p.t.to.Tag:
		s.ok(name, "%s already has %s", s.file, changedLine(content, key))
	case desired:
		s.warn(name, "%s has %s, which git desires, but %s runs", s.file, changedLine(content, key), running)
	default:
		s.fail(name, "%s has %s, but %s runs and nothing tells of %s: somebody is changing it, look again", s.file, changedLine(content, key), running, tag)
		return false
	}
	return true
}

// checkRender makes sure that the tag key really decides which image runs.
func (p *planner) checkRender(ctx context.Context, s *survey) {
	const name = "compose file"
	argv := p.renderArgv(s.place)
	now, err := s.probe.render(ctx, argv, p.t.service, nil)
	if err != nil {
		s.fail(name, "%v", err)
		return
	}
	key := p.a.cfg.tagKey(p.t.key)
	then, err := s.probe.render(ctx, argv, p.t.service, map[string]string{key: p.t.to.Tag})
	switch {
	case err != nil:
		s.fail(name, "%v", err)
		return
	case !isRef(then.Image, p.t.image, p.t.to.Tag):
		s.fail(name, "with %s=%s the service %s would run %s, not %s", key, p.t.to.Tag, p.t.service, remote.Clean(then.Image), p.t.to.Ref())
		return
	case !isRef(now.Image, p.t.image, s.tag):
		s.fail(name, "the tag file says %s but Compose makes %s of it: it reads the tag from elsewhere", s.tag, remote.Clean(now.Image))
		return
	}
	s.ok(name, "%s=%s makes %s", key, p.t.to.Tag, p.t.to.Ref())
	if have, n := s.place.count(), then.count(); n != have {
		s.scale = have
		s.warn("instances", "there are %d, the file asks for %d: %d are kept", have, n, have)
	}
}

func (p *planner) renderArgv(pl *place) []string {
	return pl.compose(p.a.cfg.Compose, "config", "--format", "json", p.t.service)
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
	local, err := s.probe.image(ctx, ref)
	if err != nil {
		s.fail(name, "%v", err)
		return
	}
	known := p.t.to.Digest
	if local != nil {
		s.local, s.digest = local, local.digest(p.t.image)
		if known != "" && s.digest != "" && known != s.digest {
			s.fail(name, "the host's %s is %s, but %s is known as %s: the tag was moved", ref, fleet.ShortDigest(s.digest), p.t.to.Version(), fleet.ShortDigest(known))
			return
		}
		if s.digest == "" {
			s.digest = known
		}
		s.ok(name, "%s, %s, on the host", fleet.ShortDigest(orElse(s.digest, local.ID)), fleet.Bytes(float64(local.Size)))
		return
	}
	digest, err := s.probe.manifest(ctx, ref, s.engine.insecure(p.t.image))
	if err != nil {
		s.fail(name, "not on the host, and it cannot be pulled: %v", err)
		return
	}
	if known != "" && digest != "" && known != digest {
		s.fail(name, "the registry's %s is %s, but %s is known as %s: the tag was moved", ref, fleet.ShortDigest(digest), p.t.to.Version(), fleet.ShortDigest(known))
		return
	}
	s.digest = orElse(digest, known)
	s.ok(name, "not on the host, the registry has it%s: it will be pulled", inWords(s.digest))
}

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
