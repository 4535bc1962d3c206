package store

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

func TestPattern(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		pattern string
		zone    *time.Location
		name    string
		want    string // RFC 3339; "" is none
	}{
		{"ganymede_{date:20060102-1504}.sql.gz", nil, "ganymede_20261125-0200.sql.gz", "2026-11-25T02:00:00Z"},
		{"ganymede_{date:20060102-1504}.sql.gz", berlin, "ganymede_20261125-0200.sql.gz", "2026-11-25T01:00:00Z"},
		{"ganymede_{date:20060102-1504}.sql.gz", berlin, "ganymede_20260725-0200.sql.gz", "2026-07-25T00:00:00Z"},
		{"ganymede_{date:20060102-1504}.sql.gz", nil, "ganymede_20261125-0200.sql.gz.tmp", ""},
		{"ganymede_{date:20060102-1504}.sql.gz", nil, "ganymede_20261325-0200.sql.gz", ""},
		{"ganymede_{date:20060102-1504}.sql.gz", nil, "xganymede_20261125-0200.sql.gz", ""},
		{"*_{date:2006-01-02}.tar", nil, "org_data_2026-11-25.tar", "2026-11-25T00:00:00Z"},
		{"db_{date:2006-01-02}_*.dump", nil, "db_2026-11-25_full.dump", "2026-11-25T00:00:00Z"},
		{"db_{date:2006-01-02}*", nil, "db_2026-11-25.dump", "2026-11-25T00:00:00Z"},
		{"{date:2Jan2006}.gz", nil, "5Nov2026.gz", "2026-11-05T00:00:00Z"},
		{"{date:2Jan2006}.gz", nil, "15Nov2026.gz", "2026-11-15T00:00:00Z"},
	}
	for _, tt := range cases {
		p, err := ParsePattern(tt.pattern, tt.zone)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		got := ""
		if at, ok := p.Time(tt.name); ok {
			got = at.Format(time.RFC3339)
		}
		if got != tt.want {
			t.Errorf("%s: %s is of %q, not %q", tt.pattern, tt.name, got, tt.want)
		}
	}
	for _, bad := range []string{"", "db.gz", "{date:}", "a/{date:20060102}", "{date:1504}", "{date:200601}", "{date:20060102}{date:20060102}"} {
		if _, err := ParsePattern(bad, nil); err == nil {
			t.Errorf("%q is taken for a pattern", bad)
		}
	}
}

func TestOwnNames(t *testing.T) {
	at := time.Date(2026, 11, 25, 2, 0, 7, 0, time.UTC)
	if got, ext, ok := Own("ai-db", FileName("ai-db", at, "drill.json")); !ok || !got.Equal(at) || ext != "drill.json" {
		t.Errorf("%s %s %v", got, ext, ok)
	}
	for _, name := range []string{"ai-db-20261125T020007Z", "ai-20261125T020007Z.dump", "ai-db-x.dump", "ai-db-20261125T020007Z.", ""} {
		if _, _, ok := Own("ai-db", name); ok {
			t.Errorf("%q is taken for one of ai-db", name)
		}
	}
	if _, _, ok := Own("ai", FileName("ai-db", at, "dump")); ok {
		t.Error("ai takes a backup of ai-db")
	}
}

func TestRecords(t *testing.T) {
	at := time.Date(2026, 11, 25, 2, 0, 0, 0, time.UTC)
	b, err := Encode(Record{V: 1, Job: "ai-db", File: "f.dump", Started: at, Ended: at.Add(time.Minute), Size: 7, SHA256: strings.Repeat("a", 64), Verified: "lists 3 entries"})
	if err != nil {
		t.Fatal(err)
	}
	run, err := DecodeRun(b)
	if err != nil || run.State != fleet.BackupVerified || run.Size != 7 || run.File != "f.dump" || !run.Started.Equal(at) {
		t.Errorf("%+v %v", run, err)
	}
	foreign := []byte(`{"v":1,"started":"2026-11-25T02:00:00Z","size":1,"file":"../../etc/passwd","error":"a\u001b]52;c;x\u0007b"}`)
	run, err = DecodeRun(foreign)
	if err != nil || run.File != "" || strings.ContainsAny(run.Error, "\x1b\x07") || run.State != fleet.BackupFailed {
		t.Errorf("%+v %v", run, err)
	}
	for _, bad := range []string{"", "{}", "[]", `{"v":2,"started":"2026-11-25T02:00:00Z"}`, `{"v":1,"started":"2026-11-25T02:00:00Z","size":-1}`, strings.Repeat(" ", MaxRecord+1)} {
		if _, err := DecodeRun([]byte(bad)); err == nil {
			t.Errorf("%.20q is taken for a record", bad)
		}
		if _, err := DecodeDrill([]byte(bad)); err == nil && !strings.Contains(bad, "size") {
			t.Errorf("%.20q is taken for a drill's", bad)
		}
	}
}

