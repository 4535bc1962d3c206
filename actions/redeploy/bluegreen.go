package redeploy

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
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// idPattern is what the id of a container may be: it stands in argv.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// blueGreenStrategy starts the new containers beside the old ones, waits until they are healthy, tells the proxies, and
// then stops and removes the old ones, exactly those that the plan named.
func blueGreenStrategy() strategy {
	return strategy{
		name: StrategyBlueGreen,
		refuse: func(p *planner) error {
			if p.a.isProxy(p.t.Key.Name, p.t.Image) {
				return fmt.Errorf("%s is a reverse proxy, of which there are never two: use reload", p.t.Key.Name)
			}
			return p.onePerPlace()
		},
		survey: (*planner).surveyBlueGreen,
		steps:  (*execution).blueGreen,
		risks: func(p *planner) []string {
			risks := []string{
				fmt.Sprintf("%s replaced on %s: until then old and new answer side by side", p.containers(), p.where()),
				fmt.Sprintf("the old ones get %s to end what they are doing; one that takes longer is killed", fleet.Ago(p.a.cfg.drainOf(p.t.Key))),
				fmt.Sprintf("a new one that is not healthy within %s is removed again, and the old one stays", fleet.Ago(p.startTime())),
			}
			if len(p.a.cfg.proxiesOf(p.t.Key.Name)) == 0 {
				risks = append(risks, fmt.Sprintf("no proxy is told: whoever keeps the old address fails until it asks again; say reload in [actions.redeploy.services.%s] where there is one", p.t.Key.Name))
			}
			return risks
		},
	}
}

// startTime is how long a new container may take to become healthy.
func (p *planner) startTime() time.Duration {
	return p.a.deps.Verify.For(p.t.Key.Environment).With(p.a.cfg.Soak, p.a.cfg.Start).Start
}

// drainOf is how long an old container has to end what it is doing.
func (c *Config) drainOf(key fleet.ServiceKey) time.Duration {
	if d := c.Services[key.Name].Drain; d > 0 {
		return time.Duration(d)
	}
	return time.Duration(c.Drain)
}

// onePerPlace makes sure that what is there is whole: with two releases side by side nobody knows which is the old one.
func (p *planner) onePerPlace() error {
	for _, pl := range p.t.Hosts {
		var first fleet.Release
		for _, in := range p.olds(pl) {
			if !idPattern.MatchString(in.ID) {
				return fmt.Errorf("%s on %s has no id that can be named", in.Name, in.Host)
			}
			if first.IsZero() {
				first = in.Release
			}
			if !actions.SameArtifact(first, in.Release) {
				return fmt.Errorf("on %s two releases run side by side, %s and %s: an earlier deploy stopped half-way: remove the one that is not wanted (docker rm -f %.12s), or take the strategy compose",
					pl.Host, first.Version(), in.Release.Version(), in.ID)
			}
		}
		if n := len(p.olds(pl)); n != pl.Count() {
			return fmt.Errorf("on %s there are %d containers for %d places: an earlier re-creation left something behind: look at docker ps -a there", pl.Host, n, pl.Count())
		}
	}
	return nil
}

// olds are the containers of the service on a host, as the plan sees them.
func (p *planner) olds(pl *compose.Place) []*fleet.Instance {
	var list []*fleet.Instance
	for _, in := range p.svc.Instances {
		if in.Host == pl.Host && p.t.Pick(in) {
			list = append(list, in)
		}
	}
	slices.SortFunc(list, func(a, b *fleet.Instance) int { return strings.Compare(a.ID, b.ID) })
	return list
}

func (p *planner) oldIDs(pl *compose.Place) []string {
	var ids []string
	for _, in := range p.olds(pl) {
		ids = append(ids, in.ID)
	}
	return ids
}

