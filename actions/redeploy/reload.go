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
// changed config_paths; its image stays. With tag_home = "git" the way back is a commit of its own in the infra repo, else it
// is only in the files of the checkouts, and the service can be held (see reconcile).
func reloadStrategy() strategy {
	return strategy{
		name: StrategyReload, keepsRelease: true,
		refuse: func(p *planner) error {
			if len(p.a.cfg.Services[p.t.Key.Name].ConfigPaths) == 0 {
				return fmt.Errorf("say in [actions.redeploy.services.%s] config_paths where its configuration is, below its checkout", p.t.Key.Name)
			}
			return nil
		},
		ask: (*planner).askConfig,
		otherThan: otherThan{
			title: (*planner).configTitle, undo: (*planner).configUndo, settle: (*planner).reconcile,
			choices: func(ctx context.Context, p *planner) (actions.Choices, error) { return p.configChoices(ctx) },
		},
		finish: (*execution).reloadConfig,
		risks: func(p *planner) []string {
			risks := []string{
				fmt.Sprintf("%s goes on while it reads its configuration again; connections that wait unused on it are closed", p.t.Key.Name),
				"a configuration that does not hold is put back, and never loaded; when one that holds cannot be loaded it is restarted",
			}
			if p.repo == nil {
				risks = append(risks, fmt.Sprintf("the checkout on %s differs from its commit afterwards", strings.Join(p.t.HostNames(), ", ")))
			}
			return risks
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
	head  string // the commit of the checkout
	kept  bool   // that has the configuration to go to
	known bool   // the infra repo has the commit to go to: the checkout is one of it
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
	same := now
	now = backTo(list, now) // what came back is the release that it was: the one before that is another
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
	case i == now || i == same:
		return fmt.Errorf("it already is as in %s", list[now].words())
	}
	s.conf.to = list[i]
	return p.tellConfig(ctx, s)
}

// backTo follows commits of our own, which only bring an earlier configuration back, to that one.
func backTo(list []configCommit, i int) int {
	for {
		_, words, ours := strings.Cut(list[i].subject, configuredAs)
		id, _, _ := strings.Cut(words, " ")
		if !ours || !commitPattern(id) {
			return i
		}
		older := slices.IndexFunc(list[i+1:], func(c configCommit) bool { return strings.HasPrefix(c.id, id) })
		if older < 0 {
			return i
		}
		i += 1 + older
	}
}

// tellConfig says what would change, and finds out what the checkout's own commit has.
func (p *planner) tellConfig(ctx context.Context, s *survey) error {
	from, to := s.conf.from, s.conf.to
	stat, err := s.Probe.Text(ctx, onPaths(s, "diff", "--shortstat", from.id, to.id)...)
	if err != nil {
		return err //nolint:wrapcheck // it names host and command
	}
	s.OK("configuration", "from %s to %s: %s", from.words(), to.words(), remote.Clean(stat))
	if s.conf.head, err = s.Probe.Text(ctx, "git", "-C", s.Repo, "rev-parse", "HEAD"); err != nil {
		return err //nolint:wrapcheck // likewise
	}
	_, err = s.Probe.Run(ctx, remote.Command{Argv: onPaths(s, "diff", "--quiet", s.conf.head, to.id)})
	var f *compose.Failure
	if err != nil && (!errors.As(err, &f) || f.Res.Code != 1) {
		return err //nolint:wrapcheck // likewise
	}
	s.conf.kept = err == nil
	if p.head != "" && p.repo.Knows(ctx, to.id) {
		s.conf.known = true
		s.CheckPull(ctx, p.repo, p.head, s.conf.paths...)
	}
	return nil
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

// reloadConfig are the steps. By way of git every host tests the files before the commit is pushed, and has pulled it before it is
// told to read them: nothing that does not hold is ever wanted, and what is loaded is what git desires.
func (e *execution) reloadConfig() []actions.Step {
	var list []actions.Step
	if e.repo == nil {
		for _, s := range e.surveys {
			list = append(append(list, e.exchange(s, e.surveys[:0])...), e.load(s)...)
		}
		return list
	}
	for i, s := range e.surveys {
		list = append(list, e.exchange(s, e.surveys[:i])...)
	}
	if e.commit != "" {
		push := e.pushCommit()
		push.Do = e.elseBack(push.Do, e.surveys)
		list = append(list, push)
	}
	for _, s := range e.surveys {
		list = append(append(list, s.PullCheckout(e.repo.Branch)), e.load(s)...)
	}
	return list
}

// exchange writes the other configuration over the one that is there, and tests it. What does not hold must not lie there either, nor on the
// hosts before: the next restart would take it.
func (e *execution) exchange(s *survey, before []*survey) []actions.Step {
	test := e.testProxy(s.conf.proxy)
	test.Do = e.elseBack(test.Do, append(slices.Clone(before), s))
	restore := s.Mutate("restore configuration", e.restoreArgv(s, s.conf.to.id))
	restore.Do = e.elseBack(restore.Do, before)
	return []actions.Step{e.lookAtConfig(s), restore, test}
}

// load has the proxy read its files.
func (e *execution) load(s *survey) []actions.Step {
	steps := e.loadProxy(s.conf.proxy)
	last := len(steps) - 1
	done := steps[last].Do
	steps[last].Do = func(ctx context.Context, out func(stream, line string)) error {
		defer e.watch.Did(e.t.Key, s.Place.Host)
		return done(ctx, out)
	}
	return steps
}

// restoreArgv makes the configuration on a host that of a commit. Before a pull that brings the same it is noted in the index too: git pulls over that.
func (e *execution) restoreArgv(s *survey, commit string) []string {
	words := []string{"restore", "--worktree", "--source=" + commit}
	if e.repo != nil {
		words = []string{"restore", "--staged", "--worktree", "--source=" + commit}
	}
	return onPaths(s, words...)
}

// elseBack puts the files on hosts back as they were when a step fails. What is not known to have failed is left alone.
func (e *execution) elseBack(do func(context.Context, func(stream, line string)) error, hosts []*survey) func(context.Context, func(stream, line string)) error {
	return func(ctx context.Context, out func(stream, line string)) error {
		err := do(ctx, out)
		if err == nil || errors.Is(err, actions.ErrUnknown) || len(hosts) == 0 {
			return err
		}
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), compose.AskTimeout)
		defer cancel()
		for _, s := range hosts {
			was := s.conf.from.id
			if e.repo != nil {
				was = s.conf.head // they were as in the checkout's commit, else the pull would have been refused
			}
			back := remote.Command{Argv: e.restoreArgv(s, was)}
			out("stdout", strings.Join(back.Argv, " "))
			if _, berr := compose.Mutate(cctx, s.Host, back, out); berr != nil {
				return fmt.Errorf("%w; and it could not be put back: %w", err, berr)
			}
		}
		return fmt.Errorf("%w; the files were put back as they were, it was not told to read them", err)
	}
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
