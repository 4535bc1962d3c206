package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// shipOrders say whose logs go where.
type shipOrders struct {
	Loki  string     `json:"loki"`
	Hosts []shipHost `json:"hosts"`
}

type shipHost struct {
	Name   string `json:"name"`
	Env    string `json:"env"`
	Socket string `json:"socket"`
}

// ship follows the logs of every container of every host and pushes them to
// Loki, as a shipper on each host would.
func ship(ctx context.Context, log *slog.Logger, o shipOrders) {
	p := newPusher(o.Loki, log)
	var wg sync.WaitGroup
	wg.Go(func() { p.run(ctx) })
	for _, h := range o.Hosts {
		e := newEngine(h, p, log.With("host", h.Name))
		wg.Go(func() { e.run(ctx) })
	}
	wg.Wait()
}

// engine follows one host's Docker Engine.
type engine struct {
	host   shipHost
	out    *pusher
	log    *slog.Logger
	client *http.Client

	mu     sync.Mutex
	tails  map[string]bool      // containers followed now
	last   map[string]time.Time // newest line seen of each container
	follow sync.WaitGroup
}

func newEngine(h shipHost, out *pusher, log *slog.Logger) *engine {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", h.Socket)
	}
	return &engine{
		host: h, out: out, log: log,
		client: &http.Client{Transport: &http.Transport{DialContext: dial}},
		tails:  map[string]bool{}, last: map[string]time.Time{},
	}
}

// run follows the Engine until ctx is done, and comes back when it went away.
func (e *engine) run(ctx context.Context) {
	defer e.follow.Wait()
	for ctx.Err() == nil {
		if err := e.session(ctx); err != nil && ctx.Err() == nil {
			e.log.Warn("engine lost", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

type containerInfo struct {
	ID     string            `json:"Id"`
	Names  []string          `json:"Names"`
	Labels map[string]string `json:"Labels"`
}

// session subscribes first and lists then, so that no start falls between.
func (e *engine) session(ctx context.Context) error {
	events, err := e.get(ctx, "/events", url.Values{"filters": {`{"type":["container"],"event":["start"]}`}})
	if err != nil {
		return err
	}
	defer func() { _ = events.Close() }()
	if err := e.list(ctx); err != nil {
		return err
	}
	dec := json.NewDecoder(events)
	for {
		var ev struct{ ID string }
		if err := dec.Decode(&ev); err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if err := e.list(ctx); err != nil {
			return err
		}
	}
}

func (e *engine) list(ctx context.Context) error {
	body, err := e.get(ctx, "/containers/json", nil)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	var all []containerInfo
	if err := json.NewDecoder(body).Decode(&all); err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	for _, c := range all {
		e.mu.Lock()
		known := e.tails[c.ID]
		e.tails[c.ID] = true
		e.mu.Unlock()
		if !known {
			e.follow.Go(func() { e.tail(ctx, c) })
		}
	}
	return nil
}

func (e *engine) tail(ctx context.Context, c containerInfo) {
	defer e.done(ctx, c.ID)
	e.mu.Lock()
	since := e.last[c.ID]
	e.mu.Unlock()
	q := url.Values{"follow": {"1"}, "stdout": {"1"}, "stderr": {"1"}, "timestamps": {"1"}}
	if !since.IsZero() {
		q.Set("since", fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond()))
	}
	body, err := e.get(ctx, "/containers/"+c.ID+"/logs", q)
	if err != nil {
		e.log.Warn("logs", "container", c.ID, "error", err)
		return
	}
	defer func() { _ = body.Close() }()
	name := ""
	if len(c.Names) > 0 {
		name = c.Names[0][1:]
	}
	err = demux(body, func(stream string, at time.Time, line string) {
		if !at.After(since) {
			return // `since` includes its own moment
		}
		since = at
		e.out.add(ctx, labels{
			Env: e.host.Env, Host: e.host.Name, Container: name, Stream: stream,
			Project: c.Labels["com.docker.compose.project"], Service: c.Labels["com.docker.compose.service"],
		}, at, line)
	})
	e.mu.Lock()
	e.last[c.ID] = since
	e.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		e.log.Info("logs ended", "container", name, "error", err)
	}
}

// done forgets a tail that ended. The container may have started again before
// that, when it still counted as followed: so look once more.
func (e *engine) done(ctx context.Context, id string) {
	select {
	case <-ctx.Done():
	case <-time.After(500 * time.Millisecond):
	}
	e.mu.Lock()
	delete(e.tails, id)
	e.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	if err := e.list(ctx); err != nil {
		e.log.Info("list", "error", err)
	}
}

func (e *engine) get(ctx context.Context, path string, q url.Values) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path+"?"+q.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("ask %s: %s", path, resp.Status)
	}
	return resp.Body, nil
}
