package komodo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// syncer is one resource sync.
type syncer struct {
	Sync
	id      string
	running bool
	failed  bool
	info    syncInfo
}

// document is the TOML file of a sync.
type document struct {
	Stacks []struct {
		Name   string      `toml:"name"`
		Deploy bool        `toml:"deploy"`
		Tags   []string    `toml:"tags"`
		Config stackConfig `toml:"config"`
	} `toml:"stack"`
	Variables []struct {
		Name   string `toml:"name"`
		Value  string `toml:"value"`
		Secret bool   `toml:"is_secret"`
	} `toml:"variable"`
}

// wanted is what a sync's file says at a commit.
type wanted struct {
	stacks []*stack
	vars   map[string]string
	raw    string
	hash   string
	says   string
}

func (s *Server) wanted(ctx context.Context, y *syncer) (*wanted, error) {
	hash, subject, err := s.o.Estate.Head(ctx, y.Branch)
	if err != nil {
		return nil, err
	}
	files, err := s.o.Estate.Files(ctx, hash, []string{y.Path})
	if err != nil {
		return nil, err
	}
	raw, ok := files[y.Path]
	if !ok {
		return nil, fmt.Errorf("failed to read file: %s: No such file or directory", y.Path)
	}
	var doc document
	if err := toml.Unmarshal([]byte(raw), &doc); err != nil {
		return nil, fmt.Errorf("failed to parse resource file contents: %w", err)
	}
	w := &wanted{vars: map[string]string{}, raw: raw, hash: short(hash), says: subject}
	for _, d := range doc.Stacks {
		w.stacks = append(w.stacks, &stack{name: d.Name, deploy: d.Deploy, tags: d.Tags, config: d.Config})
	}
	for _, v := range doc.Variables {
		w.vars[v.Name] = v.Value
	}
	return w, nil
}

// adopt takes a sync's file as applied, while the Server is made.
func (s *Server) adopt(ctx context.Context, y *syncer) error {
	w, err := s.wanted(ctx, y)
	if err != nil {
		return err
	}
	for _, st := range w.stacks {
		st.id = s.newID()
		s.stacks = append(s.stacks, st)
	}
	maps.Copy(s.vars, w.vars)
	y.info.LastSyncTS, y.info.LastSyncHash, y.info.LastSyncMessage = s.o.Now().UnixMilli(), w.hash, w.says
	return nil
}

// refreshSync works out what a run would do now.
func (s *Server) refreshSync(ctx context.Context, y *syncer) {
	w, err := s.wanted(ctx, y)
	s.mu.Lock()
	defer s.mu.Unlock()
	y.info.ResourceUpdates, y.info.VariableUpdates, y.info.UserGroupUpdates = []resourceUpdate{}, []diffData{}, []diffData{}
	y.info.PendingDeploys, y.info.PendingError = []pendingDeploy{}, ""
	y.info.RemoteContents, y.info.RemoteErrors = []contents{}, []contents{}
	if err != nil {
		y.info.PendingError = s.red("failed to get resources: ") + err.Error()
		y.info.RemoteErrors = []contents{{Path: y.Path, Contents: err.Error()}}
		return
	}
	y.info.PendingHash, y.info.PendingMessage = w.hash, w.says
	y.info.RemoteContents = []contents{{Path: y.Path, Contents: w.raw}}
	for _, want := range w.stacks {
		s.compare(y, want)
	}
	for _, name := range slices.Sorted(maps.Keys(w.vars)) {
		was, there := s.vars[name]
		switch {
		case !there:
			y.info.VariableUpdates = append(y.info.VariableUpdates, diffData{"Create", map[string]any{"name": name, "proposed": variable(name, w.vars[name])}})
		case was != w.vars[name]:
			y.info.VariableUpdates = append(y.info.VariableUpdates, diffData{"Update", map[string]any{"proposed": variable(name, w.vars[name]), "current": variable(name, was)}})
		}
	}
}

func variable(name, value string) string {
	return fmt.Sprintf("[[variable]]\nname = %q\nvalue = %q\n", name, value)
}

// compare puts what differs of one stack into the sync's pending lists. The caller holds the lock.
func (s *Server) compare(y *syncer, want *stack) {
	st := s.stackOf(want.name)
	if st == nil {
		y.info.ResourceUpdates = append(y.info.ResourceUpdates, resourceUpdate{
			target{"Stack", ""}, diffData{"Create", map[string]any{"name": want.name, "proposed": want.text()}},
		})
		if want.deploy {
			y.info.PendingDeploys = append(y.info.PendingDeploys, pendingDeploy{target{"Stack", want.name}, s.bold("it will be created"), []target{}})
		}
		return
	}
	if st.text() != want.text() {
		y.info.ResourceUpdates = append(y.info.ResourceUpdates, resourceUpdate{
			target{"Stack", st.id}, diffData{"Update", map[string]any{"proposed": want.text(), "current": st.text()}},
		})
	}
	if !want.deploy {
		return
	}
	reason := ""
	if list := changed(st.info); len(list) > 0 {
		var paths []string
		for _, c := range list {
			paths = append(paths, c.path)
		}
		reason = "stack file contents have changed: " + s.bold(strings.Join(paths, ", "))
	} else if st.text() != want.text() {
		reason = "it has a " + s.bold("config update")
	}
	if reason != "" {
		y.info.PendingDeploys = append(y.info.PendingDeploys, pendingDeploy{target{"Stack", st.name}, reason, []target{}})
	}
}

