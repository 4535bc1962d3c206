package ui

// rect is a place on the screen.
type rect struct{ x, y, w, h int }

func (r rect) empty() bool { return r.w <= 0 || r.h <= 0 }

func (r rect) contains(x, y int) bool {
	return x >= r.x && x < r.x+r.w && y >= r.y && y < r.y+r.h
}

// inner is the place inside a border and a column of air.
func (r rect) inner() rect {
	return rect{r.x + 2, r.y + 1, max(r.w-4, 0), max(r.h-2, 0)}
}

// pane names what can have the keys.
type pane uint8

const (
	paneList pane = iota
	paneDetail
)

// The screen sizes that are designed.
const (
	minWidth    = 40
	minHeight   = 10
	splitWidth  = 100 // from here the list and the detail stand together
	splitHeight = 30
)

// arrangement is where everything stands. An empty rect is not shown.
type arrangement struct {
	header, notice, list, detail, footer rect
	tooSmall                             bool
	split                                bool // list and detail at once
}

// wish is what the arrangement depends on besides the size.
type wish struct {
	notices  int  // lines that the header wants below itself
	listRows int  // lines that the list would like to have, without its border
	focus    pane // what is shown when only one thing can be
	zoom     bool // the pane with the keys alone
}

// arrange is the whole layout: from a size and what is wished to rectangles.
func arrange(w, h int, want wish) arrangement {
	if w < minWidth || h < minHeight {
		return arrangement{tooSmall: true}
	}
	a := arrangement{header: rect{0, 0, w, 1}, footer: rect{0, h - 1, w, 1}}
	top := 1
	if n := min(want.notices, noticeRoom(h)); n > 0 {
		a.notice = rect{0, top, w, n}
		top += n
	}
	body := rect{0, top, w, h - 1 - top}
	a.split = w >= splitWidth && h >= splitHeight
	switch {
	case a.split && !want.zoom:
		half := body.h * 45 / 100
		lh := min(max(want.listRows+2, 8), half)
		a.list = rect{0, body.y, w, lh}
		a.detail = rect{0, body.y + lh, w, body.h - lh}
	case want.focus == paneDetail:
		a.detail = body
	default:
		a.list = body
	}
	return a
}

// sliver is what is too narrow beside a dialog to show anything.
const sliver = 6

// noticeRoom is how many rows below the header may say what has to be known first.
func noticeRoom(h int) int { return h / 6 }

// centered is a place for a dialog of a size in the middle of the screen, below the
// header. It takes the whole width when only slivers would be left beside it.
func centered(w, h, dw, dh int) rect {
	if w-dw < 2*sliver {
		dw = w
	}
	dh = min(dh, h-1)
	return rect{(w - dw) / 2, max((h-dh)/2, 1), dw, dh}
}
