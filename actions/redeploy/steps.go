package redeploy

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// execution is a plan while it is run. Steps and the verification come one after the other, so it needs no lock.
type execution struct {
	*planner
	watch *verify.Watch
	said  string // what a script said that its exit code does not make good
}

// steps are all steps of the plan, in order. The image is on every host before anything says that it is wanted: a tag whose image
// cannot be pulled is a trap for the next docker compose up, whoever runs it, and a pushed one for the reconciler of every host.
func (e *execution) steps() []actions.Step {
	var list []actions.Step
	for _, s := range e.surveys {
		if e.bringsImage() {
			list = append(list, e.bringImage(s)...)
		}
	}
	if e.commit != "" && !e.way.keepsRelease {
		list = append(list, e.pushCommit())
	}
	for _, s := range e.surveys {
		if e.bringsImage() {
			list = append(list, e.bringTag(s)...)
		}
		if e.way.steps != nil {
			list = append(list, e.way.steps(e, s)...)
		}
	}
	if e.way.finish != nil {
		list = append(list, e.way.finish(e)...)
	}
	return append(list, e.holdSteps()...)
}

func (e *execution) pushCommit() actions.Step {
	what := "tag"
	if e.way.keepsRelease {
		what = "configuration"
	}
	return actions.Step{
		Name: "push " + what + " commit", Argv: e.repo.PushArgv(e.commit, e.base), Mutates: true,
		Do: func(ctx context.Context, out func(stream, line string)) error {
			return e.repo.Push(ctx, e.commit, e.base, out)
		},
	}
}

// bringsImage: neither others bring tag and image to the hosts, nor do they stay.
func (e *execution) bringsImage() bool { return !e.way.offHost && e.way.ask == nil }

// bringImage has the image on a host. What runs there does not see it.
func (e *execution) bringImage(s *survey) []actions.Step {
	switch {
	case s.moved:
		return []actions.Step{
			s.Mutate("pull image by digest", e.pullArgv(s, e.byDigest())),
			s.Mutate("move tag back", []string{"docker", "tag", e.byDigest(), e.t.to.Ref()}), e.checkPulled(s),
		}
	case s.local == nil:
		return []actions.Step{s.Mutate("pull image", e.pullArgv(s, e.t.to.Ref())), e.checkPulled(s)}
	default:
		return nil
	}
}

// pullArgv pulls by name, not by the Compose file, which still says the release that runs.
func (e *execution) pullArgv(s *survey, ref string) []string {
	argv := []string{"docker", "pull"}
	if s.rendered.Platform != "" {
		argv = append(argv, "--platform="+s.rendered.Platform)
	}
	return append(argv, ref)
}

// bringTag puts the tag where Compose on a host reads it.
func (e *execution) bringTag(s *survey) []actions.Step {
	var list []actions.Step
	switch {
	case e.way.ownTag:
	case e.repo != nil:
		list = append(list, s.PullCheckout(e.repo.Branch))
	case s.tag != e.t.to.Tag:
		list = append(list, e.setTag(s)...)
	}
	return append(list, e.checkRendered(s))
}

// setTag changes the tag file on the host.
func (e *execution) setTag(s *survey) []actions.Step {
	return s.SetTag(compose.TagChange{
		File: s.file, Key: e.a.cfg.tagKey(e.t.Key), Was: s.content, Tag: e.t.to.Tag, Digest: s.digest, Plan: e.id,
	})
}

// checkPulled looks at what was pulled: it has to be what the plan said.
func (e *execution) checkPulled(s *survey) actions.Step {
	argv := []string{"docker", "image", "inspect", e.t.to.Ref()}
	return s.Step("look at image", false, argv, func(ctx context.Context, _ remote.Command, out func(stream, line string)) error {
		got, err := s.Probe.Image(ctx, e.t.to.Ref())
		if err != nil {
			return err
		}
		if got == nil {
			return fmt.Errorf("%s: %s is not there after the pull", s.Place.Host, e.t.to.Ref())
		}
		want := e.watch.Wanted(e.t.Key, s.Place.Host)
		digest := got.Digest(e.t.Image)
		if want.Digest != "" && digest != "" && want.Digest != digest {
			return fmt.Errorf("%s: %s is %s now, the plan was made for %s: the tag was moved", s.Place.Host, e.t.to.Ref(), fleet.ShortDigest(digest), fleet.ShortDigest(want.Digest))
		}
		want.ImageID, want.Digest = got.ID, orElse(digest, want.Digest)
		e.watch.Wants(e.t.Key, s.Place.Host, want)
		out("stdout", e.t.to.Ref()+" is "+fleet.ShortDigest(orElse(digest, got.ID)))
		return nil
	})
}

// checkRendered makes sure, before the container is touched, that Compose now makes the new image of the files.
func (e *execution) checkRendered(s *survey) actions.Step {
	argv := e.renderArgv(s.Place)
	return s.Step("look at compose file", false, argv, func(ctx context.Context, _ remote.Command, out func(stream, line string)) error {
		r, err := s.Probe.Render(ctx, argv, e.t.Service, nil)
		if err != nil {
			return err
		}
		if !isRef(r.Image, e.t.Image, e.t.to.Tag) {
			return fmt.Errorf("%s: compose makes %s of the files, not %s: the container was not touched", s.Place.Host, remote.Clean(r.Image), e.t.to.Ref())
		}
		out("stdout", e.t.Service+" would run "+remote.Clean(r.Image))
		return nil
	})
}

func (e *execution) up(s *survey) actions.Step {
	words := []string{"up", "-d", "--no-deps"}
	if s.scale > 0 {
		words = append(words, "--scale", e.t.Service+"="+strconv.Itoa(s.scale))
	}
	argv := s.Place.Argv(e.a.cfg.Compose, append(words, e.t.Service)...)
	return s.Step("up", true, argv, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
		_, err := compose.Mutate(ctx, s.Host, cmd, out)
		e.watch.Did(e.t.Key, s.Place.Host)
		return err
	})
}
