package main

import (
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/redeploy"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/console"
	"github.com/nexgate-hq/nexops/sources"
	"github.com/nexgate-hq/nexops/sources/docker"
	"github.com/nexgate-hq/nexops/sources/git"
	"github.com/nexgate-hq/nexops/sources/loki"
	"github.com/nexgate-hq/nexops/sources/prometheus"
)

// dockerKind is the kind of source that opens when there is no config.
const dockerKind = "docker"

// kinds are all that nexops can look at and do. A new source or action is one line here.
func kinds() console.Kinds {
	return console.Kinds{
		Sources: []sources.Kind{
			docker.Kind(),
			git.Kind(),
			prometheus.Kind(),
			loki.Kind(),
		},
		Actions: []console.ActionKind{
			{Name: "redeploy", NewConfig: func() any { c := redeploy.DefaultConfig(); return &c }, Build: buildRedeploy},
		},
	}
}

func buildRedeploy(cfg any, d console.ActionDeps) (actions.Action, error) {
	c, _ := cfg.(*redeploy.Config)
	return redeploy.New(*c, redeploy.Deps{Host: d.Host, Now: d.Now, CacheDir: d.CacheDir, Log: d.Log}), nil
}
