package git

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWalkInParts: a history that is walked in parts, cut at merges and between them, is the one that is walked at once.
func TestWalkInParts(t *testing.T) {
	r := newRepo(t)
	var in bytes.Buffer
	change := func(file string, i int) {
		text := fmt.Sprintf("A=%d\n", i)
		_, _ = fmt.Fprintf(&in, "M 100644 inline services/%s\ndata %d\n%s\n", file, len(text), text)
	}
	add := func(branch string, i int, from, file string) {
		_, _ = fmt.Fprintf(&in, "commit refs/heads/%s\nmark :%d\ncommitter Ana <a@example.org> %d +0000\ndata 1\nx\n%s", branch, i, 1600000000+i, from)
		change(file, i)
	}
	const commits = 600
	for i, last := 1, 0; i <= commits; i++ {
		from := ""
		if last > 0 {
			from = fmt.Sprintf("from :%d\n", last)
		}
		if i%50 == 0 { // two that are made beside master, and then merged into it
			add("side", i, from, "side/tag.env")
			add("side", i+1, "", "side/compose.yml")
			from += fmt.Sprintf("merge :%d\n", i+1)
			i += 2
			add("master", i, from, "side/compose.yml")
			change("side/tag.env", i)
		} else {
			add("master", i, from, fmt.Sprintf("s-%d/tag.env", i%7))
		}
		last = i
	}
	importer := exec.Command("git", "-C", r.dir, "fast-import", "--quiet", "--force")
	importer.Stdin, importer.Stderr = &in, os.Stderr
	if err := importer.Run(); err != nil {
		t.Fatal(err)
	}
	p := program{env: environ(os.Environ(), "")}
	dir := r.dir + "/.git"
	patterns := []pattern{{before: "services/", after: "/tag.env"}}
	head := r.git("rev-parse", "master")
	for _, limit := range []int{10, commits} {
		want, composed, err := p.walk(t.Context(), dir, head, patterns, limit)
		if err != nil || len(want) != 8 || len(composed) != 1 {
			t.Fatalf("%d files, %v, %v", len(want), composed, err)
		}
		for _, most := range []int{1, 2, 3, 7, 40} {
			cuts, err := p.cuts(t.Context(), dir, head, most, 1)
			if err != nil || len(cuts) != most {
				t.Fatalf("%d parts: %q, %v", most, cuts, err)
			}
			got, also, err := p.walkParts(t.Context(), dir, cuts, patterns, limit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(edit{}, commit{})); diff != "" || !also["services/side"] {
				t.Errorf("limit %d, %d parts: %v %.2000s", limit, len(cuts), also, diff)
			}
		}
		if all, _, err := p.walkAll(t.Context(), dir, head, patterns, limit); err != nil || len(all) != len(want) {
			t.Errorf("%d files, %v", len(all), err)
		}
	}
}
