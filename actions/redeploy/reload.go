package redeploy

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/remote"
)

// reloadStrategy exchanges a proxy's configuration while it runs. What it goes back to is a commit of the checkout on its hosts that
// changed config_paths; its image stays.
func reloadStrategy() strategy {
	return strategy{
		name: StrategyReload, ownTag: true, keepsRelease: true,
		refuse: func(p *planner) error {
			if len(p.a.cfg.Services[p.t.Key.Name].ConfigPaths) == 0 {
				return fmt.Errorf("say in [actions.redeploy.services.%s] config_paths where its configuration is, below its checkout", p.t.Key.Name)
			}
			return nil
		},
		ask:     (*planner).askConfig,
		title:   (*planner).configTitle,
		choices: func(ctx context.Context, p *planner) (actions.Choices, error) { return p.configChoices(ctx) },
		undo:    (*planner).configUndo,
		steps:   (*execution).reloadConfig,
		risks: func(p *planner) []string {
			return []string{
				fmt.Sprintf("%s goes on while it reads its configuration again; connections that wait unused on it are closed", p.t.Key.Name),
				"a configuration that does not hold is put back, and never loaded; when one that holds cannot be loaded it is restarted",
				fmt.Sprintf("the checkout on %s differs from its commit afterwards", strings.Join(p.t.HostNames(), ", ")),
			}
		},
	}
}

// configured is what was found out about a configuration on one host.
type configured struct {
	proxy *proxy
	paths []string
	log   []configCommit // newest first
	from  configCommit
	to    configCommit
}

// configCommit is one release of a configuration.
type configCommit struct {
	id      string
	at      time.Time
	author  string
	subject string
}

func (c configCommit) words() string {
	return fmt.Sprintf("%.7s by %s: %s", c.id, c.author, c.subject)
}

// maxConfigCommits bounds how far back is looked.
const maxConfigCommits = 20

// askConfig asks a host for its configuration, and what it was before.
func (p *planner) askConfig(ctx context.Context, pl *compose.Place) *survey {
	asked, whole := compose.Surveyor{
		Places: p.a.cfg.places(), Key: p.t.Key, Hosts: p.a.deps.Host, Now: p.a.deps.Now,
	}.Ask(ctx, pl)
	s := &survey{Survey: asked}
	if !whole {
		return s
	}
	px, err := p.a.newProxy(p.t.Target, p.svc, pl)
	if err == nil {
		px.Survey = asked
		s.conf = &configured{proxy: px, paths: p.a.cfg.Services[p.t.Key.Name].ConfigPaths}
		err = p.chooseConfig(ctx, s)
	}
	if err != nil {
		s.Fail("configuration", "%v", err)
		return s
	}
	if _, err := s.Probe.Run(ctx, remote.Command{Argv: p.a.execIn(px, px.test)}); err != nil {
		s.Warn("configuration", "what it has now does not hold: %v", err)
	}
	return s
}

// chooseConfig finds which commit the files on the host are from, and the one to go to.
func (p *planner) chooseConfig(ctx context.Context, s *survey) error {
	if s.Repo == "" {
		return fmt.Errorf("%s is in no git checkout: what it was before is not known", s.Place.Dir)
	}
	list, err := configLog(ctx, s)
	if err != nil {
		return err
	}
	s.conf.log = list
	now := -1
	for i, c := range list {
		_, err := s.Probe.Run(ctx, remote.Command{Argv: onPaths(s, "diff", "--quiet", c.id)})
		var f *compose.Failure
		if err == nil {
			now = i
			break
		}
		if !errors.As(err, &f) || f.Res.Code != 1 {
			return err //nolint:wrapcheck // it names host and command
		}
	}
	if now < 0 {
		return fmt.Errorf("%s in %s is not as in any of its last %d commits: somebody is changing it: commit that first", strings.Join(s.conf.paths, ", "), s.Repo, len(list))
	}
	s.conf.from = list[now]
	want := p.intent.Args[ArgTo]
	i := now + 1
	if want != "" {
		i = slices.IndexFunc(list, func(c configCommit) bool { return len(want) >= 7 && strings.HasPrefix(c.id, want) })
	}
	switch {
	case want != "" && i < 0:
		return fmt.Errorf("%s is none of the last %d commits of %s: write at least 7 digits of one", remote.Clean(want), len(list), strings.Join(s.conf.paths, ", "))
	case i >= len(list):
		return fmt.Errorf("%s has no commit before %s", strings.Join(s.conf.paths, ", "), list[now].words())
	case i == now:
		return fmt.Errorf("it already is as in %s", list[now].words())
	}
	s.conf.to = list[i]
	return p.tellConfig(ctx, s)
}

// tellConfig says what would change, and whether the next pull undoes it.
func (p *planner) tellConfig(ctx context.Context, s *survey) error {
	from, to := s.conf.from, s.conf.to
	stat, err := s.Probe.Text(ctx, onPaths(s, "diff", "--shortstat", from.id, to.id)...)
	if err != nil {
		return err //nolint:wrapcheck // it names host and command
	}
	s.OK("configuration", "from %s to %s: %s", from.words(), to.words(), remote.Clean(stat))
	head, err := s.Probe.Text(ctx, "git", "-C", s.Repo, "rev-parse", "HEAD")
	if err != nil {
		return err //nolint:wrapcheck // likewise
	}
	last, err := configLog(ctx, s)
	if err == nil && len(last) > 0 && last[0].id == to.id {
		s.OK("reconciler", "the checkout at %.7s has it so: the next pull keeps it", head)
		return nil
	}
	s.Warn("reconciler", "the checkout at %.7s has another one: the next pull refuses or brings that back, revert it in git too", head)
	return err
}

