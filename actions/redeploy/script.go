package redeploy

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Script is [actions.redeploy.script]: the estate's own way to deploy. In its words {env}, {service}, {tag} and {from} are filled in.
type Script struct {
	Host     string          `toml:"host"`     // where it runs; "" is this machine
	Dir      string          `toml:"dir"`      // the folder it runs in
	Deploy   []string        `toml:"deploy"`   // to a tag
	Rollback []string        `toml:"rollback"` // to the previous release; default: deploy with its tag
	Timeout  remote.Duration `toml:"timeout"`  // default 15m
}

func (s Script) validate(at string) []error {
	var errs []error
	if s.Dir != "" && !path.IsAbs(s.Dir) {
		errs = append(errs, fmt.Errorf("%s.dir: %q is not allowed: an absolute folder", at, s.Dir))
	}
	if s.Timeout < 0 || s.Timeout > remote.Duration(6*time.Hour) {
		errs = append(errs, fmt.Errorf("%s.timeout: allowed is up to 6h", at))
	}
	for name, words := range map[string][]string{"deploy": s.Deploy, "rollback": s.Rollback} {
		if len(words) > 0 && (words[0] == "" || strings.Contains(words[0], "{")) {
			errs = append(errs, fmt.Errorf("%s.%s: the first word is the program", at, name))
		}
	}
	return errs
}

// scriptOf is the script of a service: its own, else that of the action.
func (c *Config) scriptOf(key fleet.ServiceKey) Script {
	s := c.Script
	if own := c.Services[key.Name].Script; own != nil {
		s = *own
	}
	if s.Timeout == 0 {
		s.Timeout = remote.Duration(15 * time.Minute)
	}
	return s
}

// scriptStrategy runs the estate's own scripts. They pull, keep the tag and bring up as they see fit: what came of it is judged by
// what runs afterwards, whatever they say.
func scriptStrategy() strategy {
	return strategy{
		name: StrategyScript, offHost: true, ownTag: true,
		refuse: func(p *planner) error {
			if len(p.a.cfg.scriptOf(p.t.Key).Deploy) == 0 {
				return errors.New("[actions.redeploy.script] deploy says no program")
			}
			return nil
		},
		prepare: (*planner).prepareScript,
		finish:  (*execution).runScript,
		risks: func(p *planner) []string {
			s := p.a.cfg.scriptOf(p.t.Key)
			return []string{fmt.Sprintf("what %s does on the way only it knows; it has %s", p.scriptArgv(s)[0], fleet.Ago(time.Duration(s.Timeout)))}
		},
	}
}

// scriptHost is where the script runs.
func (p *planner) scriptHost(s Script) (remote.Host, error) {
	if s.Host == "" {
		return remote.Local("this machine"), nil
	}
	return p.a.deps.Host(s.Host)
}

// scriptArgv is the whole call. Each word of the config stays one word, whatever is filled in.
func (p *planner) scriptArgv(s Script) []string {
	words := s.Deploy
	if len(s.Rollback) > 0 && p.t.to.Tag == p.svc.Releases.Previous.Tag {
		words = s.Rollback
	}
	fill := strings.NewReplacer("{env}", p.t.Key.Environment, "{service}", p.t.Key.Name, "{tag}", p.t.to.Tag, "{from}", p.t.Hosts[0].From.Tag)
	argv := []string{words[0]}
	for _, w := range words[1:] {
		argv = append(argv, fill.Replace(w))
	}
	return argv
}

// prepareScript makes sure that the script is there and is not anybody's.
func (p *planner) prepareScript(ctx context.Context) {
	const name = "script"
	s := p.a.cfg.scriptOf(p.t.Key)
	argv := p.scriptArgv(s)
	host, err := p.scriptHost(s)
	if err != nil {
		p.check(actions.CheckFail, name, "%v", err)
		return
	}
	file := argv[0]
	if !strings.Contains(file, "/") {
		p.check(actions.CheckOK, name, "%s on %s, wherever it is found there", file, host.Name())
		return
	}
	if !path.IsAbs(file) {
		file = path.Join(s.Dir, file)
	}
	probe := compose.Probe{Host: host}
	ctx, cancel := context.WithTimeout(ctx, compose.AskTimeout)
	defer cancel()
	out, err := probe.Text(ctx, "stat", "-L", "-c", "%u %f", file)
	if err != nil {
		p.check(actions.CheckFail, name, "%v", err)
		return
	}
	_, hex, _ := strings.Cut(out, " ")
	mode, err := strconv.ParseUint(hex, 16, 32)
	const typeMask, regular, runs, byEverybody = 0o170000, 0o100000, 0o111, 0o002
	switch {
	case err != nil:
		p.check(actions.CheckFail, name, "%s: stat of %s is not understood", host.Name(), file)
	case mode&typeMask != regular || mode&runs == 0:
		p.check(actions.CheckFail, name, "%s on %s is no program: chmod +x it", file, host.Name())
	case mode&byEverybody != 0:
		p.check(actions.CheckFail, name, "everybody on %s may change %s: chmod o-w it", host.Name(), file)
	default:
		p.check(actions.CheckOK, name, "%s on %s", file, host.Name())
	}
}

// runScript is the one step. An exit code is told, and decides nothing but that a good end is not believed to be one.
func (e *execution) runScript() []actions.Step {
	s := e.a.cfg.scriptOf(e.t.Key)
	host, err := e.scriptHost(s)
	argv := e.scriptArgv(s)
	run := actions.Step{
		Name: "script", Host: s.Host, Argv: argv, Dir: s.Dir, Mutates: true, Timeout: time.Duration(s.Timeout),
		Do: func(ctx context.Context, out func(stream, line string)) error {
			if err != nil {
				return err
			}
			defer func() {
				for _, pl := range e.t.Hosts {
					e.watch.Did(e.t.Key, pl.Host)
				}
			}()
			_, err := compose.Mutate(ctx, host, remote.Command{Argv: argv, Dir: s.Dir}, out)
			var f *compose.Failure
			if errors.As(err, &f) {
				e.said = fmt.Sprintf("the script ended with exit code %d: %s", f.Res.Code, f.Error())
				out("stderr", e.said)
				return nil // what runs now is looked at
			}
			return err //nolint:wrapcheck // it names the host
		},
	}
	return append([]actions.Step{run}, e.reloadProxies()...)
}

// verdict is the watch's, and not good when a script said that it had failed.
func (e *execution) verdict(ctx context.Context, w actions.World, out func(line string)) (actions.Outcome, []string) {
	o, reasons := e.watch.Verify(ctx, w, out)
	if e.said != "" {
		reasons = append([]string{e.said}, reasons...)
		if o == actions.OutcomeGood {
			o = actions.OutcomeDegraded
		}
	}
	return o, reasons
}
