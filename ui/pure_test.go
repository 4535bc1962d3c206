package ui

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

func TestRing(t *testing.T) {
	r := newRing(3)
	for i := range 5 {
		r.add(fleet.LogLine{Text: itoa(i)})
	}
	if r.first != 2 || r.next != 5 || r.len() != 3 {
		t.Fatalf("first %d next %d len %d", r.first, r.next, r.len())
	}
	for n := r.first; n < r.next; n++ {
		if got := r.at(n).Text; got != itoa(int(n)) {
			t.Errorf("line %d is %q", n, got)
		}
	}
}

func TestParseLog(t *testing.T) {
	for _, c := range []struct {
		in, level, message, fields string
	}{
		{`{"level":"info","msg":"up","port":80}`, "INFO", "up", "port=80"},
		{`{"severity":"WARNING","message":"m","ts":"x"}`, "WARN", "m", ""},
		{`{"level":50,"msg":"pino","err":{"a": 1}}`, "ERROR", "pino", `err={"a":1}`},
		{`{"a":1}`, "", `{"a":1}`, ""},
		{`{"level":"info"`, "", `{"level":"info"`, ""},
		{`level=error msg="two words" n=3`, "ERROR", "two words", "n=3"},
		{`time=12 level=info msg=a\ b`, "", `time=12 level=info msg=a\ b`, ""},
		{`level=info msg="open`, "", `level=info msg="open`, ""},
		{`a = b`, "", `a = b`, ""},
		{`just words`, "", `just words`, ""},
		{`{"level":"info","msg":"a","nested":{"x":[1, 2]},"s":"q\"q"}`, "INFO", "a", `nested={"x":[1,2]} s=q"q`},
	} {
		p := parseLog(c.in)
		var fields []string
		for _, f := range p.fields {
			fields = append(fields, f.key+"="+f.value)
		}
		if got := strings.Join(fields, " "); p.level != c.level || p.message != c.message || got != c.fields {
			t.Errorf("%s: level %q message %q fields %q", c.in, p.level, p.message, got)
		}
	}
}

func FuzzParseLog(f *testing.F) {
	for _, l := range sampleLog() {
		f.Add(l.Text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := parseLog(s)
		if len(p.fields) > maxFields {
			t.Fatalf("%d fields", len(p.fields))
		}
		if p.level == "" && p.message == "" && strings.TrimSpace(s) != "" && len(p.fields) == 0 {
			t.Fatalf("%q lost", s)
		}
	})
}

