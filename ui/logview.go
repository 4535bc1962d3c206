package ui

import (
	"strconv"

	"github.com/nexgate-hq/nexops/fleet"
)

// format is one log line: when, which instance, how bad, what; and its fields.
func (p *logPane) format(l *fleet.LogLine) (text, fields line) {
	layout := "15:04:05"
	if p.w >= 100 {
		layout = "15:04:05.000"
	}
	var out line
	if !l.At.IsZero() {
		at := l.At.Local()
		if p.o.UTC {
			at = l.At.UTC()
		}
		out = ln(sp(tokFaint, at.Format(layout)+" "))
	}
	if l.Stream == "nexops" {
		return out.put(tokAccent, "── "+l.Text+" ──"), nil
	}
	if p.names.width > 0 {
		tok := instanceToken(l.Host + "/" + l.Instance)
		label, ok := p.names.labels[instanceID{l.Host, l.Instance}]
		if !ok {
			label = shortName(p.key.Name, l.Instance)
		}
		out = append(out, ln(sp(tok, label)).pad(p.names.width)...)
		out = out.put(tokText, " ")
	}
	if p.look.raw {
		return append(out, ln(sp(tokText, l.Text)).highlight(p.find.query)...), nil
	}
	m := parseLog(l.Text)
	if m.level != "" {
		out = append(out, ln(sp(levelToken(m.level), m.level)).pad(5)...)
		out = out.put(tokText, " ")
	}
	for _, f := range m.fields {
		fields = fields.put(tokFaint, " "+f.key+"=").put(tokDim, f.value)
	}
	return append(out, ln(sp(tokText, m.message)).highlight(p.find.query)...), fields.highlight(p.find.query)
}

// View is what is on the screen now.
func (p *logPane) View() []line {
	if p.count() == 0 {
		text := p.state
		if p.only() {
			text = "no line matches " + strconv.Quote(p.find.query)
		}
		return []line{ln(sp(tokDim, text))}
	}
	var out []line
	i := p.index(p.place.top)
	skip := p.place.sub
	for ; i < p.count() && len(out) < p.h; i++ {
		n := p.number(i)
		rows := p.rows(n)
		for _, r := range rows[min(skip, len(rows)):] {
			if n == p.find.at && p.find.query != "" && !p.place.follow {
				r = r.pad(p.w).with(modSel)
			}
			out = append(out, r)
		}
		skip = 0
	}
	return out[:min(len(out), p.h)]
}

// status says what the log is doing, for the border of the pane.
func (p *logPane) status() line {
	var out line
	if p.find.query != "" {
		out = out.put(tokAccent, "/"+p.find.query+" ").put(tokDim, matches(len(p.hits))+" ")
		if p.only() {
			out = out.put(tokDim, "only ")
		}
	}
	if p.look.raw {
		out = out.put(tokDim, "raw ")
	}
	switch {
	case p.place.follow && p.state != "" && p.ring.len() > 0:
		return out.put(tokWarn, p.state)
	case p.place.follow:
		return out.put(tokOK, "● following")
	case p.place.fresh > 0:
		return out.add(bold(tokWarn, "■ "+plural(p.place.fresh, "new line")), sp(tokDim, " f follows"))
	default:
		return out.put(tokDim, "■ stopped, f follows")
	}
}

func matches(n int) string {
	if n == 1 {
		return "1 match"
	}
	return strconv.Itoa(n) + " matches"
}
