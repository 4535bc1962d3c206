package console

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/notify"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/config"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// Kinds are the two lists of what this program can do. main owns them.
type Kinds struct {
	Sources []sources.Kind
	Actions []ActionKind
}

// ActionKind is one sort of action: its table in the config and how it is made.
type ActionKind struct {
	Name      string
	NewConfig func() any // a pointer to a struct with toml tags, holding its defaults
	Build     func(cfg any, deps ActionDeps) (actions.Action, error)
}

// Spec is what the action says of itself. No I/O: it is made with its defaults and asked.
func (k ActionKind) Spec() (actions.Spec, error) {
	a, err := k.Build(k.NewConfig(), ActionDeps{})
	if err != nil {
		return actions.Spec{}, fmt.Errorf("action %s: %w", k.Name, err)
	}
	return a.Spec(), nil
}

// ActionDeps is what an action may use of the program around it. Build does no I/O, and makes
// an action that can tell its Spec also when all of it is zero.
type ActionDeps struct {
	Environment string   // the one that is open
	Order       []string // of its services: several at once are acted on in this order
	Config      *config.Config
	// Sources are those of the open environment: sources.Capability finds one that can do something.
	Sources []sources.Source
	// Secret reads a secret and makes it known to the redactor.
	Secret   func(ctx context.Context, s remote.Secret) (string, error)
	Host     func(name string) (remote.Host, error)
	CacheDir string
	Who      string
	Now      func() time.Time
	Log      *slog.Logger
	Verify   verify.Config // how what was done is watched
}

// The tables of [actions] that are no action's: the engine's own, and what actions share.
const (
	lockTable    = "lock"
	verifyTable  = "verify"
	notifyTable  = "notify"
	journalTable = "journal"
)

// Config are the kinds as the config reader needs them.
func (k Kinds) Config() config.Kinds {
	out := config.Kinds{Sources: k.Sources, ActionNames: []string{actions.UnlockName}, Actions: map[string]func() any{
		lockTable:    func() any { c := actions.DefaultLockConfig(); return &c },
		verifyTable:  func() any { c := verify.DefaultConfig(); return &c },
		notifyTable:  func() any { return &notify.Config{} },
		journalTable: func() any { return &notify.JournalConfig{} },
	}}
	for _, a := range k.Actions {
		out.Actions[a.Name] = a.NewConfig
		out.ActionNames = append(out.ActionNames, a.Name)
	}
	return out
}

func (k Kinds) source(name string) (sources.Kind, bool) {
	for _, s := range k.Sources {
		if s.Name == name {
			return s, true
		}
	}
	return sources.Kind{}, false
}
