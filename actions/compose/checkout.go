package compose

import (
	"context"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/remote"
)

const checkoutCheck = "checkout"

// CheckClean says what is changed in the host's checkout besides a file that may be.
func (s *Survey) CheckClean(ctx context.Context, file string) {
	if s.Repo == "" {
		return
	}
	changed, err := s.Changed(ctx)
	if err != nil {
		s.Fail(checkoutCheck, "%v", err)
		return
	}
	file = strings.TrimPrefix(strings.TrimPrefix(file, s.Repo), "/")
	others := slices.DeleteFunc(slices.Clone(changed), func(f string) bool { return f == file })
	switch {
	case len(others) > 0:
		s.Warn(checkoutCheck, "%s has uncommitted changes: %s", s.Repo, Some(others))
	case len(changed) > 0:
		s.OK(checkoutCheck, "%s, only the tag file differs from its commit", s.Repo)
	default:
		s.OK(checkoutCheck, "%s, clean", s.Repo)
	}
}

// Changed are the tracked files of the host's checkout that differ from its commit.
func (s *Survey) Changed(ctx context.Context) ([]string, error) {
	out, err := s.Probe.Run(ctx, remote.Command{Argv: []string{"git", "-C", s.Repo, "status", "--porcelain", "--untracked-files=no"}})
	if err != nil {
		return nil, err
	}
	return changedFiles(string(out)), nil
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

// Some is a list for people, cut when it is long.
func Some(list []string) string {
	const most = 3
	if len(list) > most {
		list = append(slices.Clone(list[:most]), "...")
	}
	return strings.Join(list, ", ")
}

// CheckPull makes sure that a fast-forward pull brings a commit that is made on tip, the end of the branch, and that changes
// a file, or what is below some paths; and says what else it brings.
func (s *Survey) CheckPull(ctx context.Context, repo *Repo, tip string, paths ...string) {
	if s.Repo == "" {
		s.Fail(checkoutCheck, "%s is in no git checkout: with tag_home = \"git\" there is nothing to pull", s.Place.Dir)
		return
	}
	changed, err := s.Changed(ctx)
	if err != nil {
		s.Fail(checkoutCheck, "%v", err)
		return
	}
	branch, err := s.Probe.Text(ctx, "git", "-C", s.Repo, "rev-parse", "--abbrev-ref", "HEAD")
	if err == nil {
		s.Head, err = s.Probe.Text(ctx, "git", "-C", s.Repo, "rev-parse", "HEAD")
	}
	if err != nil {
		s.Fail(checkoutCheck, "%v", err)
		return
	}
	if branch != repo.Branch {
		s.Fail(checkoutCheck, "%s is on branch %s, not on %s", s.Repo, remote.Clean(branch), repo.Branch)
		return
	}
	origin, err := s.Probe.Text(ctx, "git", "-C", s.Repo, "ls-remote", "--exit-code", "origin", "refs/heads/"+repo.Branch)
	if err != nil {
		s.Fail(checkoutCheck, "the host cannot pull: %v", err)
		return
	}
	if tip == "" {
		return // the end of the branch could not be read: that is said by itself, and nothing can be compared with it
	}
	if at, _, _ := strings.Cut(origin, "\t"); at != tip {
		s.Fail(checkoutCheck, "its origin has %s at %.7s, git_url at %.7s: they are not the same repository, or it has just moved", repo.Branch, remote.Clean(at), tip)
		return
	}
	if ok, err := repo.Contains(ctx, s.Head, tip); err != nil || !ok {
		s.Fail(checkoutCheck, "%s has commits that %s has not: a fast-forward pull would refuse (%s)", s.Repo, repo.Branch, orSaid(err, "git -C "+s.Repo+" status shows them"))
		return
	}
	s.checkIncoming(ctx, repo, tip, paths, changed)
}

// checkIncoming says what the pull brings besides what is changed at those paths.
func (s *Survey) checkIncoming(ctx context.Context, repo *Repo, tip string, paths, changed []string) {
	incoming, err := repo.Line(ctx, "diff", "--name-only", s.Head, tip)
	if err != nil {
		s.Fail(checkoutCheck, "%v", err)
		return
	}
	touched := append(strings.Split(incoming, "\n"), paths...)
	for _, f := range changed {
		if slices.ContainsFunc(touched, func(t string) bool { return f == t || strings.HasPrefix(f, t+"/") }) {
			s.Fail(checkoutCheck, "%s is changed on the host and by the pull, which would refuse: commit it, or git -C %s checkout -- %s", f, s.Repo, f)
			return
		}
	}
	commits, err := repo.Between(ctx, s.Head, tip)
	switch {
	case err != nil:
		s.Fail(checkoutCheck, "%v", err)
	case len(commits) > 0:
		s.Warn(checkoutCheck, "the pull also brings %d other commits to %s: %s", len(commits), s.Place.Host, Some(commits))
	case len(changed) > 0:
		s.Warn(checkoutCheck, "%s has uncommitted changes: %s", s.Repo, Some(changed))
	default:
		s.OK(checkoutCheck, "%s on %s at %.7s, clean", s.Repo, repo.Branch, s.Head)
	}
}
