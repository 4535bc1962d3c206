// Command nexops is the console that on-call engineers open first.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/nexgate-hq/nexops/cmd/nexops/internal/cli"
)

func main() { os.Exit(run()) }

// run exists so that deferred calls happen before the process exits.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// Only the first signal is asked nicely: the next one ends the program at once.
	defer context.AfterFunc(ctx, stop)()
	defer lazyCollector()()
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // no home is no mistake: then nothing is looked for in it
	}
	app := cli.App{
		Version: version(), Kinds: kinds(), Demo: startDemo, Local: localSource,
		Getenv: os.Getenv, Environ: os.Environ(), Home: home,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Now: time.Now,
	}
	return app.Main(ctx, os.Args[1:])
}

// lazyCollector lets the heap of the start grow before the garbage collector looks at it: until the first frame a quarter
// of the processor's work was its. What stays then is small. GOGC in the environment is left alone.
func lazyCollector() (stop func() bool) {
	if os.Getenv("GOGC") != "" {
		return func() bool { return false }
	}
	const starting, running = 400, 200 // per cent of what is alive
	debug.SetGCPercent(starting)
	return time.AfterFunc(2*time.Second, func() { debug.SetGCPercent(running) }).Stop
}

// version is the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			revision = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if revision == "" {
		return "devel"
	}
	return "devel-" + revision + dirty
}
