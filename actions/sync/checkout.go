package sync

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// checkout is an infra repo's checkout on one host, and what its branch has that it has not.
type checkout struct {
	*compose.Survey
	branch, head, tip string
	files             []string // that a pull changes
	pulled            bool     // the plan has its pull
}

// open fetches the branch of a checkout, which changes no file of it, and looks whether a fast-forward pull would go through.
func (p *planner) open(ctx context.Context, s *compose.Survey) (*checkout, bool) {
	c := &checkout{Survey: s}
	const name = "checkout"
	if s.Repo == "" {
		s.Fail(name, "%s is in no git checkout: there is nothing to sync from", s.Place.Dir)
		return c, false
	}
	git := func(args ...string) (string, error) {
		return s.Probe.Text(ctx, append([]string{"git", "-C", s.Repo}, args...)...)
	}
	var err error
	if c.branch, err = git("rev-parse", "--abbrev-ref", "HEAD"); err == nil && (c.branch == "HEAD" || strings.HasPrefix(c.branch, "-")) {
		err = fmt.Errorf("%s is on no branch: git -C %s switch BRANCH", s.Repo, s.Repo)
	}
	if err == nil {
		_, err = git("fetch", "--quiet", "origin", c.branch)
	}
	if err == nil {
		c.head, err = git("rev-parse", "HEAD")
	}
	if err == nil {
		c.tip, err = git("rev-parse", "refs/remotes/origin/"+c.branch)
	}
	if err != nil {
		s.Fail(name, "%v", err)
		return c, false
	}
	if c.head == c.tip {
		s.OK(name, "%s on %s is at its end, %.7s", s.Repo, c.branch, c.head)
		return c, true
	}
	if _, err := git("merge-base", "--is-ancestor", c.head, c.tip); err != nil {
		s.Fail(name, "%s has commits that %s of origin has not: a fast-forward pull would refuse", s.Repo, c.branch)
		return c, false
	}
	return c, c.compare(ctx)
}

// compare reads which files a pull changes, and that none of them is changed on the host.
func (c *checkout) compare(ctx context.Context) bool {
	const name = "checkout"
	out, err := c.Probe.Text(ctx, "git", "-C", c.Repo, "diff", "--name-only", "--no-renames", c.head, c.tip)
	var dirty []string
	if err == nil {
		dirty, err = c.Changed(ctx)
	}
	if err != nil {
		c.Fail(name, "%v", err)
		return false
	}
	for f := range strings.SplitSeq(out, "\n") {
		if f = strings.Trim(strings.TrimSpace(f), `"`); f != "" {
			c.files = append(c.files, f)
		}
	}
	for _, f := range dirty {
		if slices.Contains(c.files, f) {
			c.Fail(name, "%s is changed on the host and by the pull, which would refuse: commit it, or git -C %s checkout -- %s", f, c.Repo, f)
			return false
		}
	}
	if len(dirty) > 0 {
		c.Warn(name, "%s has uncommitted changes: %s", c.Repo, compose.Some(dirty))
	}
	c.OK(name, "%s on %s goes from %.7s to %.7s: %d files", c.Repo, c.branch, c.head, c.tip, len(c.files))
	return true
}

// diff is what a pull changes in some files, without git's heads of files.
func (c *checkout) diff(ctx context.Context, files []string) ([]string, error) {
	argv := append([]string{"git", "-C", c.Repo, "diff", "--no-color", "--no-ext-diff", "--no-renames", c.head, c.tip, "--"}, files...)
	out, err := c.Probe.Run(ctx, remote.Command{Argv: argv, Env: map[string]string{"LC_ALL": "C"}})
	if err != nil {
		return nil, err
	}
	redact := actions.NewRedactor()
	var lines []string
	for l := range strings.SplitSeq(strings.TrimSuffix(string(out), "\n"), "\n") {
		switch {
		case strings.HasPrefix(l, "diff --git "), strings.HasPrefix(l, "index "), strings.HasPrefix(l, "--- "), strings.HasPrefix(l, "@@"), l == "":
			continue
		case strings.HasPrefix(l, "+++ "):
			l = " " + strings.TrimPrefix(strings.TrimPrefix(l, "+++ "), "b/") + ":"
		}
		if len(lines) >= maxDiff {
			return append(lines, "... and more"), nil
		}
		lines = append(lines, l[:1]+redact.Text(remote.CleanTo(indent(l[1:]), maxShown)))
	}
	return lines, nil
}

// wanted is the tag that the end of the branch has for a service; "" when it has no tag file there.
func (c *checkout) wanted(ctx context.Context, file, key string) string {
	rel := file
	if path.IsAbs(file) {
		var ok bool
		if rel, ok = strings.CutPrefix(file, c.Repo+"/"); !ok {
			return ""
		}
	}
	out, err := c.Probe.Run(ctx, remote.Command{Argv: []string{"git", "-C", c.Repo, "show", c.tip + ":" + rel}})
	if err != nil {
		return ""
	}
	tag, _, err := compose.ReadTag(out, key)
	if err != nil {
		return ""
	}
	return tag
}

// spot is one service on one host that the sync makes again.
type spot struct {
	*checkout
	place *compose.Place
	all   []string // its Compose services that are brought up: companions too, when more than its tag changes
	to    fleet.Release
	tag   bool // its tag is known to be in the infra repo
	local bool // the image is on the host
	fresh bool // git declares it, and it has no container yet
	needs []string
}

// own are the instances of a new service.
func (t *spot) own(in *fleet.Instance) bool {
	return !in.OneOff && in.Subject.Project == t.place.Project && in.Subject.Service == t.all[0]
}

// pull brings the commit of the plan to the host, and no other.
func (c *checkout) pull() actions.Step {
	argv := []string{"git", "-C", c.Repo, "merge", "--ff-only", "--quiet", c.tip}
	return c.Mutate("pull", argv)
}

// rendered makes sure, before the container is touched, that Compose now makes of the files what was shown.
func (t *spot) rendered(program []string, service string) actions.Step {
	argv := t.place.Argv(program, "config", "--format", "json", service)
	return t.Step("look at compose file", false, argv, func(ctx context.Context, _ remote.Command, out func(stream, line string)) error {
		r, err := t.Probe.Render(ctx, argv, service, nil)
		if err != nil {
			return err
		}
		image, _, _ := strings.Cut(r.Image, "@")
		if t.tag && image != t.to.Ref() {
			return fmt.Errorf("%s: compose makes %s of the files, not %s: the container was not touched", t.Place.Host, remote.Clean(r.Image), t.to.Ref())
		}
		out("stdout", service+" would run "+remote.Clean(r.Image))
		return nil
	})
}