// stackOf finds a stack by name or id. The caller holds the lock.
func (s *Server) stackOf(ref string) *stack {
	for _, st := range s.stacks {
		if st.id == ref || st.name == ref {
			return st
		}
	}
	return nil
}

func (s *Server) syncOf(ref string) *syncer {
	for _, y := range s.syncs {
		if y.id == ref || y.Name == ref {
			return y
		}
	}
	return nil
}

func (y *syncer) pending() int {
	return len(y.info.ResourceUpdates) + len(y.info.VariableUpdates) + len(y.info.UserGroupUpdates) + len(y.info.PendingDeploys)
}

func (y *syncer) state() string {
	switch {
	case y.running:
		return "Syncing"
	case y.info.PendingError != "" || y.failed:
		return "Failed"
	case y.pending() > 0:
		return "Pending"
	default:
		return "Ok"
	}
}

// runSync applies what is pending, all of it or that of some resources.
func (s *Server) runSync(y *syncer, only []string) func(ctx context.Context, e *execution) error {
	return func(ctx context.Context, e *execution) error {
		s.mu.Lock()
		y.running = true
		s.mu.Unlock()
		defer func() {
			s.refreshSync(ctx, y)
			s.mu.Lock()
			y.running = false
			s.mu.Unlock()
		}()
		w, err := s.wanted(ctx, y)
		if err != nil {
			return err
		}
		picked := func(name string) bool { return len(only) == 0 || slices.Contains(only, name) }
		e.log("Sync Resources", "", s.green("Syncing")+" "+y.Name+" at "+s.bold(w.hash), "", true)
		for _, want := range w.stacks {
			if picked(want.name) {
				s.applyStack(e, want)
			}
		}
		if len(only) == 0 {
			s.applyVariables(e, w.vars)
		}
		failed := s.deployPending(ctx, e, w, picked)
		s.mu.Lock()
		deaf := s.has(DeafSync)
		y.failed = failed != nil && !deaf
		y.info.LastSyncTS, y.info.LastSyncHash, y.info.LastSyncMessage = s.o.Now().UnixMilli(), w.hash, w.says
		s.mu.Unlock()
		if failed != nil && !deaf {
			return failed
		}
		return nil
	}
}

func (s *Server) applyStack(e *execution, want *stack) {
	s.mu.Lock()
	st, verb := s.stackOf(want.name), "updated"
	switch {
	case st == nil:
		verb = "created"
		st = &stack{id: s.newID(), name: want.name, info: stackInfo{LatestServices: []stackService{}, MissingFiles: []string{}}}
		s.stacks = append(s.stacks, st)
	case st.text() == want.text():
		s.mu.Unlock()
		return
	}
	st.deploy, st.tags, st.config = want.deploy, want.tags, want.config
	s.mu.Unlock()
	e.log("Update Stack", "", s.green(verb)+" stack "+s.bold(want.name), "", true)
}

func (s *Server) applyVariables(e *execution, vars map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		s.mu.Lock()
		was, there := s.vars[name]
		s.vars[name] = vars[name]
		s.mu.Unlock()
		if !there || was != vars[name] {
			e.log("Update Variables", "", s.green("updated")+" variable "+s.bold(name), "", true)
		}
	}
}

// deployPending deploys the stacks that want it, and gives the first failure.
func (s *Server) deployPending(ctx context.Context, e *execution, w *wanted, picked func(string) bool) error {
	var failed error
	for _, want := range w.stacks {
		if !want.deploy || !picked(want.name) {
			continue
		}
		s.mu.Lock()
		st := s.stackOf(want.name)
		s.mu.Unlock()
		s.refreshStack(ctx, st)
		s.mu.Lock()
		need := len(changed(st.info)) > 0
		s.mu.Unlock()
		if !need {
			continue
		}
		e.log("Deploy Resources", "", "deploying "+s.bold(want.name), "", true)
		child := s.open("DeployStack", target{"Stack", st.id}, operatorSync)
		s.execute(child, s.deploy(st, nil))
		if !s.succeeded(child.u) {
			failed = fmt.Errorf("failed to deploy stack %s", want.name)
		}
	}
	return failed
}
