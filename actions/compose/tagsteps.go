package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/remote"
)

// Step is a command on the host as a step of a plan.
func (s *Survey) Step(name string, mutates bool, argv []string, do func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error) actions.Step {
	return actions.Step{
		Name: name, Host: s.Place.Host, Argv: argv, Mutates: mutates,
		Do: func(ctx context.Context, out func(stream, line string)) error {
			return do(ctx, remote.Command{Argv: argv}, out)
		},
	}
}

// Mutate is a step that changes the host by one command.
func (s *Survey) Mutate(name string, argv []string) actions.Step {
	return s.Step(name, true, argv, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
		_, err := Mutate(ctx, s.Host, cmd, out)
		return err
	})
}

// PullCheckout brings a branch of the infra repo to the host.
func (s *Survey) PullCheckout(branch string) actions.Step {
	return s.Mutate("pull checkout", []string{"git", "-C", s.Repo, "pull", "--ff-only", "origin", branch})
}

// TagChange is a tag file on a host that gets another tag.
type TagChange struct {
	File   string // links resolved
	Key    string
	Was    []byte // what the plan saw
	Tag    string
	Digest string // goes with the tag where one was pinned
	Plan   string // its id, for the name of the temporary file
}

// SetTag changes the tag file on the host: a copy of it, which keeps mode and owner, gets the new
// content and takes its place at once.
func (s *Survey) SetTag(c TagChange) []actions.Step {
	temp := c.File + ".nexops-" + c.Plan
	next, err := SetTag(c.Was, c.Key, c.Tag, c.Digest)
	clean := func(ctx context.Context, err error, out func(stream, line string)) error {
		return s.removeTemp(ctx, temp, err, out)
	}
	return []actions.Step{
		s.Step("look at tag file", false, []string{"cat", c.File}, func(ctx context.Context, cmd remote.Command, _ func(stream, line string)) error {
			if err != nil {
				return err
			}
			now, err := s.Probe.Run(ctx, cmd)
			if err == nil && !bytes.Equal(now, c.Was) {
				return fmt.Errorf("%s: %s has changed since the plan was made (%s now): make the plan again", s.Place.Host, c.File, ChangedLine(now, c.Key))
			}
			return err
		}),
		s.Step("copy tag file", true, []string{"cp", "-p", c.File, temp}, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
			_, err := Mutate(ctx, s.Host, cmd, out)
			return clean(ctx, err, out)
		}),
		s.Step("write tag", true, []string{"tee", temp}, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
			cmd.Stdin, cmd.Stdout = bytes.NewReader(next), new(bytes.Buffer)
			res, err := Mutate(ctx, s.Host, cmd, out)
			if err == nil && !bytes.Equal(res.Stdout, next) {
				err = fmt.Errorf("%s: %s was not written whole", s.Place.Host, temp)
			}
			if err == nil {
				out("stdout", ChangedLine(c.Was, c.Key)+" becomes "+ChangedLine(next, c.Key))
			}
			return clean(ctx, err, out)
		}),
		s.Step("switch tag file", true, []string{"mv", temp, c.File}, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
			_, err := Mutate(ctx, s.Host, cmd, out)
			return clean(ctx, err, out)
		}),
	}
}

// removeTemp clears up after a step of the tag file that failed. What is not known is left alone.
func (s *Survey) removeTemp(ctx context.Context, temp string, cause error, out func(stream, line string)) error {
	if cause == nil || errors.Is(cause, actions.ErrUnknown) || errors.Is(cause, remote.ErrNotStarted) {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), AskTimeout)
	defer cancel()
	argv := []string{"rm", "-f", temp}
	out("stdout", strings.Join(argv, " "))
	if _, err := s.Probe.Run(ctx, remote.Command{Argv: argv}); err != nil {
		return fmt.Errorf("%w (and %s is left behind: %w)", cause, temp, err)
	}
	return cause
}
