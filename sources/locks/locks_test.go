package locks

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
	"github.com/nexgate-hq/nexops/sources/sourcestest"
)

// skewed is this machine with a clock that is wrong.
type skewed struct {
	remote.Host
	by time.Duration
}

func (s skewed) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	res, err := s.Host.Run(ctx, cmd)
	if first, rest, ok := strings.Cut(string(res.Stdout), "\n"); ok && strings.HasPrefix(first, "now ") {
		res.Stdout = []byte("now " + unix(time.Now().Add(s.by)) + "\n" + rest)
	}
	return res, err
}

func unix(t time.Time) string { return itoa(t.Unix()) }

func itoa(n int64) string {
	var b []byte
	for ; n > 0; n /= 10 {
		b = append(b, byte('0'+n%10))
	}
	slices.Reverse(b)
	return string(b)
}

func made(t *testing.T, host remote.Host, dir string) *source {
	t.Helper()
	list, err := build("locks", DefaultConfig(), sources.Deps{
		Hosts: []string{host.Name()}, LockDir: dir, Host: func(string) (remote.Host, error) { return host, nil },
	})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	s, _ := list[0].(*source)
	return s
}

func write(t *testing.T, dir, folder, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
		t.Fatal(err)
	}
	if text == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, folder, "owner.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The commands are the real ones: find, stat, head and date of this machine.
func TestObserveOnRealFolders(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lo*[ks]")
	const skew = 10 * time.Minute
	far := time.Now().Add(skew).UTC()
	at := func(d time.Duration) string { return far.Add(d).Format(time.RFC3339) }
	write(t, dir, "prod.ai", `{"v":1,"owner":"ana@laptop","reason":"redeploy ai\u001b[2J on prod","since":"`+at(-40*time.Second)+`","until":"`+at(80*time.Second)+`","plan":"p1","environment":"prod","service":"ai"}`+"\n")
	write(t, dir, "prod.old-style", `{"v":1,"owner":"bo@desk","since":"`+at(-time.Hour)+`","until":"`+at(-50*time.Minute)+`","plan":"p0"}`+"\n")
	write(t, dir, "prod.nameless", "")
	write(t, dir, "prod.ai.takeover", "")
	write(t, dir, "prod.broken", "{not json\n")
	write(t, dir, "hold+prod", `{"v":1,"owner":"ana@laptop","reason":"migration","since":"`+at(-time.Minute)+`","until":"0001-01-01T00:00:00Z","plan":"p2","environment":"prod"}`+"\n")
	write(t, dir, "no-lock", "")
	write(t, dir, "hold+prod.mute", "")
	write(t, dir, "prod.unended", `{"v":1,"owner":"bo@desk","environment":"prod","service":"unended"}`) // no line's end: the next folder is seen all the same
	write(t, dir, "prod.zlast", "")
	minute := time.Now().Add(-time.Minute)
	if err := os.Chtimes(filepath.Join(dir, "hold+prod.mute"), minute, minute); err != nil {
		t.Fatal(err)
	}
	s := made(t, skewed{remote.Local("prod-1"), skew}, dir)
	facts, err := s.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range facts.Locks {
		names = append(names, l.Subject.Service)
	}
	if got := strings.Join(names, " "); got != "ai broken nameless old-style unended zlast" {
		t.Fatalf("locks of %q", got)
	}
	ai := facts.Locks[0]
	if ai.Owner != "ana@laptop" || ai.Subject.Environment != "prod" || ai.Subject.Host != "prod-1" || ai.Plan != "p1" || strings.Contains(ai.Reason, "\x1b") {
		t.Errorf("lock %+v", ai)
	}
	// The host's clock is ten minutes ahead: on ours the lock was taken 40 s ago and holds for 80 s.
	if since, until := time.Since(ai.Since), time.Until(ai.Until); since < 35*time.Second || since > 60*time.Second || until < 60*time.Second || until > 85*time.Second {
		t.Errorf("taken %s ago, for %s", since, until)
	}
	if old := facts.Locks[3]; !old.Expired(time.Now()) || old.Owner != "bo@desk" || old.Subject.Environment != "prod" {
		t.Errorf("an old console's lock: %+v", old)
	}
	if n := facts.Locks[2]; n.Owner != "" || n.Since.IsZero() {
		t.Errorf("a lock without an owner: %+v", n)
	}
	if len(facts.Holds) != 1 || facts.Holds[0].Owner != "ana@laptop" || facts.Holds[0].Service != "" || !facts.Holds[0].Until.IsZero() {
		t.Errorf("holds %+v", facts.Holds)
	}
	if u := facts.Locks[4]; u.Owner != "bo@desk" {
		t.Errorf("a lock whose file has no line's end: %+v", u)
	}
	if all := strings.Join(facts.Warnings, "\n"); len(facts.Warnings) != 2 || !strings.Contains(all, "prod.broken") || !strings.Contains(all, "hold+prod.mute") {
		t.Errorf("warnings %q", facts.Warnings)
	}
}

