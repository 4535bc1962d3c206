package redeploy

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// planner makes one plan.
type planner struct {
	a      *action
	snap   *fleet.Snapshot
	svc    *fleet.Service
	t      *target
	intent actions.Intent
	id     string
	made   time.Time
	way    strategy

	surveys []*survey
	checks  []actions.Check // of the whole, not of one host
	proxies []*proxy        // in front of the service
	holdings

	gitHome
}

// holdings are what a plan does about holds.
type holdings struct {
	holds    bool         // the service is held afterwards: git desires another release
	holdWhy  string       // which, and what was put back
	ownHolds []fleet.Hold // of an earlier redeploy, which are released
}

// gitHome is what a plan knows of the infra repo, with tag_home = "git".
type gitHome struct {
	repo   *compose.Repo
	head   string // of the branch
	base   string // what the commit is made on: the head, or what the plan for the target before pushes
	commit string // the one to push; "" when the branch has the tag already
}

// newPlanner chooses the strategy, and the release to go to.
func newPlanner(a *action, snap *fleet.Snapshot, svc *fleet.Service, t *target, intent actions.Intent) (*planner, error) {
	way, err := a.wayOf(t.Key, intent.Args[ArgStrategy])
	if err != nil {
		return nil, err
	}
	if way.keepsRelease {
		t.stays()
	} else if err := t.choose(svc, snap, intent.Args[ArgTo]); err != nil {
		return nil, err
	}
	now := a.deps.Now()
	p := &planner{a: a, snap: snap, svc: svc, t: t, intent: intent, id: actions.NewPlanID(now), made: now, way: way}
	if way.refuse != nil {
		if err := way.refuse(p); err != nil {
			return nil, fmt.Errorf("strategy %s: %w", way.name, err)
		}
	}
	return p, nil
}

func (p *planner) check(state actions.CheckState, name, format string, args ...any) {
	p.checks = append(p.checks, actions.Check{Name: name, State: state, Detail: fmt.Sprintf(format, args...)})
}

// plan asks all hosts at once and puts together what they say.
func (p *planner) plan(ctx context.Context) (*actions.Plan, error) {
	p.check(actions.CheckOK, "facts", "%s old", fleet.Ago(p.snap.At.Sub(p.svc.Seen)))
	p.check(actions.CheckOK, "strategy", "%s", p.way.name)
	p.checkHold()
	p.checkBackups()
	if p.a.cfg.TagHome == compose.HomeGit && !p.way.ownTag {
		p.prepareGit(ctx)
	}
	p.prepareProxies(ctx)
	if p.way.prepare != nil {
		p.way.prepare(p, ctx)
	}
	p.askHosts(ctx)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("the hosts were not asked to the end: %w", err)
	}
	if p.way.keepsRelease {
		p.way.settle(p, ctx)
		return p.assemble(), nil
	}
	if p.nothingToDo() {
		return nil, errThere
	}
	p.checkSame()
	p.checkReconciler()
	p.readHolds(ctx, p.svc.Releases.Desired.Tag == p.t.to.Tag)
	if p.repo != nil {
		p.prepareCommit(ctx)
	}
	return p.assemble(), nil
}

// askHosts makes the surveys. Of a host on which nothing is done nothing is asked.
func (p *planner) askHosts(ctx context.Context) {
	p.surveys = make([]*survey, len(p.t.Hosts))
	var asking sync.WaitGroup
	for i, pl := range p.t.Hosts {
		if p.way.offHost {
			p.surveys[i] = &survey{Survey: &compose.Survey{Place: pl}, digest: p.t.to.Digest}
			continue
		}
		asking.Go(func() {
			if p.way.ask != nil {
				p.surveys[i] = p.way.ask(p, ctx, pl)
			} else {
				p.surveys[i] = p.survey(ctx, pl)
			}
		})
	}
	asking.Wait()
}

// nothingToDo reports whether all runs and all files already are as wanted.
func (p *planner) nothingToDo() bool {
	if !p.t.there(p.svc) {
		return false
	}
	for _, s := range p.surveys {
		if s.tag != p.t.to.Tag && !p.way.offHost {
			return false
		}
	}
	return true
}

