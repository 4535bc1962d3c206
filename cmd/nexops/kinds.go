package main

import (
	"fmt"
	"slices"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/backup"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/actions/exec"
	"github.com/nexgate-hq/nexops/actions/hold"
	"github.com/nexgate-hq/nexops/actions/promote"
	"github.com/nexgate-hq/nexops/actions/redeploy"
	"github.com/nexgate-hq/nexops/actions/restart"
	"github.com/nexgate-hq/nexops/actions/scale"
	"github.com/nexgate-hq/nexops/actions/sync"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/config"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/console"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
	"github.com/nexgate-hq/nexops/sources/backups"
	"github.com/nexgate-hq/nexops/sources/docker"
	"github.com/nexgate-hq/nexops/sources/git"
	"github.com/nexgate-hq/nexops/sources/komodo"
	"github.com/nexgate-hq/nexops/sources/locks"
	"github.com/nexgate-hq/nexops/sources/loki"
	"github.com/nexgate-hq/nexops/sources/prometheus"
)

// localSource is what opens when there is no config: the Docker Engine of this machine.
func localSource(getenv func(string) string) config.Source {
	cfg := docker.DefaultConfig()
	cfg.Socket = docker.DefaultSocket(getenv)
	return config.Source{Kind: "docker", Name: "docker", Config: cfg}
}

// kinds are all that nexops can look at and do. A new source or action is one line here.
func kinds() console.Kinds {
	return console.Kinds{
		Sources: []sources.Kind{
			docker.Kind(),
			git.Kind(),
			prometheus.Kind(),
			loki.Kind(),
			komodo.Kind(),
			locks.Kind(),
			backups.Kind(),
		},
		Actions: []console.ActionKind{
			{Name: "redeploy", NewConfig: func() any { c := redeploy.DefaultConfig(); return &c }, Build: buildRedeploy},
			{Name: redeploy.DeployName, NewConfig: func() any { return &redeploy.DeployConfig{} }, Build: buildDeploy},
			{Name: sync.Name, NewConfig: func() any { c := sync.DefaultConfig(); return &c }, Build: buildSync},
			{Name: hold.Name, NewConfig: func() any { c := hold.DefaultConfig(); return &c }, Build: buildHold},
			{Name: backup.Name, NewConfig: func() any { c := backup.DefaultConfig(); return &c }, Build: buildBackup},
			{Name: backup.DrillName, NewConfig: func() any { c := backup.DefaultDrillConfig(); return &c }, Build: buildDrill},
			{Name: promote.Name, NewConfig: func() any { c := promote.DefaultConfig(); return &c }, Build: buildPromote},
			{Name: restart.Name, NewConfig: func() any { c := restart.DefaultConfig(); return &c }, Build: buildRestart},
			{Name: scale.Name, NewConfig: func() any { c := scale.DefaultConfig(); return &c }, Build: buildScale},
			{Name: exec.Name, NewConfig: func() any { c := exec.DefaultConfig(); return &c }, Build: buildExec},
		},
	}
}

func buildRedeploy(cfg any, d console.ActionDeps) (actions.Action, error) {
	c, _ := cfg.(*redeploy.Config)
	return redeploy.New(*c, redeployDeps(d)), nil
}

// buildDeploy makes the action that goes to a chosen release the way [actions.redeploy] says.
func buildDeploy(_ any, d console.ActionDeps) (actions.Action, error) {
	c := redeploy.DefaultConfig()
	if d.Config != nil {
		if made, ok := d.Config.Actions[redeploy.Name].(*redeploy.Config); ok {
			c = *made
		}
	}
	return redeploy.NewDeploy(c, redeployDeps(d)), nil
}

func redeployDeps(d console.ActionDeps) redeploy.Deps {
	deps := redeploy.Deps{Host: d.Host, Now: d.Now, CacheDir: d.CacheDir, Log: d.Log, Verify: d.Verify, Lock: lockConfig(d)}
	if past := sources.Capability[redeploy.Historian](d.Sources); len(past) > 0 {
		deps.Past = past[0]
	}
	if by := sources.Capability[redeploy.Deployer](d.Sources); len(by) > 0 {
		deps.Deployer = by[0]
	}
	return deps
}

func buildBackup(cfg any, d console.ActionDeps) (actions.Action, error) {
	c, _ := cfg.(*backup.Config)
	return backup.New(*c, backupDeps(d)), nil
}

