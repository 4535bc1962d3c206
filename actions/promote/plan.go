package promote

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// planner makes one plan.
type planner struct {
	a       *action
	svc     *fleet.Service
	intent  actions.Intent
	id      string
	made    time.Time
	service string // in the Compose files
	image   string

	running []fleet.Release // on the environment before, each once
	on      []string        // its hosts that run it
	to      fleet.Release
	proof   string // in words; "" is none
	checks  []actions.Check

	git
}

// git is the commit that is made.
type git struct {
	repo   *compose.Repo // of the environment's branch
	target *compose.Repo // of the branch that is pushed to
	head   string        // of the environment's branch
	base   string        // what the push expects there; "" is no branch yet
	commit string
	was    string // the tag before
}

func (p *planner) check(state actions.CheckState, name, format string, args ...any) {
	p.checks = append(p.checks, actions.Check{Name: name, State: state, Detail: fmt.Sprintf(format, args...)})
}

// Plan reads what staging runs, proves that prod would get the same, and makes the commit without pushing it.
func (a *action) Plan(ctx context.Context, snap *fleet.Snapshot, intent actions.Intent) (*actions.Plan, error) {
	svc, err := a.find(snap, intent.Targets)
	if err != nil {
		return nil, fmt.Errorf("promote: %w", err)
	}
	now := a.deps.Now()
	if intent.Args[ArgRevert] != "" {
		return a.planRevert(ctx, snap, svc, intent)
	}
	p := &planner{a: a, svc: svc, intent: intent, id: actions.NewPlanID(now), made: now, image: svc.Releases.Running.Image}
	p.service = svc.Key.Name
	if s := a.deps.Override(svc.Key.Name).Service; s != "" {
		p.service = s
	}
	p.check(actions.CheckOK, "facts", "%s old", fleet.Ago(snap.At.Sub(svc.Seen)))
	p.staged(ctx)
	if p.to.Tag != "" {
		p.registered(ctx)
		p.compared()
		if err := p.prepare(ctx); err != nil {
			return nil, fmt.Errorf("promote %s: %w", svc.Key, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("promote %s: not asked to the end: %w", svc.Key, err)
	}
	return p.plan(snap), nil
}

func (p *planner) plan(snap *fleet.Snapshot) *actions.Plan {
	to := "nothing"
	if p.to.Tag != "" {
		to = p.to.Tag
	}
	plan := &actions.Plan{
		ID: p.id, Intent: p.intent, Environment: p.svc.Key.Environment, Made: p.made, Snapshot: snap.Seq,
		Title:  fmt.Sprintf("promote %s from %s to %s: %s → %s", p.svc.Key.Name, p.a.cfg.From, p.a.cfg.To, orElse(p.was, "not known"), to),
		Checks: p.checks, LockHosts: p.svc.Hosts, Verify: p.verify,
	}
	for _, host := range p.svc.Hosts {
		plan.Bases = append(plan.Bases, actions.RunningBasis(p.svc.Key, host, nil, snap))
	}
	if p.target != nil {
		plan.Risks = p.risks()
	}
	if ok, _ := plan.Runnable(); ok {
		plan.Steps = p.steps()
		plan.Undo = p.undo()
	}
	return plan
}

func (p *planner) risks() []string {
	if p.a.cfg.Way == WayPush {
		return []string{
			fmt.Sprintf("a commit is pushed to %s of the infra repo: from then on git wants %s on %s", p.target.Branch, p.to.Tag, p.a.cfg.To),
			fmt.Sprintf("nothing is restarted by it: the next sync or deploy of %s brings it", p.a.cfg.To),
		}
	}
	return []string{
		fmt.Sprintf("the branch %s is made in the infra repo; %s changes only when it is merged", p.target.Branch, p.repo.Branch),
		fmt.Sprintf("nothing is restarted by it: the next sync or deploy of %s after the merge brings it", p.a.cfg.To),
		"U does not take it back: until it is merged close the pull request and delete the branch, after that revert the merge",
	}
}

func (p *planner) open(ctx context.Context, branch string) (*compose.Repo, error) {
	h := p.a.home
	r, err := compose.OpenRepo(ctx, compose.RepoOptions{
		Dir: filepath.Join(p.a.deps.CacheDir, Name), URL: h.GitURL, Branch: branch, Via: h.GitVia, Host: p.a.deps.Host, Environ: p.a.deps.Environ,
	})
	if err != nil {
		return nil, fmt.Errorf("infra repo: %w", err)
	}
	return r, nil
}

// errThere says that there is nothing to do.
var errThere = errors.New("git wants that release there already: nothing to promote; sync or deploy it")

// prepare makes the commit in our own copy, on the very commit that was looked at.
func (p *planner) prepare(ctx context.Context) error {
	const name = "infra repo"
	var err error
	if p.repo, err = p.open(ctx, p.a.home.Branches[p.a.cfg.To]); err == nil {
		p.head, err = p.repo.Fetch(ctx)
	}
	if err != nil {
		p.check(actions.CheckFail, name, "%v", err)
		return nil
	}
	p.check(actions.CheckOK, name, "%s at %s", p.repo.Branch, p.repo.Tell(ctx, p.head))
	p.checkWanted(ctx)
	return p.makeCommit(ctx)
}

// checkWanted says when git wants something else of the environment before than what runs there.
func (p *planner) checkWanted(ctx context.Context) {
	name := "git wants on " + p.a.cfg.From
	key := fleet.ServiceKey{Environment: p.a.cfg.From, Name: p.svc.Key.Name}
	r, err := p.open(ctx, p.a.home.Branches[p.a.cfg.From])
	head := ""
	if err == nil {
		head, err = r.Fetch(ctx)
	}
	var content []byte
	if err == nil {
		content, _, err = r.File(ctx, head, p.a.home.TagFileOf(key, p.a.deps.Override(key.Name)))
	}
	tag := ""
	if err == nil {
		tag, _, err = compose.ReadTag(content, p.a.home.TagKeyOf(key, p.a.deps.Override(key.Name)))
	}
	switch {
	case err != nil:
		p.check(actions.CheckWarn, name, "%v", err)
	case tag != p.to.Tag:
		p.check(actions.CheckWarn, name, "%s, and %s runs: a deploy is on its way or was not made; what runs is promoted", remote.Clean(tag), p.to.Tag)
	default:
		p.check(actions.CheckOK, name, "%s too", tag)
	}
}

func (p *planner) makeCommit(ctx context.Context) error {
	const name = "tag commit"
	o := p.a.deps.Override(p.svc.Key.Name)
	file, key := p.a.home.TagFileOf(p.svc.Key, o), p.a.home.TagKeyOf(p.svc.Key, o)
	content, mode, err := p.repo.File(ctx, p.head, file)
	if err != nil {
		p.check(actions.CheckFail, name, "%v", err)
		return nil
	}
	digest := ""
	if p.was, digest, err = compose.ReadTag(content, key); err != nil {
		p.check(actions.CheckFail, name, "%s on %s: %v", file, p.repo.Branch, err)
		return nil
	}
	if p.was == p.to.Tag && (digest == "" || digest == p.to.Digest) {
		return errThere
	}
	commit, words, err := p.repo.CommitTag(ctx, compose.Change{
		Parent: p.head, File: file, Mode: mode, Content: content, Message: p.message(), Who: p.intent.Who, At: p.made,
	}, key, p.to.Tag, p.to.Digest)
	if err != nil {
		p.check(actions.CheckFail, name, "%v", err)
		return nil
	}
	p.commit = commit
	p.check(actions.CheckOK, name, "%s", words)
	return p.aim(ctx)
}

// aim chooses the branch to push to.
func (p *planner) aim(ctx context.Context) error {
	if p.a.cfg.Way == WayPush {
		p.target, p.base = p.repo, p.head
		return nil
	}
	branch := p.a.cfg.branchOf(p.svc.Key.Name, p.to.Tag)
	r, err := p.open(ctx, branch)
	if err != nil {
		return err
	}
	at, err := r.Remote(ctx)
	if err == nil && at != "" {
		at, err = r.Fetch(ctx)
	}
	switch {
	case err == nil && at != "":
		p.check(actions.CheckFail, "branch", "%s is there already, at %s: merge its pull request, or delete it", branch, r.Tell(ctx, at))
	case err != nil:
		p.check(actions.CheckFail, "branch", "whether %s is there cannot be read: %v", branch, err)
	default:
		p.target = r
		p.check(actions.CheckOK, "branch", "%s is made", branch)
	}
	return nil
}

func (p *planner) message() string {
	m := fmt.Sprintf("%s: promote %s to %s (was %s)\n\n%s runs %s@%s.\nBy %s with nexops, plan %s.\n",
		p.svc.Key.Name, p.to.Tag, p.a.cfg.To, p.was, p.a.cfg.From, p.to.Ref(), p.to.Digest, remote.Clean(p.intent.Who), p.id)
	if p.intent.Why != "" {
		m += "Why: " + remote.Clean(p.intent.Why) + "\n"
	}
	return m
}

func orElse(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
