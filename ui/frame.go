package ui

import "strings"

// roomyHeight is the screen height from which panes get a whole border; below it a title line is enough.
const roomyHeight = 20

// boxed draws a pane: its title at the left and its status at the right of the
// border, the body inside. Without border only the title line stays.
func boxed(title, status line, body []line, r rect, border token, bare bool) []line {
	if r.empty() {
		return nil
	}
	if bare {
		out := []line{sides(append(ln(sp(border, "─ ")), title...).put(tokText, " "), status, r.w)}
		out = append(out, body...)
		return append(out, blank(r.h-len(out))...)[:r.h]
	}
	room := r.w - 6
	if status.width() > 0 {
		room -= status.width() + 3
	}
	title = title.truncate(max(room, 8))
	out := make([]line, 0, r.h)
	top := ln(sp(border, "╭ "))
	top = append(top, title...)
	fill := r.w - 4 - title.width()
	if n := status.width(); n > 0 && fill >= n+4 {
		top = top.put(border, " "+strings.Repeat("─", fill-n-3)+" ")
		top = append(top, status...)
		top = top.put(border, " ─╮")
	} else {
		top = top.put(border, " "+strings.Repeat("─", max(fill, 0))+"╮")
	}
	out = append(out, top)
	for i := range r.h - 2 {
		var l line
		if i < len(body) {
			l = body[i]
		}
		edge := mod(0)
		if len(l) > 0 {
			edge = l[len(l)-1].mod & modSel // the selected row reaches from border to border
		}
		air := span{text: " ", tok: tokText, mod: edge}
		row := append(ln(sp(border, "│"), air), l.pad(r.w-4)...)
		out = append(out, append(row, air, sp(border, "│")))
	}
	return append(out, ln(sp(border, "╰"+strings.Repeat("─", r.w-2)+"╯")))
}

// inside is the room of a pane's body.
func inside(r rect, bare bool) rect {
	if bare {
		return rect{r.x, r.y + 1, r.w, max(r.h-1, 0)}
	}
	return r.inner()
}

// stack puts lines at a full-width place of a frame.
func stack(frame []line, r rect, lines []line) {
	for i := 0; i < r.h && i < len(lines) && r.y+i < len(frame); i++ {
		frame[r.y+i] = lines[i]
	}
}

// over lays a dialog over a frame and steps what is behind it back.
func over(frame []line, r rect, lines []line, w int) {
	for i := range frame {
		frame[i] = frame[i].pad(w).toned(tokFaint).without(modSel | modBold | modMatch)
	}
	for i := 0; i < r.h && i < len(lines) && r.y+i < len(frame); i++ {
		under := frame[r.y+i]
		row := append(under.cut(0, r.x), lines[i].pad(r.w)...)
		frame[r.y+i] = append(row, under.cut(r.x+r.w, w)...)
	}
}

// without takes modifiers off.
func (l line) without(m mod) line {
	out := make(line, len(l))
	for i, s := range l {
		s.mod &^= m
		out[i] = s
	}
	return out
}

// encodeFrame is the frame as the terminal gets it.
func encodeFrame(frame []line, th *Theme, w int) string {
	var b strings.Builder
	b.Grow(len(frame) * w * 2)
	for i, l := range frame {
		if i > 0 {
			b.WriteByte('\n')
		}
		l.encode(th, w, &b)
	}
	return b.String()
}
