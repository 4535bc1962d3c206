package komodo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

const (
	timeout  = 20 * time.Second
	parallel = 3 // every request costs Core a bcrypt
	tagsAge  = 10 * time.Minute
)

// Source is one Komodo Core.
type Source struct {
	id        fleet.SourceID
	title     string // in errors
	cfg       Config
	deps      sources.Deps
	transport *sources.Transport
	client    *client

	mu      sync.Mutex
	tags    map[string]string // id to name
	tagged  time.Time
	me      string              // id of the key's user; "" when not known yet
	touched map[id][]string     // services that an update was about
	stacks  map[string]stackRef // by id, as of the last observation
}

// New makes the source. It does no I/O.
func New(name string, cfg *Config, deps sources.Deps) (*Source, error) {
	transport, err := cfg.Transport(deps, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Title("komodo", name), err)
	}
	s := &Source{
		id: fleet.MakeSourceID("komodo", name), title: cfg.Title("komodo", name), cfg: *cfg, deps: deps, transport: transport,
		touched: map[id][]string{}, stacks: map[string]stackRef{},
	}
	s.client = &client{cfg: &s.cfg, base: transport, secret: deps.Secret}
	if deps.Secret == nil {
		s.client.secret = func(ctx context.Context, secret remote.Secret) (string, error) { return secret.Resolve(ctx) }
	}
	return s, nil
}

// ID names the source.
func (s *Source) ID() fleet.SourceID { return s.id }

// Timing is the clock of the source. Its websocket pokes it when something was deployed.
func (s *Source) Timing() sources.Timing {
	every := s.cfg.Poll.Or(defaultPoll)
	return sources.Timing{Every: every, Timeout: timeout, MaxAge: max(3*every, time.Minute)}
}

// Close ends the idle connections.
func (s *Source) Close() error {
	s.transport.Close()
	return nil
}

func (s *Source) fail(err error) error { return fmt.Errorf("%s: %w", s.title, err) }

// stackRef is a stack with where it belongs.
type stackRef struct {
	item[stackItem]
	host string
	env  string // "" when nothing tells
}

// view is what one observation has read.
type view struct {
	version string
	stacks  []stackRef
	syncs   []item[syncItem]
	servers []item[serverItem]
	updates updateList
	alerts  alertList
	tags    map[string]string
}

// Observe reads what Komodo would do, has done and complains of.
func (s *Source) Observe(ctx context.Context) (fleet.Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	v, err := s.look(ctx)
	if err != nil {
		return fleet.Facts{}, s.fail(err)
	}
	facts := fleet.Facts{Detail: sources.OneLine(v.version, 20)}
	if facts.Syncs, err = s.syncs(ctx, v); err != nil {
		return fleet.Facts{}, s.fail(err)
	}
	if facts.Changes, err = s.changes(ctx, v); err != nil {
		return fleet.Facts{}, s.fail(err)
	}
	if err := ctx.Err(); err != nil {
		return fleet.Facts{}, s.fail(err)
	}
	facts.Histories = s.desired(v)
	facts.Warnings = s.warnings(v, facts.Syncs)
	pending := 0
	for _, y := range facts.Syncs {
		pending += y.Pending()
	}
	if pending > 0 {
		facts.Detail = fmt.Sprintf("sync pending: %d", pending)
	}
	facts.ObservedAt = s.deps.Now()
	return facts, nil
}

