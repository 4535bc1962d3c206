package komodo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

const (
	pollEvery  = 500 * time.Millisecond // as the official client does
	findFor    = 15 * time.Second       // how long an execution is looked for whose answer was lost
	askTimeout = 20 * time.Second
)

// order is one thing that Komodo is asked to do, once.
type order struct {
	call       string         // "DeployStack"
	operations []string       // under which names it is found among the updates
	target     target         // by id
	name       string         // of the target
	params     map[string]any // of the call
}

func (o order) words() string { return o.call + " " + o.name }

// RunSync lets a sync do what is pending, all of it or what is of the resources named, and follows it and every deploy that it
// begins to the end. An error means that Komodo did not take it on; whatever came of it else is in the execution.
func (s *Source) RunSync(ctx context.Context, sync string, resources []string, say func(line string)) (fleet.Execution, error) {
	v, err := s.look(ctx)
	if err != nil {
		return fleet.Execution{}, s.fail(err)
	}
	at := slices.IndexFunc(v.syncs, func(y item[syncItem]) bool { return y.Name == sync || string(y.ID) == sync })
	if at < 0 {
		return fleet.Execution{}, s.fail(fmt.Errorf("there is no sync %s (any more)", line(sync)))
	}
	y := v.syncs[at]
	params := map[string]any{"sync": string(y.ID)}
	if len(resources) > 0 {
		params["resources"] = resources
		params["resource_type"] = "Stack"
	}
	o := order{call: "RunSync", operations: []string{"RunSync"}, target: target{"ResourceSync", string(y.ID)}, name: line(y.Name), params: params}
	f := &follower{s: s, o: o, say: say}
	return f.run(ctx, f.children)
}

// DeployStack deploys a stack, or some of its services, and follows that to the end.
func (s *Source) DeployStack(ctx context.Context, stack string, services []string, say func(line string)) (fleet.Execution, error) {
	st, err := s.stack(ctx, stack)
	if err != nil {
		return fleet.Execution{}, s.fail(err)
	}
	o := order{
		call: "DeployStack", operations: []string{"DeployStack", "DeployStackService"}, target: target{"Stack", string(st.ID)}, name: line(st.Name),
		params: map[string]any{"stack": string(st.ID), "services": append([]string{}, services...)},
	}
	if len(services) > 0 {
		o.operations = []string{"DeployStackService"}
		o.name += " " + strings.Join(services, ", ")
	}
	return (&follower{s: s, o: o, say: say}).run(ctx, nil)
}

// RefreshStack lets Komodo read the repository of a stack now.
func (s *Source) RefreshStack(ctx context.Context, stack string) error {
	st, err := s.stack(ctx, stack)
	if err == nil {
		err = s.refresh(ctx, "RefreshStackCache", "stack", string(st.ID))
	}
	if err != nil {
		return s.fail(err)
	}
	return nil
}

// Stacks are the stacks of the environment.
func (s *Source) Stacks(ctx context.Context) ([]fleet.Stack, error) {
	v, err := s.look(ctx)
	if err != nil {
		return nil, s.fail(err)
	}
	var out []fleet.Stack
	for _, st := range s.here(v) {
		one := fleet.Stack{Name: line(st.Name), Environment: st.env, Host: st.host, State: line(st.Info.State)}
		for _, svc := range st.Info.Services {
			one.Services = append(one.Services, line(svc.Service))
		}
		out = append(out, one)
	}
	return out, nil
}

func (s *Source) stack(ctx context.Context, ref string) (stackRef, error) {
	v, err := s.look(ctx)
	if err != nil {
		return stackRef{}, err
	}
	st, ok := v.stack(ref)
	if !ok || st.env != s.deps.Environment {
		return stackRef{}, fmt.Errorf("there is no stack %s in %s (any more)", line(ref), s.deps.Environment)
	}
	return st, nil
}

// follower sends one order and follows what comes of it.
type follower struct {
	s    *Source
	o    order
	say  func(line string)
	said int  // logs told already
	deaf bool // Core does not answer, which was told
}

// run sends the order once and follows it to its end. also, when set, looks at what it began.
func (f *follower) run(ctx context.Context, also func(context.Context, update) (fleet.ExecutionState, []string)) (fleet.Execution, error) {
	ctx, cancel := context.WithTimeout(ctx, f.s.cfg.Follow.Or(defaultFollow))
	defer cancel()
	before, err := f.known(ctx)
	if err != nil {
		return fleet.Execution{}, f.s.fail(fmt.Errorf("%s was not asked for: %w", f.o.words(), err))
	}
	f.s.whoAmI(ctx)
	var u update
	err = f.s.client.call(ctx, "execute", f.o.call, f.o.params, &u)
	if refused(err) {
		return fleet.Execution{}, f.s.fail(err)
	}
	if err != nil || u.ID == "" {
		found, why := f.find(ctx, before, err)
		if found == nil {
			return f.unknown(update{}, why), nil
		}
		u = *found
	}
	f.s.remember(u.Operator)
	f.say(fmt.Sprintf("%s is update %s", f.o.words(), line(string(u.ID))))
	u, err = f.follow(ctx, u)
	if err != nil {
		return f.unknown(u, err.Error()), nil
	}
	state, reasons := ended(u)
	if also != nil {
		inner, more := also(ctx, u)
		reasons = append(reasons, more...)
		if state == fleet.ExecutionSucceeded {
			state = inner
		}
	}
	return fleet.Execution{ID: line(string(u.ID)), What: f.o.words(), State: state, Reasons: reasons, Began: millis(u.StartTS)}, nil
}

