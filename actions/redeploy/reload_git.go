package redeploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
)

// configuredAs is what the subject of a commit that brings an earlier configuration back says before the commit it takes it from.
const configuredAs = ": configuration as in "

// reconcile says what the next pull or sync does to the configuration that is put back, and has it kept: by a commit in the infra repo, where
// the hosts' checkouts are of it, else by a hold.
func (p *planner) reconcile(ctx context.Context) {
	var to, desires string
	known, kept := 0, 0
	for _, s := range p.surveys {
		c := s.conf
		if c == nil || c.head == "" {
			return // said by the survey
		}
		if to != "" && to != c.to.id {
			p.check(actions.CheckFail, "same configuration everywhere", "one host would go to %.7s and another to %.7s: their checkouts are at different commits: pull first, or say which with to", to, c.to.id)
			return
		}
		to, desires = c.to.id, c.head
		if c.known {
			known++
		}
		if c.kept {
			kept++
		}
	}
	switch {
	case known == len(p.surveys):
		p.commitConfig(ctx)
	case known > 0:
		p.check(actions.CheckFail, "infra repo", "the checkouts of some hosts are of %s and those of others are not", p.repo.Branch)
	default:
		if p.repo != nil && p.head != "" {
			p.check(actions.CheckOK, "infra repo", "%s is not known there: the checkouts are of another repository, in which no commit is made", p.surveys[0].conf.to.words())
		}
		if p.head != "" {
			p.repo = nil
		}
		p.keepFiles(ctx, desires, kept == len(p.surveys))
	}
}

// commitConfig makes the commit that brings the configuration back, on top of what was looked at.
func (p *planner) commitConfig(ctx context.Context) {
	const name = "configuration commit"
	c := p.surveys[0].conf
	commit, err := p.repo.Commit(ctx, compose.Change{
		Parent: p.base, Paths: c.paths, As: c.to.id, At: p.made, Who: p.intent.Who,
		Message: p.signed(fmt.Sprintf("%s%s%.12s (was %.12s)", p.t.Key.Name, configuredAs, c.to.id, c.from.id)),
	})
	switch {
	case errors.Is(err, compose.ErrNoChange):
		p.check(actions.CheckOK, name, "not needed: %s already has it so", p.repo.Branch)
	case err != nil:
		p.check(actions.CheckFail, name, "%v", err)
		return
	default:
		p.commit = commit
		p.check(actions.CheckOK, name, "%.7s on top of %.7s: %s as in %s", commit, p.base, strings.Join(c.paths, ", "), c.to.words())
	}
	p.check(actions.CheckOK, "reconciler", "git desires this configuration then: the next pull or sync of %s keeps it", p.repo.Branch)
	p.readHolds(ctx, true)
}

// keepFiles says what becomes of files that only the checkouts have so.
func (p *planner) keepFiles(ctx context.Context, head string, kept bool) {
	const name = "reconciler"
	c := p.surveys[0].conf
	if kept {
		p.check(actions.CheckOK, name, "the checkout at %.7s has it so: the next pull keeps it", head)
		p.readHolds(ctx, true)
		return
	}
	next := fmt.Sprintf("the commit of the checkout, %.7s, has another configuration: a pull that changes %s refuses, any other keeps the files as they are put, and a reset or a new clone takes them away",
		head, strings.Join(c.paths, ", "))
	if hold := time.Duration(p.a.cfg.Hold); hold > 0 {
		p.holds, p.holdWhy = true, fmt.Sprintf("configuration %.7s, %.7s was put back", c.from.id, c.to.id)
		p.check(actions.CheckWarn, name, "%s: %s is held for %s, so that no sync does; revert %.7s in git, then release it (H)", next, p.t.Key, fleet.Ago(hold), c.from.id)
		return
	}
	p.check(actions.CheckWarn, name, "%s: revert %.7s in git too ([actions.redeploy] hold = \"24h\" holds the service meanwhile)", next, c.from.id)
}
