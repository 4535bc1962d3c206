package promote

import (
	"context"
	"fmt"
	"regexp"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// ArgRevert is the argument that names the commit of a promotion that is taken back.
const ArgRevert = "revert"

var commitPattern = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// planRevert takes a promotion back that was pushed straight to the branch: a commit that puts the tag back where it was
// before, on the very end of the branch, as long as nobody has moved the tag since.
func (a *action) planRevert(ctx context.Context, snap *fleet.Snapshot, svc *fleet.Service, intent actions.Intent) (*actions.Plan, error) {
	commit := intent.Args[ArgRevert]
	if !commitPattern.MatchString(commit) {
		return nil, fmt.Errorf("promote: %q is no commit: give all of its letters", remote.Clean(commit))
	}
	if a.cfg.Way != WayPush {
		return nil, fmt.Errorf("promote: promotions to %s go by pull request: revert the merge there, as a pull request too", a.cfg.To)
	}
	now := a.deps.Now()
	p := &planner{a: a, svc: svc, intent: intent, id: actions.NewPlanID(now), made: now, image: svc.Releases.Running.Image}
	p.check(actions.CheckOK, "facts", "%s old", fleet.Ago(snap.At.Sub(svc.Seen)))
	p.revert(ctx, commit)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("promote %s: not asked to the end: %w", svc.Key, err)
	}
	plan := p.plan(snap)
	plan.Title = fmt.Sprintf("take the promotion of %s to %s back: %s → %s", svc.Key.Name, a.cfg.To, orElse(p.was, "not known"), orElse(p.to.Tag, "not known"))
	if p.target != nil {
		plan.Risks = []string{
			fmt.Sprintf("a commit is pushed to %s of the infra repo: from then on git wants %s on %s again", p.target.Branch, p.to.Tag, a.cfg.To),
			fmt.Sprintf("nothing is restarted by it: if %s has been deployed meanwhile, the next sync or deploy of %s takes it back", p.was, a.cfg.To),
		}
	}
	if ok, _ := plan.Runnable(); ok {
		plan.Steps = plan.Steps[:1] // the push, whatever the way of promotions is
	}
	return plan, nil
}

// revert makes the commit.
func (p *planner) revert(ctx context.Context, commit string) {
	const name = "infra repo"
	var err error
	if p.repo, err = p.open(ctx, p.a.home.Branches[p.a.cfg.To]); err == nil {
		p.head, err = p.repo.Fetch(ctx)
	}
	there := false
	if err == nil {
		there, err = p.repo.Contains(ctx, commit, p.head)
	}
	switch {
	case err != nil:
		p.check(actions.CheckFail, name, "%v", err)
		return
	case !there:
		p.check(actions.CheckFail, name, "%s does not have the commit %.7s: there is nothing to take back", p.repo.Branch, commit)
		return
	}
	p.check(actions.CheckOK, name, "%s at %s", p.repo.Branch, p.repo.Tell(ctx, p.head))
	p.revertCommit(ctx, commit)
}

// tags are what the tag file says at three commits: the end of the branch, the promotion, and the commit before it.
type tags struct{ tag, digest [3]string }

func (p *planner) revertCommit(ctx context.Context, commit string) {
	const name = "tag commit"
	o := p.a.deps.Override(p.svc.Key.Name)
	file, key := p.a.home.TagFileOf(p.svc.Key, o), p.a.home.TagKeyOf(p.svc.Key, o)
	var at tags
	var content []byte
	mode := ""
	for i, c := range []string{p.head, commit, commit + "^"} {
		text, m, err := p.repo.File(ctx, c, file)
		if err == nil {
			at.tag[i], at.digest[i], err = compose.ReadTag(text, key)
		}
		if err != nil {
			p.check(actions.CheckFail, name, "%s at %.8s: %v", file, c, err)
			return
		}
		if i == 0 {
			content, mode = text, m
		}
	}
	p.was, p.to = at.tag[0], fleet.Release{Image: p.image, Tag: at.tag[2], Digest: at.digest[2]}
	switch {
	case at.tag[1] == at.tag[2] && at.digest[1] == at.digest[2]:
		p.check(actions.CheckFail, name, "%.7s did not change %s in %s: it is no promotion of %s", commit, key, file, p.svc.Key.Name)
		return
	case at.tag[0] != at.tag[1] || at.digest[0] != at.digest[1]:
		p.check(actions.CheckFail, name, "git wants %s now, not %s any more: somebody has moved the tag since, and taking it back would undo that too", at.tag[0], at.tag[1])
		return
	}
	made, words, err := p.repo.CommitTag(ctx, compose.Change{
		Parent: p.head, File: file, Mode: mode, Content: content, Message: p.revertMessage(commit), Who: p.intent.Who, At: p.made,
	}, key, p.to.Tag, p.to.Digest)
	if err != nil {
		p.check(actions.CheckFail, name, "%v", err)
		return
	}
	p.commit = made
	p.check(actions.CheckOK, name, "%s", words)
	p.target, p.base = p.repo, p.head
	p.pullable(ctx)
}

// pullable says when what git wants again could not be deployed any more.
func (p *planner) pullable(ctx context.Context) {
	name := "image of " + p.to.Tag
	host := p.svc.Hosts[0]
	h, err := p.a.deps.Host(host)
	var engine compose.Engine
	ctx, cancel := context.WithTimeout(ctx, compose.AskTimeout)
	defer cancel()
	if err == nil {
		engine, err = compose.Probe{Host: h}.Engine(ctx)
	}
	if err == nil {
		_, err = compose.Probe{Host: h}.Manifest(ctx, p.to.Ref(), engine.Insecure(p.image))
	}
	if err != nil {
		p.check(actions.CheckWarn, name, "a sync or deploy of it would not be able to pull it: %v", err)
		return
	}
	p.check(actions.CheckOK, name, "the registry has it, as %s asks", host)
}

func (p *planner) revertMessage(commit string) string {
	m := fmt.Sprintf("%s: take the promotion of %s to %s back (now %s)\n\nThis reverts commit %s.\nBy %s with nexops, plan %s.\n",
		p.svc.Key.Name, p.was, p.a.cfg.To, p.to.Tag, commit, remote.Clean(p.intent.Who), p.id)
	if p.intent.Why != "" {
		m += "Why: " + remote.Clean(p.intent.Why) + "\n"
	}
	return m
}
