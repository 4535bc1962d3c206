// Command app is every service of the lab: a small HTTP server with metrics
// and JSON logs that can be told to fail in each way a release can.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const listen = ":8080"

func main() {
	probe := flag.Bool("healthcheck", false, "ask the running server for its health and exit")
	flag.Parse()
	if *probe {
		os.Exit(healthcheck(os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := serve(ctx, os.Stdout, os.Getenv)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

// healthcheck is what the Engine runs in the container; its output is what
// `docker inspect` shows beside the health.
func healthcheck(out io.Writer) int {
	c := http.Client{Timeout: time.Second}
	resp, err := c.Get("http://127.0.0.1" + listen + "/health")
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	_ = resp.Body.Close()
	fmt.Fprintf(out, "%s %s", resp.Status, body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return 1
	}
	return 0
}

func serve(ctx context.Context, out io.Writer, env func(string) string) error {
	app := newApp(out, env)
	app.log.Info("listening", "addr", listen, "version", app.version)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	app.faults.exit = func(why string) { cancel(errors.New(why)) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		app.faults.run(ctx, app.log)
	}()
	srv := &http.Server{Addr: listen, Handler: app.handler(), ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		to, cancel := context.WithTimeout(context.WithoutCancel(ctx), 500*time.Millisecond)
		defer cancel()
		stopped <- srv.Shutdown(to)
	}()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", listen, err)
	}
	<-stopped
	<-done
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		app.log.Error("fatal: "+cause.Error(), "version", app.version)
		return cause
	}
	app.log.Info("stopped")
	return nil
}

type app struct {
	service string
	version string
	log     *slog.Logger
	metrics *metrics
	faults  *faults
}

func newApp(out io.Writer, env func(string) string) *app {
	name, version := env("APP_SERVICE"), env("APP_VERSION")
	w := &lockedWriter{w: out}
	return &app{
		service: name,
		version: version,
		log:     slog.New(slog.NewJSONHandler(w, nil)).With("service", name),
		metrics: newMetrics(version, time.Now()),
		faults:  newFaults(env, w),
	}
}

func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", a.health)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		a.metrics.write(w)
	})
	a.faults.routes(mux)
	mux.HandleFunc("/", a.work)
	return mux
}

func (a *app) health(w http.ResponseWriter, _ *http.Request) {
	if a.faults.unhealthy() {
		http.Error(w, `{"status":"DOWN","reason":"told to fail its health"}`, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintf(w, `{"status":"UP","version":%q}`, a.version)
}

// work is the traffic: any path that is nothing else.
func (a *app) work(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	status, body := http.StatusOK, `{"ok":true}`
	time.Sleep(time.Duration(2+rand.IntN(18))*time.Millisecond + a.faults.delay())
	if rand.Float64() < a.faults.ratio() {
		status, body = http.StatusInternalServerError, `{"error":"internal"}`
	}
	took := time.Since(start)
	a.metrics.observe(r.Method, status, took)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintln(w, body)
	attrs := []any{"method", r.Method, "path", r.URL.Path, "status", status, "ms", took.Milliseconds(), "version", a.version}
	if status >= http.StatusInternalServerError {
		a.log.Error("request failed: upstream model returned no answer", attrs...)
		return
	}
	a.log.Info("request", attrs...)
}