// buildDrill makes the action that restores what the jobs of [actions.backup] have made.
func buildDrill(cfg any, d console.ActionDeps) (actions.Action, error) {
	c, _ := cfg.(*backup.DrillConfig)
	jobs := backup.DefaultConfig()
	if d.Config != nil {
		made, ok := d.Config.Actions[backup.Name].(*backup.Config)
		if !ok {
			return nil, fmt.Errorf("there is no [actions.%s]", backup.Name)
		}
		jobs = *made
	}
	return backup.NewDrill(*c, jobs, backupDeps(d)), nil
}

func backupDeps(d console.ActionDeps) backup.Deps {
	of := func(host string) string {
		if d.Config == nil {
			return ""
		}
		for name, e := range d.Config.Env {
			if slices.Contains(e.Hosts, host) {
				return name
			}
		}
		return ""
	}
	return backup.Deps{Host: d.Host, HostEnvironment: of, Secret: d.Secret, Now: d.Now, Log: d.Log}
}

func buildExec(cfg any, d console.ActionDeps) (actions.Action, error) {
	c, _ := cfg.(*exec.Config)
	return exec.New(*c, exec.Deps{Host: d.Host, Now: d.Now}), nil
}

func buildPromote(cfg any, d console.ActionDeps) (actions.Action, error) {
	c, _ := cfg.(*promote.Config)
	hostsOf := func(environment string) []string {
		if d.Config == nil {
			return nil
		}
		return d.Config.Env[environment].Hosts
	}
	return promote.New(*c, promote.Deps{
		Host: d.Host, HostsOf: hostsOf, Home: redeployConfig(d).Config, Override: places(d).Override, Secret: d.Secret, CacheDir: d.CacheDir, Now: d.Now,
	}), nil
}

func buildRestart(cfg any, d console.ActionDeps) (actions.Action, error) {
	c, _ := cfg.(*restart.Config)
	return restart.New(*c, restart.Deps{Host: d.Host, Places: places(d), Now: d.Now, Verify: d.Verify}), nil
}

func buildScale(cfg any, d console.ActionDeps) (actions.Action, error) {
	c, _ := cfg.(*scale.Config)
	return scale.New(*c, scale.Deps{Host: d.Host, Places: places(d), Now: d.Now, Verify: d.Verify}), nil
}

// redeployConfig is [actions.redeploy]: what it says of the estate's Compose projects and tags holds for other actions too.
func redeployConfig(d console.ActionDeps) redeploy.Config {
	if d.Config != nil {
		if made, ok := d.Config.Actions[redeploy.Name].(*redeploy.Config); ok {
			return *made
		}
	}
	return redeploy.DefaultConfig()
}

// places is how services are found on their hosts.
func places(d console.ActionDeps) compose.Places {
	cfg := redeployConfig(d)
	return compose.Places{
		Program: cfg.Compose, Table: "actions." + redeploy.Name, Owners: cfg.Owners,
		Override: func(service string) compose.Override { return cfg.Services[service].Override },
	}
}

// buildSync makes the action that syncs through Komodo where the environment has it, else on the hosts' checkouts, whose
// services are found as [actions.redeploy] says.
func buildSync(cfg any, d console.ActionDeps) (actions.Action, error) {
	c, _ := cfg.(*sync.Config)
	where := redeployConfig(d)
	var rules fleet.Rules
	if d.Config != nil {
		rules = d.Config.Join.Rules()
	}
	return sync.New(*c, sync.Deps{
		Reconcilers: sources.Capability[sync.Reconciler](d.Sources), Host: d.Host, Places: places(d), TagOf: where.TagOf,
		Order: d.Order, Row: rules.Row, Verify: d.Verify, Who: d.Who, Now: d.Now, Log: d.Log,
	}), nil
}

func buildHold(cfg any, d console.ActionDeps) (actions.Action, error) {
	c, _ := cfg.(*hold.Config)
	return hold.New(*c, hold.Deps{Host: d.Host, Lock: lockConfig(d), Now: d.Now}), nil
}

// lockConfig is [actions.lock]: holds are kept beside the locks.
func lockConfig(d console.ActionDeps) actions.LockConfig {
	if d.Config != nil {
		if made, ok := d.Config.Actions["lock"].(*actions.LockConfig); ok {
			return *made
		}
	}
	return actions.DefaultLockConfig()
}
