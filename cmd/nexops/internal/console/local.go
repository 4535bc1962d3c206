package console

import (
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/config"
	"github.com/nexgate-hq/nexops/remote"
)

// LocalConfig is the estate of somebody who has written no config yet: this machine, as one source sees it.
func LocalConfig(kinds Kinds, source config.Source) *config.Config {
	const name = "local"
	return &config.Config{
		Path: "(no config file)",
		File: config.File{
			DefaultEnv: name,
			Env:        map[string]config.Environment{name: {Hosts: []string{name}, Confirm: actions.ConfirmY}},
			Hosts:      map[string]remote.Config{name: {Address: remote.LocalAddress}},
			UI:         config.UI{Theme: "auto", Mouse: true, LogLines: 50_000},
		},
		Sources: []config.Source{source},
		Actions: defaults(kinds),
	}
}

func defaults(kinds Kinds) map[string]any {
	out := map[string]any{}
	for name, make := range kinds.Config().Actions {
		out[name] = make()
	}
	return out
}
