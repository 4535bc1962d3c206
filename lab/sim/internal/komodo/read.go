package komodo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const (
	pageSize   = 50
	updatePage = 100
)

func (s *Server) reads() map[string]call {
	calls := map[string]call{
		"GetVersion": func(context.Context, *User, params) (any, error) {
			return map[string]string{"version": s.version()}, nil
		},
		"ListStacks":          s.listStacks,
		"GetStack":            s.getStack,
		"ListStackServices":   s.listServices,
		"GetStackActionState": s.actionState,
		"ListResourceSyncs":   s.listSyncs,
		"GetResourceSync":     s.getSync,
		"ListServers":         s.listServers,
		"ListTags":            s.listTags,
		"ListUpdates":         s.listUpdates,
		"GetUpdate":           s.getUpdate,
		"ListAlerts":          s.listAlerts,
		"GetUser":             func(_ context.Context, u *User, _ params) (any, error) { return userDoc(u), nil },
	}
	return calls
}

func userDoc(u *User) map[string]any {
	return map[string]any{"_id": oid{u.ID}, "username": u.Name, "enabled": true, "admin": false}
}

func (s *Server) writes() map[string]call {
	return map[string]call{
		"RefreshStackCache": func(ctx context.Context, _ *User, p params) (any, error) {
			st, err := s.findStack(p)
			if err != nil {
				return nil, err
			}
			s.refreshStack(ctx, st)
			return map[string]any{}, nil
		},
		"RefreshResourceSyncPending": func(ctx context.Context, _ *User, p params) (any, error) {
			y, err := s.findSync(p)
			if err != nil {
				return nil, err
			}
			s.mu.Lock()
			stacks := append([]*stack(nil), s.stacks...)
			s.mu.Unlock()
			for _, st := range stacks {
				s.refreshStack(ctx, st)
			}
			s.refreshSync(ctx, y)
			return s.getSync(ctx, nil, p)
		},
	}
}

func (s *Server) findStack(p params) (*stack, error) {
	ref := p.Stack + p.ID + p.Name
	s.mu.Lock()
	st := s.stackOf(ref)
	s.mu.Unlock()
	if st == nil {
		return nil, s.status(http.StatusNotFound, "Did not find any Stack matching %s", ref)
	}
	return st, nil
}

func (s *Server) findSync(p params) (*syncer, error) {
	ref := p.Sync + p.ID + p.Name
	s.mu.Lock()
	y := s.syncOf(ref)
	s.mu.Unlock()
	if y == nil {
		return nil, s.status(http.StatusNotFound, "Did not find any ResourceSync matching %s", ref)
	}
	return y, nil
}

// page cuts a list as Core does: 50, unless limit is 0 or says otherwise. v1 gives all.
func page[T any](s *Server, list []T, p params) []T {
	if s.o.V1 || !s.has(Paging) {
		return list
	}
	size := pageSize
	if p.Limit != nil {
		size = *p.Limit
	}
	if size == 0 {
		return list
	}
	from := min(p.Page*size, len(list))
	return list[from:min(from+size, len(list))]
}

func (s *Server) listStacks(ctx context.Context, _ *User, p params) (any, error) {
	s.mu.Lock()
	stacks := append([]*stack(nil), s.stacks...)
	s.mu.Unlock()
	out := []listItem{}
	for _, st := range stacks {
		state, containers := s.state(ctx, st)
		s.mu.Lock()
		info := map[string]any{
			"server_id": st.config.Server, "files_on_host": false, "file_contents": false, "git_provider": "github.com", "repo": st.config.Repo,
			"branch": st.config.Branch, "repo_link": "https://github.com/" + st.config.Repo, "state": state, "project_missing": len(containers) == 0,
			"services": s.serviceItems(st), "missing_files": st.info.MissingFiles, "deployed_hash": st.info.DeployedHash, "latest_hash": st.info.LatestHash,
		}
		if !s.o.V1 {
			info["server_name"], info["swarm_id"], info["swarm_name"] = st.config.Server, "", ""
			info["auto_update_all_services"] = false
		}
		out = append(out, listItem{ID: st.id, Type: "Stack", Name: st.name, Tags: tagIDs(st.tags), Info: info})
		s.mu.Unlock()
	}
	return page(s, out, p), nil
}

func tagIDs(names []string) []string {
	out := []string{}
	for _, n := range names {
		out = append(out, "tag-"+n)
	}
	return out
}

func (s *Server) listTags(context.Context, *User, params) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []map[string]any{}
	seen := map[string]bool{}
	add := func(names []string) {
		for _, n := range names {
			if !seen[n] {
				seen[n] = true
				out = append(out, map[string]any{"_id": oid{"tag-" + n}, "name": n, "owner": "", "color": "Slate"})
			}
		}
	}
	for _, st := range s.stacks {
		add(st.tags)
	}
	for _, y := range s.syncs {
		add(y.Tags)
	}
	return out, nil
}

func (s *Server) serviceItems(st *stack) []map[string]any {
	out := []map[string]any{}
	for _, svc := range st.info.LatestServices {
		out = append(out, map[string]any{"service": svc.ServiceName, "image": svc.Image, "update_available": false})
	}
	return out
}

func (s *Server) getStack(_ context.Context, _ *User, p params) (any, error) {
	st, err := s.findStack(p)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	info := st.info
	return resource{ID: oid{st.id}, Name: st.name, Tags: tagIDs(st.tags), Info: info, Config: st.config, UpdatedAt: s.o.Now().UnixMilli()}, nil
}

