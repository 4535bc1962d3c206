package komodo

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// operatorSync is who deploys on behalf of a sync.
const operatorSync = "000000000000000000000005"

var errBusy = errors.New("Resource is busy") //nolint:staticcheck // Komodo's own words

// execution is one update under way.
type execution struct {
	s *Server
	u *update
	// late are logs that are shown only at the end.
	late  []logEntry
	atEnd bool
}

// log adds one stage to the update.
func (e *execution) log(stage, command, stdout, stderr string, ok bool) {
	now := e.s.o.Now().UnixMilli()
	entry := logEntry{Stage: stage, Command: command, Stdout: stdout, Stderr: stderr, Success: ok, StartTS: now, EndTS: now}
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	if e.atEnd {
		e.late = append(e.late, entry)
		return
	}
	e.u.Logs = append(e.u.Logs, entry)
}

// open begins an update and tells everybody.
func (s *Server) open(operation string, t target, operator string) *execution {
	s.mu.Lock()
	u := &update{
		ID: oid{s.newID()}, Operation: operation, StartTS: s.o.Now().UnixMilli(), Success: s.has(SuccessEarly),
		Operator: operator, Target: t, Logs: []logEntry{}, Status: inProgress, Version: map[string]int{"major": 0, "minor": 0, "patch": 0},
	}
	s.updates = append(s.updates, u)
	e := &execution{s: s, u: u, atEnd: s.has(LogsAtEnd) && t.Type == "Stack"}
	it := s.item(u)
	s.mu.Unlock()
	s.broadcast(it)
	return e
}

// execute runs what an update is about, to its end. Busy and missing rights end it the same way as any failure.
func (s *Server) execute(e *execution, do func(context.Context, *execution) error) {
	err := s.occupy(e.u)
	if err == nil {
		err = do(s.life, e)
		s.mu.Lock()
		delete(s.busy, e.u.Target.ID)
		s.mu.Unlock()
	}
	now := s.o.Now().UnixMilli()
	s.mu.Lock()
	if e.u.Status != complete { // a restart of Core may have ended it
		e.u.Logs = append(e.u.Logs, e.late...)
		e.u.Success = true
		for _, l := range e.u.Logs {
			e.u.Success = e.u.Success && l.Success
		}
		if err != nil {
			e.u.fail("Task Error", s.red("ERROR")+": "+err.Error(), now)
		} else {
			e.u.finish(now)
		}
	}
	it := s.item(e.u)
	s.mu.Unlock()
	s.broadcast(it)
}

// occupy takes the target for one execution.
func (s *Server) occupy(u *update) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.has(Busy) || s.busy[u.Target.ID] != "" {
		return errBusy
	}
	s.busy[u.Target.ID] = u.Operation
	return nil
}

func (s *Server) succeeded(u *update) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return u.Status == complete && u.Success
}

// begin answers with an update and does the work behind it.
func (s *Server) launch(u *User, operation string, t target, do func(context.Context, *execution) error) (any, error) {
	e := s.open(operation, t, u.ID)
	if u.ReadOnly {
		do = func(context.Context, *execution) error {
			return fmt.Errorf("User does not have required permissions on this %s. Must have at least Execute permissions", t.Type) //nolint:staticcheck // Komodo's own words
		}
	}
	s.mu.Lock()
	now := *e.u
	s.mu.Unlock()
	s.work.Go(func() { s.execute(e, do) })
	return now, nil
}

func (s *Server) executes() map[string]call {
	return map[string]call{
		"DeployStack": func(_ context.Context, u *User, p params) (any, error) {
			st, err := s.findStack(p)
			if err != nil {
				return nil, err
			}
			return s.launch(u, operation("DeployStack", p.Services), target{"Stack", st.id}, s.deploy(st, p.Services))
		},
		"DeployStackIfChanged": func(ctx context.Context, u *User, p params) (any, error) {
			st, err := s.findStack(p)
			if err != nil {
				return nil, err
			}
			return s.deployIfChanged(ctx, u, st)
		},
		"RestartStack": func(_ context.Context, u *User, p params) (any, error) {
			st, err := s.findStack(p)
			if err != nil {
				return nil, err
			}
			return s.launch(u, operation("RestartStack", p.Services), target{"Stack", st.id}, s.simple(st, "Compose Restart", append([]string{"restart"}, p.Services...)))
		},
		"RunSync": func(_ context.Context, u *User, p params) (any, error) {
			y, err := s.findSync(p)
			if err != nil {
				return nil, err
			}
			return s.launch(u, "RunSync", target{"ResourceSync", y.id}, s.runSync(y, p.Resources))
		},
	}
}

// operation has another name when it is about some services only.
func operation(name string, services []string) string {
	if len(services) == 0 {
		return name
	}
	return name + "Service"
}

