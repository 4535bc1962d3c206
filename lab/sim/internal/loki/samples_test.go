package loki

import (
	"testing"
	"time"

	"github.com/grafana/dskit/user"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

// TestMemoryChangesNothing holds that an answer made of remembered minutes is the one made afresh.
func TestMemoryChangesNothing(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 7, 0, time.UTC)
	w := world.New(1, func() time.Time { return now })
	w.AddHost(world.Host{Name: "prod-1", Environment: "prod"})
	img := w.Publish(world.Image{Repo: "ai", Tag: "1"})
	begun := now.Add(-3 * time.Hour)
	if _, _, err := w.Pull("prod-1", "ai:1", begun); err != nil {
		t.Fatal(err)
	}
	spec := &world.Spec{Environment: "prod", Host: "prod-1", Project: "p", Service: "ai", Name: "p-ai-1", Profile: world.Profile{Lang: world.FastAPI, Lines: 1, ErrorLines: 0.3}}
	if _, err := w.Replace(spec, nil, img, begun); err != nil {
		t.Fatal(err)
	}
	ask := func(s *Server) string {
		p, err := logql.NewLiteralParams(`sum by (host) (count_over_time({env="prod"} |= "ERROR" [1m]))`,
			now.Add(-time.Hour), now, 30*time.Second, 0, logproto.FORWARD, 100, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.engine.Query(p).Exec(user.InjectOrgID(t.Context(), "fake"))
		if err != nil {
			t.Fatal(err)
		}
		return res.Data.String()
	}
	s := New(w)
	first := ask(s)
	if again := ask(s); again != first || len(first) < 100 {
		t.Errorf("asked twice:\n%s\nthen\n%s", first, again)
	}
	now = now.Add(95 * time.Second)
	if old, fresh := ask(s), ask(New(w)); old != fresh {
		t.Errorf("later, from memory:\n%s\nafresh\n%s", old, fresh)
	}
}
