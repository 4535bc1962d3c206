// Command labd is what runs inside the lab beside the servers: the users of
// its services (load) and the shipper of their logs (ship).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "labd:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: labd load|ship FILE.json")
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	b, err := os.ReadFile(args[1])
	if err != nil {
		return fmt.Errorf("read the orders: %w", err)
	}
	switch args[0] {
	case "load":
		var o loadOrders
		if err := json.Unmarshal(b, &o); err != nil {
			return fmt.Errorf("read %s: %w", args[1], err)
		}
		load(ctx, o)
		return nil
	case "ship":
		var o shipOrders
		if err := json.Unmarshal(b, &o); err != nil {
			return fmt.Errorf("read %s: %w", args[1], err)
		}
		ship(ctx, log, o)
		return nil
	}
	return fmt.Errorf("unknown command %q: load or ship", args[0])
}
