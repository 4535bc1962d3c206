package git

import (
	"fmt"
	"maps"
	"testing"
)

func packet(line string) string { return fmt.Sprintf("%04x%s", len(line)+4, line) }

func TestParseAdvertisement(t *testing.T) {
	const a, b = "1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"
	for name, c := range map[string]struct {
		text string
		want map[string]string
		bad  bool
	}{
		"a branch and a tag": {
			text: packet(a+" HEAD\x00multi_ack thin-pack\n") + packet(a+" refs/heads/master\n") + packet(b+" refs/tags/v1\n") + packet(a+" refs/tags/v1^{}\n") + "0000",
			want: map[string]string{"refs/heads/master": a, "refs/tags/v1": b},
		},
		"no refs": {text: packet("0000000000000000000000000000000000000000 capabilities^{}\x00agent=git\n") + "0000", want: map[string]string{}},
		"cut":     {text: "003f" + a + " refs/heads/master\n00", bad: true},
		"a word":  {text: "Welcome to ops\n", bad: true},
		"short":   {text: "0003" + "0000", bad: true},
		"nothing": {text: "", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseAdvertisement([]byte(c.text))
			if (err != nil) != c.bad || !c.bad && !maps.Equal(got, c.want) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func FuzzParseAdvertisement(f *testing.F) {
	f.Add([]byte("003f1111111111111111111111111111111111111111 refs/heads/master\n0000"))
	f.Add([]byte("0000"))
	f.Add([]byte("ffff"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parseAdvertisement(b) })
}

// TestRefsThatMovedOnAreReadAgain: between the glance and the fetch somebody took back what the glance saw.
func TestRefsThatMovedOnAreReadAgain(t *testing.T) {
	r := newRepo(t)
	r.tag("ai", "1")
	s := newSource(t, r.dir, options{})
	observe(t, s)
	s.mirror.known, s.mirror.assumed = map[string]string{"refs/heads/master": "1111111111111111111111111111111111111111"}, true
	if _, err := s.read(t.Context()); err == nil {
		t.Fatal("a commit that nobody has was read")
	}
	if !s.mirror.doubt() || s.mirror.doubt() {
		t.Fatal("what was assumed is not forgotten, once")
	}
	facts, err := s.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want(t, "again", history(facts, "prod", "ai"), "1")
}
