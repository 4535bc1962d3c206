package redeploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// execution is a plan while it is run. Steps and the verification come one after the other, so it needs no lock.
type execution struct {
	*planner
	watch *verify.Watch
}

// steps are all steps of the plan, in order.
func (e *execution) steps() []actions.Step {
	var list []actions.Step
	if e.commit != "" {
		argv := e.repo.argv(e.repo.pushArgs(e.commit)...)
		list = append(list, actions.Step{Name: "push tag commit", Argv: argv, Mutates: true, Do: e.push})
	}
	for _, s := range e.surveys {
		if e.repo != nil {
			list = append(list, e.pullCheckout(s))
		} else if s.tag != e.t.to.Tag {
			list = append(list, e.setTag(s)...)
		}
		if s.local == nil {
			list = append(list, e.pullImage(s), e.checkPulled(s))
		}
		list = append(list, e.checkRendered(s), e.up(s))
	}
	return list
}

// step is a command on a host.
func (e *execution) step(s *survey, name string, mutates bool, argv []string, do func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error) actions.Step {
	return actions.Step{
		Name: name, Host: s.place.host, Argv: argv, Mutates: mutates,
		Do: func(ctx context.Context, out func(stream, line string)) error {
			return do(ctx, remote.Command{Argv: argv}, out)
		},
	}
}

// push pushes the tag commit. What the remote says afterwards decides, not how the program ended.
func (e *execution) push(ctx context.Context, out func(stream, line string)) error {
	said, err := e.repo.git(ctx, nil, nil, e.repo.pushArgs(e.commit)...)
	for _, l := range strings.Split(strings.TrimSpace(said), "\n") {
		if l != "" {
			out("stdout", l)
		}
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("the git program is not installed here: %w", err)
	}
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), gitTimeout)
	defer cancel()
	now, rerr := e.repo.fetch(rctx)
	switch {
	case rerr != nil:
		return fmt.Errorf("%w, and the infra repo cannot be read again (%w): %w", err, rerr, actions.ErrUnknown)
	case now == e.commit:
		out("stderr", "the push was cut off, but the infra repo has the commit")
		return nil
	case now != e.head:
		return fmt.Errorf("not pushed, somebody was faster: %s is at %s now: make the plan again", e.repo.branch, e.repo.tell(rctx, now))
	default:
		return fmt.Errorf("not pushed: %w", err)
	}
}

// pullCheckout brings the tag commit to the host.
func (e *execution) pullCheckout(s *survey) actions.Step {
	argv := []string{"git", "-C", s.repo, "pull", "--ff-only", "origin", e.repo.branch}
	return e.step(s, "pull checkout", true, argv, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
		_, err := mutate(ctx, s.host, cmd, out)
		return err
	})
}

// setTag changes the tag file on the host: a copy of it, which keeps mode and owner, gets the new
// content and takes its place at once.
func (e *execution) setTag(s *survey) []actions.Step {
	key := e.a.cfg.tagKey(e.t.key)
	next, err := setTag(s.content, key, e.t.to.Tag, s.digest)
	temp := s.file + ".nexops-" + e.id
	clean := func(ctx context.Context, err error, out func(stream, line string)) error {
		return e.removeTemp(ctx, s, temp, err, out)
	}
	return []actions.Step{
		e.step(s, "look at tag file", false, []string{"cat", s.file}, func(ctx context.Context, cmd remote.Command, _ func(stream, line string)) error {
			if err != nil {
				return err
			}
			now, err := s.probe.run(ctx, cmd)
			if err == nil && !bytes.Equal(now, s.content) {
				return fmt.Errorf("%s: %s has changed since the plan was made (%s now): make the plan again", s.place.host, s.file, changedLine(now, key))
			}
			return err
		}),
		e.step(s, "copy tag file", true, []string{"cp", "-p", s.file, temp}, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
			_, err := mutate(ctx, s.host, cmd, out)
			return clean(ctx, err, out)
		}),
		e.step(s, "write tag", true, []string{"tee", temp}, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
			cmd.Stdin, cmd.Stdout = bytes.NewReader(next), new(bytes.Buffer)
			res, err := mutate(ctx, s.host, cmd, out)
			if err == nil && !bytes.Equal(res.Stdout, next) {
				err = fmt.Errorf("%s: %s was not written whole", s.place.host, temp)
			}
			if err == nil {
				out("stdout", changedLine(s.content, key)+" becomes "+changedLine(next, key))
			}
			return clean(ctx, err, out)
		}),
		e.step(s, "switch tag file", true, []string{"mv", temp, s.file}, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
			_, err := mutate(ctx, s.host, cmd, out)
			return clean(ctx, err, out)
		}),
	}
}

