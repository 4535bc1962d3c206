package redeploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// DeployName is the name of the action that goes to a chosen release.
const DeployName = "deploy"

// DeployConfig is [actions.deploy]: it deploys as [actions.redeploy] says.
type DeployConfig struct{}

// Historian tells how a service did in the past.
type Historian interface {
	// ErrorRatio is that of the requests between two moments; names are those the service may have there. It may
	// look at the end of a long time only. known is false when there were no requests.
	ErrorRatio(ctx context.Context, names []string, from, to time.Time) (ratio float64, known bool, err error)
}

// deploy is the action that goes to a chosen release. All but the choice it has of redeploy.
type deploy struct{ *action }

var (
	_ actions.Action  = deploy{}
	_ actions.Chooser = deploy{}
)

// NewDeploy makes the action. It does no I/O.
func NewDeploy(cfg Config, deps Deps) actions.Action { return deploy{newAction(cfg, deps)} }

// Spec describes the action.
func (d deploy) Spec() actions.Spec {
	spec := d.action.Spec()
	spec.Name, spec.Key, spec.Title = DeployName, "D", "deploy a release"
	spec.Help = "Brings a service to any release it is known to have had, with what each of them did while it ran."
	spec.Args[0].Help, spec.Args[0].Required = "the tag to go to", true
	spec.Quiet = true
	return spec
}

// Offer says whether there is something to choose from.
func (d deploy) Offer(snap *fleet.Snapshot, targets []fleet.Ref) actions.Offer {
	t, svc, err := findTarget(&d.cfg, snap, targets)
	if err == nil {
		err = d.possible(snap, svc, t)
	}
	if err == nil {
		var way strategy
		if way, err = d.wayOf(t.Key, ""); err == nil && !way.keepsRelease && len(t.releases(svc, snap)) < 2 {
			err = errors.New("no release but the one that runs is known: neither git nor the images on the hosts tell of one")
		}
	}
	if err != nil {
		return actions.Offer{Reason: err.Error()}
	}
	return actions.Offer{Enabled: true, Title: "deploy a release of " + t.Key.Name}
}

// Plan preflights a deploy of one service.
func (d deploy) Plan(ctx context.Context, snap *fleet.Snapshot, intent actions.Intent) (*actions.Plan, error) {
	if intent.Args[ArgTo] == "" {
		return nil, fmt.Errorf("deploy %s: no release is chosen: say --%s TAG", targetName(intent.Targets), ArgTo)
	}
	return d.action.Plan(ctx, snap, intent)
}

// maxChoices bounds what is shown and asked for.
const maxChoices = 20

// Choices are the releases, newest first.
func (d deploy) Choices(ctx context.Context, snap *fleet.Snapshot, targets []fleet.Ref) (actions.Choices, error) {
	t, svc, err := findTarget(&d.cfg, snap, targets)
	if err == nil {
		err = d.possible(snap, svc, t)
	}
	var way strategy
	if err == nil {
		way, err = d.wayOf(t.Key, "")
	}
	if err != nil {
		return actions.Choices{}, fmt.Errorf("deploy %s: %w", targetName(targets), err)
	}
	if way.choices != nil {
		return way.choices(ctx, &planner{a: d.action, snap: snap, svc: svc, t: t, way: way})
	}
	c := actions.Choices{
		Title: fmt.Sprintf("deploy which release of %s?", t.Key), Arg: ArgTo,
		Columns: []string{"tag", "digest", "since", "ran", "errors", "image", ""},
	}
	past := runsOf(t, svc, snap)
	d.askRatios(ctx, t, past)
	for _, r := range past {
		choice := actions.Choice{Value: r.release.Tag, Cells: r.cells(t, snap)}
		if t.runsEverywhere(svc, r.release) {
			choice.Reason = "it runs now"
		}
		c.Rows = append(c.Rows, choice)
	}
	return c, nil
}

// pastRun is a release and when it was wanted.
type pastRun struct {
	release fleet.Release
	from    time.Time // zero: not known
	to      time.Time
	ratio   string
}