// deployIfChanged answers at once with an update that is nowhere; the real one comes later, or never.
func (s *Server) deployIfChanged(ctx context.Context, u *User, st *stack) (any, error) {
	s.refreshStack(ctx, st)
	s.mu.Lock()
	need, noID := len(changed(st.info)) > 0, s.has(NoID)
	s.mu.Unlock()
	if !noID {
		return s.launch(u, "DeployStack", target{"Stack", st.id}, s.deploy(st, nil))
	}
	if need {
		s.work.Go(func() { s.execute(s.open("DeployStack", target{"Stack", st.id}, u.ID), s.deploy(st, nil)) })
	}
	return update{
		Operation: "DeployStackIfChanged", StartTS: s.o.Now().UnixMilli(), Success: true, Operator: u.ID, Target: target{"Stack", st.id},
		Logs: []logEntry{}, Status: inProgress, Version: map[string]int{},
	}, nil
}

// deploy pulls the repository on the server and runs docker compose up there.
func (s *Server) deploy(st *stack, services []string) func(context.Context, *execution) error {
	return func(ctx context.Context, e *execution) error {
		s.mu.Lock()
		c, broken := st.config, s.has(FailDeploy)
		s.mu.Unlock()
		if len(services) > 0 {
			e.log("Service/s", "", "Execution requested for Stack service/s "+strings.Join(services, ", "), "", true)
		}
		s.wait(ctx)
		if ok, err := s.step(ctx, e, c, "Pull Repo", []string{"git", "-C", s.o.Checkout, "pull", "--ff-only", "origin", c.Branch}); !ok || err != nil {
			return err
		}
		hash, subject, err := s.o.Estate.Head(ctx, c.Branch)
		if err != nil {
			return err
		}
		files, _ := s.contents(ctx, hash, c)
		latest := s.services(ctx, c)
		if ok, err := s.step(ctx, e, c, "Compose Config", s.compose(c, "config")); !ok || err != nil {
			return err
		}
		if broken {
			e.log("Compose Up", strings.Join(s.compose(c, "up", "-d"), " "), "", s.tty(" ✘ Container failed to start: OCI runtime create failed"), false)
			return nil
		}
		if c.AutoPull {
			if ok, err := s.step(ctx, e, c, "Compose Pull", s.compose(c, append([]string{"pull"}, services...)...)); !ok || err != nil {
				return err
			}
		}
		if ok, err := s.step(ctx, e, c, "Compose Up", s.compose(c, append([]string{"up", "-d"}, services...)...)); !ok || err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		// A deploy of one service also says this of the whole stack.
		st.info.DeployedContents, st.info.RemoteContents = plain(files), files
		st.info.DeployedHash, st.info.DeployedMessage = short(hash), subject
		st.info.LatestHash, st.info.LatestMessage = short(hash), subject
		st.info.DeployedProject = c.Project
		if latest != nil {
			st.info.DeployedServices, st.info.LatestServices = latest, latest
		}
		return nil
	}
}

func (s *Server) simple(st *stack, stage string, words []string) func(context.Context, *execution) error {
	return func(ctx context.Context, e *execution) error {
		_, err := s.step(ctx, e, st.config, stage, s.compose(st.config, words...))
		return err
	}
}

// step runs one command on the stack's server and logs it. What a command says is no error of Core.
func (s *Server) step(ctx context.Context, e *execution, c stackConfig, stage string, argv []string) (bool, error) {
	res, err := s.o.Estate.Run(ctx, c.Server, argv)
	if err != nil {
		return false, fmt.Errorf("request to periphery failed | server: %s | %w", path.Base(c.Server), err)
	}
	e.log(stage, strings.Join(argv, " "), res.Stdout, s.tty(res.Stderr), res.Code == 0)
	return res.Code == 0, nil
}

func (s *Server) wait(ctx context.Context) {
	if s.o.Hold <= 0 {
		return
	}
	t := time.NewTimer(s.o.Hold)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// The markup of Komodo's web interface, and a terminal's.

func (s *Server) green(text string) string { return s.span("color: #22C55E", text) }
func (s *Server) red(text string) string   { return s.span("color: #EF4444", text) }
func (s *Server) bold(text string) string  { return s.markup(`<span class="font-bold">`, text) }

func (s *Server) span(style, text string) string { return s.markup(`<span style="`+style+`">`, text) }

func (s *Server) markup(open, text string) string {
	if !s.has(Markup) {
		return text
	}
	return open + text + "</span>"
}

// tty colours output as compose does.
func (s *Server) tty(text string) string {
	if text == "" || !s.has(Markup) {
		return text
	}
	return "\x1b[32m" + text + "\x1b[0m"
}
