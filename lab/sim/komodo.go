package sim

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/lab/sim/internal/komodo"
	"github.com/nexgate-hq/nexops/lab/sim/internal/memhttp"
	"github.com/nexgate-hq/nexops/lab/sim/internal/nexgate"
	"github.com/nexgate-hq/nexops/lab/sim/internal/sshd"
	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
	"github.com/nexgate-hq/nexops/remote"
)

// Komodo is a simulated Core. It and what belongs to it stand here for those who put it before another estate.
type Komodo = komodo.Server

// KomodoOptions are what NewKomodo takes.
type KomodoOptions = komodo.Options

// KomodoEstate is what a Core governs.
type KomodoEstate = komodo.Estate

// KomodoResult is how a step ended.
type KomodoResult = komodo.Result

// KomodoContainer is one of a stack's containers.
type KomodoContainer = komodo.Container

// KomodoUser is who may call.
type KomodoUser = komodo.User

// KomodoSync is a resource sync.
type KomodoSync = komodo.Sync

// KomodoAlert is what a Core tells of.
type KomodoAlert = komodo.Alert

// KomodoTrap is a way of a Core that misleads.
type KomodoTrap = komodo.Trap

// The traps that tests switch.
const (
	TrapSuccessEarly = komodo.SuccessEarly
	TrapMarkup       = komodo.Markup
	TrapLogsAtEnd    = komodo.LogsAtEnd
	TrapNoID         = komodo.NoID
	TrapStatus500    = komodo.Status500
	TrapHeadHashes   = komodo.HeadHashes
	TrapPaging       = komodo.Paging
	TrapHTML         = komodo.HTML
	TrapDeafSync     = komodo.DeafSync
	TrapBlind        = komodo.Blind
	TrapBusy         = komodo.Busy
	TrapFailDeploy   = komodo.FailDeploy
	TrapLoseAnswer   = komodo.LoseAnswer
	TrapPlainText    = komodo.PlainText
)

// NewKomodo makes a Core over any estate; Close ends it.
func NewKomodo(ctx context.Context, o KomodoOptions) (*Komodo, error) { return komodo.New(ctx, o) }

// The key of the console's user in the simulated Komodo.
const (
	komodoKey    = "K_c3ltdWxhdGVkLWtleQ_K"
	komodoSecret = "S_bm90LWZvci1zY3JlZW5z_S"
)

// komodoPoll is how soon Core sees a commit; the real one's default is an hour.
const komodoPoll = 3 * time.Second

// komodoCore is the simulated Core and its listener on the ops host.
type komodoCore struct {
	core   *komodo.Server
	server *memhttp.Server
}

// Close ends both.
func (k *komodoCore) Close() {
	k.core.Close()
	k.server.Stop()
}

func (e *Estate) komodoPath(what string) string { return filepath.Join(e.dir, "komodo."+what) }

// Komodo is the estate's Komodo Core.
func (e *Estate) Komodo() *Komodo { return e.komodo.core }

// StopKomodo makes Core refuse connections, and StartKomodo answer again.
func (e *Estate) StopKomodo() { e.komodo.server.Stop() }

// StartKomodo starts it again; what was in progress has failed.
func (e *Estate) StartKomodo() {
	e.komodo.core.Restart()
	e.komodo.server.Start()
}

// serveKomodo puts Komodo on the loopback of the ops host.
func (e *Estate) serveKomodo(ctx context.Context) error {
	o := komodo.Options{
		Estate: komodoEstate{e}, Checkout: nexgate.Checkout, Poll: komodoPoll, Now: e.opts.Now, Log: e.opts.Log,
		Users:    []komodo.User{{ID: "66f0000000000000000000a1", Name: "nexops", Key: komodoKey, Secret: komodoSecret}},
		Deployed: e.deployed,
	}
	seen := map[string]bool{}
	for _, name := range e.order {
		spec := e.hosts[name].spec
		if spec.Stack == "" || spec.Environment == "ops" {
			continue
		}
		o.Servers = append(o.Servers, name)
		if !seen[spec.Environment] {
			seen[spec.Environment] = true
			o.Syncs = append(o.Syncs, komodo.Sync{
				Name: nexgate.SyncName(spec.Environment), Branch: spec.Branch, Path: nexgate.SyncFile(spec.Environment), Tags: []string{spec.Environment},
			})
		}
	}
	core, err := komodo.New(ctx, o)
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	e.komodo = &komodoCore{core: core, server: memhttp.New(http.Handler(core))}
	e.komodo.server.Start()
	e.hosts["ops"].machine.Reach("tcp", "127.0.0.1:9120", e.komodo.server.Dial)
	return nil
}

// deployed is what a stack's file said when it was last deployed: its tag is the one that runs.
func (e *Estate) deployed(server, path, head string) string {
	dir, file := filepath.Split(path)
	if file != "tag.env" {
		return head
	}
	service := filepath.Base(dir)
	h := e.hosts[server]
	if h == nil || h.specs[service] == nil {
		return head
	}
	c, err := e.world.Find(server, h.specs[service].Name)
	if err != nil {
		return head
	}
	return nexgate.TagLine(service, c.Image.Tag)
}

// komodoEstate is the estate as Komodo's agents see it.
type komodoEstate struct{ e *Estate }

// Run runs a command on a host.
func (k komodoEstate) Run(ctx context.Context, server string, argv []string) (komodo.Result, error) {
	h, err := k.host(server)
	if err != nil {
		return komodo.Result{}, err
	}
	var out, errOut bytes.Buffer
	code := h.machine.Exec(ctx, sshd.Exec{Line: remote.Quote(argv), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut})
	return komodo.Result{Code: code, Stdout: out.String(), Stderr: errOut.String()}, nil
}

func (k komodoEstate) host(name string) (*host, error) {
	h, ok := k.e.hosts[name]
	if !ok {
		return nil, fmt.Errorf("%w: %s", world.ErrNoHost, name)
	}
	if w, _ := k.e.world.Host(name); !w.Down.IsZero() {
		return nil, fmt.Errorf("%s: connection timed out", name)
	}
	return h, nil
}

// Containers are those of a Compose project on a host.
func (k komodoEstate) Containers(_ context.Context, server, project string) ([]komodo.Container, error) {
	h, err := k.host(server)
	if err != nil {
		return nil, err
	}
	var out []komodo.Container
	for _, c := range k.e.world.Containers(h.name) {
		if c.Spec.Project == project {
			out = append(out, komodo.Container{
				ID: c.ID, Name: c.Name, Service: c.Spec.Service, Image: c.Image.Ref(), State: c.State, Health: c.Health, Started: c.Created,
			})
		}
	}
	return out, nil
}

// Head is the newest commit of a branch.
func (k komodoEstate) Head(ctx context.Context, branch string) (hash, subject string, err error) {
	return k.e.repo.Head(ctx, branch)
}

// Files are files at a commit.
func (k komodoEstate) Files(ctx context.Context, commit string, paths []string) (map[string]string, error) {
	return k.e.repo.Files(ctx, commit, paths)
}
