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

// steps are all steps of the plan, in order.
func (e *execution) steps() []actions.Step {
	var list []actions.Step
	if e.commit != "" {
		list = append(list, actions.Step{
			Name: "push tag commit", Argv: e.repo.PushArgv(e.commit, e.base), Mutates: true,
			Do: func(ctx context.Context, out func(stream, line string)) error {
				return e.repo.Push(ctx, e.commit, e.base, out)
			},
		})
	}
	for _, s := range e.surveys {
		if !e.way.offHost && e.way.ask == nil {
			list = append(list, e.bring(s)...)
		}
		if e.way.steps != nil {
			list = append(list, e.way.steps(e, s)...)
		}
	}
	if e.way.finish != nil {
		list = append(list, e.way.finish(e)...)
	}
	if !e.way.keepsRelease {
		list = append(list, e.holdSteps()...)
	}
	return list
}

// bring has tag and image on a host.
func (e *execution) bring(s *survey) []actions.Step {
	var list []actions.Step
	switch {
	case e.way.ownTag:
	case e.repo != nil:
		list = append(list, s.PullCheckout(e.repo.Branch))
	case s.tag != e.t.to.Tag:
		list = append(list, e.setTag(s)...)
	}
	switch {
	case s.moved:
		list = append(list, s.Mutate("pull image by digest", []string{"docker", "pull", e.byDigest()}),
			s.Mutate("move tag back", []string{"docker", "tag", e.byDigest(), e.t.to.Ref()}), e.checkPulled(s))
	case s.local == nil:
		list = append(list, e.pullImage(s), e.checkPulled(s))
	}
	return append(list, e.checkRendered(s))
}

// setTag changes the tag file on the host.
func (e *execution) setTag(s *survey) []actions.Step {
	return s.SetTag(compose.TagChange{
		File: s.file, Key: e.a.cfg.tagKey(e.t.Key), Was: s.content, Tag: e.t.to.Tag, Digest: s.digest, Plan: e.id,
	})
}

func (e *execution) pullImage(s *survey) actions.Step {
	return s.Mutate("pull image", s.Place.Argv(e.a.cfg.Compose, "pull", e.t.Service))
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
