package sync

import (
	"strings"

	"github.com/nexgate-hq/nexops/remote"
)

// Bounds of a diff that is shown.
const (
	maxDiff    = 120 // lines
	maxCompare = 2000
	context3   = 3
	maxShown   = 300 // bytes of a line
)

// unified is the difference of two texts, line by line, with a few lines around each change. A whole
// text that comes or goes is all + or all -.
func unified(before, after string) []string {
	a, b := split(before), split(after)
	if len(a) > maxCompare || len(b) > maxCompare {
		return []string{"... too long to be compared line by line"}
	}
	var out []string
	show := marks(edits(a, b))
	gap := false
	for _, e := range show {
		if e.mark == 0 {
			gap = true
			continue
		}
		if gap && len(out) > 0 {
			out = append(out, "...")
		}
		gap = false
		if len(out) >= maxDiff {
			return append(out, "... and more")
		}
		out = append(out, string(e.mark)+remote.CleanTo(indent(e.text), maxShown))
	}
	return out
}

// indent keeps the blanks at the beginning of a line through remote.Clean, which takes them away.
func indent(l string) string {
	body := strings.TrimLeft(l, " \t")
	n := 0
	for _, r := range l[:len(l)-len(body)] {
		if r == '\t' {
			n += 3
		}
		n++
	}
	return strings.Repeat("\u00a0", min(n, 40)) + body
}

func split(text string) []string {
	text = strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// edit is one line: ' ' stays, '-' goes, '+' comes.
type edit struct {
	mark byte
	text string
}

// edits is the shortest way from a to b, by the longest common lines.
func edits(a, b []string) []edit {
	var head []edit
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		head = append(head, edit{' ', a[0]})
		a, b = a[1:], b[1:]
	}
	common := make([][]int32, len(a)+1)
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for k := len(b) - 1; k >= 0; k-- {
			if a[i] == b[k] {
				common[i][k] = common[i+1][k+1] + 1
			} else {
				common[i][k] = max(common[i+1][k], common[i][k+1])
			}
		}
	}
	out, i, k := head, 0, 0
	for i < len(a) || k < len(b) {
		switch {
		case i < len(a) && k < len(b) && a[i] == b[k]:
			out = append(out, edit{' ', a[i]})
			i, k = i+1, k+1
		case i < len(a) && (k == len(b) || common[i+1][k] >= common[i][k+1]):
			out = append(out, edit{'-', a[i]})
			i++
		default:
			out = append(out, edit{'+', b[k]})
			k++
		}
	}
	return out
}

// marks leaves out, by mark 0, what is far from any change.
func marks(list []edit) []edit {
	near := make([]bool, len(list))
	for i, e := range list {
		if e.mark == ' ' {
			continue
		}
		for k := max(0, i-context3); k < min(len(list), i+context3+1); k++ {
			near[k] = true
		}
	}
	for i := range list {
		if !near[i] {
			list[i].mark = 0
		}
	}
	return list
}
