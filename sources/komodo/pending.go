package komodo

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/nexgate-hq/nexops/fleet"
)

// Bounds of what one sync is shown with.
const (
	maxPending = 200
	maxFiles   = 50 // of a stack; how many more there are is told
)

// syncs reads what is pending in the environment's syncs. Those that say they are in order are not asked.
func (s *Source) syncs(ctx context.Context, v *view) ([]fleet.Sync, error) {
	var asked []item[syncItem]
	for _, y := range v.syncs {
		env := s.environment(s.cfg.Syncs, y.Name, y.Tags, v.tags)
		known := env == s.deps.Environment
		if (known || env == "" && len(s.cfg.Syncs) == 0) && y.Info.State != "Ok" {
			asked = append(asked, y)
		}
	}
	return s.pendingOf(ctx, v, asked)
}

func (s *Source) pendingOf(ctx context.Context, v *view, asked []item[syncItem]) ([]fleet.Sync, error) {
	found := make([]*fleet.Sync, len(asked))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, y := range asked {
		group.Go(func() error {
			var err error
			found[i], err = s.pending(gctx, v, y)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err //nolint:wrapcheck // says which call
	}
	var out []fleet.Sync
	for _, y := range found {
		if y != nil {
			out = append(out, *y)
		}
	}
	return out, nil
}

// pending reads one sync; nil when it turns out to be of another environment.
func (s *Source) pending(ctx context.Context, v *view, y item[syncItem]) (*fleet.Sync, error) {
	var doc resource[syncInfo, struct{}]
	if err := s.client.read(ctx, "GetResourceSync", map[string]any{"sync": string(y.ID)}, &doc); err != nil {
		if missing(err) {
			return nil, nil //nolint:nilnil // it was deleted meanwhile: there is none
		}
		return nil, err
	}
	info := doc.Info
	env := s.environment(s.cfg.Syncs, y.Name, y.Tags, v.tags)
	if env == "" && len(s.cfg.Syncs) == 0 {
		env = environmentOf(info, v)
	}
	if env != s.deps.Environment {
		return nil, nil //nolint:nilnil // of another environment: there is none here
	}
	out := &fleet.Sync{
		Name: line(y.Name), Environment: env, State: line(y.Info.State), Commit: line(info.PendingHash), Subject: line(info.PendingMessage),
		Problem: line(orElse(info.PendingError, info.PendingDeployError)), Source: s.id,
	}
	for _, e := range info.RemoteErrors {
		if out.Problem == "" {
			out.Problem = line(e.Path + ": " + e.Contents)
		}
	}
	for _, u := range info.ResourceUpdates[:min(len(info.ResourceUpdates), maxPending)] {
		out.Changes = append(out.Changes, s.change(u, v))
	}
	for what, list := range map[string][]diff{"variable": info.VariableUpdates, "user group": info.UserGroupUpdates} {
		for _, d := range list[:min(len(list), maxPending)] {
			c := changeOf(d)
			c.Resource, c.Name = strings.TrimSpace(what+" "+orElse(line(d.Data.Name), nameIn(orElse(d.Data.Proposed, d.Data.Current)))), ""
			out.Changes = append(out.Changes, c)
		}
	}
	slices.SortStableFunc(out.Changes, func(a, b fleet.SyncChange) int { return strings.Compare(a.Resource, b.Resource) })
	if longest := max(len(info.ResourceUpdates), len(info.VariableUpdates), len(info.UserGroupUpdates), len(info.PendingDeploys)); longest > maxPending && out.Problem == "" {
		out.Problem = fmt.Sprintf("%d changes of one kind are pending, and only %d of a kind are shown here: look at all of them in Komodo", longest, maxPending)
	}
	deploys, err := s.deploys(ctx, info.PendingDeploys, v)
	if err != nil {
		return nil, err
	}
	out.Deploys = deploys
	return out, nil
}

// environmentOf is where the stacks are that a sync is about.
func environmentOf(info syncInfo, v *view) string {
	var refs []string
	for _, d := range info.PendingDeploys {
		refs = append(refs, d.Target.ID)
	}
	for _, u := range info.ResourceUpdates {
		refs = append(refs, u.Target.ID, u.Data.Data.Name)
	}
	for _, ref := range refs {
		if st, ok := v.stack(ref); ok && st.env != "" {
			return st.env
		}
	}
	return ""
}

// stack finds a stack by name or id.
func (v *view) stack(ref string) (stackRef, bool) {
	for _, st := range v.stacks {
		if ref != "" && (st.Name == ref || string(st.ID) == ref) {
			return st, true
		}
	}
	return stackRef{}, false
}

// change is one resource that would be made, changed or taken away.
func (s *Source) change(u resourceUpdate, v *view) fleet.SyncChange {
	c := changeOf(u.Data)
	c.Name = line(u.Data.Data.Name)
	if st, ok := v.stack(u.Target.ID); ok {
		c.Name = line(st.Name)
	}
	if c.Name == "" {
		c.Name = nameIn(orElse(u.Data.Data.Proposed, u.Data.Data.Current))
	}
	c.Resource = strings.TrimSpace(strings.ToLower(line(u.Target.Type)) + " " + orElse(c.Name, line(u.Target.ID)))
	return c
}

func changeOf(d diff) fleet.SyncChange {
	return fleet.SyncChange{Verb: strings.ToLower(line(d.Type)), Before: clean(d.Data.Current), After: clean(d.Data.Proposed)}
}

// nameIn is the first name = "..." of a resource's TOML.
func nameIn(text string) string {
	for l := range strings.SplitSeq(text, "\n") {
		if key, value, ok := strings.Cut(l, "="); ok && strings.TrimSpace(key) == "name" {
			return line(strings.Trim(strings.TrimSpace(value), `"'`))
		}
	}
	return ""
}

// deploys reads which files of the stacks differ from what was deployed: that, and nothing else, makes Komodo deploy them.
func (s *Source) deploys(ctx context.Context, list []pendingDeploy, v *view) ([]fleet.SyncDeploy, error) {
	var out []fleet.SyncDeploy
	for _, d := range list[:min(len(list), maxPending)] {
		deploy := fleet.SyncDeploy{Stack: line(d.Target.ID), Reason: line(d.Reason)}
		for _, a := range d.After {
			deploy.After = append(deploy.After, line(a.name))
		}
		st, ok := v.stack(d.Target.ID)
		if ok {
			deploy.Stack, deploy.Host = line(st.Name), st.host
			var doc resource[stackInfo, stackConfig]
			err := s.client.read(ctx, "GetStack", map[string]any{"stack": string(st.ID)}, &doc)
			if err != nil && !missing(err) {
				return nil, err
			}
			deploy.Files, deploy.More, deploy.Services = s.differ(doc)
		}
		out = append(out, deploy)
	}
	return out, nil
}

// differ compares contents. The hashes of Komodo are of the repository's HEAD, and differ for stacks that nobody touched.
func (s *Source) differ(doc resource[stackInfo, stackConfig]) (files []fleet.SyncFile, more int, services []string) {
	deployed := map[string]string{}
	for _, f := range doc.Info.DeployedContents {
		deployed[f.Path] = f.Contents
	}
	unclear := false
	for _, f := range doc.Info.RemoteContents {
		before, there := deployed[f.Path]
		if there && before == f.Contents {
			continue
		}
		at := strings.TrimPrefix(path.Join(doc.Config.RunDirectory, f.Path), "/")
		if len(files) < maxFiles {
			files = append(files, fleet.SyncFile{Path: line(at), Before: clean(before), After: clean(f.Contents)})
		} else {
			more++
		}
		names := f.Services
		if len(names) == 0 {
			names = []string{s.cfg.serviceOf(at)}
		}
		for _, n := range names {
			n = line(n)
			unclear = unclear || n == ""
			if n != "" && !slices.Contains(services, n) {
				services = append(services, n)
			}
		}
	}
	if unclear {
		return files, more, nil // a file of the whole stack differs: any service may
	}
	slices.Sort(services)
	return files, more, services
}

// Pending reads what the syncs of the environment would do, after Komodo has looked at the repository once more.
func (s *Source) Pending(ctx context.Context) ([]fleet.Sync, error) {
	v, err := s.look(ctx)
	if err != nil {
		return nil, s.fail(err)
	}
	for _, st := range s.here(v) {
		if err := s.refresh(ctx, "RefreshStackCache", "stack", string(st.ID)); err != nil {
			return nil, s.fail(err)
		}
	}
	var asked []item[syncItem]
	for _, y := range v.syncs {
		env := s.environment(s.cfg.Syncs, y.Name, y.Tags, v.tags)
		if env != s.deps.Environment && (env != "" || len(s.cfg.Syncs) > 0) {
			continue
		}
		if err := s.refresh(ctx, "RefreshResourceSyncPending", "sync", string(y.ID)); err != nil {
			return nil, s.fail(err)
		}
		asked = append(asked, y)
	}
	list, err := s.pendingOf(ctx, v, asked)
	if err != nil {
		return nil, s.fail(err)
	}
	return list, nil
}

// refresh lets Core look at the repository now: by itself it does so once an hour. A user who may not is shown what Core knows.
func (s *Source) refresh(ctx context.Context, call, key, ref string) error {
	err := s.client.call(ctx, "write", call, map[string]any{key: ref}, &struct{}{})
	var said *Error
	if errors.As(err, &said) && strings.Contains(strings.ToLower(said.Text), "permission") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the repository again: %w", err)
	}
	return nil
}