// removeTemp clears up after a step of the tag file that failed. What is not known is left alone.
func (e *execution) removeTemp(ctx context.Context, s *survey, temp string, cause error, out func(stream, line string)) error {
	if cause == nil || errors.Is(cause, actions.ErrUnknown) || errors.Is(cause, remote.ErrNotStarted) {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	argv := []string{"rm", "-f", temp}
	out("stdout", strings.Join(argv, " "))
	if _, err := s.probe.run(ctx, remote.Command{Argv: argv}); err != nil {
		return fmt.Errorf("%w (and %s is left behind: %w)", cause, temp, err)
	}
	return cause
}

func (e *execution) pullImage(s *survey) actions.Step {
	argv := s.place.compose(e.a.cfg.Compose, "pull", e.t.service)
	return e.step(s, "pull image", true, argv, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
		_, err := mutate(ctx, s.host, cmd, out)
		return err
	})
}

// checkPulled looks at what was pulled: it has to be what the plan said.
func (e *execution) checkPulled(s *survey) actions.Step {
	argv := []string{"docker", "image", "inspect", e.t.to.Ref()}
	return e.step(s, "look at image", false, argv, func(ctx context.Context, _ remote.Command, out func(stream, line string)) error {
		got, err := s.probe.image(ctx, e.t.to.Ref())
		if err != nil {
			return err
		}
		if got == nil {
			return fmt.Errorf("%s: %s is not there after the pull", s.place.host, e.t.to.Ref())
		}
		want := e.watch.Wanted(e.t.key, s.place.host)
		digest := got.digest(e.t.image)
		if want.Digest != "" && digest != "" && want.Digest != digest {
			return fmt.Errorf("%s: %s is %s now, the plan was made for %s: the tag was moved", s.place.host, e.t.to.Ref(), fleet.ShortDigest(digest), fleet.ShortDigest(want.Digest))
		}
		want.ImageID, want.Digest = got.ID, orElse(digest, want.Digest)
		e.watch.Wants(e.t.key, s.place.host, want)
		out("stdout", e.t.to.Ref()+" is "+fleet.ShortDigest(orElse(digest, got.ID)))
		return nil
	})
}

// checkRendered makes sure, before the container is touched, that Compose now makes the new image of the files.
func (e *execution) checkRendered(s *survey) actions.Step {
	argv := e.renderArgv(s.place)
	return e.step(s, "look at compose file", false, argv, func(ctx context.Context, _ remote.Command, out func(stream, line string)) error {
		r, err := s.probe.render(ctx, argv, e.t.service, nil)
		if err != nil {
			return err
		}
		if !isRef(r.Image, e.t.image, e.t.to.Tag) {
			return fmt.Errorf("%s: compose makes %s of the files, not %s: the container was not touched", s.place.host, remote.Clean(r.Image), e.t.to.Ref())
		}
		out("stdout", e.t.service+" would run "+remote.Clean(r.Image))
		return nil
	})
}

func (e *execution) up(s *survey) actions.Step {
	words := []string{"up", "-d", "--no-deps"}
	if s.scale > 0 {
		words = append(words, "--scale", e.t.service+"="+strconv.Itoa(s.scale))
	}
	argv := s.place.compose(e.a.cfg.Compose, append(words, e.t.service)...)
	return e.step(s, "up", true, argv, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
		_, err := mutate(ctx, s.host, cmd, out)
		e.watch.Did(e.t.key, s.place.host)
		return err
	})
}
