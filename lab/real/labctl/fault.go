package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/lab/real"
)

// fault breaks or mends one part: `fault prod-1 sshd kill`, `fault loki stop`.
func fault(ctx context.Context, l *real.Lab, args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("%w: fault HOST sshd|engine|cable|clock WHAT, fault prometheus|loki|registry WHAT", errUsage)
	}
	if fn := serverFaults(l)[strings.Join(args, " ")]; fn != nil {
		return fn(ctx)
	}
	if fn := hostFaults(l)[strings.Join(args[1:], " ")]; fn != nil {
		return fn(ctx, args[0])
	}
	return fmt.Errorf("%w: no fault %q", errUsage, strings.Join(args, " "))
}

func serverFaults(l *real.Lab) map[string]func(context.Context) error {
	out := map[string]func(context.Context) error{
		"prometheus stop":  l.StopPrometheus,
		"prometheus start": l.StartPrometheus,
		"loki stop":        l.StopLoki,
		"loki start":       l.StartLoki,
		"registry stop":    l.StopRegistry,
		"registry start":   l.StartRegistry,
	}
	for _, name := range []string{"prometheus", "loki"} {
		out[name+" freeze"] = func(context.Context) error { return l.Freeze(name) }
		out[name+" thaw"] = func(context.Context) error { return l.Thaw(name) }
	}
	return out
}

func hostFaults(l *real.Lab) map[string]func(context.Context, string) error {
	return map[string]func(context.Context, string) error{
		"sshd kill":    l.KillSSHD,
		"sshd start":   l.StartSSHD,
		"engine kill":  l.KillEngine,
		"engine start": l.StartEngine,
		"cable pull":   l.PullCable,
		"cable plug":   l.PlugCable,
		"clock ahead":  func(ctx context.Context, host string) error { return l.SkewClock(ctx, host, 10*time.Minute) },
		"clock right":  func(ctx context.Context, host string) error { return l.SkewClock(ctx, host, 0) },
		"engine stop":  func(_ context.Context, host string) error { return l.StopEngine(host) },
		"engine cont":  func(_ context.Context, host string) error { return l.ContEngine(host) },
	}
}
