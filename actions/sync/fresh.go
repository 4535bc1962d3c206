package sync

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// project is one Compose project of a checkout.
type project struct {
	place    *compose.Place
	declared map[string]compose.Declared // at the end of the branch
	before   map[string]compose.Declared // in the checkout; nil when that cannot be read
}

// projects reads what the end of the branch declares for each project of a checkout. What cannot be read is said: then
// nothing is known to be new there, or gone.
func (p *planner) projects(ctx context.Context, c *checkout, services []found) []project {
	var out []project
	seen := map[string]bool{}
	for _, f := range services {
		for _, pl := range f.Hosts {
			id := pl.Project + "\x00" + strings.Join(pl.Files, "\x00")
			if pl.Host != c.Place.Host || pl.Dir != c.Place.Dir || seen[id] {
				continue
			}
			seen[id] = true
			declared, err := c.Declared(ctx, pl, c.tip)
			if err != nil {
				c.Warn("new services", "which services of %s are new in git, or gone from it, is not known: %v", pl.Project, err)
			}
			before := declared
			if err == nil && c.head != c.tip {
				before, _ = c.Declared(ctx, pl, c.head) // what was broken before tells nothing
			}
			out = append(out, project{place: pl, declared: declared, before: before})
		}
	}
	return out
}

// gone are the Compose services of a project that have containers and are in its files no more. One is named and left
// running: what it holds may be missed later, and no git commit has said that it may be thrown away.
func (p *planner) gone(c *checkout, list []project) map[string]bool {
	out := map[string]bool{}
	for _, one := range list {
		if slices.ContainsFunc(list, func(o project) bool { return o.place.Project == one.place.Project && o.declared == nil }) {
			continue
		}
		for i := range p.snap.Services {
			for _, in := range p.snap.Services[i].Instances {
				name := in.Subject.Service
				if in.OneOff || in.Host != one.place.Host || in.Subject.Project != one.place.Project || !compose.IsName(name) || out[name] ||
					slices.ContainsFunc(list, func(o project) bool { return o.place.Project == one.place.Project && o.has(name) }) {
					continue
				}
				out[name] = true
				p.left = append(p.left, name+" on "+c.Place.Host)
				c.Warn(name, "git has removed it: it is left running. When it may go: docker rm -f %s, on %s", remote.Clean(in.Name), c.Place.Host)
			}
		}
	}
	return out
}

func (o *project) has(service string) bool {
	_, ok := o.declared[service]
	return ok
}

// fresh finds the services that git declares for a host and of which it has no container: they are started, unless they run on
// another host and git says nothing new about that.
func (p *planner) fresh(ctx context.Context, c *checkout, list []project, files map[string][]string, into map[string][]*spot) {
	for _, one := range list {
		for _, name := range slices.Sorted(maps.Keys(one.declared)) {
			d := one.declared[name]
			if p.runs(one.place, name) {
				continue
			}
			row, shown := p.deps.Row(name)
			switch has, err := c.Probe.Containers(ctx, one.place.ContainersArgv(name)); {
			case err != nil:
				c.Fail(name, "whether it has a container cannot be seen: %v", err)
				continue
			case len(has) > 0:
				continue // one that is not shown
			case d.Off != "":
				c.Warn(name, "new in %s, and not started: %s", d.File, d.Off)
				continue
			case !shown:
				c.Warn(name, "new in %s, and not started: [join] ignores it, so nobody would see how it does", d.File)
				continue
			}
			if on := p.elsewhere(one.place, name); on != "" && !one.brought(name) {
				c.OK(name, "%s declares it here too, where it has no container: it runs on %s, and git has not changed that", d.File, on)
				continue
			}
			s := p.newSpot(c, one.place, name, d)
			p.tellNew(ctx, s, name, d, files[row])
			delete(files, row)
			into[row] = append(into[row], s)
		}
	}
}

// brought reports whether the pull is what declares a service. What cannot be known counts as no.
func (o *project) brought(service string) bool {
	_, before := o.before[service]
	return o.before != nil && !before
}

// elsewhere is another host on which a Compose service runs; "" is none. Hosts may share one Compose file and divide its services
// among them by hand.
func (p *planner) elsewhere(pl *compose.Place, service string) string {
	for i := range p.snap.Services {
		for _, in := range p.snap.Services[i].Instances {
			if !in.OneOff && in.Host != pl.Host && in.Subject.Service == service {
				return in.Host
			}
		}
	}
	return ""
}

// runs reports whether a snapshot shows a container of a Compose service of a project on its host.
func (p *planner) runs(pl *compose.Place, service string) bool {
	for i := range p.snap.Services {
		for _, in := range p.snap.Services[i].Instances {
			if !in.OneOff && in.Host == pl.Host && in.Subject.Project == pl.Project && in.Subject.Service == service {
				return true
			}
		}
	}
	return false
}

// newSpot is a spot of a service that has none yet: where its project is.
func (p *planner) newSpot(c *checkout, at *compose.Place, name string, d compose.Declared) *spot {
	pl := *at
	pl.From, pl.Numbers = fleet.Release{}, nil
	s := &spot{checkout: c, place: &pl, all: []string{name}, fresh: true, needs: d.Needs}
	if image, tag, ok := imageTag(d.Image); ok {
		s.to, s.tag = fleet.Release{Image: image, Tag: tag}, true
		pl.From.Image = image
	}
	return s
}

// imageTag takes a reference apart that has a tag and no digest.
func imageTag(ref string) (image, tag string, ok bool) {
	i := strings.LastIndexByte(ref, ':')
	if i < 1 || strings.Contains(ref, "@") || !compose.IsImage(ref[:i]) || !compose.IsTag(ref[i+1:]) {
		return "", "", false
	}
	return ref[:i], ref[i+1:], true
}

// tellNew shows what is started, and makes sure that the image can be had.
func (p *planner) tellNew(ctx context.Context, s *spot, name string, d compose.Declared, files []string) {
	detail := "new: " + d.File + " declares it, and it has no container"
	if s.tag {
		detail += "; " + s.to.Ref() + " is started"
	} else {
		detail += "; what it runs Compose tells once the files are there"
	}
	var lines []string
	if len(files) > 0 {
		var err error
		if lines, err = s.diff(ctx, files); err != nil {
			s.Fail(name, "%v", err)
			return
		}
	}
	s.Checks = append(s.Checks, actions.Check{Name: name + " on " + s.place.Host, State: actions.CheckOK, Detail: detail, Diff: lines})
	if s.tag {
		p.checkImage(ctx, s, name)
	}
}

// needed puts what is new before what is new and depends on it: both are started by themselves, without what they depend on. The
// estate's own order comes first, where it names both.
func (p *planner) needed(names []string, spots map[string][]*spot) []string {
	row := map[string]string{} // of a new Compose service
	for name, list := range spots {
		for _, s := range list {
			if s.fresh {
				row[s.all[0]] = name
			}
		}
	}
	var out []string
	var add func(name string, depth int)
	add = func(name string, depth int) {
		if slices.Contains(out, name) || depth > len(names) {
			return
		}
		for _, s := range spots[name] {
			for _, need := range s.needs {
				if before, ok := row[need]; ok && before != name && !(slices.Contains(p.deps.Order, name) && slices.Contains(p.deps.Order, before)) {
					add(before, depth+1)
				}
			}
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, name := range names {
		add(name, 0)
	}
	return out
}