// onPaths is a git command on the configuration in a host's checkout.
func onPaths(s *survey, words ...string) []string {
	argv := append([]string{"git", "-C", s.Repo}, words...)
	return append(append(argv, "--"), s.conf.paths...)
}

// configLog are the commits that changed the configuration, newest first.
func configLog(ctx context.Context, s *survey) ([]configCommit, error) {
	out, err := s.Probe.Text(ctx, onPaths(s, "log", "--max-count="+strconv.Itoa(maxConfigCommits), "--format=%H%x09%ct%x09%an%x09%s")...)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names host and command
	}
	var list []configCommit
	for _, line := range strings.Split(out, "\n") {
		f := strings.SplitN(line, "\t", 4)
		const fields = 4
		if len(f) != fields || !commitPattern(f[0]) {
			continue
		}
		at, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			continue
		}
		list = append(list, configCommit{id: f[0], at: time.Unix(at, 0), author: remote.Clean(f[2]), subject: remote.Clean(f[3])})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no commit of %s has %s", s.Repo, strings.Join(s.conf.paths, ", "))
	}
	return list, nil
}

func commitPattern(id string) bool {
	const least, most = 7, 64
	return len(id) >= least && len(id) <= most && strings.Trim(id, "0123456789abcdef") == ""
}

func (p *planner) configTitle() string {
	for _, s := range p.surveys {
		if s.conf != nil && s.conf.to.id != "" {
			return fmt.Sprintf("reload %s on %s: configuration %.7s → %.7s", p.t.Key.Name, p.t.Key.Environment, s.conf.from.id, s.conf.to.id)
		}
	}
	return fmt.Sprintf("reload %s on %s", p.t.Key.Name, p.t.Key.Environment)
}

func (p *planner) configUndo() *actions.Intent {
	for _, s := range p.surveys {
		if s.conf != nil && s.conf.from.id != "" {
			in := p.intent
			in.Args = map[string]string{ArgTo: s.conf.from.id, ArgStrategy: StrategyReload}
			in.Why = "undo of " + p.id
			return &in
		}
	}
	return nil
}

// reloadConfig are the steps on one host.
func (e *execution) reloadConfig(s *survey) []actions.Step {
	c := s.conf
	restore := func(commit string) []string {
		return onPaths(s, "restore", "--worktree", "--source="+commit)
	}
	steps := []actions.Step{e.lookAtConfig(s), s.Mutate("restore configuration", restore(c.to.id))}
	reload := e.reloadProxy(c.proxy)
	// What does not hold must not lie there either: the next restart would take it.
	test := reload[0].Do
	reload[0].Do = func(ctx context.Context, out func(stream, line string)) error {
		err := test(ctx, out)
		if err == nil {
			return nil
		}
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), compose.AskTimeout)
		defer cancel()
		back := remote.Command{Argv: restore(c.from.id)}
		out("stdout", strings.Join(back.Argv, " "))
		if _, berr := compose.Mutate(cctx, s.Host, back, out); berr != nil {
			return fmt.Errorf("%w; and it could not be put back: %w", err, berr)
		}
		return fmt.Errorf("%w; the files were put back as they were, it was not told to read them", err)
	}
	last := len(reload) - 1
	done := reload[last].Do
	reload[last].Do = func(ctx context.Context, out func(stream, line string)) error {
		defer e.watch.Did(e.t.Key, s.Place.Host)
		return done(ctx, out)
	}
	return append(steps, reload...)
}

// lookAtConfig makes sure, right before it is written over, that the configuration still is the one of the plan: what somebody
// has changed by hand since is nowhere else.
func (e *execution) lookAtConfig(s *survey) actions.Step {
	argv := onPaths(s, "diff", "--quiet", s.conf.from.id)
	return s.Step("look at configuration", false, argv, func(ctx context.Context, cmd remote.Command, _ func(stream, line string)) error {
		_, err := s.Probe.Run(ctx, cmd)
		var f *compose.Failure
		if errors.As(err, &f) && f.Res.Code == 1 {
			return fmt.Errorf("%s: %s in %s has changed since the plan was made: nothing was written over: make the plan again",
				s.Place.Host, strings.Join(s.conf.paths, ", "), s.Repo)
		}
		return err //nolint:wrapcheck // it names host and command
	})
}

// validateConfigPaths holds the paths inside the checkout.
func validateConfigPaths(at string, paths []string) []error {
	var errs []error
	for _, f := range paths {
		if f == "" || path.IsAbs(f) || path.Clean(f) != f || strings.HasPrefix(f, "..") || strings.HasPrefix(f, "-") || strings.HasPrefix(f, ":") {
			errs = append(errs, fmt.Errorf("%s.config_paths: %q is not allowed: a path below the checkout", at, f))
		}
	}
	return errs
}

// stays makes the release that runs the one to go to.
func (t *target) stays() {
	t.to = t.Hosts[0].From
	t.to.At = time.Time{}
}
