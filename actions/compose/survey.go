package compose

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// AskTimeout bounds one question to a host.
const AskTimeout = 20 * time.Second

// Survey is what was found out about a target on one host, and the preflights that came of it.
type Survey struct {
	Place  *Place
	Host   remote.Host
	Probe  Probe
	Checks []actions.Check

	Engine Engine
	Root   string // what tag files are below
	Repo   string // root of the git checkout; "" when there is none
	Head   string // its commit, when it was asked for a pull
}

func (s *Survey) add(state actions.CheckState, name, format string, args ...any) {
	s.Checks = append(s.Checks, actions.Check{
		Name: name + " on " + s.Place.Host, State: state, Detail: fmt.Sprintf(format, args...),
	})
}

// OK notes a check that found nothing wrong.
func (s *Survey) OK(name, format string, args ...any) { s.add(actions.CheckOK, name, format, args...) }

// Warn notes a check that found what has to be said.
func (s *Survey) Warn(name, format string, args ...any) {
	s.add(actions.CheckWarn, name, format, args...)
}

// Fail notes a check that forbids to go on.
func (s *Survey) Fail(name, format string, args ...any) {
	s.add(actions.CheckFail, name, format, args...)
}

// Surveyor asks the hosts of one service.
type Surveyor struct {
	Places
	Key   fleet.ServiceKey
	Hosts func(name string) (remote.Host, error)
	Now   func() time.Time
}

// Ask finds out that the host, its engine, Compose and the project's folder are there, and that the folder can be believed.
// What it cannot find out it says as a failed check; whole is false when further questions would only say the same again.
func (v Surveyor) Ask(ctx context.Context, pl *Place) (s *Survey, whole bool) {
	s = &Survey{Place: pl}
	host, err := v.Hosts(pl.Host)
	if err != nil {
		s.Fail("host", "%v", err)
		return s, false
	}
	s.Host, s.Probe = host, Probe{Host: bounded{host}}
	return s, v.checkHost(ctx, s) && v.checkCompose(ctx, s) && v.checkFolder(ctx, s)
}

// bounded gives every question to a host a time.
type bounded struct{ remote.Host }

// Run runs a command that is over within AskTimeout.
func (b bounded) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, AskTimeout)
	defer cancel()
	return b.Host.Run(ctx, cmd) //nolint:wrapcheck // the same host
}

// checkHost finds out that the host and its engine are there, and which they are.
func (v Surveyor) checkHost(ctx context.Context, s *Survey) bool {
	const name = "host"
	hostname, err := s.Probe.Text(ctx, "hostname")
	if err != nil || hostname == "" {
		s.Fail(name, "%s", orSaid(err, "it does not say its name"))
		return false
	}
	if s.Engine, err = s.Probe.Engine(ctx); err != nil {
		s.Fail(name, "%v", err)
		return false
	}
	s.OK(name, "%s, engine %s %s", remote.Clean(hostname), remote.Clean(s.Engine.ServerVersion), fleet.ShortDigest(remote.Clean(s.Engine.ID)))
	before := v.Now()
	clock, err := s.Probe.Clock(ctx)
	if err != nil {
		s.Warn("clock", "%v", err)
		return true
	}
	const tolerable = 30 * time.Second
	if off := clock.Sub(before); off.Abs() > tolerable {
		s.Warn("clock", "%s off this machine's: the times of what happened do not fit together", fleet.Ago(off.Abs()))
	}
	return true
}

func orSaid(err error, otherwise string) string {
	if err != nil {
		return err.Error()
	}
	return otherwise
}

func (v Surveyor) checkCompose(ctx context.Context, s *Survey) bool {
	const name = "compose"
	version, err := s.Probe.Text(ctx, append(append([]string(nil), v.Program...), "version", "--short")...)
	version = remote.Clean(version)
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	switch {
	case err != nil:
		s.Fail(name, "%v: install the Compose v2 plugin, or set compose in [%s]", err, v.Table)
		return false
	case major == "" || major == "0" || major == "1":
		s.Fail(name, "version %s: Compose v2 is needed, v1 re-creates what v2 made under other names", version)
		return false
	}
	s.OK(name, "%s", version)
	return true
}

// checkFolder finds the project's folder and the checkout around it.
func (v Surveyor) checkFolder(ctx context.Context, s *Survey) bool {
	dir := s.Place.Dir
	if _, err := s.Probe.Text(ctx, "readlink", "-f", dir); err != nil {
		s.Fail("project", "%s is not there any more: %v: say where it is in %s dir", dir, err, v.table(v.Key.Name))
		return false
	}
	if err := v.checkLabels(ctx, s); err != nil {
		s.Fail("project", "%v; if it is right, say dir, files and env_files in %s", err, v.table(v.Key.Name))
		return false
	}
	s.Root = orElse(s.Place.Checkout, dir)
	repo, err := s.Probe.Text(ctx, "git", "-C", s.Root, "rev-parse", "--show-toplevel")
	var f *Failure
	switch {
	case err == nil && strings.HasPrefix(repo, "/"):
		s.Repo = repo
		if s.Place.Checkout == "" {
			s.Root = repo
		}
	case errors.As(err, &f) && (f.Res.Code == 127 || strings.Contains(string(f.Res.Stderr), "not a git repository")):
	default:
		s.Fail("project", "%s", orSaid(err, "git does not say where the checkout begins"))
		return false
	}
	s.OK("project", "%s in %s", s.Place.Project, dir)
	return true
}

// Path is a file on the host: below the root unless it is absolute.
func (s *Survey) Path(file string) string {
	if path.IsAbs(file) {
		return file
	}
	return path.Join(s.Root, file)
}