// checkSame compares the digests that the hosts have under the tag.
func (p *planner) checkSame() {
	first := ""
	for _, s := range p.surveys {
		switch {
		case s.digest == "" || s.digest == first:
		case first == "":
			first = s.digest
		default:
			p.check(actions.CheckFail, "same image everywhere", "%s is %s on one host and %s on another: the tag was moved",
				p.t.to.Version(), fleet.ShortDigest(first), fleet.ShortDigest(s.digest))
			return
		}
	}
}

// checkReconciler says what the next sync or pull would do to the release that is put back.
func (p *planner) checkReconciler() {
	const name = "reconciler"
	desired := p.svc.Releases.Desired
	switch {
	case p.repo != nil:
		p.check(actions.CheckOK, name, "the tag commit makes git desire %s: the next sync keeps it", p.t.to.Version())
	case desired.IsZero():
		p.check(actions.CheckOK, name, "nothing is known to desire a release")
	case desired.Tag == p.t.to.Tag:
		p.check(actions.CheckOK, name, "git desires %s as well", desired.Version())
	case p.a.cfg.Hold > 0:
		p.holds, p.holdWhy = true, desired.Version()+", "+p.t.to.Version()+" was put back"
		p.check(actions.CheckWarn, name, "git still desires %s (%s): %s is held for %s, so that no sync brings it back; revert that commit, then release it (H)",
			desired.Version(), orElse(shortCommit(desired.Commit), "no commit"), p.t.Key, fleet.Ago(time.Duration(p.a.cfg.Hold)))
	default:
		p.check(actions.CheckWarn, name, "git still desires %s (%s): the next pull or sync brings it back, revert that commit too ([actions.redeploy] hold = \"24h\" holds the service meanwhile)",
			desired.Version(), orElse(shortCommit(desired.Commit), "no commit"))
	}
}

func shortCommit(c string) string {
	const digits = 7
	if len(c) > digits {
		return c[:digits]
	}
	return c
}

// prepareGit brings our copy of the infra repo up to date.
func (p *planner) prepareGit(ctx context.Context) {
	const name = "infra repo"
	cfg := p.a.cfg
	r, err := compose.OpenRepo(ctx, compose.RepoOptions{
		Dir: filepath.Join(p.a.deps.CacheDir, Name), URL: cfg.GitURL, Branch: cfg.Branches[p.t.Key.Environment],
		Via: cfg.GitVia, Host: p.a.deps.Host, Environ: p.a.deps.Environ,
	})
	if err == nil {
		p.repo = r
		p.head, err = r.Fetch(ctx)
	}
	if err != nil {
		p.repo = &compose.Repo{Branch: cfg.Branches[p.t.Key.Environment]}
		p.check(actions.CheckFail, name, "%v", err)
		return
	}
	p.check(actions.CheckOK, name, "%s at %s", r.Branch, r.Tell(ctx, p.head))
	p.base = p.head
	for before := p.intent.After; before != nil; before = before.Intent.After {
		if tip := r.PushedBy(before.Steps); tip != "" {
			p.base = tip
			break
		}
	}
}

// prepareCommit makes the tag commit in our copy, so that the plan shows the very commit
// that is pushed, made on the very commit that was looked at.
func (p *planner) prepareCommit(ctx context.Context) {
	const name = "tag commit"
	if p.head == "" {
		return // said by prepareGit
	}
	file, key := p.a.cfg.tagFile(p.t.Key), p.a.cfg.tagKey(p.t.Key)
	content, mode, err := p.repo.File(ctx, p.base, file)
	if err != nil {
		p.check(actions.CheckFail, name, "%v", err)
		return
	}
	tag, _, err := compose.ReadTag(content, key)
	if err != nil {
		p.check(actions.CheckFail, name, "%s on %s: %v", file, p.repo.Branch, err)
		return
	}
	if tag == p.t.to.Tag {
		p.check(actions.CheckOK, name, "not needed: %s on %s already has %s", file, p.repo.Branch, compose.ChangedLine(content, key))
		return
	}
	if desired := p.svc.Releases.Desired.Tag; tag != desired && tag != p.t.Hosts[0].From.Tag {
		p.check(actions.CheckFail, name, "%s on %s has %s, the screen says %s: it has just moved, look again", file, p.repo.Branch, compose.ChangedLine(content, key), orElse(desired, "nothing"))
		return
	}
	commit, words, err := p.repo.CommitTag(ctx, compose.Change{
		Parent: p.base, File: file, Mode: mode, Content: content, Message: p.message(tag), Who: p.intent.Who, At: p.made,
	}, key, p.t.to.Tag, p.t.to.Digest)
	if err != nil {
		p.check(actions.CheckFail, name, "%v", err)
		return
	}
	p.commit = commit
	p.check(actions.CheckOK, name, "%s", words)
}

