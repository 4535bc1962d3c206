package console

import (
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/config"
	"github.com/nexgate-hq/nexops/remote"
)

// LocalConfig is the estate of somebody who has written no config yet: the Docker Engine of this machine.
func LocalConfig(kinds Kinds, dockerKind string) (*config.Config, bool) {
	kind, ok := kinds.source(dockerKind)
	if !ok {
		return nil, false
	}
	const name = "local"
	return &config.Config{
		Path: "(no config file)",
		File: config.File{
			DefaultEnv: name,
			Env:        map[string]config.Environment{name: {Hosts: []string{name}, Confirm: actions.ConfirmY}},
			Hosts:      map[string]remote.Config{name: {Address: remote.LocalAddress}},
			UI:         config.UI{Theme: "auto", Mouse: true, LogLines: 50_000},
		},
		Sources: []config.Source{{Kind: dockerKind, Name: dockerKind, Config: kind.NewConfig()}},
		Actions: defaults(kinds),
	}, true
}

func defaults(kinds Kinds) map[string]any {
	out := map[string]any{}
	for name, make := range kinds.Config().Actions {
		out[name] = make()
	}
	return out
}
