package real

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFreeSubnetAvoidsWhatTheMachineUses(t *testing.T) {
	p := netip.MustParsePrefix
	tests := map[string]struct {
		taken []netip.Prefix
		want  string
	}{
		"nothing in use":        {nil, "10.77.0.0/24"},
		"first in use":          {[]netip.Prefix{p("10.77.0.0/24")}, "10.78.0.0/24"},
		"an address in the way": {[]netip.Prefix{p("10.77.0.9/32"), p("10.78.0.128/25")}, "10.79.0.0/24"},
		"a wide route":          {[]netip.Prefix{p("10.64.0.0/12")}, "10.80.0.0/24"},
		"all in use":            {[]netip.Prefix{p("10.0.0.0/8")}, ""},
		"others":                {[]netip.Prefix{p("192.168.0.0/16"), p("172.17.0.0/16")}, "10.77.0.0/24"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := freeSubnet(tt.taken)
			if (err != nil) != (tt.want == "") {
				t.Fatalf("err = %v", err)
			}
			if err == nil && got.String() != tt.want {
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
}

func TestParseRoutes(t *testing.T) {
	const table = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
tun0	0000400A	00000000	0001	0	0	0	0000F0FF	0	0	0
junk
`
	got := parseRoutes(strings.NewReader(table))
	want := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.64.0.0/12")}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParseStatOfAnyName(t *testing.T) {
	for _, name := range []string{"sleep", "a b", "x) S 1 (y", "(sd-pam)"} {
		line := fmt.Sprintf("42 (%s) S 1 42 42 0 -1 4194560 90 0 0 0 0 0 0 0 20 0 1 0 98765 5500928 200", name)
		got, err := parseStat([]byte(line))
		if err != nil || got.start != 98765 || got.state != 'S' {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "42 (x", "42 (x) S 1"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = parseStat(b)
		_ = parseLedger(b)
		_ = mountsUnder(string(b), "/x")
	})
}

func TestLedgerKnowsItsOwnProcessFromAnother(t *testing.T) {
	p := places{root: t.TempDir()}
	self, err := p.record("self", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !self.alive() {
		t.Fatal("this process is not alive")
	}
	reused := self
	reused.Start++
	if reused.alive() {
		t.Error("a process with another start time counts as the same")
	}
	// A line cut by a kill, and one that names process 1, are no reason to lose the rest or to harm.
	f, err := os.OpenFile(p.ledger(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"name":"init","pid":1,"start":1}` + "\n" + `{"name":"cut","pi`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := p.recorded()
	if err != nil || len(all) != 1 || all[0] != self {
		t.Errorf("recorded = %v, %v, want only %v", all, err, self)
	}
}

func TestMountsUnder(t *testing.T) {
	const info = `22 1 0:20 / / rw - ext4 /dev/vda rw
23 22 0:21 / /var/lib/nexops-lab/a rw - tmpfs x rw
24 22 0:21 / /var/lib/nexops-laboratory rw - tmpfs x rw
25 23 0:22 / /var/lib/nexops-lab/a/b rw - tmpfs x rw
`
	want := []string{"/var/lib/nexops-lab/a", "/var/lib/nexops-lab/a/b"}
	if got := mountsUnder(info, "/var/lib/nexops-lab"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestImagesOfOneSourceHaveOneDigestEach(t *testing.T) {
	prog := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(prog, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := newLayer(prog)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newLayer(prog)
	if err != nil {
		t.Fatal(err)
	}
	if a.diffID != b.diffID || digest(a.blob) != digest(b.blob) {
		t.Error("the same program gives two layers")
	}
	seen := map[string]string{}
	for _, s := range servicePlans() {
		for _, tag := range s.releases() {
			c, err := imageConfig(s, tag, a.diffID)
			if err != nil {
				t.Fatal(err)
			}
			if other := seen[digest(c)]; other != "" {
				t.Errorf("%s:%s is the same image as %s", s.name, tag, other)
			}
			seen[digest(c)] = s.name + ":" + tag
		}
	}
}

func TestHistoryEndsAtTheFirstTags(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for branch, commits := range history(now) {
		files := map[string]string{}
		authors := map[string]bool{}
		last := time.Time{}
		for _, c := range commits {
			if !c.at.After(last) || c.at.After(now) {
				t.Errorf("%s: %q at %v, after %v", branch, c.subject, c.at, last)
			}
			last = c.at
			authors[c.author] = true
			for path, text := range c.files {
				files[path] = text
			}
		}
		for _, s := range servicePlans() {
			if got, want := files[tagFile(s.name)], s.key()+"="+FirstTag+"\n"; got != want {
				t.Errorf("%s: %s = %q, want %q", branch, tagFile(s.name), got, want)
			}
		}
		if len(authors) < 2 {
			t.Errorf("%s has the authors %v", branch, authors)
		}
	}
}

func TestHostsOf(t *testing.T) {
	var got []string
	for _, h := range hostsOf("prod", "backend") {
		got = append(got, h.name)
	}
	if d := cmp.Diff([]string{"prod-1", "prod-2"}, got); d != "" {
		t.Error(d)
	}
	if all := hostsOf("", ""); len(all) != 0 {
		t.Errorf("ops counts as a host of an environment: %v", all)
	}
}

func TestQuote(t *testing.T) {
	if got, want := quote([]string{"echo", "a b", "it's", "$(id)"}), `'echo' 'a b' 'it'\''s' '$(id)'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
