package main

import (
	"context"
	"fmt"

	"github.com/nexgate-hq/nexops/cmd/nexops/internal/cli"
	"github.com/nexgate-hq/nexops/lab/sim"
)

// startDemo starts the estate in memory.
func startDemo(ctx context.Context, o cli.DemoOptions) (cli.Demo, error) {
	estate, err := sim.Start(ctx, sim.Options{Seed: o.Seed, Incident: o.Incident})
	if err != nil {
		return nil, fmt.Errorf("start the estate: %w", err)
	}
	return estate, nil
}
