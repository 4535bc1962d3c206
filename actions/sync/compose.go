package sync

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// found is a service with its places.
type found struct {
	*compose.Target
	svc *fleet.Service
}

// composed plans what the hosts' checkouts have not got yet, and what of it has to be made again.
func (p *planner) composed(ctx context.Context) (*actions.Plan, error) {
	services := p.find()
	if len(services) == 0 {
		return nil, fmt.Errorf("no service of %s is run by Compose", p.snap.Environment)
	}
	checkouts := p.checkouts(ctx, services)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("the hosts were not asked to the end: %w", err)
	}
	spots := map[string][]*spot{}
	for _, c := range checkouts {
		p.spots(ctx, c, services, spots)
	}
	for _, name := range p.parts {
		if len(spots[name]) == 0 {
			return nil, fmt.Errorf("nothing of %s is pending", remote.Clean(name))
		}
	}
	if len(p.parts) > 0 {
		p.narrow(spots)
	}
	failed := false
	for _, c := range checkouts {
		p.checks = append(p.checks, c.Checks...)
		for _, check := range c.Checks {
			failed = failed || check.State == actions.CheckFail
		}
	}
	if len(spots) == 0 && !failed {
		return nil, p.nothing()
	}
	return p.assemble(spots), nil
}

// nothing says that nothing is pending, and what runs although git has removed it.
func (p *planner) nothing() error {
	if len(p.left) == 0 {
		return errNothing
	}
	return fmt.Errorf("%w; git has removed what is left running: %s", errNothing, compose.Some(p.left))
}

// narrow leaves the services that were asked for, and says what the pull brings besides.
func (p *planner) narrow(spots map[string][]*spot) {
	var left []string
	for name := range spots {
		if !slices.Contains(p.parts, name) {
			left = append(left, name)
			delete(spots, name)
		}
	}
	if slices.Sort(left); len(left) > 0 {
		p.check(actions.CheckWarn, "part", "the pull brings the files of %s as well, which are not made again now: the next sync does", strings.Join(left, ", "))
	}
}

// find are the services of the environment that Compose runs.
func (p *planner) find() []found {
	var out []found
	for i := range p.snap.Services {
		svc := &p.snap.Services[i]
		t, _, err := p.deps.Places.Find(p.snap, []fleet.Ref{{Service: svc.Key}})
		if err != nil || len(t.Hosts) == 0 {
			continue // what is not Compose's is not synced by it
		}
		out = append(out, found{t, svc})
	}
	slices.SortFunc(out, func(a, b found) int { return strings.Compare(a.Key.Name, b.Key.Name) })
	return out
}

// checkouts asks every host once for each project's folder.
func (p *planner) checkouts(ctx context.Context, services []found) []*checkout {
	type key struct{ host, dir string }
	first := map[key]found{}
	var keys []key
	for _, f := range services {
		for _, pl := range f.Hosts {
			k := key{pl.Host, pl.Dir}
			if _, ok := first[k]; !ok {
				first[k] = f
				keys = append(keys, k)
			}
		}
	}
	slices.SortFunc(keys, func(a, b key) int { return strings.Compare(a.host+"\x00"+a.dir, b.host+"\x00"+b.dir) })
	out := make([]*checkout, len(keys))
	var asking sync.WaitGroup
	for i, k := range keys {
		f := first[k]
		pl := f.Hosts[slices.IndexFunc(f.Hosts, func(pl *compose.Place) bool { return pl.Host == k.host && pl.Dir == k.dir })]
		asking.Go(func() {
			ask := compose.Surveyor{Places: p.deps.Places, Key: f.Key, Hosts: p.deps.Host, Now: p.deps.Now}
			s, whole := ask.Ask(ctx, pl)
			out[i] = &checkout{Survey: s}
			if whole {
				out[i], _ = p.open(ctx, s)
			}
		})
	}
	asking.Wait()
	return out
}

