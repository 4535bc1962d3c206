package komodo

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// FuzzDecode: whatever Core answers, nothing panics, and no control character gets through.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"_id":{"$oid":"66f0"},"name":"x","info":{"resource_updates":[{"target":{"type":"Stack","id":"a"},"data":{"type":"Update","data":{"proposed":"a","current":"b"}}}],"pending_deploys":[{"target":{"type":"Stack","id":"a"},"reason":"<span>r</span>","after":["x",{"type":"Stack","id":"y"}]}],"pending_error":null},"config":{}}`,
		`{"_id":{"$oid":"1"},"operation":"DeployStack","status":"Complete","success":false,"start_ts":1,"logs":[{"stage":"Service/s","stdout":"Execution requested for Stack service/s a, b","stderr":"\u001b[31m"}]}`,
		`{"updates":[{"id":"1","operation":"DeployStackService","start_ts":99999999999999999,"operator":"000000000000000000000005","target":{"type":"Stack","id":"a"},"status":"Complete"}]}`,
		`[{"id":"1","name":"a","info":{"services":["plain",{"service":"s","image":"r:1@sha256:x"}],"err":"text"}}]`,
		`{"error":"x","trace":["y"]}`, `null`, `[]`, `{"_id":7}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var stacks []item[stackItem]
		var servers []item[serverItem]
		var sync resource[syncInfo, struct{}]
		var stack resource[stackInfo, stackConfig]
		var u update
		var list updateList
		var alerts alertList
		var failure wireError
		for _, into := range []any{&stacks, &servers, &sync, &stack, &u, &list, &alerts, &failure} {
			_ = json.Unmarshal(raw, into)
		}
		s := &Source{cfg: *NewConfig(), touched: map[id][]string{}, stacks: map[string]stackRef{}}
		v := &view{stacks: s.place(stacks, nil), servers: servers, updates: list, alerts: alerts}
		said := s.warnings(v, nil)
		for _, r := range sync.Info.ResourceUpdates {
			c := s.change(r, v)
			said = append(said, c.Name, c.Resource, c.Verb)
			said = append(said, strings.Split(c.Before+"\n"+c.After, "\n")...)
		}
		files, _, services := s.differ(stack)
		for _, file := range files {
			said = append(said, file.Path)
			said = append(said, strings.Split(file.Before+"\n"+file.After, "\n")...)
		}
		_, reasons := ended(u)
		said = append(append(said, services...), reasons...)
		said = append(said, servicesIn(u.Logs)...)
		for _, it := range list.Updates {
			_, _ = kindOf(it)
			said = append(said, who(it))
		}
		for _, h := range s.desired(v) {
			said = append(said, h.Subject.Service, h.Releases[0].Tag, h.Releases[0].Image)
		}
		for _, text := range said {
			if strings.ContainsFunc(text, unicode.IsControl) {
				t.Fatalf("%q holds control characters", text)
			}
		}
	})
}

// FuzzClean: no secret under a name that says so gets through, in any of the forms in which a file may have it.
func FuzzClean(f *testing.F) {
	f.Add("API_TOKEN", "canary", " = ")
	f.Add("password", "c a n a r y", ": ")
	f.Add("db.secret_key", "<span>x</span>", "=")
	f.Fuzz(func(t *testing.T, key, value, sep string) {
		name := strings.Map(func(r rune) rune {
			if r == '_' || r == '-' || r == '.' || r < 128 && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
				return r
			}
			return -1
		}, key)
		const canary = "canary4711"
		if strings.TrimSpace(sep) != "=" && strings.TrimSpace(sep) != ":" || strings.ContainsAny(value, "\n\r") {
			return
		}
		for _, text := range []string{
			name + "_token" + sep + value + canary, "    - " + name + "_TOKEN=" + canary, "      - \"DB_PASSWORD=" + canary + "\"", "export " + name + "_token=" + canary, "  \"" + name + "password\" = \"\"\"\n" + canary + "\n\"\"\"\nnext = 1",
			name + "_secret: |\n  " + canary + "\nnext: 1", name + "tokens = [\n  '" + canary + "',\n]\n",
			"[[variable]]\nname = \"" + name + "\"\nvalue = \"" + canary + "\"\n",
		} {
			if got := clean(text); strings.Contains(got, canary) {
				t.Fatalf("%q becomes %q", text, got)
			}
		}
	})
}

func TestStrip(t *testing.T) {
	for in, want := range map[string]string{
		`<span class="font-bold">a</span> &lt;b&gt;`:       "a <b>",
		"\x1b[32m ✔ \x1b[0mContainer x\x1b]0;title\x07 ok": "✔ Container x ok",
		`<span style='color: #fff'>x</span><br/>y`:         "xy",
		"a < b and c > d": "a < b and c > d",
	} {
		if got := line(in); got != want {
			t.Errorf("%q becomes %q, not %q", in, got, want)
		}
	}
	if got := lines("one\rtwo\r\n\x1b[1Athree\nTOKEN=abcdef\n"); strings.Join(got, "|") != "two|three|TOKEN=[redacted]" {
		t.Errorf("%q", got)
	}
}
