package redeploy

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// What is done about migrations between two releases.
const (
	MigrationsWarn = "warn"
	MigrationsWhy  = "why"  // only with a reason: --why
	MigrationsFail = "fail" // never
)

// Migrations is [actions.redeploy.migrations]: how a change of the database between two releases is seen.
type Migrations struct {
	Paths  []string        `toml:"paths"`  // git pathspecs; {service} is filled in; none: it is not looked
	Repo   string          `toml:"repo"`   // a checkout on the hosts, of which the images' revision labels are commits; default: the one around the project
	On     string          `toml:"on"`     // warn, why or fail
	Backup remote.Duration `toml:"backup"` // how old the last good backup may be when there are some; default 1h
}

func (m Migrations) validate() []error {
	var errs []error
	if !slices.Contains([]string{MigrationsWarn, MigrationsWhy, MigrationsFail}, m.On) {
		errs = append(errs, fmt.Errorf("migrations.on: %q is not allowed: warn, why, fail", m.On))
	}
	if m.Repo != "" && !path.IsAbs(m.Repo) {
		errs = append(errs, fmt.Errorf("migrations.repo: %q is not allowed: an absolute folder of the hosts", m.Repo))
	}
	if m.Backup < 0 {
		errs = append(errs, fmt.Errorf("migrations.backup: allowed is 0s and more"))
	}
	return errs
}

// preflights are the questions to a host that do not depend on the strategy.
func (p *planner) preflights(ctx context.Context, s *survey) {
	p.checkSpace(ctx, s)
	p.checkDependencies(s)
	p.checkMigrations(ctx, s)
}