// spots finds which services of a checkout's host have to be made again: those of which a file changes, and those that
// do not run what the branch has had before.
func (p *planner) spots(ctx context.Context, c *checkout, services []found, into map[string][]*spot) {
	if c.tip == "" || slices.ContainsFunc(c.Checks, func(k actions.Check) bool { return k.State == actions.CheckFail }) {
		return
	}
	files := map[string][]string{}
	var others []string
	for _, f := range c.files {
		if name := p.cfg.serviceOf(f); name != "" {
			files[name] = append(files[name], f)
		} else {
			others = append(others, f)
		}
	}
	projects := p.projects(ctx, c, services)
	gone := p.gone(c, projects)
	for _, f := range services {
		at := slices.IndexFunc(f.Hosts, func(pl *compose.Place) bool { return pl.Host == c.Place.Host && pl.Dir == c.Place.Dir })
		if at < 0 {
			continue
		}
		if gone[f.Service] {
			delete(files, f.Key.Name)
			continue
		}
		s := p.spot(ctx, c, f, f.Hosts[at], files[f.Key.Name])
		delete(files, f.Key.Name)
		if s != nil {
			into[f.Key.Name] = append(into[f.Key.Name], s)
		}
	}
	p.fresh(ctx, c, projects, files, into)
	for _, list := range files {
		others = append(others, list...)
	}
	if slices.Sort(others); len(others) > 0 {
		c.Warn("other files", "no service that runs there is known by them, nothing is made again for them: %s", compose.Some(others))
	}
}

// spot looks at one service on one host; nil when nothing is to be done there.
func (p *planner) spot(ctx context.Context, c *checkout, f found, pl *compose.Place, files []string) *spot {
	s := &spot{checkout: c, place: pl, to: pl.From, all: []string{f.Service}}
	file, key := "", ""
	if p.deps.TagOf != nil {
		file, key = p.deps.TagOf(f.Key)
	}
	lags := f.svc.Releases.Desired.Tag != "" && f.svc.Releases.Desired.Tag != pl.From.Tag
	if file != "" && (len(files) > 0 || lags) {
		if tag := c.wanted(ctx, file, key); tag != "" {
			s.to, s.tag = fleet.Release{Image: pl.From.Image, Tag: tag}, true
		}
	}
	moved := s.tag && s.to.Tag != pl.From.Tag
	more := slices.DeleteFunc(slices.Clone(files), func(f string) bool { return f == file })
	if !moved && len(more) == 0 {
		return nil
	}
	if !moved {
		s.to = pl.From
	}
	if len(more) > 0 {
		for _, in := range f.svc.Instances {
			if in.Host == pl.Host && !in.OneOff && compose.IsName(in.Subject.Service) && !slices.Contains(s.all, in.Subject.Service) && in.Subject.Project == pl.Project {
				s.all = append(s.all, in.Subject.Service)
			}
		}
	}
	p.tellSpot(ctx, s, f.Key.Name, files)
	return s
}

// tellSpot shows what changes, and makes sure that the image can be had.
func (p *planner) tellSpot(ctx context.Context, s *spot, name string, files []string) {
	detail := fmt.Sprintf("%s becomes %s", s.place.From.Version(), s.to.Version())
	var lines []string
	if len(files) > 0 {
		var err error
		if lines, err = s.diff(ctx, files); err != nil {
			s.Fail(name, "%v", err)
			return
		}
		if s.place.From.Tag == s.to.Tag {
			detail = strings.Join(files, ", ")
		}
	} else {
		detail += ": the checkout has it already, and it does not run"
	}
	s.Checks = append(s.Checks, actions.Check{Name: name + " on " + s.place.Host, State: actions.CheckOK, Detail: detail, Diff: lines})
	if s.tag {
		p.checkImage(ctx, s, name)
	}
}

// checkImage makes sure that the image of a spot is there, or can be pulled.
func (p *planner) checkImage(ctx context.Context, s *spot, name string) {
	image, err := s.Probe.Image(ctx, s.to.Ref())
	switch {
	case err != nil:
		s.Fail("image of "+name, "%v", err)
	case image != nil:
		s.local, s.to.ImageID, s.to.Digest = true, image.ID, image.Digest(s.to.Image)
		s.OK("image of "+name, "%s is there", s.to.Ref())
	default:
		m, err := s.Probe.Manifest(ctx, s.to.Ref(), s.Engine.Insecure(s.to.Image))
		if err != nil {
			s.Fail("image of "+name, "%s is not on the host, and cannot be pulled: %v", s.to.Ref(), err)
			return
		}
		s.to.Digest = m.Digest
		s.OK("image of "+name, "%s is pulled", s.to.Ref())
	}
}

