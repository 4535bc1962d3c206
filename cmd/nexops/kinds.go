package main

import (
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/redeploy"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/config"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/console"
	"github.com/nexgate-hq/nexops/sources"
	"github.com/nexgate-hq/nexops/sources/docker"
	"github.com/nexgate-hq/nexops/sources/git"
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
			locks.Kind(),
		},
		Actions: []console.ActionKind{
			{Name: "redeploy", NewConfig: func() any { c := redeploy.DefaultConfig(); return &c }, Build: buildRedeploy},
		},
	}
}

func buildRedeploy(cfg any, d console.ActionDeps) (actions.Action, error) {
	c, _ := cfg.(*redeploy.Config)
	return redeploy.New(*c, redeploy.Deps{Host: d.Host, Now: d.Now, CacheDir: d.CacheDir, Log: d.Log, Verify: d.Verify}), nil
}