func TestNoFolderIsNoLocks(t *testing.T) {
	s := made(t, remote.Local("prod-1"), filepath.Join(t.TempDir(), "none"))
	facts, err := s.Observe(t.Context())
	if err != nil || len(facts.Locks)+len(facts.Holds) != 0 || facts.ObservedAt.IsZero() {
		t.Errorf("%+v, %v", facts, err)
	}
}

// answers is a host that says one thing.
type answers struct {
	remote.Host
	res remote.Result
	err error
}

func (a answers) Run(ctx context.Context, _ remote.Command) (remote.Result, error) {
	if err := ctx.Err(); err != nil {
		return remote.Result{}, err
	}
	return a.res, a.err
}

func TestFaultsAreErrors(t *testing.T) {
	local := remote.Local("prod-1")
	cases := map[string]answers{
		"lost":      {local, remote.Result{}, errors.New("connection lost")},
		"no find":   {local, remote.Result{Code: 127, Stderr: []byte("sh: find: not found")}, nil},
		"forbidden": {local, remote.Result{Code: 1, Stderr: []byte("find: '/l': Permission denied")}, nil},
		"no clock":  {local, remote.Result{Stdout: []byte("dir 1 /l/prod.ai\n")}, nil},
		"too much":  {local, remote.Result{Stdout: []byte("now 1\n"), Truncated: true}, nil},
	}
	for name, host := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := made(t, host, "/l").Observe(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), "locks prod-1: ") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestContract(t *testing.T) {
	sourcestest.Contract(t,
		func(t *testing.T) sources.Source { return made(t, remote.Local("prod-1"), t.TempDir()) },
		func(t *testing.T) sources.Source {
			return made(t, answers{remote.Local("prod-1"), remote.Result{}, errors.New("connection lost")}, "/l")
		})
}

func TestConfig(t *testing.T) {
	c := DefaultConfig()
	if errs := c.Validate(); len(errs) != 0 {
		t.Error(errs)
	}
	c.Poll = 1
	if errs := c.Validate(); len(errs) != 1 {
		t.Error(errs)
	}
	c = DefaultConfig()
	c.Off = true
	list, err := build("locks", c, sources.Deps{Hosts: []string{"a"}, LockDir: "/l"})
	if err != nil || len(list) != 0 {
		t.Errorf("off: %v, %v", list, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("now 1\ndir 1 /l/prod.ai\nown /l/prod.ai/owner.json\n{\"v\":1}\n")
	f.Add("now 1\nown /l\n{}\nown //\n{")
	f.Fuzz(func(t *testing.T, out string) {
		l, err := parse(out, "/l")
		if err != nil {
			return
		}
		facts := l.facts("h", time.Unix(1, 0))
		for _, lock := range facts.Locks {
			if strings.ContainsAny(lock.Owner+lock.Reason, "\x1b\n\x07") {
				t.Errorf("control characters in %+v", lock)
			}
		}
	})
}