// assemble makes one plan of a part for each service, in the estate's order: what is not good stops those after it.
func (p *planner) assemble(spots map[string][]*spot) *actions.Plan {
	var names []string
	for name := range spots {
		names = append(names, name)
	}
	names = p.needed(p.ordered(names), spots)
	plan := p.plan(fmt.Sprintf("sync %s: %s", p.snap.Environment, strings.Join(names, ", then ")))
	plan.Checks = p.checks
	runnable, _ := plan.Runnable()
	for _, name := range names {
		part := p.part(name, spots[name])
		plan.Moves = append(plan.Moves, part.Moves...)
		plan.Bases = append(plan.Bases, part.Bases...)
		plan.Risks = append(plan.Risks, part.Risks...)
		for _, h := range part.LockHosts {
			if !slices.Contains(plan.LockHosts, h) {
				plan.LockHosts = append(plan.LockHosts, h)
			}
		}
		if !runnable {
			continue
		}
		plan.Verify = part.Verify
		for _, step := range part.Steps {
			step.Of = part
			if len(names) > 1 {
				step.Name = name + ": " + step.Name
			}
			plan.Steps = append(plan.Steps, step)
		}
	}
	if len(names) > 1 {
		plan.Risks = append(plan.Risks, "one service after the other, in this order; what is not good stops those after it, whose files are then new in the checkout already")
	}
	return plan
}

// part is the plan of one service, host by host.
func (p *planner) part(name string, spots []*spot) *actions.Plan {
	key := p.key(name)
	part := p.plan("sync " + key.String())
	part.Intent.Targets = []fleet.Ref{{Service: key}}
	var expect []verify.Expect
	for _, s := range spots {
		image := s.place.From.Image
		pick := func(in *fleet.Instance) bool { return !in.OneOff && in.Release.Image == image }
		if s.fresh {
			pick = s.own
		}
		// Where the release stays, what it runs says nothing of whether it was made again.
		stays := s.place.From.Tag == s.to.Tag
		expect = append(expect, verify.Expect{Service: key, Host: s.place.Host, Pick: pick, Release: s.to, New: stays})
		if !stays {
			part.Moves = append(part.Moves, actions.Move{Service: key, Host: s.place.Host, From: s.place.From, To: s.to})
		}
		part.Bases = append(part.Bases, actions.RunningBasis(key, s.place.Host, pick, p.snap))
		part.LockHosts = append(part.LockHosts, s.place.Host)
		if s.fresh {
			part.Risks = append(part.Risks, fmt.Sprintf("%s is new on %s: nothing of it ran there before, and nothing would bring it back if it is not good", s.all[0], s.place.Host))
			continue
		}
		part.Risks = append(part.Risks, fmt.Sprintf("%s is stopped and made again on %s", strings.Join(s.all, ", "), s.place.Host))
	}
	watch := verify.New(p.settings(), verify.Deps{Now: p.deps.Now, Look: p.deps.Look}, p.snap, "what the infra repo says runs", expect...)
	part.Verify = watch.Verify
	for _, s := range spots {
		if s.head != s.tip && !s.pulled {
			s.pulled = true
			part.Steps = append(part.Steps, s.pull())
		}
		if s.tag && !s.local {
			part.Steps = append(part.Steps, s.Mutate("pull image", s.place.Argv(p.deps.Places.Program, "pull", s.all[0])))
		}
		part.Steps = append(part.Steps, s.rendered(p.deps.Places.Program, s.all[0]), p.up(key, s, watch))
	}
	return part
}

func (p *planner) up(key fleet.ServiceKey, s *spot, watch *verify.Watch) actions.Step {
	argv := s.place.Argv(p.deps.Places.Program, append([]string{"up", "-d", "--no-deps"}, s.all...)...)
	return s.Step("up", true, argv, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
		_, err := compose.Mutate(ctx, s.Host, cmd, out)
		watch.Did(key, s.place.Host)
		return err
	})
}