func (f *follower) unknown(u update, why string) fleet.Execution {
	return fleet.Execution{ID: line(string(u.ID)), What: f.o.words(), State: fleet.ExecutionUnknown, Reasons: []string{why}, Began: millis(u.StartTS)}
}

// refused reports whether Core has certainly not taken an order on: it said so itself, or was never reached.
func refused(err error) bool {
	var said *Error
	var before unsent
	var op *net.OpError
	switch {
	case err == nil:
		return false
	case errors.As(err, &before):
		return true
	case errors.As(err, &said):
		// A proxy's word is no word of Core: the request may have gone through.
		return said.Status < 500 || said.Status == http.StatusInternalServerError
	case errors.As(err, &op):
		return op.Op == "dial"
	}
	return false
}

// known are the updates of the target that are there before the order is sent: no clock is needed to tell a new one from them.
func (f *follower) known(ctx context.Context) (map[id]bool, error) {
	list, err := f.list(ctx)
	if err != nil {
		return nil, err
	}
	out := map[id]bool{}
	for _, u := range list {
		out[u.ID] = true
	}
	return out, nil
}

func (f *follower) list(ctx context.Context) ([]updateItem, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var got updateList
	query := map[string]any{"target.type": f.o.target.Type, "target.id": f.o.target.ID, "operation": map[string]any{"$in": f.o.operations}}
	err := f.s.client.read(ctx, "ListUpdates", map[string]any{"query": query, "page": 0}, &got)
	return got.Updates, err
}

// find looks for the update of an order whose answer was lost, or had no id. The order is not sent again.
func (f *follower) find(ctx context.Context, before map[id]bool, cause error) (*update, string) {
	why := "the answer had no id"
	if cause != nil {
		why = "the answer was lost (" + line(cause.Error()) + ")"
	}
	f.say(why + ": looking for what came of it; it is not asked for again")
	end := time.Now().Add(findFor)
	var last error
	for time.Now().Before(end) && ctx.Err() == nil {
		var list []updateItem
		if list, last = f.list(ctx); last == nil {
			fresh := slices.DeleteFunc(list, func(u updateItem) bool { return before[u.ID] || !f.s.mayBeMine(u.Operator) })
			switch len(fresh) {
			case 1:
				return &update{ID: fresh[0].ID, Operation: fresh[0].Operation, StartTS: fresh[0].StartTS, Operator: fresh[0].Operator, Target: fresh[0].Target}, ""
			case 0:
			default:
				return nil, fmt.Sprintf("%s: %d new updates of %s were found, and it is not known which is ours: look at them in Komodo", why, len(fresh), f.o.name)
			}
		}
		pause(ctx, pollEvery)
	}
	if ctx.Err() != nil {
		return nil, fmt.Sprintf("%s, and the time was up before an update of it was found: look at the updates of %s in Komodo before it is tried again", why, f.o.name)
	}
	if last != nil {
		return nil, fmt.Sprintf("%s, and Komodo does not answer (%s): look at the updates of %s in Komodo before it is tried again", why, line(last.Error()), f.o.name)
	}
	return nil, fmt.Sprintf("%s, and no update of it was found within %s: it was most likely not taken on; look at the updates of %s in Komodo before it is tried again", why, findFor, f.o.name)
}

// whoAmI learns the id of the key's user, which tells our own updates from others'. Only v2 has the call; it is no loss.
func (s *Source) whoAmI(ctx context.Context) {
	s.mu.Lock()
	known := s.me != ""
	s.mu.Unlock()
	if known {
		return
	}
	if me, err := s.client.user(ctx); err == nil {
		s.remember(string(me))
	}
}

func (s *Source) remember(operator string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.me == "" {
		s.me = operator
	}
}

func (s *Source) mayBeMine(operator string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.me == "" || s.me == operator
}

// user asks who the key belongs to.
func (c *client) user(ctx context.Context) (id, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.cfg.URL, "/")+"/user", nil)
	if err != nil {
		return "", fmt.Errorf("user: %w", err)
	}
	key, secret, err := c.credentials(ctx)
	if err != nil {
		return "", err
	}
	req.Header.Set("X-Api-Key", key)
	req.Header.Set("X-Api-Secret", secret)
	resp, err := c.base.RoundTrip(req)
	if err != nil {
		return "", fmt.Errorf("user: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !isJSON(resp) { // v1 answers with its web interface
		return "", errNoAnswer
	}
	return userID(raw), nil
}