func TestParseFree(t *testing.T) {
	cases := map[string]int64{
		"Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 100 60 40 60% /\n":                  40 << 10,
		"Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/my disk 100 60 40 60% /mnt/100% mine\n": 40 << 10,
		"df: nothing": -1, "": -1, "a b c%\n": -1,
	}
	for out, want := range cases {
		got, err := ParseFree([]byte(out))
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %d, not %d", out, got, want)
		}
	}
}

// A folder of this machine, by the same commands as on a host.
func TestDir(t *testing.T) {
	ctx := t.Context()
	c := Config{Path: filepath.Join(t.TempDir(), "back ups")}
	if errs := c.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	p, err := Open(c, "ai/db", Deps{Host: func(string) (remote.Host, error) { return nil, os.ErrNotExist }})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := p.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("a folder that is not there: %v %v", list, err)
	}
	if free, known, err := p.Free(ctx); err != nil || !known || free <= 0 {
		t.Errorf("free %d %v %v", free, known, err)
	}
	do := func(in string, calls ...Call) {
		t.Helper()
		for _, c := range calls {
			if err := c.Run(ctx, strings.NewReader(in), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	do("", p.Make()...)
	do("hello", p.Write("a'b.partial")...)
	if info, err := os.Stat(filepath.Join(c.Path, "ai/db/a'b.partial")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	mine, other := "ai-20260101T020000Z.dump.partial", "ai-files-20260101T020000Z.tar.gz.partial"
	do("half", append(p.Write(mine), p.Write(other)...)...)
	calls, names, err := p.Broken(ctx, "ai")
	if err != nil || len(names) != 1 || names[0] != mine {
		t.Errorf("broken %v %v", names, err)
	}
	do("", calls...)
	if list, err := p.List(ctx); err != nil || len(list) != 2 {
		t.Errorf("what another job is writing was cleared away: %v %v", list, err)
	}
	do("", p.Remove(other)...)
	move, ok := p.Rename("a'b.partial", "a\nb")
	if !ok {
		t.Fatal("no rename in a folder")
	}
	do("", move)
	if list, err := p.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("a name with a line end is listed: %v %v", list, err)
	}
	move, _ = p.Rename("a\nb", "b")
	do("", move)
	list, err := p.List(ctx)
	if err != nil || len(list) != 1 || list[0].Name != "b" || list[0].Size != 5 || time.Since(list[0].Modified) > time.Minute {
		t.Errorf("%+v %v", list, err)
	}
	var out bytes.Buffer
	if err := p.Read("b").Run(ctx, nil, &out); err != nil || out.String() != "hello" {
		t.Errorf("%q %v", out.String(), err)
	}
	if b, err := p.Get(ctx, "b", 5); err != nil || string(b) != "hello" {
		t.Errorf("%q %v", b, err)
	}
	if _, err := p.Get(ctx, "b", 4); err == nil {
		t.Error("more was read than is allowed")
	}
	do("", p.Remove("b", "not there")...)
	if list, err := p.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
}

func FuzzForeign(f *testing.F) {
	f.Add("12 1764031234.5 name", "db_20260101.gz")
	f.Add(`{"v":1,"started":"2026-11-25T02:00:00Z","size":1}`, "")
	p, err := ParsePattern("*db_{date:20060102}*.gz", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if o, ok := parseObject(a); ok && (o.Size < 0 || o.Name == "" || strings.ContainsAny(o.Name, "\n\x00\x1b")) {
			t.Errorf("%+v", o)
		}
		if run, err := DecodeRun([]byte(a)); err == nil && strings.ContainsAny(run.File+run.Error+run.Detail, "\x00\x1b\n") {
			t.Errorf("%+v", run)
		}
		_, _ = DecodeDrill([]byte(a))
		_, _ = ParseFree([]byte(a))
		_, _ = p.Time(b)
	})
}