// look asks for all that is asked in every observation.
func (s *Source) look(ctx context.Context) (*view, error) {
	v := &view{}
	var stacks []item[stackItem]
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	group.Go(func() error {
		var doc struct {
			Version string `json:"version"`
		}
		err := s.client.read(gctx, "GetVersion", map[string]any{}, &doc)
		v.version = doc.Version
		return err
	})
	group.Go(func() error { return s.client.list(gctx, "ListStacks", &stacks) })
	group.Go(func() error { return s.client.list(gctx, "ListResourceSyncs", &v.syncs) })
	group.Go(func() error { return s.client.list(gctx, "ListServers", &v.servers) })
	group.Go(func() error { return s.client.read(gctx, "ListUpdates", map[string]any{"page": 0}, &v.updates) })
	group.Go(func() error {
		return s.client.read(gctx, "ListAlerts", map[string]any{"query": map[string]any{"resolved": false}, "page": 0}, &v.alerts)
	})
	group.Go(func() error {
		var err error
		v.tags, err = s.tagNames(gctx)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err //nolint:wrapcheck // says which call
	}
	v.stacks = s.place(stacks, v.tags)
	return v, nil
}

// tagNames gives the tags by id. They hardly ever change.
func (s *Source) tagNames(ctx context.Context) (map[string]string, error) {
	s.mu.Lock()
	tags, age := s.tags, s.deps.Now().Sub(s.tagged)
	s.mu.Unlock()
	if tags != nil && age < tagsAge {
		return tags, nil
	}
	var list []tagDoc
	if err := s.client.read(ctx, "ListTags", map[string]any{}, &list); err != nil {
		return nil, err
	}
	tags = map[string]string{}
	for _, t := range list {
		tags[string(t.ID)] = t.Name
	}
	s.mu.Lock()
	s.tags, s.tagged = tags, s.deps.Now()
	s.mu.Unlock()
	return tags, nil
}

// place says of every stack where it belongs, and remembers it for those who deploy.
func (s *Source) place(list []item[stackItem], tags map[string]string) []stackRef {
	var out []stackRef
	known := map[string]stackRef{}
	for _, it := range list {
		server := it.Info.ServerName
		if server == "" {
			server = it.Info.ServerID // v1 has no name; an id that is none of ours says nothing
		}
		ref := stackRef{item: it, host: s.cfg.host(server)}
		ref.env = s.environment(s.cfg.Stacks, it.Name, it.Tags, tags)
		if ref.env == "" && len(s.cfg.Stacks) == 0 && s.deps.HostEnvironment != nil {
			ref.env = s.deps.HostEnvironment(ref.host)
		}
		out = append(out, ref)
		known[string(it.ID)] = ref
	}
	s.mu.Lock()
	s.stacks = known
	s.mu.Unlock()
	return out
}

// environment is what the config or a tag says of a resource.
func (s *Source) environment(names map[string][]string, name string, tags []string, known map[string]string) string {
	if len(names) > 0 {
		return listed(names, name)
	}
	for _, t := range tags {
		for _, word := range []string{known[t], t} {
			if word != "" && slices.Contains(s.deps.Environments, word) {
				return word
			}
		}
	}
	return ""
}

// here are the stacks of the environment that is open.
func (s *Source) here(v *view) []stackRef {
	var out []stackRef
	for _, st := range v.stacks {
		if st.env == s.deps.Environment {
			out = append(out, st)
		}
	}
	return out
}

// desired is what the files of the stacks say now, service by service. What two stacks say differently is left out.
func (s *Source) desired(v *view) []fleet.History {
	type wish struct {
		release fleet.Release
		split   bool
	}
	wishes := map[string]*wish{}
	var order []string
	for _, st := range s.here(v) {
		for _, svc := range st.Info.Services {
			r, ok := releaseOf(svc.Image)
			if !ok || svc.Service == "" {
				continue
			}
			w := wishes[svc.Service]
			if w == nil {
				w = &wish{release: r}
				wishes[svc.Service] = w
				order = append(order, svc.Service)
			}
			w.split = w.split || w.release != r
		}
	}
	slices.Sort(order)
	var out []fleet.History
	for _, name := range order {
		if w := wishes[name]; !w.split {
			out = append(out, fleet.History{Subject: fleet.Subject{Environment: s.deps.Environment, Service: name}, Releases: []fleet.Release{w.release}})
		}
	}
	return out
}

// releaseOf reads an image reference. One without a tag, or with a variable in it, says nothing.
func releaseOf(image string) (fleet.Release, bool) {
	image, digest, _ := strings.Cut(sources.OneLine(image, maxLine), "@")
	colon := strings.LastIndexByte(image, ':')
	if colon <= strings.LastIndexByte(image, '/') || strings.ContainsAny(image, "$ ") {
		return fleet.Release{}, false
	}
	r := fleet.Release{Image: image[:colon], Tag: image[colon+1:], Digest: digest}
	return r, r.Image != "" && r.Tag != ""
}

// warnings are what Komodo complains of, and what does not fit.
func (s *Source) warnings(v *view, syncs []fleet.Sync) []string {
	var out []string
	add := func(format string, args ...any) {
		out = append(out, sources.OneLine(fmt.Sprintf(format, args...), maxLine))
	}
	here := s.here(v)
	if len(here) == 0 && len(v.stacks) > 0 {
		add("none of its %d stacks belongs to %s: name them under stacks.%s, or tag them %s", len(v.stacks), s.deps.Environment, s.deps.Environment, s.deps.Environment)
	}
	for _, st := range here {
		if len(st.Info.MissingFiles) > 0 {
			add("stack %s: files are missing in its repository: %s", st.Name, strings.Join(st.Info.MissingFiles, ", "))
		}
		if st.Info.State == "down" || st.Info.State == "dead" {
			add("stack %s is %s", st.Name, st.Info.State)
		}
	}
	for _, y := range syncs {
		if y.Problem != "" {
			add("sync %s: %s", y.Name, y.Problem)
		}
		for _, d := range y.Deploys {
			if d.More > 0 {
				add("sync %s: %d files of stack %s differ, only %d of them are read: look at all of them in Komodo", y.Name, len(d.Files)+d.More, d.Stack, len(d.Files))
			}
		}
	}
	for _, srv := range v.servers {
		if srv.Info.State == "NotOk" && s.mine(srv.Name) {
			why := ""
			if srv.Info.Err != nil {
				why = ": " + line(srv.Info.Err.text)
			}
			add("server %s is not ok%s", srv.Name, why)
		}
	}
	for _, a := range v.alerts.Alerts {
		if !a.Resolved && s.alertHere(a, v) {
			add("alert %s %s: %s since %s", a.Level, a.Data.Type, orElse(a.Data.Data.Name, a.Target.ID), since(millis(a.TS)))
		}
	}
	return out
}

func since(at time.Time) string {
	if at.IsZero() {
		return "some time"
	}
	return at.Format("2006-01-02 15:04Z")
}

// mine reports whether a server is a host of the environment that is open.
func (s *Source) mine(server string) bool {
	return slices.Contains(s.deps.Hosts, s.cfg.host(server))
}

// alertHere leaves out what is of another environment's server, stack or sync.
func (s *Source) alertHere(a alert, v *view) bool {
	switch a.Target.Type {
	case "Server":
		for _, srv := range v.servers {
			if string(srv.ID) == a.Target.ID {
				return s.mine(srv.Name)
			}
		}
		return s.mine(orElse(a.Data.Data.Name, a.Target.ID))
	case "Stack":
		return slices.ContainsFunc(s.here(v), func(st stackRef) bool { return string(st.ID) == a.Target.ID })
	case "ResourceSync":
		for _, y := range v.syncs {
			if string(y.ID) == a.Target.ID {
				return s.environment(s.cfg.Syncs, y.Name, y.Tags, v.tags) == s.deps.Environment
			}
		}
	}
	return false
}

func orElse(text, other string) string {
	if text != "" {
		return text
	}
	return other
}
