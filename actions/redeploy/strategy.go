package redeploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// The strategies.
const (
	StrategyCompose   = "compose"   // the container is stopped and made again
	StrategyBlueGreen = "bluegreen" // the new one is started beside the old one, which goes when it is healthy
	StrategyReload    = "reload"    // a proxy's configuration is exchanged while it runs
	StrategyScript    = "script"    // the estate's own scripts
)

// strategy is one way to bring a service to a release: data, and a few small functions. The engine around it is one
// for all: it finds the service and its release, asks the hosts, puts the tag where the estate keeps it, has the image
// there, and watches what came of it.
type strategy struct {
	name string
	// offHost: nothing is asked of or done on the service's hosts, nor is the tag put into their checkouts. With
	// tag_home = "git" the tag commit is made and pushed all the same, unless ownTag is set.
	offHost bool
	ownTag  bool
	// keepsRelease: image and tag stay as they are, something else about the service is changed.
	keepsRelease bool
	otherThan    // set with keepsRelease
	// refuse says why it is not for this service, by the snapshot and the config alone; nil: it is for any.
	refuse func(p *planner) error
	// prepare asks what is not on one host of the service, and survey what is; both add checks.
	prepare func(p *planner, ctx context.Context)
	// ask asks a host in the place of the questions about tag and image, which are then not brought there either.
	ask    func(p *planner, ctx context.Context, pl *compose.Place) *survey
	survey func(p *planner, ctx context.Context, s *survey)
	// steps brings the release to one host, where tag and image are there by then; finish follows when all hosts have it.
	steps  func(e *execution, s *survey) []actions.Step
	finish func(e *execution) []actions.Step
	// risks are what it does to whoever uses the service, in words.
	risks func(p *planner) []string
}

// otherThan is what a strategy that changes something else than the release has of its own.
type otherThan struct {
	title   func(p *planner) string
	undo    func(p *planner) *actions.Intent
	choices func(ctx context.Context, p *planner) (actions.Choices, error)
	// settle puts together what the hosts said.
	settle func(p *planner, ctx context.Context)
}

// strategies are all of them.
func strategies() []strategy {
	return []strategy{composeStrategy(), blueGreenStrategy(), reloadStrategy(), scriptStrategy(), komodoStrategy()}
}

func strategyNames() []string {
	var names []string
	for _, s := range strategies() {
		names = append(names, s.name)
	}
	return names
}

func strategyNamed(name string) (strategy, bool) {
	list := strategies()
	i := slices.IndexFunc(list, func(s strategy) bool { return s.name == name })
	if i < 0 {
		return strategy{}, false
	}
	return list[i], true
}

// strategyOf is the name of the strategy of a service: its own, else that of the environment, else the default.
func (c *Config) strategyOf(key fleet.ServiceKey) string {
	return orElse(c.Services[key.Name].Strategy, orElse(c.Strategies[key.Environment], c.Strategy))
}

// wayOf is the strategy for a service: the one asked for, else what the config says.
func (a *action) wayOf(key fleet.ServiceKey, asked string) (strategy, error) {
	name := orElse(asked, a.cfg.strategyOf(key))
	way, ok := strategyNamed(name)
	if !ok {
		return way, fmt.Errorf("%s is no strategy: there is %s", remote.Clean(name), strings.Join(strategyNames(), ", "))
	}
	return way, nil
}

func (c *Config) validateStrategies() []error {
	var errs []error
	check := func(at, name string) {
		if _, ok := strategyNamed(name); !ok {
			errs = append(errs, fmt.Errorf("%s: %q is not allowed: %s", at, name, strings.Join(strategyNames(), ", ")))
		}
	}
	check("strategy", c.Strategy)
	for env, name := range c.Strategies {
		check("strategies."+env, name)
	}
	for service, o := range c.Services {
		if o.Strategy != "" {
			check("services."+service+".strategy", o.Strategy)
		}
	}
	return errs
}

// composeStrategy stops a service's container and makes it again.
func composeStrategy() strategy {
	return strategy{
		name: StrategyCompose,
		steps: func(e *execution, s *survey) []actions.Step {
			return append([]actions.Step{e.up(s)}, e.reloadProxies()...)
		},
		risks: func(p *planner) []string {
			return []string{fmt.Sprintf("%s stopped and made again on %s: %s does not answer there until the new one is up",
				p.containers(), p.where(), p.t.Key.Name)}
		},
	}
}

// containers says how many there are: "2 containers are".
func (p *planner) containers() string {
	n := 0
	for _, pl := range p.t.Hosts {
		n += pl.Count()
	}
	if n == 1 {
		return "1 container is"
	}
	return fmt.Sprintf("%d containers are", n)
}

// where are the hosts in words: "prod-1, prod-2, one host after the other".
func (p *planner) where() string {
	hosts := strings.Join(p.t.HostNames(), ", ")
	if len(p.t.Hosts) > 1 {
		hosts += ", one host after the other"
	}
	return hosts
}