// checkSpace makes sure that what is pulled has room where the engine keeps its images.
func (p *planner) checkSpace(ctx context.Context, s *survey) {
	const name = "disk"
	dir := s.Engine.DockerRootDir
	if !path.IsAbs(dir) {
		return
	}
	out, err := s.Probe.Text(ctx, "df", "-PB1", dir)
	lines := strings.Split(out, "\n")
	fields := strings.Fields(lines[len(lines)-1])
	const columns, available = 6, 3
	if err != nil || len(lines) < 2 || len(fields) < columns {
		s.Warn(name, "how much is free is not known: %s", orElse(errText(err), "df is not understood"))
		return
	}
	free, err := strconv.ParseInt(fields[available], 10, 64)
	if err != nil {
		s.Warn(name, "how much is free is not known: df is not understood")
		return
	}
	const unpacked = 3 // times what comes over the network, layers and what they become
	bound := int64(p.a.cfg.MinFreeMiB) << 20
	need := bound
	if s.local == nil {
		need += unpacked * s.pullSize
	}
	room := fmt.Sprintf("%s free in %s, %s needed", fleet.Bytes(float64(free)), dir, fleet.Bytes(float64(need)))
	switch {
	case free >= need:
		s.OK(name, "%s", room)
	case s.local == nil:
		s.Fail(name, "%s: make room first (docker system df tells what takes it)", room)
	default:
		s.Warn(name, "%s: nothing is pulled, but logs and databases want room too", room)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// checkDependencies says what the Compose file wants to run before it, and does not.
func (p *planner) checkDependencies(s *survey) {
	const name = "dependencies"
	var missing, there []string
	for dep := range s.rendered.DependsOn {
		switch state := p.dependency(s, dep); state {
		case "":
			there = append(there, dep)
		default:
			missing = append(missing, remote.Clean(dep)+" "+state)
		}
	}
	slices.Sort(missing)
	slices.Sort(there)
	switch {
	case len(missing) > 0:
		s.Warn(name, "it depends on others, which are not as they should be: %s", strings.Join(missing, ", "))
	case len(there) > 0:
		s.OK(name, "%s well", remote.Clean(strings.Join(there, ", ")))
	}
}

// dependency says what is wrong with another service of the same project; "" when nothing is.
func (p *planner) dependency(s *survey, dep string) string {
	state := "is not there"
	for _, svc := range p.snap.Services {
		for _, in := range svc.Instances {
			if in.Host != s.Place.Host || in.Subject.Project != s.Place.Project || in.Subject.Service != dep || in.OneOff {
				continue
			}
			switch {
			case in.State != fleet.StateRunning:
				state = "is " + string(in.State)
			case in.Health == fleet.HealthUnhealthy || in.Health == fleet.HealthDown || in.Health == fleet.HealthStarting:
				state = "is " + string(in.Health)
			default:
				return ""
			}
		}
	}
	return state
}

const labelRevision = "org.opencontainers.image.revision"

// checkMigrations looks for changes of the database between the release that runs and the one to go to. They stay: the
// other release has to live with them.
func (p *planner) checkMigrations(ctx context.Context, s *survey) {
	const name = "migrations"
	m := p.a.cfg.Migrations
	if len(m.Paths) == 0 {
		return
	}
	repo, from, to := orElse(m.Repo, s.Repo), p.commitOf(s.Place.From), p.t.to.Commit
	if m.Repo != "" {
		from, to = p.revisions(s)
	}
	switch {
	case repo == "":
		s.Warn(name, "not known: %s is in no git checkout", s.Place.Dir)
		return
	case !commitPattern(from) || !commitPattern(to):
		s.Warn(name, "not known: of which commit %s and %s are is not said", s.Place.From.Version(), p.t.to.Version())
		return
	}
	argv := []string{"git", "-C", repo, "diff", "--name-only", from, to, "--"}
	for _, f := range m.Paths {
		argv = append(argv, strings.ReplaceAll(f, "{service}", p.t.Key.Name))
	}
	out, err := s.Probe.Text(ctx, argv...)
	if err != nil {
		s.Warn(name, "not known: %v", err)
		return
	}
	if out == "" {
		s.OK(name, "none between %s and %s", s.Place.From.Version(), p.t.to.Version())
		return
	}
	files := strings.Split(remote.Clean(strings.ReplaceAll(out, "\n", " , ")), " , ")
	p.tellMigrations(s, files)
}

func (p *planner) tellMigrations(s *survey, files []string) {
	const name = "migrations"
	const most = 3
	list := strings.Join(files[:min(most, len(files))], ", ")
	if len(files) > most {
		list += fmt.Sprintf(" and %d more", len(files)-most)
	}
	said := fmt.Sprintf("%d between %s and %s, which stay as they are in the database: %s", len(files), s.Place.From.Version(), p.t.to.Version(), list)
	m := p.a.cfg.Migrations
	switch {
	case m.On == MigrationsFail:
		s.Fail(name, "%s: [actions.redeploy.migrations] on forbids it", said)
	case m.On == MigrationsWhy && p.intent.Why == "":
		s.Fail(name, "%s: say why it can be done all the same (--why)", said)
	default:
		s.Warn(name, "%s", said)
	}
	if old := p.backupAge(); old != "" {
		s.warnOr(m.On == MigrationsFail || m.On == MigrationsWhy, "backup before migrations", "%s: make one first", old)
	}
}

// warnOr fails instead of warning.
func (s *survey) warnOr(fail bool, name, format string, args ...any) {
	if fail {
		s.Fail(name, format, args...)
		return
	}
	s.Warn(name, format, args...)
}

// backupAge says what is wrong with the backups of the service for a change of its database; "" when one is young enough.
func (p *planner) backupAge() string {
	jobs := p.backups()
	if len(jobs) == 0 {
		return "no backup of it is known"
	}
	bound := time.Duration(p.a.cfg.Migrations.Backup)
	words := ""
	for _, j := range jobs {
		last, ok := j.LastGood()
		age := p.snap.At.Sub(last.Started)
		switch {
		case !ok:
			words = orElse(words, "backup "+remote.Clean(j.Name)+" has no good run")
		case age <= bound:
			return ""
		default:
			words = orElse(words, fmt.Sprintf("the last good backup %s is %s old, %s are allowed", remote.Clean(j.Name), fleet.Ago(age), fleet.Ago(bound)))
		}
	}
	return words
}

// backups are those of the service, else those of the whole environment.
func (p *planner) backups() []fleet.BackupJob {
	if own := p.snap.BackupsOf(p.t.Key); len(own) > 0 {
		return own
	}
	var list []fleet.BackupJob
	for _, j := range p.snap.Backups {
		if j.Subject.Service == "" {
			list = append(list, j)
		}
	}
	return list
}

// checkBackups says how old the last backups are.
func (p *planner) checkBackups() {
	for _, j := range p.backups() {
		name := "backup " + remote.Clean(j.Name)
		last, ok := j.LastGood()
		due := j.Due()
		switch {
		case !ok:
			p.check(actions.CheckWarn, name, "has no good run: there is nothing to restore")
		case !due.IsZero() && p.snap.At.After(due):
			p.check(actions.CheckWarn, name, "the last good one is %s old, one was due %s ago", fleet.Ago(p.snap.At.Sub(last.Started)), fleet.Ago(p.snap.At.Sub(due)))
		default:
			p.check(actions.CheckOK, name, "the last good one is %s old, %s", fleet.Ago(p.snap.At.Sub(last.Started)), last.State)
		}
	}
}

// checkHold says who wants it left as it is.
func (p *planner) checkHold() {
	if h := p.svc.Hold; h != nil && !h.Over(p.snap.At) {
		p.check(actions.CheckWarn, "hold", "%s", remote.Clean(h.Words(p.snap.At)))
	}
}

// commitOf is the commit that made a release the wanted one, by the history.
func (p *planner) commitOf(r fleet.Release) string {
	for _, h := range append([]fleet.Release{p.svc.Releases.Running, p.svc.Releases.Desired, p.svc.Releases.Previous}, p.svc.Releases.History...) {
		if h.Tag == r.Tag && h.Commit != "" {
			return h.Commit
		}
	}
	return ""
}

// revisions are the commits of the service's own repository, by the labels of its images.
func (p *planner) revisions(s *survey) (from, to string) {
	for _, in := range p.svc.Instances {
		if in.Host == s.Place.Host && p.t.Pick(in) {
			from = orElse(in.Labels[labelRevision], from)
		}
	}
	if s.local != nil {
		to = s.local.Config.Labels[labelRevision]
	}
	return from, to
}
