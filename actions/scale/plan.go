package scale

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// change is one plan on its way.
type change struct {
	a     *action
	t     *compose.Target
	svc   *fleet.Service
	place *compose.Place
	now   []*fleet.Instance // the lowest number first
	want  int
	start time.Duration
	watch *verify.Watch
	s     *compose.Survey
}

// Plan asks the host whether there may be so many, and whether its memory is enough.
func (a *action) Plan(ctx context.Context, snap *fleet.Snapshot, intent actions.Intent) (*actions.Plan, error) {
	t, svc, err := a.deps.Places.FindSeen(snap, intent.Targets)
	if err != nil {
		return nil, fmt.Errorf("scale: %w", err)
	}
	c := &change{a: a, t: t, svc: svc}
	if c.place, c.want, err = a.place(t, intent.Args[ArgCount]); err != nil {
		return nil, fmt.Errorf("scale %s: %w", t.Key, err)
	}
	c.now = pool(svc, t, c.place.Host)
	if len(c.now) == c.want {
		return nil, fmt.Errorf("scale %s: there are %d on %s already", t.Key, c.want, c.place.Host)
	}
	at := a.deps.Now()
	set := a.deps.Verify.For(t.Key.Environment).With(a.cfg.Soak, a.cfg.Start)
	c.start = set.Start
	c.watch = verify.New(set, verify.Deps{Now: a.deps.Now, Look: a.deps.Look}, snap, fmt.Sprintf("%d run", c.want),
		verify.Expect{Service: t.Key, Host: c.place.Host, Pick: t.Pick, Count: c.want, Release: c.now[0].Release})
	c.survey(ctx)
	plan := &actions.Plan{
		ID: actions.NewPlanID(at), Intent: intent, Environment: t.Key.Environment, Made: at, Snapshot: snap.Seq,
		Title: fmt.Sprintf("scale %s on %s: %d → %d", t.Key.Name, c.place.Host, len(c.now), c.want),
		Risks: c.risks(), Checks: append([]actions.Check{{Name: "facts", State: actions.CheckOK, Detail: fleet.Ago(snap.At.Sub(svc.Seen)) + " old"}}, c.s.Checks...),
		Bases: []actions.Basis{actions.RunningBasis(t.Key, c.place.Host, t.Pick, snap), c.basis(snap)}, LockHosts: []string{c.place.Host},
		Undo: &actions.Intent{
			Action: Name, Targets: intent.Targets, Args: map[string]string{ArgCount: fmt.Sprintf("%s=%d", c.place.Host, len(c.now))},
		},
		Verify: c.watch.Verify,
	}
	if ok, _ := plan.Runnable(); ok {
		plan.Steps = c.steps()
	}
	return plan, nil
}

// basis is the pool: another one is not what was shown.
func (c *change) basis(snap *fleet.Snapshot) actions.Basis {
	now := func(snap *fleet.Snapshot) string {
		svc, ok := snap.Find(c.t.Key)
		if !ok {
			return ""
		}
		var ids []string
		for _, in := range pool(svc, c.t, c.place.Host) {
			ids = append(ids, in.Name+" "+fleet.ShortDigest(in.ID))
		}
		return strings.Join(ids, ", ")
	}
	return actions.Basis{What: c.t.Key.Name + " on " + c.place.Host + " is", Value: now(snap), Now: now}
}

// going are the containers that go: those of the highest numbers.
func (c *change) going() []*fleet.Instance {
	if c.want >= len(c.now) {
		return nil
	}
	out := slices.Clone(c.now[c.want:])
	slices.Reverse(out)
	return out
}

// survey asks the host.
func (c *change) survey(ctx context.Context) {
	var whole bool
	c.s, whole = compose.Surveyor{Places: c.a.deps.Places, Key: c.t.Key, Hosts: c.a.deps.Host, Now: c.a.deps.Now}.Ask(ctx, c.place)
	if !whole {
		return
	}
	c.checkContainers(ctx)
	c.checkFiles(ctx)
	if c.want > len(c.now) {
		c.checkMemory(ctx)
	}
}

// idPattern is what an engine calls a container: it stands in an argv.
var idPattern = regexp.MustCompile(`^[0-9a-f]{12,64}$`)