// runsOf are the releases with their times: each was the wanted one until the next.
func runsOf(t *target, svc *fleet.Service, snap *fleet.Snapshot) []*pastRun {
	var list []*pastRun
	end := snap.At
	for _, r := range svc.Releases.History {
		if r.Tag == "" || len(list) == maxChoices {
			continue
		}
		run := &pastRun{release: r}
		if !r.At.IsZero() && r.At.Before(end) {
			run.from, run.to = r.At, end
			end = r.At
		}
		if !slices.ContainsFunc(list, func(o *pastRun) bool { return o.release.Tag == r.Tag }) {
			list = append(list, run)
		}
	}
	for _, r := range t.releases(svc, snap) { // that git does not tell of, but the hosts have
		if len(list) < maxChoices && !slices.ContainsFunc(list, func(o *pastRun) bool { return o.release.Tag == r.Tag }) {
			list = append(list, &pastRun{release: r})
		}
	}
	return list
}

// askRatios asks how each release did. What does not answer in time is not known.
func (d deploy) askRatios(ctx context.Context, t *target, past []*pastRun) {
	if d.deps.Past == nil {
		return
	}
	const patience, parallel = 6 * time.Second, 3
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	slots := make(chan struct{}, parallel)
	var asking sync.WaitGroup
	names := []string{t.Key.Name, t.Service}
	for _, r := range past {
		if r.from.IsZero() {
			continue
		}
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ratio, known, err := d.deps.Past.ErrorRatio(ctx, names, r.from, r.to)
			switch {
			case err != nil:
				d.deps.Log.Warn("how a release did is not known", "service", t.Key.String(), "tag", r.release.Tag, "err", err)
				r.ratio = "not known"
			case !known:
				r.ratio = "no traffic"
			default:
				r.ratio = fleet.Percent(ratio)
			}
		})
	}
	asking.Wait()
}

// cells are what the picker shows of it.
func (r *pastRun) cells(t *target, snap *fleet.Snapshot) []string {
	since, ran := "", ""
	if !r.from.IsZero() {
		since, ran = fleet.Ago(snap.At.Sub(r.from))+" ago", fleet.Ago(r.to.Sub(r.from))
	}
	digest := ""
	if r.release.Digest != "" {
		digest = fleet.ShortDigest(r.release.Digest)
	}
	return []string{
		remote.Clean(r.release.Tag), digest, since, ran, r.ratio, imageWords(t, r.release, snap), remote.Clean(r.release.Subject),
	}
}

// imageWords says where the image of a release lies.
func imageWords(t *target, r fleet.Release, snap *fleet.Snapshot) string {
	var have []string
	moved := false
	for _, p := range t.Hosts {
		for _, im := range snap.Images {
			if im.Host != p.Host || !slices.Contains(im.Tags, t.Image+":"+r.Tag) {
				continue
			}
			have = append(have, p.Host)
			moved = moved || (r.Digest != "" && len(im.Digests) > 0 && !slices.Contains(im.Digests, t.Image+"@"+r.Digest))
			break
		}
	}
	switch {
	case moved:
		return "tag moved"
	case len(have) == 0:
		return "to be pulled"
	case len(have) == len(t.Hosts):
		return "on its hosts"
	default:
		return "on " + strings.Join(have, ", ")
	}
}

// runsEverywhere reports whether all instances already are of a release.
func (t *target) runsEverywhere(svc *fleet.Service, r fleet.Release) bool {
	for _, in := range svc.Instances {
		if t.Pick(in) && (in.State != fleet.StateRunning || in.Release.Tag != r.Tag || !actions.SameArtifact(in.Release, r)) {
			return false
		}
	}
	return true
}

// configChoices are the commits that a proxy's configuration may go back to, as its first host has them.
func (p *planner) configChoices(ctx context.Context) (actions.Choices, error) {
	c := actions.Choices{
		Title: fmt.Sprintf("load which configuration of %s?", p.t.Key), Arg: ArgTo, Columns: []string{"commit", "since", "by", ""},
	}
	s := p.askConfig(ctx, p.t.Hosts[0])
	if s.conf == nil || s.conf.log == nil {
		return c, fmt.Errorf("deploy %s: %s", p.t.Key, failedCheck(s.Checks))
	}
	for _, commit := range s.conf.log {
		choice := actions.Choice{Value: commit.id, Cells: []string{commit.id[:7], fleet.Ago(p.snap.At.Sub(commit.at)) + " ago", commit.author, commit.subject}}
		if commit.id == s.conf.from.id {
			choice.Reason = "it lies there now"
		}
		c.Rows = append(c.Rows, choice)
	}
	return c, nil
}

func failedCheck(list []actions.Check) string {
	for _, c := range list {
		if c.State == actions.CheckFail {
			return c.Name + ": " + c.Detail
		}
	}
	return "its history is not known"
}
