package exec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// askTimeout bounds the one question to the host.
const askTimeout = 15 * time.Second

// session is one program in one instance.
type session struct {
	a        *action
	key      fleet.ServiceKey
	in       *fleet.Instance // as it was when the plan was made
	host     remote.Host
	command  []string // what is run in it
	shell    bool     // nothing was said: a shell
	terminal bool
	ended    time.Time // when the program ended
}

// Plan looks whether the instance is there, and shows the one command.
func (a *action) Plan(ctx context.Context, snap *fleet.Snapshot, intent actions.Intent) (*actions.Plan, error) {
	svc, err := find(snap, intent.Targets)
	if err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	s, err := a.session(svc, intent)
	if err != nil {
		return nil, fmt.Errorf("exec %s: %w", svc.Key, err)
	}
	now := a.deps.Now()
	plan := &actions.Plan{
		ID: actions.NewPlanID(now), Intent: intent, Environment: svc.Key.Environment, Made: now, Snapshot: snap.Seq,
		Title: fmt.Sprintf("%s in %s on %s", s.what(), remote.Clean(s.in.Name), s.in.Host),
		Risks: []string{
			"what is run in the container changes it at once, and cannot be undone from here",
			"no lock is taken: a deploy may replace the container meanwhile, which ends it",
			"on record are who, where, when and the exit code; not what is typed and shown",
		},
		Bases: []actions.Basis{s.basis(snap)}, Verify: s.verify,
	}
	plan.Checks = append(plan.Checks,
		actions.Check{Name: "facts", State: actions.CheckOK, Detail: fleet.Ago(snap.At.Sub(svc.Seen)) + " old"}, s.check(ctx))
	if ok, _ := plan.Runnable(); ok {
		argv := s.argv(a.cfg.Docker)
		plan.Steps = []actions.Step{{
			Name: s.what(), Host: s.in.Host, Argv: argv, Mutates: true, Attended: true,
			Do: func(ctx context.Context, out func(stream, line string)) error { return s.run(ctx, argv, out) },
		}}
	}
	return plan, nil
}

// session reads the intent.
func (a *action) session(svc *fleet.Service, intent actions.Intent) (*session, error) {
	in, err := choose(svc, intent.Args[ArgInstance])
	if err != nil {
		return nil, err
	}
	s := &session{a: a, key: svc.Key, in: in, command: a.cfg.shellOf(svc.Key.Name), shell: true, terminal: true}
	if text := intent.Args[ArgCommand]; text != "" {
		s.command, s.shell, s.terminal = nil, false, intent.Args[ArgTerminal] == "yes"
		if err := json.Unmarshal([]byte(text), &s.command); err != nil || len(s.command) == 0 || s.command[0] == "" {
			return nil, fmt.Errorf("%s: %s is no command: a JSON list of a program and its arguments, like [\"ls\", \"-l\"]", ArgCommand, remote.Clean(text))
		}
	}
	if s.host, err = a.deps.Host(in.Host); err != nil {
		return nil, fmt.Errorf("host %s: %w", in.Host, err)
	}
	return s, nil
}

func (s *session) what() string {
	if s.shell {
		return "shell"
	}
	return "command"
}

// argv is the command on the host. A command without a terminal gets what is piped in.
func (s *session) argv(docker []string) []string {
	flag := "-i"
	if s.terminal {
		flag = "-it"
	}
	return append(append(slices.Clone(docker), "exec", flag, s.in.ID), s.command...)
}

// basis is the instance: another one in its place is not what was shown.
func (s *session) basis(snap *fleet.Snapshot) actions.Basis {
	now := func(snap *fleet.Snapshot) string {
		svc, ok := snap.Find(s.key)
		if !ok {
			return ""
		}
		for _, in := range svc.Instances {
			if in.Host == s.in.Host && in.ID == s.in.ID {
				return string(in.State) + " " + fleet.ShortDigest(in.ID)
			}
		}
		return ""
	}
	return actions.Basis{What: value(s.in) + " is", Value: now(snap), Now: now}
}

// check asks the host whether the container runs.
func (s *session) check(ctx context.Context) actions.Check {
	c := actions.Check{Name: "container on " + s.in.Host, State: actions.CheckFail}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	argv := append(slices.Clone(s.a.cfg.Docker), "container", "inspect", "--format", "{{json .State}}", s.in.ID)
	out, err := compose.Probe{Host: s.host}.Run(ctx, remote.Command{Argv: argv})
	var state struct {
		Status  string
		Running bool
		Paused  bool
	}
	if err == nil {
		if jerr := json.Unmarshal(bytes.TrimSpace(out), &state); jerr != nil {
			err = errors.New("docker gives no state for it")
		}
	}
	switch {
	case err != nil:
		c.Detail = err.Error()
	case !state.Running || state.Paused:
		c.Detail = remote.Clean(s.in.Name) + " is " + remote.Clean(state.Status) + ": nothing can be run in it"
	case s.terminal && !interactive(s.host):
		c.Detail = "this kind of host gives no terminals: give a command to run instead"
	default:
		c.State, c.Detail = actions.CheckOK, remote.Clean(s.in.Name)+" "+fleet.ShortDigest(s.in.ID)+" is "+remote.Clean(state.Status)
	}
	return c
}

func interactive(h remote.Host) bool {
	_, ok := h.(remote.Interactive)
	return ok
}

// instanceNow is the instance in a newer snapshot.
func (s *session) instanceNow(svc *fleet.Service) (*fleet.Instance, bool) {
	i := slices.IndexFunc(svc.Instances, func(in *fleet.Instance) bool { return in.Host == s.in.Host && in.ID == s.in.ID })
	if i < 0 {
		return nil, false
	}
	return svc.Instances[i], true
}

// verify looks at the container once more: what was done in it may have hurt it.
func (s *session) verify(ctx context.Context, w actions.World, out func(line string)) (actions.Outcome, []string) {
	if ctx.Err() != nil {
		return actions.OutcomeCancelled, []string{"cancelled before the container was looked at"}
	}
	wctx, cancel := context.WithTimeout(ctx, s.a.deps.Wait)
	defer cancel()
	svc, err := actions.Watch{World: w, Look: s.a.deps.Look}.Fresh(wctx, s.key, s.in.Host, s.ended)
	name := remote.Clean(s.in.Name)
	if err != nil {
		return actions.OutcomeUnknown, []string{fmt.Sprintf("it ended; what %s is like now cannot be seen: %v", name, err)}
	}
	now, ok := s.instanceNow(svc)
	var bad []string
	switch {
	case !ok:
		bad = append(bad, name+" is gone: it was replaced or removed meanwhile")
	case now.State != fleet.StateRunning:
		bad = append(bad, fmt.Sprintf("%s is %s now", name, remote.Clean(string(now.State))))
	case now.Life.Restarts > s.in.Life.Restarts || now.Life.StartedAt.After(s.in.Life.StartedAt):
		bad = append(bad, name+" was restarted meanwhile")
	case now.Health == fleet.HealthUnhealthy && s.in.Health != fleet.HealthUnhealthy:
		bad = append(bad, strings.TrimSuffix(fmt.Sprintf("%s is unhealthy now, it was %s: %s", name, s.in.Health, remote.Clean(now.HealthOutput)), ": "))
	}
	if len(bad) > 0 {
		return actions.OutcomeDegraded, bad
	}
	out(fmt.Sprintf("%s still runs, health %s", name, now.Health))
	return actions.OutcomeGood, nil
}
