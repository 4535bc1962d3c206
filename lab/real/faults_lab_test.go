package real

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLabFaultsBelowTheServers: each fault is there, and gone again after Mend, with all that was there before.
func TestLabFaultsBelowTheServers(t *testing.T) {
	l, ctx := FromEnv(t), t.Context()
	t.Cleanup(func() {
		if err := l.Mend(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	faults := []struct {
		name  string
		begin func() error
		there func(context.Context) bool
	}{
		{"cable", func() error { return l.PullCable(ctx, "prod-1") }, func(ctx context.Context) bool {
			_, err := l.SSH(ctx, "prod-1", "true")
			return err != nil
		}},
		{"sshd frozen", func() error { return l.FreezeSSHD("prod-1") }, func(ctx context.Context) bool {
			_, err := l.SSH(ctx, "prod-1", "true")
			return err != nil
		}},
		{"disk", func() error { return l.FillDisk(ctx, "prod-1", checkout) }, func(ctx context.Context) bool {
			_, err := l.inHost(ctx, "prod-1", "sh", "-c", `cd "$0" && trap "rm -f more" EXIT && cp services/ai/tag.env more`, checkout)
			_, read := l.inHost(ctx, "prod-1", "git", "-C", checkout, "log", "-1")
			return err != nil && strings.Contains(err.Error(), "No space left") && read == nil
		}},
		{"clock", func() error { return l.SkewClock(ctx, "prod-1", 10*time.Minute) }, func(ctx context.Context) bool {
			out, err := l.inHost(ctx, "prod-1", "date", "+%s")
			sec, _ := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
			return err == nil && time.Until(time.Unix(sec, 0)) > 9*time.Minute
		}},
		{"registry", func() error { return l.StopRegistry(ctx) }, func(ctx context.Context) bool {
			return httpOK(ctx, http.DefaultClient, "http://"+l.RegistryAddr+"/v2/") != nil
		}},
		{"release", func() error { return l.Unpublish(ctx, "ai", "0.0.7") }, func(ctx context.Context) bool {
			req, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+l.RegistryAddr+"/v2/nexgate/ai-service/manifests/0.0.7", nil)
			if err != nil {
				return false
			}
			req.Header.Set("Accept", typeManifest)
			_, err = do(http.DefaultClient, req)
			return err != nil
		}},
	}
	looks := func(there func(context.Context) bool) bool {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		return there(ctx)
	}
	for _, f := range faults {
		if looks(f.there) {
			t.Fatalf("%s: there before it began", f.name)
		}
		if err := f.begin(); err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		if !looks(f.there) {
			t.Errorf("%s: does not show", f.name)
		}
		if err := l.Mend(ctx); err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		if looks(f.there) {
			t.Errorf("%s: still there after Mend", f.name)
		}
	}
	events, err := l.EngineEvents(ctx, "prod-1", "ai", time.Now().Add(-time.Minute))
	if err != nil || !slices.Contains(events, "exec_create:") { // its health checks
		t.Errorf("the engine of prod-1 did %v, %v", events, err)
	}
}
