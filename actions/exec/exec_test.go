package exec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

const (
	id1    = "1111111111111111111111111111111111111111111111111111111111111111"
	id2    = "2222222222222222222222222222222222222222222222222222222222222222"
	secret = "canary-0815"
)

var aiProd = fleet.ServiceKey{Environment: "prod", Name: "ai"}

// stage is a service with two containers, and a person at a terminal.
type stage struct {
	mu     sync.Mutex
	change func(*fleet.Service) // what has become of it since
	code   int
	slow   time.Duration
	screen bytes.Buffer
	pipes  actions.Streams
	codes  []int
	hosts  []*actionstest.Host
}

func (s *stage) answer(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if slices.Contains(cmd.Argv, "inspect") {
		return remote.Result{Stdout: []byte(`{"Status":"running","Running":true,"Paused":false}` + "\n")}, nil
	}
	if s.slow > 0 {
		time.Sleep(s.slow)
	}
	if cmd.Stdin != nil {
		in, _ := io.ReadAll(cmd.Stdin)
		return remote.Result{Code: s.code, Stdout: append([]byte("got "), in...)}, nil
	}
	return remote.Result{Code: s.code, Stdout: []byte("out of it: " + secret + "\n"), Stderr: []byte("err of it\n")}, nil
}

func newStage() *stage {
	s := &stage{}
	s.hosts = []*actionstest.Host{actionstest.NewHost("prod-1", s.answer), actionstest.NewHost("prod-2", s.answer)}
	return s
}

func (s *stage) Borrow(ctx context.Context, title string, use func(context.Context, actions.TTY) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.screen.WriteString(title + "\n")
	return use(ctx, actions.TTY{Out: &s.screen})
}

func (s *stage) Streams() actions.Streams { return s.pipes }
func (s *stage) Ended(code int)           { s.codes = append(s.codes, code) }
func (s *stage) Poke()                    {}

func (s *stage) Latest() *fleet.Snapshot {
	now := time.Now()
	instance := func(host, id string) *fleet.Instance {
		return &fleet.Instance{
			ID: id, Host: host, Name: "nexgate-ai-1", State: fleet.StateRunning, Health: fleet.HealthHealthy,
			Release: fleet.Release{Image: "img", Tag: "0.4.2"}, Life: fleet.Life{StartedAt: now.Add(-time.Hour).Truncate(24 * time.Hour)},
		}
	}
	svc := fleet.Service{Key: aiProd, Hosts: []string{"prod-1", "prod-2"}, Seen: now, Instances: []*fleet.Instance{instance("prod-1", id1), instance("prod-2", id2)}}
	if s.change != nil {
		s.change(&svc)
	}
	return &fleet.Snapshot{
		At: now, Environment: "prod", Services: []fleet.Service{svc},
		Hosts: []fleet.Host{{Name: "prod-1", Up: true}, {Name: "prod-2", Up: true}},
		Sources: []fleet.SourceStatus{
			{ID: "docker/prod-1", Hosts: []string{"prod-1"}, State: fleet.SourceOK, LastSuccess: now},
			{ID: "docker/prod-2", Hosts: []string{"prod-2"}, State: fleet.SourceOK, LastSuccess: now},
		},
	}
}

func (s *stage) action() actions.Action {
	cfg := DefaultConfig()
	cfg.Shells = map[string][]string{"db": {"psql", "-U", "admin"}}
	return New(cfg, Deps{Look: time.Millisecond, Wait: 2 * time.Second, Host: func(name string) (remote.Host, error) {
		for _, h := range s.hosts {
			if h.Name() == name {
				return h, nil
			}
		}
		return nil, fmt.Errorf("no host %s", name)
	}})
}

func intent(args map[string]string) actions.Intent {
	return actions.Intent{Action: Name, Targets: []fleet.Ref{{Service: aiProd}}, Args: args, Who: "ana@laptop"}
}

