package console

import (
	"context"
	"reflect"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/config"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// learnSecrets makes the config's secrets known to the redactor before anything uses them. One that
// a command prints is left out: the command may ask its owner. It becomes known when it is used.
func (c *Console) learnSecrets(ctx context.Context) {
	for _, s := range secretsOf(c.Config) {
		if s.RunsCommand() || ctx.Err() != nil {
			continue
		}
		if _, err := s.ResolveIn(ctx, c.secrets); err != nil {
			c.log.Debug("a secret is not known yet", "secret", s, "error", err)
		}
	}
}

// secretsOf finds every secret that a config names, wherever it stands.
func secretsOf(cfg *config.Config) []remote.Secret {
	var out []remote.Secret
	seen := map[remote.Secret]bool{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			for it := v.MapRange(); it.Next(); {
				walk(it.Value())
			}
		case reflect.String:
			if s := remote.Secret(v.String()); v.Type() == reflect.TypeFor[remote.Secret]() && !s.IsZero() && !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		default:
		}
	}
	walk(reflect.ValueOf(cfg))
	return out
}

// discreet is an action whose plans and errors show no secrets, wherever they are shown. What
// its steps run is untouched: their argv is only what people see.
type discreet struct {
	actions.Action
	guard  *actions.Guard
	redact *actions.Redactor
}

// makeDiscreet wraps an action, and keeps what it can do besides. It is asked through the guard.
func makeDiscreet(a actions.Action, guard *actions.Guard, redact *actions.Redactor) actions.Action {
	d := discreet{a, guard, redact}
	if c, ok := a.(actions.Chooser); ok {
		return discreetChooser{d, c}
	}
	return d
}

// discreetChooser is a discreet action that also has something to choose.
type discreetChooser struct {
	discreet
	chooser actions.Chooser
}

// Choices are the action's own. What they say comes from the same facts as the screen's rows.
func (d discreetChooser) Choices(ctx context.Context, snap *fleet.Snapshot, targets []fleet.Ref) (actions.Choices, error) {
	c, err := d.chooser.Choices(ctx, snap, targets)
	if err != nil {
		return actions.Choices{}, discreetError{text: d.redact.Text(err.Error()), err: err}
	}
	return c, nil
}

// Offer is the action's own, without secrets.
func (d discreet) Offer(snap *fleet.Snapshot, targets []fleet.Ref) actions.Offer {
	o := d.guard.Offer(d.Action, snap, targets)
	o.Title, o.Reason = d.redact.Text(o.Title), d.redact.Text(o.Reason)
	return o
}

// Plan is the action's own, without secrets.
func (d discreet) Plan(ctx context.Context, snap *fleet.Snapshot, intent actions.Intent) (*actions.Plan, error) {
	p, err := d.guard.Plan(ctx, d.Action, snap, intent)
	if err != nil {
		return nil, discreetError{text: d.redact.Text(err.Error()), err: err}
	}
	d.redact.Plan(p)
	return p, nil
}

// discreetError is an error whose text was redacted.
type discreetError struct {
	text string
	err  error
}

// Error is the redacted text.
func (e discreetError) Error() string { return e.text }

// Unwrap gives the error as it was, for errors.Is.
func (e discreetError) Unwrap() error { return e.err }
