package ui

import (
	"cmp"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// segment is a part of the header, in its forms from long to nothing. The one
// with the largest weight gives way first.
type segment struct {
	forms  []line
	weight int
}

// header says how the estate is, how well it can be seen, and what time it is.
func header(m *Model, w int, now time.Time) line {
	clock := ln(sp(tokDim, m.o.clock(now, "15:04:05")), sp(tokText, " "))
	segs := []segment{
		{[]line{ln(bold(tokTitle, "nexops"), sp(tokText, " "), bold(tokAccent, m.o.Environment)), ln(bold(tokAccent, m.o.Environment))}, 2},
	}
	segs = append(segs, accessSegment(m, now)...)
	if m.snap == nil {
		segs = append(segs, segment{[]line{ln(sp(tokInfo, "◌ connecting…"))}, 0})
	} else {
		segs = append(segs, countSegments(m.snap)...)
		segs = append(segs, holdSegment(m.snap, now)...)
		segs = append(segs, hostSegment(m.snap)...)
		segs = append(segs, backupSegment(m.snap)...)
		segs = append(segs, sourceSegments(m.snap, now, len(notices(m, now)) <= noticeRoom(m.h))...)
	}
	segs = append(segs, segment{[]line{clock, nil}, 3})
	return joinSegments(segs, w)
}

// joinSegments shortens segments until the line fits; the last one stands at the right.
func joinSegments(segs []segment, w int) line {
	at := make([]int, len(segs))
	total := func() int {
		n := 1
		for i, s := range segs {
			if sw := s.forms[at[i]].width(); sw > 0 {
				n += sw + 2
			}
		}
		return n
	}
	for total() > w {
		worst := -1
		for i, s := range segs {
			if at[i] == len(s.forms)-1 {
				continue
			}
			// Among equals the one that has given way least is next, so that none vanishes while others are long.
			if worst < 0 || s.weight > segs[worst].weight || s.weight == segs[worst].weight && at[i] < at[worst] {
				worst = i
			}
		}
		if worst < 0 {
			break
		}
		at[worst]++
	}
	left := ln(sp(tokText, " "))
	for i, s := range segs[:len(segs)-1] {
		if f := s.forms[at[i]]; len(f) > 0 {
			left = append(append(left, f...), sp(tokText, "  "))
		}
	}
	last := segs[len(segs)-1].forms[at[len(segs)-1]]
	return sides(left, last, w)
}

// countSegments are the services by severity, worst first.
func countSegments(snap *fleet.Snapshot) []segment {
	counts := map[fleet.Severity]int{}
	for i := range snap.Services {
		counts[snap.Services[i].Severity]++
	}
	var out []segment
	for _, s := range []fleet.Severity{fleet.SeverityCritical, fleet.SeverityWarning, fleet.SeverityInfo, fleet.SeverityOK} {
		n := counts[s]
		if n == 0 {
			continue
		}
		mark, tok := severityMark(s)
		long := ln(bold(tok, mark+" "+itoa(n)+" "+s.String()))
		brief := ln(bold(tok, mark+" "+itoa(n)))
		if s <= fleet.SeverityInfo {
			out = append(out, segment{[]line{ln(sp(tok, mark), sp(tokDim, " "+itoa(n)+" "+s.String())), brief, nil}, 6})
			continue
		}
		out = append(out, segment{[]line{long, brief}, 5 - int(s-fleet.SeverityWarning)})
	}
	return out
}

// holdSegment says that the environment as a whole is held, by whom and until when.
func holdSegment(snap *fleet.Snapshot, now time.Time) []segment {
	if len(snap.Holds) == 0 || snap.Holds[0].Service != "" {
		return nil
	}
	h := &snap.Holds[0]
	long := "held by " + cmp.Or(h.Owner, "somebody")
	if h.Stale {
		long += " (as of " + since(now, h.Seen) + " ago)"
	}
	if !h.Until.IsZero() {
		long += " " + age(h.Until.Sub(now)) + " more"
	}
	return []segment{{[]line{ln(bold(tokWarn, "■ "+long)), ln(bold(tokWarn, "■ held"))}, 6}} // the line below the header says all of it
}

func hostSegment(snap *fleet.Snapshot) []segment {
	if len(snap.Hosts) == 0 {
		return nil
	}
	up := 0
	for _, h := range snap.Hosts {
		if h.Up {
			up++
		}
	}
	text := itoa(up) + "/" + itoa(len(snap.Hosts))
	if up == len(snap.Hosts) {
		return []segment{{[]line{ln(sp(tokDim, "hosts "), sp(tokText, text)), ln(sp(tokDim, "hosts "+text)), nil}, 5}}
	}
	return []segment{{[]line{ln(bold(tokWarn, "▲ hosts "+text))}, 0}}
}

// sourceGroup is the sources of one kind, which the header sums up.
type sourceGroup struct {
	kind string
	all  []fleet.SourceStatus
}

func groupSources(all []fleet.SourceStatus) []sourceGroup {
	var out []sourceGroup
	for _, s := range all {
		if n := len(out); n > 0 && out[n-1].kind == s.Kind {
			out[n-1].all = append(out[n-1].all, s)
			continue
		}
		out = append(out, sourceGroup{s.Kind, []fleet.SourceStatus{s}})
	}
	return out
}

// sourceSegments is each kind of source with its state: those in trouble one by one, those
// that are well together, so that they give way together. A kind of which one stands for
// each host says nothing while all of them are well: the hosts do.
func sourceSegments(snap *fleet.Snapshot, now time.Time, told bool) []segment {
	var out []segment
	well := segment{forms: []line{nil, nil, nil}, weight: 8}
	ok := 0
	for _, g := range groupSources(snap.Sources) {
		many := len(g.all) > 1
		for _, s := range g.all {
			switch {
			case s.Follows(snap.Hosts):
				// the host cannot be seen, which is said elsewhere
			case troubled(s, now) && told && len(s.Hosts) == 1:
				// the count of hosts and the line below say it
			case troubled(s, now):
				out = append(out, troubledSegment(s, many, now))
			case s.State == fleet.SourceConnecting:
				out = append(out, segment{[]line{ln(sp(tokInfo, "◌ "+sourceName(s, many)+" connecting")), ln(sp(tokInfo, "◌ "+sourceName(s, many))), nil}, 7})
			default:
				ok++
				if !many {
					wellForms(well.forms, s, now)
				}
			}
		}
	}
	if ok > 0 {
		well.forms[2] = ln(sp(tokDim, "sources "), sp(tokOK, itoa(ok)+"/"+itoa(len(snap.Sources))))
		well.forms = append(well.forms, nil)
		out = append(out, well)
	}
	return out
}

// troubled reports whether a source fails, or what it said is too old.
func troubled(s fleet.SourceStatus, now time.Time) bool {
	return s.State == fleet.SourceFailing || s.State == fleet.SourceOK && s.Stale(now)
}

func sourceName(s fleet.SourceStatus, many bool) string {
	if many && s.Name != "" {
		return s.Name
	}
	return s.Kind
}

// wellForms adds a source that is well to what is said of all of them: with its figures, and in a word.
func wellForms(forms []line, s fleet.SourceStatus, now time.Time) {
	name := sourceName(s, false)
	long := ln(sp(tokDim, name))
	if s.Detail != "" {
		long = long.put(tokText, " "+s.Detail)
	}
	if a, ok := s.Age(now); ok && a > 90*time.Second {
		long = long.put(tokDim, " "+age(a))
	} else if l := latency(s.Latency); l != "" {
		long = long.put(tokDim, " "+l)
	}
	short := ln(sp(tokDim, name), sp(tokOK, " ok"))
	if n := len(s.Warnings); n > 0 { // :sources has them in words
		long, short = long.put(tokWarn, " ▲"+itoa(n)), ln(sp(tokDim, name), sp(tokWarn, " ▲"+itoa(n)))
	}
	for i, form := range []line{long, short} {
		if len(forms[i]) > 0 {
			forms[i] = forms[i].put(tokText, "  ")
		}
		forms[i] = append(forms[i], form...)
	}
}

// troubledSegment is the state of a source that fails, with how old its facts are.
func troubledSegment(s fleet.SourceStatus, many bool, now time.Time) segment {
	name := sourceName(s, many)
	old := "never seen"
	if a, ok := s.Age(now); ok {
		old = age(a)
	}
	return segment{[]line{ln(bold(tokCrit, name+" ✖ "+old)), ln(bold(tokCrit, name+" ✖")), nil}, 1}
}

// noticeRows is how many rows one source may take to say why it fails, where there is room.
const noticeRows = 2

// notices are the lines below the header: what runs, and why sources fail.
func notices(m *Model, now time.Time) []line {
	out := noticesOf(m, now, noticeRows)
	if len(out) > noticeRoom(m.h) {
		return noticesOf(m, now, 1)
	}
	return out
}

func noticesOf(m *Model, now time.Time, rows int) []line {
	var out []line
	if r := m.flow.run; r != nil && !m.view.run && !r.seen {
		out = append(out, r.summary(now))
	}
	out = append(out, newsLines(m)...)
	if m.snap == nil {
		return out
	}
	if h := m.snap.Holds; len(h) > 0 && h[0].Service == "" {
		out = append(out, append(ln(bold(tokWarn, " ■ ")), ln(sp(tokText, h[0].Words(now))).truncate(m.w-4)...))
	}
	many := map[string]int{}
	for _, s := range m.snap.Sources {
		many[s.Kind]++
	}
	for _, s := range m.snap.Sources {
		if !troubled(s, now) || s.Follows(m.snap.Hosts) {
			continue
		}
		text := sourceNotice(s, many[s.Kind] > 1, now)
		if rows == 1 {
			out = append(out, append(ln(sp(tokCrit, " ✖ ")), text.middle(m.w-4)...))
			continue
		}
		out = append(out, noticeLines(text, rows, max(m.w-1, 20))...)
	}
	return out
}

// noticeLines is a notice in at most some rows. What is left out is left out of its middle:
// an error says where it was at its beginning, and what it is at its end.
func noticeLines(text line, rows, w int) []line {
	head := ln(sp(tokCrit, " ✖ "))
	out := hangingLine(head, text, w)
	if len(out) > rows {
		out = hangingLine(head, text.middle(rows*(w-3)-w/4), w)
	}
	return out[:min(len(out), rows)]
}

func sourceNotice(s fleet.SourceStatus, many bool, now time.Time) line {
	name := s.Kind
	if many {
		name = s.Kind + " " + s.Name
	}
	out := ln(bold(tokText, name))
	if !s.FailingFrom.IsZero() {
		out = out.put(tokDim, " failing for "+since(now, s.FailingFrom))
	}
	if a, ok := s.Age(now); ok {
		out = out.put(tokDim, ", facts are "+age(a)+" old")
	} else {
		out = out.put(tokDim, ", nothing seen yet")
	}
	if s.Error != "" {
		out = out.put(tokDim, ": ").put(tokText, s.Why())
	}
	return out
}
