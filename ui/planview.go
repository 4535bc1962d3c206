package ui

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// planLines is a whole plan, what decides first: what moves, what is at risk, what is not
// well, what is done, the way back. The exact commands and the checks that are well follow,
// for whoever scrolls: on a small screen they would hide the rest.
func planLines(d *dialog, w int) []line {
	p := d.plan
	var out []line
	out = append(out, planAgain(d, w)...)
	out = append(out, moveLines(p.Moves, w)...)
	for _, r := range p.Risks {
		out = append(out, hangingLine(ln(sp(tokWarn, "▲ risk  ")), ln(sp(tokText, r)), w)...)
	}
	var well, unwell []actions.Check
	for _, c := range p.Checks {
		if c.State == actions.CheckOK && len(c.Diff) > 0 {
			continue // shown with its lines
		}
		if c.State == actions.CheckOK {
			well = append(well, c)
		} else {
			unwell = append(unwell, c)
		}
	}
	out = append(out, checkLines(unwell, w)...)
	out = append(out, diffLines(p.Checks, w)...)
	out = append(out, nil)
	out = append(out, stepLines(p.Steps, w)...)
	if p.Verify != nil && len(p.Steps) > 0 {
		out = append(out, ln(sp(tokDim, "   then watched until the verdict is good, degraded or unknown")).truncate(w))
	}
	out = append(out, ln(sp(tokDim, "   undo: "), sp(tokText, undoText(p.Undo))).truncate(w))
	out = append(out, exactLines(p.Steps, w)...)
	if len(well) > 0 {
		out = append(out, nil, ln(sp(tokDim, plural(len(well), "preflight")+" passed")))
		out = append(out, checkLines(well, w)...)
	}
	return out
}

// hangingLine wraps a text beside a head.
func hangingLine(head, text line, w int) []line {
	hw := head.width()
	var out []line
	for i, l := range text.wrap(max(w-hw, 10)) {
		if i > 0 {
			head = ln(sp(tokText, strings.Repeat(" ", hw)))
		}
		out = append(out, append(head[:len(head):len(head)], l...))
	}
	return out
}

// planAgain says that the plan was made again, why, and what is different.
func planAgain(d *dialog, w int) []line {
	var out []line
	if d.again {
		out = append(out, ln(bold(tokWarn, "▲ the world has moved; the plan is being made again…")))
		for _, y := range d.why {
			out = append(out, hangingLine(ln(sp(tokWarn, "  ")), ln(sp(tokText, y)), w)...)
		}
	}
	if len(d.changed) > 0 {
		out = append(out, ln(bold(tokWarn, "▲ this plan was made again, and differs:")))
		for _, c := range d.changed {
			out = append(out, hangingLine(ln(sp(tokWarn, "  ")), ln(sp(tokText, c)), w)...)
		}
	}
	if len(out) > 0 {
		out = append(out, nil)
	}
	return out
}

func moveLines(moves []actions.Move, w int) []line {
	var out []line
	for _, m := range moves {
		l := ln(bold(tokTitle, m.Service.Name), sp(tokDim, " on "+m.Host+"  "))
		l = append(append(l, releaseBrief(&m.From, tokText)...), bold(tokAccent, "  →  "))
		l = append(l, releaseBrief(&m.To, tokAccent)...)
		out = append(out, l.wrap(w)...)
	}
	return out
}

// releaseBrief is a release by tag and digest: the tag alone proves nothing.
func releaseBrief(r *fleet.Release, tok token) line {
	if r.IsZero() {
		return ln(sp(tokDim, "nothing"))
	}
	out := ln(bold(tok, r.Version()))
	switch {
	case r.Digest != "" && r.Tag != "":
		out = out.put(tokDim, " "+fleet.ShortDigest(r.Digest))
	case r.ImageID != "" && r.Tag != "":
		out = out.put(tokDim, " "+fleet.ShortDigest(r.ImageID))
	case r.Tag != "":
		out = out.put(tokFaint, " digest not known")
	}
	return out
}

// Names of steps and preflights stand in a column; a step's leaves room for its number, its host and what it changes.
const (
	minNameWidth = 28
	stepTail     = 36
)

func checkLines(checks []actions.Check, w int) []line {
	name := 0
	for _, c := range checks {
		name = max(name, min(textWidth(c.Name), max(minNameWidth, w/3)))
	}
	var out []line
	for _, c := range checks {
		mark, tok := checkMark(c.State)
		head := append(ln(bold(tok, mark+" ")), ln(sp(tokText, c.Name)).pad(name)...).put(tokText, "  ")
		text := tokDim
		if c.State != actions.CheckOK {
			head = head.put(tok, string(c.State)+" ")
			text = tokText
		}
		out = append(out, hangingLine(head, ln(sp(text, c.Detail)), w)...)
	}
	return out
}

// diffLines are what would change in files and resources: what comes and what goes is told by its sign as well as by colour.
func diffLines(checks []actions.Check, w int) []line {
	var out []line
	for _, c := range checks {
		if len(c.Diff) == 0 {
			continue
		}
		out = append(out, nil, ln(bold(tokTitle, c.Name), sp(tokDim, "  "+c.Detail)).truncate(w))
		for _, l := range c.Diff {
			tok := tokDim
			switch {
			case strings.HasPrefix(l, "+"):
				tok = tokOK
			case strings.HasPrefix(l, "-"):
				tok = tokCrit
			}
			out = append(out, ln(sp(tok, "  "+Sanitize(l))).truncate(w))
		}
	}
	return out
}

