package sourcestest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

type good struct{ err error }

func (g good) ID() fleet.SourceID { return "test/one" }

func (g good) Observe(ctx context.Context) (fleet.Facts, error) {
	if err := ctx.Err(); err != nil {
		return fleet.Facts{}, fmt.Errorf("test one: ask: %w", err)
	}
	if g.err != nil {
		return fleet.Facts{}, fmt.Errorf("test one: ask: %w", g.err)
	}
	return fleet.Facts{ObservedAt: time.Now(), Detail: "1.0"}, nil
}

func (g good) Watch(ctx context.Context, changed func()) error {
	changed()
	<-ctx.Done()
	return nil
}

func TestContractPassesAGoodSource(t *testing.T) {
	Contract(t,
		func(*testing.T) sources.Source { return good{} },
		func(*testing.T) sources.Source { return good{err: errors.New("connection refused")} },
	)
}