func TestFoldIndex(t *testing.T) {
	for _, c := range []struct {
		s, needle string
		from, at  int
	}{
		{"Connection Refused", "refused", 0, 11}, {"ÄÖÜ error", "öü", 0, 2}, {"aXax", "ax", 1, 2},
		{"abc", "", 0, -1}, {"ab", "abc", 0, -1}, {"", "a", 0, -1},
	} {
		if at, _ := foldIndex(c.s, lower(c.needle), c.from); at != c.at {
			t.Errorf("%q in %q from %d: %d, want %d", c.needle, c.s, c.from, at, c.at)
		}
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct {
		unit fleet.Unit
		v    float64
		want string
	}{
		{fleet.UnitRatio, 0.071, "7.1%"}, {fleet.UnitRatio, 0, "0.0%"}, {fleet.UnitRatio, 0.0001, "<0.1%"}, {fleet.UnitRatio, 1, "100%"},
		{fleet.UnitRatio, math.NaN(), "–"}, {fleet.UnitSeconds, 0.04, "40ms"}, {fleet.UnitSeconds, 1.92, "1.9s"}, {fleet.UnitSeconds, 90, "1m"},
		{fleet.UnitBytes, 1.2 * (1 << 30), "1.2G"}, {fleet.UnitBytes, 310 * (1 << 20), "310M"}, {fleet.UnitBytes, 512, "512B"},
		{fleet.UnitPerSecond, 140, "140/s"}, {fleet.UnitPerSecond, 0, "0"}, {fleet.UnitPerMinute, 312, "312/m"}, {fleet.UnitPerSecond, 12_345, "12k/s"},
		{fleet.UnitBool, 1, "yes"}, {"parsecs", 2.5, "2.5"},
	} {
		if got := quantity(c.unit, c.v); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 40 * time.Second: "40s", 6 * time.Minute: "6m", 3*time.Hour + 4*time.Minute: "3h04m", 30 * time.Hour: "30h", 76 * time.Hour: "3d",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestSpark(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		values []float64
		n      int
		floor  float64
		want   string
	}{
		{[]float64{0, 1, 2, 7}, 4, 0, "▁▂▃█"}, {[]float64{1, nan, 1}, 3, 0, "█ █"}, {[]float64{nan}, 3, 0, "   "}, {nil, 2, 0, "  "},
		{[]float64{5}, 3, 0, "  █"}, {[]float64{0, 0, 9, 0}, 2, 0, "▁█"}, {[]float64{0.001, 0.001}, 2, 0.05, "▁▁"},
	} {
		if got := spark(c.values, c.n, c.floor); got != c.want {
			t.Errorf("spark(%v, %d) = %q, want %q", c.values, c.n, got, c.want)
		}
	}
	if got := strings.Join(chart([]float64{0, 8, nan, 16}, 4, 2, 0), "|"); got != "   █|▁█ █" {
		t.Errorf("chart: %q", got)
	}
	if got := strings.Join(chart([]float64{0.001, 0.001, 0.05}, 3, 2, 0.05), "|"); got != "  █|▁▁█" {
		t.Errorf("a tenth of a percent looks like much: %q", got)
	}
}

func TestFilter(t *testing.T) {
	all := sampleSnapshot().Services
	for _, c := range []struct{ filter, want string }{
		{"", "ai notification vpn-gateway redis nexgate-backend report-batch file-thunder traefik"},
		{"thunder", "file-thunder"}, {"prod-2", "vpn-gateway"}, {"!prod-1", "vpn-gateway"}, {"nxbck", "nexgate-backend"},
		{"zzzz", ""}, {"!", "ai notification vpn-gateway redis nexgate-backend report-batch file-thunder traefik"},
	} {
		var got []string
		for _, i := range matchServices(all, c.filter, nil) {
			got = append(got, all[i].Key.Name)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("filter %q: %s, want %s", c.filter, s, c.want)
		}
	}
}

// picture draws an arrangement, each part by its letter.
func picture(w, h int, a arrangement) string {
	grid := make([][]byte, h)
	for y := range grid {
		grid[y] = []byte(strings.Repeat(".", w))
	}
	for letter, r := range map[byte]rect{'H': a.header, 'n': a.notice, 'L': a.list, 'D': a.detail, 'F': a.footer} {
		for y := r.y; y < r.y+r.h; y++ {
			for x := r.x; x < r.x+r.w; x++ {
				if grid[y][x] != '.' {
					grid[y][x] = '#' // two things in one place
					continue
				}
				grid[y][x] = letter
			}
		}
	}
	var out []string
	for y := 0; y < h; y++ {
		out = append(out, fmt.Sprintf("%c", grid[y][0]))
		if s := string(grid[y]); strings.Trim(s, s[:1]) != "" {
			return "a row is not of one thing: " + s
		}
	}
	return strings.Join(out, "")
}

func TestLayoutPictures(t *testing.T) {
	for _, c := range []struct {
		w, h int
		want wish
		pic  string
	}{
		{60, 15, wish{listRows: 9}, "H" + strings.Repeat("L", 13) + "F"},
		{60, 15, wish{listRows: 9, notices: 4}, "Hnn" + strings.Repeat("L", 11) + "F"},
		{80, 24, wish{listRows: 9}, "H" + strings.Repeat("L", 22) + "F"},
		{80, 24, wish{listRows: 9, focus: paneDetail, notices: 2}, "Hnn" + strings.Repeat("D", 20) + "F"},
		{120, 40, wish{listRows: 10}, "H" + strings.Repeat("L", 12) + strings.Repeat("D", 26) + "F"},
		{120, 40, wish{listRows: 90, notices: 1}, "Hn" + strings.Repeat("L", 16) + strings.Repeat("D", 21) + "F"},
		{120, 40, wish{listRows: 10, focus: paneDetail, zoom: true}, "H" + strings.Repeat("D", 38) + "F"},
		{120, 40, wish{listRows: 10, zoom: true}, "H" + strings.Repeat("L", 38) + "F"},
		{160, 48, wish{listRows: 2}, "H" + strings.Repeat("L", 8) + strings.Repeat("D", 38) + "F"},
		{39, 20, wish{}, strings.Repeat(".", 20)},
		{80, 9, wish{}, strings.Repeat(".", 9)},
	} {
		if got := picture(c.w, c.h, arrange(c.w, c.h, c.want)); got != c.pic {
			t.Errorf("%dx%d %+v:\n got %s\nwant %s", c.w, c.h, c.want, got, c.pic)
		}
	}
}

func TestColumnsFitEveryWidth(t *testing.T) {
	e := measure(sampleSnapshot())
	for w := 36; w < 240; w++ {
		cols := chooseColumns(w, e)
		total := 2
		names := map[string]bool{}
		for i, c := range cols {
			if i > 0 {
				total += gapWidth
			}
			total += c.width
			names[c.title] = true
		}
		if total > w || !names["service"] {
			t.Fatalf("width %d: columns take %d, %v", w, total, names)
		}
		if w >= 58 && (!names["version"] || !names["errors"] || !names["last change"]) {
			t.Fatalf("width %d lacks what matters: %v", w, names)
		}
	}
}

func TestThemes(t *testing.T) {
	for _, name := range Themes() {
		for _, dark := range []bool{true, false} {
			th, err := NewTheme(name, dark)
			if err != nil {
				t.Fatal(err)
			}
			if name == "mono" && strings.Contains(th.seq[tokCrit][modSel], "38;") {
				t.Error("mono has a colour")
			}
			if th.seq[tokText][modSel] == th.seq[tokText][0] {
				t.Errorf("%s: the selection can not be seen", name)
			}
		}
	}
	if _, err := NewTheme("solarized", true); err == nil || !strings.Contains(err.Error(), "colorblind") {
		t.Errorf("unknown theme: %v", err)
	}
}
