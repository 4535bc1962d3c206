package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

var aiProd = fleet.ServiceKey{Environment: "prod", Name: "ai"}

func request(plan string) LockRequest {
	return LockRequest{
		Services: []fleet.ServiceKey{aiProd}, Hosts: []string{"prod-1"}, Owner: "ana@laptop", Reason: "redeploy ai", Plan: plan,
	}
}

// localHosts reaches this machine under any name: the lock's commands are the real ones.
func localHosts(name string) (remote.Host, error) { return remote.Local(name), nil }

func hostLocker(dir string, expiry time.Duration) *HostLocker {
	return NewHostLocker(LockConfig{Dir: dir, Expiry: remote.Duration(expiry)}, localHosts, nil)
}

func release(t *testing.T, h Held) {
	t.Helper()
	if err := h.Release(context.Background()); err != nil {
		t.Errorf("release: %v", err)
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestHostLockRefusesWithWhoAndSince(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	ctx := context.Background()
	first, err := hostLocker(dir, time.Minute).Lock(ctx, request("p1"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = hostLocker(dir, time.Minute).Lock(ctx, request("p2"))
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("second lock: %v", err)
	}
	if locked.Owner != "ana@laptop" || locked.Host != "prod-1" || locked.Since.IsZero() || locked.Reason != "redeploy ai" {
		t.Errorf("locked by %+v", locked)
	}
	if text := err.Error(); !strings.Contains(text, "ai@prod is locked on prod-1 by ana@laptop since") {
		t.Errorf("text: %s", text)
	}
	release(t, first)
	if left := entries(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	second, err := hostLocker(dir, time.Minute).Lock(ctx, request("p3"))
	if err != nil {
		t.Fatal(err)
	}
	release(t, second)
}

// takeover is a request that takes over whatever lock is there now, as somebody has confirmed.
func takeover(t *testing.T, dir, plan string) LockRequest {
	t.Helper()
	found, err := hostLocker(dir, time.Minute).Look(context.Background(), LockRequest{Services: []fleet.ServiceKey{aiProd}, Hosts: []string{"prod-1"}})
	if err != nil {
		t.Fatal(err)
	}
	req := request(plan)
	for _, l := range found {
		req.TakeOver = append(req.TakeOver, l.Lock())
	}
	return req
}

func with(req LockRequest, plan string) LockRequest {
	req.Plan = plan
	return req
}

// plant leaves a lock as a console that died would.
func plant(t *testing.T, dir string, o owner) string {
	t.Helper()
	folder := filepath.Join(dir, "prod.ai")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "owner.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestADeadConsolesLockIsTakenOverByOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	past := time.Now().Add(-time.Hour)
	plant(t, dir, owner{V: 1, Owner: "bo@desk", Since: past, Until: past.Add(time.Minute), Plan: "old"})
	if _, err := hostLocker(dir, time.Minute).Lock(context.Background(), request("p0")); err == nil {
		t.Fatal("an expired lock was taken over silently")
	}
	confirmed := takeover(t, dir, "p1")
	var won atomic.Int32
	var winner atomic.Value
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			h, err := hostLocker(dir, time.Minute).Lock(context.Background(), with(confirmed, fmt.Sprintf("p%d", i)))
			if err == nil {
				won.Add(1)
				winner.Store(h)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d consoles took the lock over", won.Load())
	}
	held, _ := winner.Load().(Held)
	release(t, held)
	if left := entries(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestHostLockWithoutAnOwnerCountsFromItsFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	folder := filepath.Join(dir, "prod.ai")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if _, err := hostLocker(dir, time.Minute).Lock(context.Background(), request("p1")); !errors.As(err, &locked) {
		t.Fatalf("a fresh lock without an owner: %v", err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(folder, old, old); err != nil {
		t.Fatal(err)
	}
	h, err := hostLocker(dir, time.Minute).Lock(context.Background(), takeover(t, dir, "p1"))
	if err != nil {
		t.Fatal(err)
	}
	release(t, h)
}

func TestHostLockIsRenewedAndTellsWhenItIsLost(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	h, err := hostLocker(dir, 4*time.Second).Lock(context.Background(), request("p1"))
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "prod.ai")
	plant(t, dir, owner{V: 1, Owner: "bo@desk", Since: time.Now(), Until: time.Now().Add(time.Hour), Plan: "other"})
	if err := <-h.Lost(); err == nil || !strings.Contains(err.Error(), "bo@desk") {
		t.Errorf("lost: %v", err)
	}
	if err := h.Release(context.Background()); err == nil {
		t.Error("releasing somebody else's lock is said to have worked")
	}
	if _, err := os.Stat(folder); err != nil {
		t.Errorf("the other's lock was removed: %v", err)
	}
}

func TestHostLockOfTwoHostsIsAllOrNone(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	past := time.Now()
	plant(t, two, owner{V: 1, Owner: "bo@desk", Since: past, Until: past.Add(time.Hour), Plan: "old"})
	hosts := func(name string) (remote.Host, error) {
		return rooted{remote.Local(name), "LOCKS", map[string]string{"prod-1": one, "prod-2": two}[name]}, nil
	}
	l := NewHostLocker(LockConfig{Dir: "/LOCKS", Expiry: remote.Duration(time.Minute)}, hosts, nil)
	req := request("p1")
	req.Hosts = []string{"prod-1", "prod-2"}
	var locked *LockedError
	if _, err := l.Lock(context.Background(), req); !errors.As(err, &locked) || locked.Host != "prod-2" {
		t.Fatalf("lock: %v", err)
	}
	if left := entries(t, one); len(left) != 0 {
		t.Errorf("left behind on the first host: %v", left)
	}
}

// rooted is a host whose folder /MARK is a folder of this machine.
type rooted struct {
	remote.Host
	mark, dir string
}

func (r rooted) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	argv := make([]string, len(cmd.Argv))
	for i, a := range cmd.Argv {
		argv[i] = strings.ReplaceAll(a, "/"+r.mark, r.dir)
	}
	cmd.Argv = argv
	return r.Host.Run(ctx, cmd)
}

func TestLocalLockIsSharedByTheConsolesOfAMachine(t *testing.T) {
	dir := t.TempDir()
	now := func() time.Time { return day }
	h, err := NewLocalLocker(dir, now).Lock(context.Background(), request("p1"))
	if err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	_, err = Lockers{NewMemoryLocker(now), NewLocalLocker(dir, now)}.Lock(context.Background(), request("p2"))
	if !errors.As(err, &locked) || locked.Owner != "ana@laptop" || !locked.Since.Equal(day) {
		t.Errorf("second: %v", err)
	}
	release(t, h)
	both := Lockers{NewMemoryLocker(now), NewLocalLocker(dir, now)}
	if h, err = both.Lock(context.Background(), request("p3")); err != nil {
		t.Fatal(err)
	}
	release(t, h)
	if h, err = both.Lock(context.Background(), request("p4")); err != nil {
		t.Fatal(err)
	}
	release(t, h)
}

func TestLockNames(t *testing.T) {
	tests := []struct {
		key  fleet.ServiceKey
		want string
	}{
		{aiProd, "prod.ai"},
		{fleet.ServiceKey{Environment: "../..", Name: "a/b c"}, "_...a_b_c"},
		{fleet.ServiceKey{}, "_._"},
	}
	for _, tt := range tests {
		if got := lockName(tt.key); got != tt.want || strings.Contains(got, "/") {
			t.Errorf("lockName(%+v) = %s, want %s", tt.key, got, tt.want)
		}
	}
}

// owned is a host where the folders belong to other users than they really do.
type owned struct {
	remote.Host
	uids map[string]string // path to user
}

func (o owned) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	res, err := o.Host.Run(ctx, cmd)
	if cmd.Argv[0] != "stat" || cmd.Argv[2] != "%u %f" {
		return res, err
	}
	lines := strings.Split(strings.TrimSpace(string(res.Stdout)), "\n")
	for i, path := range cmd.Argv[3:] {
		_, mode, _ := strings.Cut(lines[i], " ")
		uid := o.uids[path]
		if uid == "" {
			uid = "1000"
		}
		lines[i] = uid + " " + mode
	}
	res.Stdout = []byte(strings.Join(lines, "\n") + "\n")
	return res, err
}

// Somebody who may change the folder of the locks could forge them, and lead what is written elsewhere.
func TestHostLockIsNotWrittenWhereOthersMayChangeIt(t *testing.T) {
	past := time.Now().Add(-time.Hour)
	old := owner{V: 1, Owner: "bo@desk", Since: past, Until: past.Add(time.Minute), Plan: "old"}
	tests := map[string]struct {
		prepare func(t *testing.T, dir string) map[string]string // gives the owners
		want    string                                           // "" is a lock
	}{
		"new":              {func(*testing.T, string) map[string]string { return nil }, ""},
		"of root":          {func(_ *testing.T, dir string) map[string]string { return map[string]string{dir: "0"} }, ""},
		"of somebody else": {func(_ *testing.T, dir string) map[string]string { return map[string]string{dir: "1001"} }, "belongs to user 1001"},
		"a link": {func(t *testing.T, dir string) map[string]string {
			if err := os.Symlink(t.TempDir(), dir); err != nil {
				t.Fatal(err)
			}
			return nil
		}, "is no folder of its own"},
		"for everybody": {func(t *testing.T, dir string) map[string]string { folder(t, dir, 0o777); return nil }, "can be changed by others"},
		"for everybody, sticky": {func(t *testing.T, dir string) map[string]string {
			folder(t, dir, 0o777|os.ModeSticky)
			return nil
		}, ""},
		"expired, our own": {func(t *testing.T, dir string) map[string]string { plant(t, dir, old); return nil }, ""},
		"expired, of somebody else": {func(t *testing.T, dir string) map[string]string {
			return map[string]string{plant(t, dir, old): "1001"}
		}, "is not ours to take over"},
		"expired, a link": {func(t *testing.T, dir string) map[string]string {
			elsewhere := plant(t, t.TempDir(), old)
			folder(t, dir, 0o755)
			if err := os.Symlink(elsewhere, filepath.Join(dir, "prod.ai")); err != nil {
				t.Fatal(err)
			}
			return nil
		}, "is not ours to take over"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "locks")
			uids := tt.prepare(t, dir)
			hosts := func(name string) (remote.Host, error) { return owned{remote.Local(name), uids}, nil }
			l := NewHostLocker(LockConfig{Dir: dir, Expiry: remote.Duration(time.Minute)}, hosts, nil)
			h, err := l.Lock(context.Background(), takeover(t, dir, "p1"))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				release(t, h)
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			for _, left := range entries(t, dir) {
				if b, err := os.ReadFile(filepath.Join(dir, left, "owner.json")); strings.Contains(string(b), "ana@laptop") || strings.HasSuffix(left, ".takeover") {
					t.Errorf("%s was left, %s, %v", left, b, err)
				}
			}
		})
	}
}

func folder(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
}