func (p *planner) message(was string) string {
	return p.signed(fmt.Sprintf("%s: redeploy %s (was %s)", p.t.Key.Name, p.t.to.Tag, was))
}

// signed is a commit's message with who made it, and why.
func (p *planner) signed(subject string) string {
	m := fmt.Sprintf("%s\n\nBy %s with nexops, plan %s.\n", subject, remote.Clean(p.intent.Who), p.id)
	if p.intent.Why != "" {
		m += "Why: " + remote.Clean(p.intent.Why) + "\n"
	}
	return m
}

// assemble puts the plan together.
func (p *planner) assemble() *actions.Plan {
	e := &execution{planner: p}
	var expect []verify.Expect
	plan := &actions.Plan{
		ID: p.id, Intent: p.intent, Environment: p.t.Key.Environment, Made: p.made, Snapshot: p.snap.Seq,
		Title: p.title(),
		Risks: p.risks(), Checks: p.checks, LockHosts: p.t.HostNames(), Undo: p.undo(),
	}
	for _, s := range p.surveys {
		to := p.t.to
		to.Digest = orElse(s.digest, to.Digest)
		if s.local != nil {
			to.ImageID = s.local.ID
		}
		expect = append(expect, verify.Expect{Service: p.t.Key, Host: s.Place.Host, Pick: p.t.Pick, Release: to})
		if !p.way.keepsRelease {
			plan.Moves = append(plan.Moves, actions.Move{Service: p.t.Key, Host: s.Place.Host, From: s.Place.From, To: to})
		}
		plan.Checks = append(plan.Checks, s.Checks...)
		plan.Bases = append(plan.Bases, actions.RunningBasis(p.t.Key, s.Place.Host, p.t.Pick, p.snap))
	}
	plan.Bases = append(plan.Bases, p.desiredBasis())
	set := p.a.deps.Verify.For(p.t.Key.Environment).With(p.a.cfg.Soak, p.a.cfg.Start)
	e.watch = verify.New(set, verify.Deps{Now: p.a.deps.Now, Look: p.a.deps.Look}, p.snap, p.t.to.Version()+" runs", expect...)
	plan.Verify = e.verdict
	if ok, _ := plan.Runnable(); ok {
		plan.Steps = e.steps()
	}
	return plan
}

func (p *planner) desiredBasis() actions.Basis {
	key := p.t.Key
	now := func(snap *fleet.Snapshot) string {
		svc, ok := snap.Find(key)
		if !ok || svc.Releases.Desired.IsZero() {
			return ""
		}
		return strings.TrimSpace(svc.Releases.Desired.Version() + " " + shortCommit(svc.Releases.Desired.Commit))
	}
	return actions.Basis{What: "git desires for " + key.Name, Value: now(p.snap), Now: now}
}

func (p *planner) title() string {
	if p.way.title != nil {
		return p.way.title(p)
	}
	return fmt.Sprintf("redeploy %s on %s: %s → %s", p.t.Key.Name, p.t.Key.Environment, p.fromVersions(), p.t.to.Version())
}

func (p *planner) fromVersions() string {
	var list []string
	seen := map[string]bool{}
	for _, pl := range p.t.Hosts {
		if v := pl.From.Version(); !seen[v] {
			seen[v] = true
			list = append(list, v)
		}
	}
	return strings.Join(list, " and ")
}

func (p *planner) risks() []string {
	risks := p.way.risks(p)
	if p.commit != "" {
		risks = append(risks, fmt.Sprintf("a commit is pushed to %s of the infra repo", p.repo.Branch))
	}
	if p.way.keepsRelease {
		return risks
	}
	return append(risks, "changes to the database that came with the newer release stay")
}

// undo is the way back: to what the first host runs now.
func (p *planner) undo() *actions.Intent {
	if p.way.undo != nil {
		return p.way.undo(p)
	}
	back := p.t.Hosts[0].From.Tag
	if back == p.t.to.Tag {
		return nil
	}
	in := p.intent
	in.Args = map[string]string{ArgTo: back}
	if how := p.intent.Args[ArgStrategy]; how != "" {
		in.Args[ArgStrategy] = how
	}
	in.Why = "undo of " + p.id
	return &in
}
