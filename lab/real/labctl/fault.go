package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/nexgate-hq/nexops/lab/real"
)

// fault breaks or mends one part: `fault prod-1 sshd kill`, `fault loki stop`.
func fault(ctx context.Context, l *real.Lab, args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("%w: fault HOST sshd|engine WHAT, fault prometheus|loki WHAT", errUsage)
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
		"engine stop":  func(_ context.Context, host string) error { return l.StopEngine(host) },
		"engine cont":  func(_ context.Context, host string) error { return l.ContEngine(host) },
	}
}