// checkContainers makes sure that what is there is what the screen shows.
func (c *change) checkContainers(ctx context.Context) {
	const name = "containers"
	there, err := c.s.Probe.Containers(ctx, c.place.ContainersArgv(c.t.Service))
	if err != nil {
		c.s.Fail(name, "%v", err)
		return
	}
	for _, in := range c.now {
		if !idPattern.MatchString(in.ID) || !slices.ContainsFunc(there, func(k compose.Container) bool { return k.ID == in.ID }) {
			c.s.Fail(name, "%s is not there any more: look again", remote.Clean(in.Name))
			return
		}
	}
	if len(there) != len(c.now) {
		c.s.Fail(name, "%d are there, the screen shows %d: somebody is at work, look again", len(there), len(c.now))
		return
	}
	c.s.OK(name, "%s", compose.ContainerWords(there))
}

// checkFiles asks Compose whether there may be so many, and whether new ones would be like those that run.
func (c *change) checkFiles(ctx context.Context) {
	const name = "compose files"
	r, err := c.s.Probe.Render(ctx, c.place.Argv(c.a.deps.Places.Program, "config", "--format", "json", c.t.Service), c.t.Service, nil)
	if err != nil {
		c.s.Fail(name, "%v", err)
		return
	}
	runs := c.now[0].Release.Ref()
	switch why := r.Single(); {
	case c.want > 1 && why != "":
		c.s.Fail(name, "%s", why)
	case c.want > len(c.now) && r.Image != runs:
		c.s.Fail(name, "new ones would be %s, those there are %s: deploy that first, or put the tag back", remote.Clean(r.Image), remote.Clean(runs))
	case r.Count() != c.want:
		c.s.Warn(name, "they ask for %d: the next deploy, or docker compose up, brings that back; change scale or deploy.replicas there too", r.Count())
	default:
		c.s.OK(name, "they ask for %d too", c.want)
	}
}

// checkMemory compares what the new ones need with what the host has left.
func (c *change) checkMemory(ctx context.Context) {
	const name = "memory"
	each, what := memoryOf(c.svc, c.now[0])
	free, err := c.a.available(ctx, c.place.Host)
	n := int64(c.want - len(c.now))
	switch {
	case err != nil:
		c.s.Warn(name, "what the host has left cannot be read: %v", err)
	case each == 0:
		c.s.Warn(name, "%s are left; what one more needs is not known: it has no limit, and no metric", fleet.Bytes(float64(free)))
	case each*n > free:
		c.s.Fail(name, "%d × %s (%s) are needed, %s are left", n, fleet.Bytes(float64(each)), what, fleet.Bytes(float64(free)))
	default:
		c.s.OK(name, "%d × %s (%s) of the %s that are left", n, fleet.Bytes(float64(each)), what, fleet.Bytes(float64(free)))
	}
}

func (c *change) risks() []string {
	going := c.going()
	if len(going) == 0 {
		return []string{fmt.Sprintf("%d more of %s run on %s; what is there stays as it is", c.want-len(c.now), c.t.Key.Name, c.place.Host)}
	}
	var names []string
	for _, in := range going {
		names = append(names, remote.Clean(in.Name))
	}
	return []string{
		"these are stopped and removed, with what they hold: " + strings.Join(names, ", "),
		fmt.Sprintf("each gets %s to end what it is doing", c.a.cfg.Drain),
	}
}

// steps raise by Compose, and lower by the very containers that were named: which ones Compose would choose is not said anywhere.
func (c *change) steps() []actions.Step {
	list := c.place.ContainersArgv(c.t.Service)
	wait := c.s.Step("wait until well", false, list, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
		defer c.watch.Did(c.t.Key, c.place.Host)
		err := compose.Await{Now: c.a.deps.Now, Look: c.a.deps.Look, Start: c.start}.Well(ctx, c.s.Probe, cmd.Argv, c.want, out)
		if err != nil && ctx.Err() == nil {
			return errors.Join(err, fmt.Errorf("what was started is left as it is: scale back to %d, or look into it", len(c.now)))
		}
		return err //nolint:wrapcheck // it names the host
	})
	wait.Timeout = c.start + time.Minute
	if c.want > len(c.now) {
		return []actions.Step{
			c.s.Mutate("start more", c.place.Argv(c.a.deps.Places.Program,
				"up", "-d", "--no-deps", "--no-recreate", "--scale", c.t.Service+"="+strconv.Itoa(c.want), c.t.Service)),
			wait,
		}
	}
	var ids []string
	for _, in := range c.going() {
		ids = append(ids, in.ID)
	}
	drain := max(1, int(time.Duration(c.a.cfg.Drain).Seconds()))
	stop := c.s.Mutate("stop", append([]string{"docker", "stop", "-t", strconv.Itoa(drain)}, ids...))
	stop.Timeout = time.Duration(drain*len(ids))*time.Second + time.Minute
	return []actions.Step{stop, c.s.Mutate("remove", append([]string{"docker", "rm"}, ids...)), wait}
}