func (s *Server) listServices(ctx context.Context, _ *User, p params) (any, error) {
	st, err := s.findStack(p)
	if err != nil {
		return nil, err
	}
	_, containers := s.state(ctx, st)
	out := []map[string]any{}
	for _, k := range containers {
		status := "Up 3 minutes"
		if k.Health != "" {
			status += " (" + k.Health + ")"
		}
		word := strings.ToUpper(k.State[:1]) + k.State[1:]
		svc := map[string]any{
			"service": k.Service, "image": k.Image,
			"container": map[string]any{"name": k.Name, "id": k.ID, "image": k.Image, "state": k.State, "status": status},
		}
		if s.o.V1 {
			svc["update_available"] = false
		} else {
			svc["state"], svc["stack_id"], svc["stack_name"] = word, st.id, st.name
		}
		out = append(out, svc)
	}
	return out, nil
}

func (s *Server) actionState(_ context.Context, _ *User, p params) (any, error) {
	st, err := s.findStack(p)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	op := s.busy[st.id]
	return map[string]bool{
		"pulling": op == "PullStack", "deploying": strings.HasPrefix(op, "DeployStack"), "restarting": strings.HasPrefix(op, "RestartStack"),
		"starting": false, "pausing": false, "unpausing": false, "stopping": false, "destroying": false,
	}, nil
}

func (s *Server) listSyncs(_ context.Context, _ *User, p params) (any, error) {
	s.mu.Lock()
	out := []listItem{}
	for _, y := range s.syncs {
		out = append(out, listItem{ID: y.id, Type: "ResourceSync", Name: y.Name, Tags: tagIDs(y.Tags), Info: map[string]any{
			"last_sync_ts": y.info.LastSyncTS, "last_sync_hash": y.info.LastSyncHash, "last_sync_message": y.info.LastSyncMessage,
			"managed": false, "files_on_host": false, "file_contents": false, "resource_path": []string{y.Path}, "branch": y.Branch, "state": y.state(),
		}})
	}
	s.mu.Unlock()
	return page(s, out, p), nil
}

func (s *Server) getSync(_ context.Context, _ *User, p params) (any, error) {
	y, err := s.findSync(p)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	config := map[string]any{"branch": y.Branch, "resource_path": []string{y.Path}, "managed": false, "delete": false}
	return resource{ID: oid{y.id}, Name: y.Name, Tags: tagIDs(y.Tags), Info: y.info, Config: config, UpdatedAt: s.o.Now().UnixMilli()}, nil
}

func (s *Server) listServers(ctx context.Context, _ *User, p params) (any, error) {
	out := []listItem{}
	for _, name := range s.o.Servers {
		info := map[string]any{"state": "Ok", "region": "", "version": s.version()}
		if _, err := s.o.Estate.Run(ctx, name, []string{"true"}); err != nil {
			info["state"], info["err"] = "NotOk", map[string]any{"error": s.red("failed to reach periphery"), "trace": []string{err.Error()}}
		}
		out = append(out, listItem{ID: name, Type: "Server", Name: name, Tags: []string{}, Info: info})
	}
	return page(s, out, p), nil
}

// item is an update in a list. The caller holds the lock.
func (s *Server) item(u *update) item {
	name := u.Operator
	for i := range s.o.Users {
		if s.o.Users[i].ID == u.Operator {
			name = s.o.Users[i].Name
		}
	}
	return item{
		ID: u.ID.OID, Operation: u.Operation, StartTS: u.StartTS, Success: u.Success, Username: name, Operator: u.Operator,
		Target: u.Target, Status: u.Status, Version: u.Version, OtherData: u.OtherData,
	}
}

// query is the part of MongoDB's language that is understood.
type query struct {
	Type      string          `json:"target.type"`
	ID        string          `json:"target.id"`
	Operation json.RawMessage `json:"operation"`
	Start     struct {
		GTE int64 `json:"$gte"`
	} `json:"start_ts"`
}

func (s *Server) listUpdates(_ context.Context, _ *User, p params) (any, error) {
	var q query
	if len(p.Query) > 0 {
		if err := json.Unmarshal(p.Query, &q); err != nil {
			return nil, fault(http.StatusUnprocessableEntity, "invalid query: %v", err)
		}
	}
	var in struct {
		In []string `json:"$in"`
	}
	_ = json.Unmarshal(q.Operation, &in)
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []item{}
	for _, u := range slices.Backward(s.updates) {
		if (q.Type == "" || q.Type == u.Target.Type) && (q.ID == "" || q.ID == u.Target.ID) &&
			(len(in.In) == 0 || slices.Contains(in.In, u.Operation)) && u.StartTS >= q.Start.GTE {
			all = append(all, s.item(u))
		}
	}
	from := min(p.Page*updatePage, len(all))
	to := min(from+updatePage, len(all))
	out := map[string]any{"updates": all[from:to]}
	if to < len(all) {
		out["next_page"] = p.Page + 1
	}
	return out, nil
}

func (s *Server) getUpdate(_ context.Context, _ *User, p params) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.updates {
		if u.ID.OID == p.ID {
			out := *u
			out.Logs = slices.Clone(u.Logs)
			return out, nil
		}
	}
	return nil, wrong("no update exists with given id: %s", p.ID)
}

func (s *Server) listAlerts(_ context.Context, _ *User, _ params) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []map[string]any{}
	for i, a := range slices.Backward(s.alerts) {
		out = append(out, map[string]any{
			"_id": oid{fmt.Sprintf("%024x", i+1)}, "ts": a.At.UnixMilli(), "resolved": false, "level": a.Level, "target": target{a.Type, a.Name},
			"data": map[string]any{"type": a.Kind, "data": map[string]any{"id": a.Name, "name": a.Name}},
		})
	}
	return map[string]any{"alerts": out}, nil
}