// surveyBlueGreen makes sure that there can be two of it, and that those that are there are those of the snapshot.
func (p *planner) surveyBlueGreen(ctx context.Context, s *survey) {
	const name = "side by side"
	if why := s.rendered.Single(); why != "" {
		s.Fail(name, "%s", why)
		return
	}
	there, err := s.Probe.Containers(ctx, s.Place.ContainersArgv(p.t.Service))
	if err != nil {
		s.Fail(name, "%v", err)
		return
	}
	old := p.oldIDs(s.Place)
	for _, c := range there {
		if !slices.Contains(old, c.ID) {
			s.Fail(name, "%s is there and not on the screen: somebody is at work, look again", c.Names)
			return
		}
	}
	if len(there) != len(old) {
		s.Fail(name, "%d of its containers are there, the screen shows %d: look again", len(there), len(old))
		return
	}
	s.OK(name, "%d and %d may run together", len(old), len(old))
}

// blueGreen are the steps on one host.
func (e *execution) blueGreen(s *survey) []actions.Step {
	old := e.oldIDs(s.Place)
	n := len(old)
	drain := max(1, int(e.a.cfg.drainOf(e.t.Key).Seconds()))
	list := s.Place.ContainersArgv(e.t.Service)
	beside := s.Mutate("start beside", s.Place.Argv(e.a.cfg.Compose,
		"up", "-d", "--no-deps", "--no-recreate", "--scale", e.t.Service+"="+strconv.Itoa(2*n), e.t.Service))
	wait := s.Step("wait until healthy, else remove", false, list, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
		return e.awaitNew(ctx, s, cmd.Argv, old, out)
	})
	wait.Timeout = e.startTime() + time.Minute
	stop := s.Mutate("stop old", append([]string{"docker", "stop", "-t", strconv.Itoa(drain)}, old...))
	stop.Timeout = time.Duration(drain)*time.Second + time.Minute
	steps := append([]actions.Step{beside, wait}, e.reloadProxies()...)
	steps = append(append(steps, stop), e.reloadProxies()...)
	return append(steps,
		s.Mutate("remove old", append([]string{"docker", "rm"}, old...)),
		s.Step("look at containers", false, list, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
			defer e.watch.Did(e.t.Key, s.Place.Host)
			return e.lookAtNew(ctx, s, cmd.Argv, n, out)
		}))
}

// added are the containers that are there besides the old ones.
func added(there []compose.Container, old []string) []compose.Container {
	return slices.DeleteFunc(there, func(c compose.Container) bool { return slices.Contains(old, c.ID) })
}

// awaitNew is no compose.Await, which waits for all containers of a service: here the old ones stay out of it, and what will never become well
// ends it at once. It waits until there are as many new containers as old ones, all of them of the wanted release and healthy. When that does not
// come true, or the run is cancelled meanwhile, the new ones are removed: the old ones never ceased to answer.
func (e *execution) awaitNew(ctx context.Context, s *survey, argv, old []string, out func(stream, line string)) error {
	wctx, cancel := context.WithTimeout(ctx, e.startTime())
	defer cancel()
	var last string
	var since time.Time
	err := e.poll(wctx, func() (bool, string, error) {
		there, err := s.Probe.Containers(wctx, argv)
		if err != nil {
			since = time.Time{}            // what was meanwhile nobody saw
			return false, err.Error(), nil // it is only a question: it may be put again
		}
		if missing := len(old) - (len(there) - len(added(slices.Clone(there), old))); missing > 0 {
			return false, "", fmt.Errorf("%s: %d of the old containers are gone, which the plan has not removed: somebody else is at work", s.Place.Host, missing)
		}
		fresh := added(there, old)
		why, hopeless := e.notReady(fresh, len(old), &since)
		if words := containerWords(fresh); words != last {
			last = words
			out("stdout", words)
		}
		if hopeless {
			return false, "", errors.New(s.Place.Host + ": " + why)
		}
		return why == "", s.Place.Host + ": " + why, nil
	})
	if err == nil {
		return nil
	}
	return e.removeNew(ctx, s, argv, old, err, out)
}

// settle is how long a container without a health check has to run to be taken for well.
const settle = 5 * time.Second

