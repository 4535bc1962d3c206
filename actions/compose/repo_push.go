package compose

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
)

// Remote gives the commit of the branch as the remote says now; "" when there is no such branch.
func (r *Repo) Remote(ctx context.Context) (string, error) {
	out, err := r.Line(ctx, "ls-remote", "--refs", "--", r.url, r.ref())
	if err != nil {
		return "", err
	}
	for l := range strings.SplitSeq(out, "\n") {
		if commit, ref, ok := strings.Cut(l, "\t"); ok && ref == r.ref() {
			return commit, nil
		}
	}
	return "", nil
}

// pushArgs push exactly that commit, and only when the branch still is where it was made on: the push itself
// is the compare-and-swap, and of two the remote lets one win.
func (r *Repo) pushArgs(commit, base string) []string {
	return []string{"push", "--porcelain", "--force-with-lease=" + r.ref() + ":" + base, "--", r.url, commit + ":" + r.ref()}
}

// PushArgv is the whole of the push, as it is shown and run.
func (r *Repo) PushArgv(commit, base string) []string { return r.argv(r.pushArgs(commit, base)...) }

// PushedBy is the commit that one of the steps pushes to this branch; "" when none does.
func (r *Repo) PushedBy(steps []actions.Step) string {
	for _, s := range steps {
		if len(s.Argv) == 0 || !slices.Contains(s.Argv, "push") || !slices.Contains(s.Argv, r.url) {
			continue
		}
		if commit, ref, ok := strings.Cut(s.Argv[len(s.Argv)-1], ":"); ok && ref == r.ref() {
			return commit
		}
	}
	return ""
}

// Push pushes a commit that was made on base. What the remote says afterwards decides, not how the program ended.
func (r *Repo) Push(ctx context.Context, commit, base string, out func(stream, line string)) error {
	said, err := r.git(ctx, nil, nil, r.pushArgs(commit, base)...)
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
	// A branch that is to be made cannot be fetched when it was not: whether it is there is asked first.
	now, rerr := r.Remote(rctx)
	if rerr == nil && now != "" {
		now, rerr = r.Fetch(rctx)
	}
	switch {
	case rerr != nil:
		return fmt.Errorf("%w, and the infra repo cannot be read again (%w): %w", err, rerr, actions.ErrUnknown)
	case now == commit:
		out("stderr", "the push was cut off, but the infra repo has the commit")
		return nil
	case r.has(rctx, commit, now):
		out("stderr", "the push was cut off, but the infra repo has the commit, and others on top of it: "+r.Tell(rctx, now))
		return nil
	case now == "" && base != "":
		return fmt.Errorf("not pushed, %s is gone from the infra repo: make the plan again: %w", r.Branch, err)
	case now != base:
		return fmt.Errorf("not pushed, somebody was faster: %s is at %s now: make the plan again", r.Branch, r.Tell(rctx, now))
	default:
		return fmt.Errorf("not pushed: %w", err)
	}
}

// has reports whether a commit is known to be on the way to another one.
func (r *Repo) has(ctx context.Context, ancestor, commit string) bool {
	ok, err := r.Contains(ctx, ancestor, commit)
	return err == nil && ok
}
