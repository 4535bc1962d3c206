package actions

import (
	"strings"
	"testing"
	"time"
)

func TestTimedUnlock(t *testing.T) {
	now := time.Now()
	b := newBench(t, func(o *RunnerOptions) {
		o.Policy.Environments["prod"] = EnvironmentPolicy{Confirm: ConfirmType, ReadOnly: true}
		o.Now = func() time.Time { return now }
	})
	plan := func() *Plan {
		p := b.plan(Step{Name: "up", Mutates: true})
		p.Made = now
		return p
	}
	u := NewUnlock(b.r, "prod")
	unlock := func(arg string, c Confirmation) error {
		p, err := u.Plan(t.Context(), b.w.Latest(), Intent{Action: UnlockName, Args: map[string]string{"for": arg}, Who: "ana@laptop"})
		if err != nil {
			return err
		}
		ch, err := b.r.Run(t.Context(), p, c)
		if err != nil {
			return err
		}
		finish(t, ch, nil)
		return nil
	}
	if text := b.r.Forbidden("prod", "redeploy"); !strings.Contains(text, "read only") || !strings.Contains(text, "L on the screen") {
		t.Errorf("forbidden: %q", text)
	}
	if _, err := b.r.Run(t.Context(), plan(), typed); err == nil {
		t.Fatal("a read-only environment was acted on")
	}
	for _, c := range []Confirmation{{}, {Yes: true}, {Typed: "prod"}, {Typed: "ai@prod"}} {
		if err := unlock("15m", c); err == nil {
			t.Fatalf("unlocked by %+v", c)
		}
	}
	for _, arg := range []string{"", "2h", "10s", "-5m", "soon"} {
		if err := unlock(arg, Confirmation{Typed: "unlock@prod"}); err == nil {
			t.Errorf("unlocked for %q", arg)
		}
	}
	if err := unlock("15m the index is rebuilt", Confirmation{Typed: "unlock@prod"}); err != nil {
		t.Fatal(err)
	}
	if a := b.r.Access("prod"); !a.ReadOnly || !a.Until.Equal(now.Add(15*time.Minute)) || b.r.Forbidden("prod", "redeploy") != "" {
		t.Errorf("access %+v, forbidden %q", a, b.r.Forbidden("prod", "redeploy"))
	}
	if need, _ := b.r.Required(plan()); need != ConfirmType {
		t.Errorf("unlocked, it asks for %s", need)
	}
	ch, err := b.r.Run(t.Context(), plan(), typed)
	finish(t, ch, err)
	now = now.Add(15 * time.Minute)
	if _, err := b.r.Run(t.Context(), plan(), typed); err == nil || !b.r.Access("prod").Until.IsZero() {
		t.Errorf("fifteen minutes later: %v", err)
	}
	if err := unlock("1h", Confirmation{Typed: "unlock@prod"}); err != nil {
		t.Fatal(err)
	}
	if err := unlock("0", Confirmation{}); err != nil || !b.r.Access("prod").Until.IsZero() {
		t.Errorf("locking again: %v", err)
	}
	entries, err := b.j.Read(Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	told := ""
	for _, e := range entries {
		if e.Record != nil && e.Record.Action == UnlockName {
			told += e.Record.Who + " " + e.Record.Why + " " + e.Record.Title + " " + strings.Join(e.Record.Steps[0].Argv, " ") + "\n"
		}
	}
	if !strings.Contains(told, "ana@laptop the index is rebuilt unlock prod for 15 min this console may act on prod until ") {
		t.Errorf("on record: %s", told)
	}
}

func TestUnlockIsOnlyForWhatIsReadOnly(t *testing.T) {
	b := newBench(t, nil)
	u := NewUnlock(b.r, "prod")
	if o := u.Offer(b.w.Latest(), nil); o.Enabled {
		t.Errorf("offer %+v", o)
	}
	if _, err := u.Plan(t.Context(), b.w.Latest(), Intent{Args: map[string]string{"for": "15m"}}); err == nil {
		t.Error("planned")
	}
	b = newBench(t, func(o *RunnerOptions) {
		o.Policy.Environments["prod"] = EnvironmentPolicy{Confirm: ConfirmNever, ReadOnly: true}
	})
	if text := b.r.Forbidden("prod", UnlockName); text == "" {
		t.Error("what may never be done can be unlocked")
	}
}

// Per environment and action: an environment's own word for an action stands in the place of its general one, and an
// action's own demand is the least of all.
func TestPolicyPerEnvironmentAndAction(t *testing.T) {
	p := Policy{
		Environments: map[string]EnvironmentPolicy{
			"prod":    {Confirm: ConfirmType, Actions: map[string]Confirm{"restart": ConfirmY, "sync": ConfirmNever, "drill": ConfirmNone, "odd": "maybe"}},
			"staging": {Confirm: ConfirmNone, Actions: map[string]Confirm{"restore": ConfirmType}},
			"closed":  {ReadOnly: true, Actions: map[string]Confirm{"restart": ConfirmNone}},
		},
		Actions: map[string]Confirm{"drill": ConfirmY},
	}
	for _, c := range []struct {
		env, action string
		want        Confirm
	}{
		{"prod", "redeploy", ConfirmType}, {"prod", "restart", ConfirmY}, {"prod", "sync", ConfirmNever},
		{"prod", "drill", ConfirmY}, {"prod", "odd", ConfirmType},
		{"staging", "redeploy", ConfirmNone}, {"staging", "restore", ConfirmType}, {"staging", "drill", ConfirmY},
		{"closed", "restart", ConfirmNever}, {"none", "restart", ConfirmNever},
	} {
		if got := p.Required(c.env, c.action); got != c.want {
			t.Errorf("%s on %s asks for %s, not %s", c.action, c.env, got, c.want)
		}
		if never := p.forbidden(c.env, c.action) != ""; never != (c.want == ConfirmNever) {
			t.Errorf("%s on %s: forbidden is %v", c.action, c.env, never)
		}
	}
}