// notReady says why the new containers are not what is wanted yet; "" when they are. hopeless: they will not become it.
func (e *execution) notReady(fresh []compose.Container, want int, since *time.Time) (why string, hopeless bool) {
	if len(fresh) != want {
		return fmt.Sprintf("%d of %d new containers are there", len(fresh), want), len(fresh) > want
	}
	checked := true
	for _, c := range fresh {
		switch {
		case !isRef(c.Image, e.t.Image, e.t.to.Tag):
			return fmt.Sprintf("%s runs %s, not %s", c.Names, c.Image, e.t.to.Ref()), true
		case c.State == "restarting" || c.State == "exited" || c.State == "dead":
			return fmt.Sprintf("%s does not stay up: %s", c.Names, c.Status), true
		case c.Health() == "unhealthy":
			return c.Names + " is unhealthy", true
		case c.State != "running" || c.Health() == "starting":
			*since = time.Time{}
			return fmt.Sprintf("%s is not healthy yet: %s", c.Names, c.Status), false
		}
		checked = checked && c.Health() != ""
	}
	if checked {
		return "", false
	}
	if since.IsZero() {
		*since = e.a.deps.Now()
	}
	if e.a.deps.Now().Sub(*since) < min(settle, e.startTime()/2) {
		return "it has no health check, and runs only since just now", false
	}
	return "", false
}

func containerWords(list []compose.Container) string {
	if len(list) == 0 {
		return "no new container yet"
	}
	return compose.ContainerWords(list)
}

// notOurs says why what is there besides the old containers may be what somebody else has made meanwhile, and all that still
// answers; "" when it is what was started beside them.
func notOurs(left, fresh, old int) string {
	switch {
	case left < old:
		return fmt.Sprintf("%d of the old containers are gone", old-left)
	case fresh > old:
		return fmt.Sprintf("%d new containers are there, %d were started", fresh, old)
	default:
		return ""
	}
}

// removeNew takes the new containers away again, by their ids, when it is sure whose they are.
func (e *execution) removeNew(ctx context.Context, s *survey, list, old []string, cause error, out func(stream, line string)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), compose.AskTimeout)
	defer cancel()
	there, err := s.Probe.Containers(ctx, list)
	if err != nil {
		return fmt.Errorf("%w; what was started beside the old containers is still there: %w", cause, err)
	}
	fresh := added(slices.Clone(there), old)
	if why := notOurs(len(there)-len(fresh), len(fresh), len(old)); why != "" {
		return fmt.Errorf("%w; %s: nothing was removed, there is now: %s", cause, why, containerWords(there))
	}
	argv := []string{"docker", "rm", "-f"}
	for _, c := range fresh {
		if idPattern.MatchString(c.ID) {
			argv = append(argv, c.ID)
		}
	}
	const words = 3
	if len(argv) == words {
		return fmt.Errorf("%w; nothing was left beside the old containers", cause)
	}
	out("stdout", strings.Join(argv, " "))
	if _, err := compose.Mutate(ctx, s.Host, remote.Command{Argv: argv}, out); err != nil {
		return fmt.Errorf("%w; and the new containers could not be removed: %w", cause, err)
	}
	left := slices.DeleteFunc(there, func(c compose.Container) bool { return !slices.Contains(old, c.ID) })
	if slices.ContainsFunc(left, func(c compose.Container) bool { return c.State != "running" }) {
		return fmt.Errorf("%w; the new ones were removed again, there is now: %s", cause, containerWords(left))
	}
	return fmt.Errorf("%w; the new ones were removed again, the old ones answer as before", cause)
}

// lookAtNew makes sure that what is left is what was wanted.
func (e *execution) lookAtNew(ctx context.Context, s *survey, argv []string, n int, out func(stream, line string)) error {
	there, err := s.Probe.Containers(ctx, argv)
	if err != nil {
		return err //nolint:wrapcheck // it names the host
	}
	if len(there) != n {
		return fmt.Errorf("%s: %d containers are there, %d were wanted: %s", s.Place.Host, len(there), n, containerWords(there))
	}
	for _, c := range there {
		if !isRef(c.Image, e.t.Image, e.t.to.Tag) {
			return fmt.Errorf("%s: %s runs %s, not %s", s.Place.Host, c.Names, c.Image, e.t.to.Ref())
		}
	}
	out("stdout", containerWords(there))
	return nil
}
