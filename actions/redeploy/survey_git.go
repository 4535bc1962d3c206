package redeploy

import (
	"context"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/remote"
)

// checkGit looks at the host's checkout: what is changed in it, and whether it can be pulled.
func (p *planner) checkGit(ctx context.Context, s *survey) {
	const name = "checkout"
	if s.repo == "" {
		if p.repo != nil {
			s.fail(name, "%s is in no git checkout: with tag_home = \"git\" there is nothing to pull", s.place.dir)
		}
		return
	}
	out, err := s.probe.run(ctx, remote.Command{Argv: []string{"git", "-C", s.repo, "status", "--porcelain", "--untracked-files=no"}})
	if err != nil {
		s.fail(name, "%v", err)
		return
	}
	changed := changedFiles(string(out))
	file := strings.TrimPrefix(strings.TrimPrefix(s.file, s.repo), "/")
	others := slices.DeleteFunc(slices.Clone(changed), func(f string) bool { return f == file })
	if p.repo != nil {
		p.checkPull(ctx, s, changed)
		return
	}
	switch {
	case len(others) > 0:
		s.warn(name, "%s has uncommitted changes: %s", s.repo, some(others))
	case len(changed) > 0:
		s.ok(name, "%s, only the tag file differs from its commit", s.repo)
	default:
		s.ok(name, "%s, clean", s.repo)
	}
}

// changedFiles reads git status --porcelain.
func changedFiles(out string) []string {
	var files []string
	for _, l := range strings.Split(out, "\n") {
		const before = 3 // two letters and a blank
		if len(l) <= before {
			continue
		}
		f := l[before:]
		if _, to, ok := strings.Cut(f, " -> "); ok {
			f = to
		}
		files = append(files, strings.Trim(remote.Clean(f), `"`))
	}
	return files
}

func some(list []string) string {
	const most = 3
	if len(list) > most {
		list = append(slices.Clone(list[:most]), "...")
	}
	return strings.Join(list, ", ")
}

// checkPull makes sure that a fast-forward pull will bring the tag commit and nothing unsaid.
func (p *planner) checkPull(ctx context.Context, s *survey, changed []string) {
	const name = "checkout"
	branch, err := s.probe.text(ctx, "git", "-C", s.repo, "rev-parse", "--abbrev-ref", "HEAD")
	if err == nil {
		s.branch = branch
		s.head, err = s.probe.text(ctx, "git", "-C", s.repo, "rev-parse", "HEAD")
	}
	if err != nil {
		s.fail(name, "%v", err)
		return
	}
	if branch != p.repo.branch {
		s.fail(name, "%s is on branch %s, not on %s", s.repo, remote.Clean(branch), p.repo.branch)
		return
	}
	origin, err := s.probe.text(ctx, "git", "-C", s.repo, "ls-remote", "--exit-code", "origin", "refs/heads/"+p.repo.branch)
	if err != nil {
		s.fail(name, "the host cannot pull: %v", err)
		return
	}
	if at, _, _ := strings.Cut(origin, "\t"); at != p.head {
		s.fail(name, "its origin has %s at %.7s, git_url at %.7s: they are not the same repository, or it has just moved", p.repo.branch, remote.Clean(at), p.head)
		return
	}
	if ok, err := p.repo.contains(ctx, s.head, p.head); err != nil || !ok {
		s.fail(name, "%s has commits that %s has not: a fast-forward pull would refuse (%s)", s.repo, p.repo.branch, orSaid(err, "git -C "+s.repo+" status shows them"))
		return
	}
	p.checkIncoming(ctx, s, changed)
}

// checkIncoming says what the pull brings besides the tag.
func (p *planner) checkIncoming(ctx context.Context, s *survey, changed []string) {
	const name = "checkout"
	incoming, err := p.repo.line(ctx, "diff", "--name-only", s.head, p.head)
	if err != nil {
		s.fail(name, "%v", err)
		return
	}
	touched := append(strings.Split(incoming, "\n"), p.a.cfg.tagFile(p.t.key))
	for _, f := range changed {
		if slices.Contains(touched, f) {
			s.fail(name, "%s is changed on the host and by the pull, which would refuse: commit it, or git -C %s checkout -- %s", f, s.repo, f)
			return
		}
	}
	commits, err := p.repo.between(ctx, s.head, p.head)
	switch {
	case err != nil:
		s.fail(name, "%v", err)
	case len(commits) > 0:
		s.warn(name, "the pull also brings %d other commits to %s: %s", len(commits), s.place.host, some(commits))
	case len(changed) > 0:
		s.warn(name, "%s has uncommitted changes: %s", s.repo, some(changed))
	default:
		s.ok(name, "%s on %s at %.7s, clean", s.repo, p.repo.branch, s.head)
	}
}