// run plans, and runs, and gives all events.
func (s *stage) run(t *testing.T, args map[string]string) (*actions.Plan, []actions.Event) {
	t.Helper()
	p, err := s.action().Plan(t.Context(), s.Latest(), intent(args))
	if err != nil {
		t.Fatal(err)
	}
	j, err := actions.OpenJournal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := actions.NewRunner(actions.RunnerOptions{
		Policy:  actions.Policy{Environments: map[string]actions.EnvironmentPolicy{"prod": {Confirm: actions.ConfirmY}}},
		Journal: j, Locker: actions.NewMemoryLocker(time.Now), World: s, Timing: actions.Timing{Look: time.Millisecond},
	})
	ch, err := r.Run(actions.WithTerminal(t.Context(), s), p, actions.Confirmation{Yes: true})
	if err != nil {
		t.Fatal(err)
	}
	var list []actions.Event
	for e := range ch {
		list = append(list, e)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return p, list
}

func last(list []actions.Event) actions.Event { return list[len(list)-1] }

func TestContract(t *testing.T) {
	for name, args := range map[string]map[string]string{
		"a shell":   {ArgInstance: "nexgate-ai-1@prod-1"},
		"a command": {ArgInstance: id1[:12], ArgCommand: `["ls","-l"]`},
	} {
		t.Run(name, func(t *testing.T) {
			actionstest.Contract(t, func(*testing.T) actionstest.Case {
				s := newStage()
				s.pipes = actions.Streams{Out: io.Discard, Err: io.Discard}
				return actionstest.Case{
					Action: s.action(), Snapshot: s.Latest(), Intent: intent(args), World: s, Hosts: s.hosts, Terminal: s,
					State: func() string { return "" }, Secret: secret,
				}
			})
		})
	}
}

// What is shown goes to the person and nowhere else; how it ended is on record.
func TestShell(t *testing.T) {
	s := newStage()
	s.code = 3
	p, list := s.run(t, map[string]string{ArgInstance: "nexgate-ai-1@prod-2"})
	if want := []string{"docker", "exec", "-it", id2, "sh"}; !slices.Equal(p.Steps[0].Argv, want) || p.Steps[0].Host != "prod-2" {
		t.Errorf("runs %v on %s", p.Steps[0].Argv, p.Steps[0].Host)
	}
	if last(list).Outcome != actions.OutcomeGood {
		t.Errorf("a shell whose last command failed is %s: %v", last(list).Outcome, last(list).Reasons)
	}
	if !slices.Equal(s.codes, []int{3}) || !strings.Contains(s.screen.String(), secret) {
		t.Errorf("codes %v, screen %q", s.codes, s.screen.String())
	}
	said := fmt.Sprint(list)
	if !strings.Contains(said, "exit code 3 after") || strings.Contains(said, secret) {
		t.Errorf("on record: %s", said)
	}
}

func TestCommandHasItsStreamsAndCode(t *testing.T) {
	s := newStage()
	s.code = 4
	var out, errs bytes.Buffer
	s.pipes = actions.Streams{In: strings.NewReader("select 1"), Piped: true, Out: &out, Err: &errs}
	p, list := s.run(t, map[string]string{ArgInstance: id1[:8], ArgCommand: `["psql","-c","a b"]`})
	if want := []string{"docker", "exec", "-i", id1, "psql", "-c", "a b"}; !slices.Equal(p.Steps[0].Argv, want) {
		t.Errorf("runs %v", p.Steps[0].Argv)
	}
	if last(list).Outcome != actions.OutcomeFailed || !slices.Equal(s.codes, []int{4}) || out.String() != "got select 1" {
		t.Errorf("%s, codes %v, out %q", last(list).Outcome, s.codes, out.String())
	}
	if strings.Contains(fmt.Sprint(list), "select 1") {
		t.Error("what was piped through is on record")
	}
}

func TestNoSuchShell(t *testing.T) {
	s := newStage()
	s.code = 127
	_, list := s.run(t, map[string]string{ArgInstance: id1})
	if e := last(list); e.Outcome != actions.OutcomeFailed || !strings.Contains(fmt.Sprint(e.Reasons), "[actions.exec.shells]") {
		t.Errorf("%s %v", e.Outcome, e.Reasons)
	}
}

// A connection that is lost leaves open what was done, and says where to look.
func TestLostShell(t *testing.T) {
	s := newStage()
	s.hosts[0].Lose(actionstest.Has("exec"), true)
	_, list := s.run(t, map[string]string{ArgInstance: id1})
	if e := last(list); e.Outcome != actions.OutcomeUnknown || !strings.Contains(fmt.Sprint(e.Reasons), "docker top 111111111111 on prod-1 shows it") {
		t.Errorf("%s %v", e.Outcome, e.Reasons)
	}
	if len(s.codes) != 0 {
		t.Errorf("a code was told that nobody knows: %v", s.codes)
	}
}

// What the shell left of the container is looked at.
func TestAfterTheShell(t *testing.T) {
	for want, change := range map[string]func(*fleet.Service){
		"is exited now":           func(s *fleet.Service) { s.Instances[0].State = fleet.StateExited },
		"is gone":                 func(s *fleet.Service) { s.Instances = s.Instances[1:] },
		"was restarted meanwhile": func(s *fleet.Service) { s.Instances[0].Life.Restarts++ },
		"unhealthy now, it was healthy: curl failed": func(s *fleet.Service) {
			s.Instances[0].Health, s.Instances[0].HealthOutput = fleet.HealthUnhealthy, "curl failed"
		},
	} {
		s := newStage()
		p, err := s.action().Plan(t.Context(), s.Latest(), intent(map[string]string{ArgInstance: id1}))
		if err != nil {
			t.Fatal(err)
		}
		s.change = change
		o, reasons := p.Verify(t.Context(), s, func(string) {})
		if o != actions.OutcomeDegraded || !strings.Contains(fmt.Sprint(reasons), want) {
			t.Errorf("%s: %s %v", want, o, reasons)
		}
	}
}

func TestWhichInstance(t *testing.T) {
	s := newStage()
	for asked, want := range map[string]string{
		"": "say which instance", "nexgate-ai-1": "say which instance", "nope": "it has no instance nope: there is nexgate-ai-1@prod-1, nexgate-ai-1@prod-2",
		"11": "it has no instance 11",
	} {
		_, err := s.action().Plan(t.Context(), s.Latest(), intent(map[string]string{ArgInstance: asked}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", asked, err)
		}
	}
	c, err := s.action().(actions.Chooser).Choices(t.Context(), s.Latest(), intent(nil).Targets)
	if err != nil || len(c.Rows) != 2 || c.Rows[1].Value != "nexgate-ai-1@prod-2" || c.Arg != ArgInstance {
		t.Errorf("%+v %v", c, err)
	}
	s.change = func(svc *fleet.Service) { svc.Instances[0].State = fleet.StateExited }
	p, err := s.action().Plan(t.Context(), s.Latest(), intent(nil))
	if err != nil || p.Steps[0].Host != "prod-2" {
		t.Errorf("the only one that runs: %v", err)
	}
	s.change = func(svc *fleet.Service) { svc.Instances[0].ID = "-v" }
	if _, err := s.action().Plan(t.Context(), s.Latest(), intent(map[string]string{ArgInstance: "nexgate-ai-1@prod-1"})); err == nil {
		t.Error("an id that is a flag got into an argv")
	}
}

func TestNobodyAtATerminal(t *testing.T) {
	s := newStage()
	p, err := s.action().Plan(t.Context(), s.Latest(), intent(map[string]string{ArgInstance: id1}))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Steps[0].Do(t.Context(), func(string, string) {}); err == nil || errors.Is(err, actions.ErrUnknown) {
		t.Errorf("err = %v", err)
	}
}

func TestConfig(t *testing.T) {
	c := DefaultConfig()
	if errs := c.Validate(); len(errs) > 0 {
		t.Error(errs)
	}
	c = Config{Docker: nil, Shell: []string{"-x"}, Shells: map[string][]string{"db": {""}}}
	if errs := c.Validate(); len(errs) != 3 {
		t.Errorf("%v", errs)
	}
	if c.Shells["db"] = []string{"psql"}; c.shellOf("db")[0] != "psql" || c.shellOf("x")[0] != "-x" {
		t.Error("the shell of a service")
	}
}