// stepHost is where a step runs, in words.
func stepHost(s *actions.Step) string {
	if s.Host == "" {
		return "this machine"
	}
	return s.Host
}

// stepLines is what is done and where, one row for each step.
func stepLines(steps []actions.Step, w int) []line {
	name := 0
	for i := range steps {
		name = max(name, min(textWidth(steps[i].Name), max(minNameWidth, w-stepTail)))
	}
	var out []line
	for i := range steps {
		s := &steps[i]
		tok, note := bold(tokTitle, s.Name), ""
		if !s.Mutates {
			tok, note = sp(tokDim, s.Name), ", changes nothing"
		}
		row := append(ln(sp(tokDim, fmt.Sprintf("%2d ", i+1))), ln(tok).pad(name)...)
		out = append(out, row.put(tokDim, "  on "+stepHost(s)+note).truncate(w))
	}
	return out
}

// exactLines is what exactly runs, word for word.
func exactLines(steps []actions.Step, w int) []line {
	if len(steps) == 0 {
		return nil
	}
	out := []line{nil, ln(sp(tokDim, "exactly this runs"))}
	for i := range steps {
		head := ln(sp(tokDim, fmt.Sprintf("%2d ", i+1)))
		if dir := steps[i].Dir; dir != "" {
			out = append(out, append(head, sp(tokDim, "in "+dir)).truncate(w))
			head = ln(sp(tokText, "   "))
		}
		out = append(out, hangingLine(head.put(tokFaint, "$ "), ln(sp(tokText, commandLine(steps[i].Argv))), w)...)
		if into := steps[i].Into; into != nil {
			out = append(out, hangingLine(ln(sp(tokFaint, "   | ")), pipeLine(into), w)...)
		}
	}
	return out
}

// pipeLine is what a step's output goes into, and where.
func pipeLine(p *actions.Pipe) line {
	return ln(sp(tokText, commandLine(p.Argv)), sp(tokDim, "  on "+cmp.Or(p.Host, "this machine")))
}

// commandLine shows argv so that every word's bounds can be seen. It is for the eye, nobody runs it.
func commandLine(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = a
		if a == "" || strings.ContainsAny(a, " \t\n\"'\\$`|&;<>(){}*?!#~") && len(argv) > 1 {
			words[i] = strconv.Quote(a)
		}
	}
	return strings.Join(words, " ")
}

func undoText(in *actions.Intent) string {
	if in == nil {
		return "nothing puts this back"
	}
	return in.Words()
}

// differences tells how a plan differs from the one shown before it.
func differences(earlier dialog, now *actions.Plan) []string {
	out := append([]string{}, earlier.why...)
	old := earlier.plan
	if old.Title != now.Title {
		out = append(out, "was: "+old.Title, "now: "+now.Title)
	}
	out = append(out, lineDiff(checkTexts(old), checkTexts(now))...)
	return append(out, lineDiff(stepTexts(old), stepTexts(now))...)
}

func checkTexts(p *actions.Plan) []string {
	var out []string
	for _, c := range p.Checks {
		out = append(out, c.Name+": "+string(c.State))
	}
	return out
}

func stepTexts(p *actions.Plan) []string {
	var out []string
	for i := range p.Steps {
		s := &p.Steps[i]
		out = append(out, s.Name+" on "+stepHost(s)+": "+commandLine(s.Argv))
		if s.Into != nil {
			out = append(out, "into "+cmp.Or(s.Into.Host, "this machine")+": "+commandLine(s.Into.Argv))
		}
	}
	return out
}

// lineDiff is what is gone and what is new.
func lineDiff(old, now []string) []string {
	had, has := map[string]bool{}, map[string]bool{}
	for _, s := range old {
		had[s] = true
	}
	var out []string
	for _, s := range now {
		has[s] = true
	}
	for _, s := range old {
		if !has[s] {
			out = append(out, "− "+s)
		}
	}
	for _, s := range now {
		if !had[s] {
			out = append(out, "+ "+s)
		}
	}
	return out
}

// promptLines is the part of the dialog that does not scroll: the question.
func (d *dialog) promptLines(w int) []line {
	ok, why := d.runnable()
	var out []line
	if d.note != "" {
		out = append(out, ln(bold(tokWarn, "▲ "+d.note)).truncate(w))
	}
	if !ok {
		out = append(out, ln(bold(tokCrit, "✖ can not run: "), sp(tokText, why)).truncate(w))
		return append(out, button("Cancel", true).put(tokDim, "  enter or esc"))
	}
	if d.confirm == actions.ConfirmType {
		ask := ln(sp(tokText, "type "), bold(tokAccent, d.phrase), sp(tokText, " to run: "))
		out = append(out, append(ask, d.in.view()...))
		row := button("Cancel", d.in.value() == "").put(tokText, "  ")
		row = append(row, button("Run", d.typed())...)
		return append(out, row.put(tokDim, d.enterMeans()))
	}
	row := button("Cancel", !d.onRun).put(tokText, "  ")
	row = append(row, button("Run", d.onRun)...)
	return append(out, row.put(tokDim, "  y runs, enter chooses, esc cancels"))
}

// enterMeans says what Enter does now in a dialog that wants a phrase.
func (d *dialog) enterMeans() string {
	switch {
	case d.in.value() == "":
		return "  enter or esc cancels"
	case d.typed():
		return "  enter runs it, esc cancels"
	default:
		return "  not the phrase yet, esc cancels"
	}
}

func button(name string, focused bool) line {
	if focused {
		return ln(span{text: " ▸ " + name + " ", tok: tokText, mod: modRev | modBold})
	}
	return ln(sp(tokDim, "[ "+name+" ]"))
}
