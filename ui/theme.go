package ui

import (
	"fmt"
	"image/color"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// token names what a piece of text means; only a theme knows its colour.
type token uint8

const (
	tokText token = iota
	tokDim        // said second
	tokFaint
	tokTitle
	tokOK
	tokInfo
	tokWarn
	tokCrit
	tokAccent
	tokKey
	tokBorder
	tokFocus // border and title of the pane that has the keys
	tokChart // bars of figures nobody complains about
	tokInst0 // instances, so that each keeps its colour
	tokInst1
	tokInst2
	tokInst3
	tokInst4
	tokInst5
	tokenCount
)

// mod is what is laid over a token.
type mod uint8

const (
	modBold  mod = 1 << iota
	modSel       // the selected row
	modMatch     // found by a search
	modRev       // a cursor, a focused button
	modCount = 1 << iota
)

// Theme holds the escape sequence of every token with every modifier.
type Theme struct {
	Name string
	Dark bool
	seq  [tokenCount][modCount]string
}

// Themes are the names a person may choose from.
func Themes() []string { return []string{"auto", "dark", "light", "colorblind", "mono"} }

// swatch is what one theme says about each token, and the two backgrounds.
type swatch struct {
	fg         [tokenCount]string // "" is the terminal's own colour
	selection  string
	match      string
	onMatch    string
	attributes bool // no colours: bold, faint, underline and reverse only
}

// NewTheme makes a theme by name. dark says what the terminal's background is; "auto" and "colorblind" ask it.
func NewTheme(name string, dark bool) (*Theme, error) {
	var p swatch
	switch name {
	case "", "auto":
		return NewTheme(map[bool]string{true: "dark", false: "light"}[dark], dark)
	case "dark":
		p, dark = darkSwatch(), true
	case "light":
		p, dark = lightSwatch(), false
	case "colorblind":
		p = colorblindSwatch(dark)
	case "mono":
		p = swatch{attributes: true}
	default:
		return nil, fmt.Errorf("theme %q: unknown, allowed are %s", name, strings.Join(Themes(), ", "))
	}
	t := &Theme{Name: name, Dark: dark}
	for tok := range tokenCount {
		for m := range mod(modCount) {
			t.seq[tok][m] = p.sequence(tok, m)
		}
	}
	return t, nil
}

func darkSwatch() swatch {
	return swatch{selection: "#313244", match: "#f9e2af", onMatch: "#11111b", fg: [tokenCount]string{
		tokText: "#cdd6f4", tokDim: "#9399b2", tokFaint: "#6c7086", tokTitle: "#cdd6f4", tokOK: "#a6e3a1", tokInfo: "#89b4fa",
		tokWarn: "#f9c96a", tokCrit: "#f38ba8", tokAccent: "#89b4fa", tokKey: "#b4befe", tokBorder: "#45475a", tokFocus: "#89b4fa", tokChart: "#5a6a93",
		tokInst0: "#94e2d5", tokInst1: "#d5c4a1", tokInst2: "#fab387", tokInst3: "#89dceb", tokInst4: "#cba6f7", tokInst5: "#b5d99c",
	}}
}

func lightSwatch() swatch {
	return swatch{selection: "#dce0e8", match: "#df8e1d", onMatch: "#ffffff", fg: [tokenCount]string{
		tokText: "#303030", tokDim: "#5f5f5f", tokFaint: "#767676", tokTitle: "#121212", tokOK: "#008700", tokInfo: "#005fd7",
		tokWarn: "#875f00", tokCrit: "#d70000", tokAccent: "#1e5fd6", tokKey: "#4338ca", tokBorder: "#acb0be", tokFocus: "#1e5fd6", tokChart: "#8fa3c8",
		tokInst0: "#0f766e", tokInst1: "#a21caf", tokInst2: "#b45309", tokInst3: "#0369a1", tokInst4: "#6d28d9", tokInst5: "#4d7c0f",
	}}
}

// colorblindSwatch uses blue, yellow and vermilion (Okabe and Ito), which stay apart in every common kind of colour blindness.
func colorblindSwatch(dark bool) swatch {
	if !dark {
		p := lightSwatch()
		p.fg[tokOK], p.fg[tokWarn], p.fg[tokCrit] = "#005faf", "#875f00", "#af5f00"
		return p
	}
	p := darkSwatch()
	p.fg[tokOK], p.fg[tokWarn], p.fg[tokCrit] = "#56b4e9", "#f0e442", "#ff8552"
	p.fg[tokInst1], p.fg[tokInst5] = "#cc79a7", "#e0e0e0"
	return p
}

// sequence is the SGR sequence of a token with modifiers.
func (p swatch) sequence(tok token, m mod) string {
	s := monoStyle(tok, m)
	if !p.attributes {
		s = p.colourStyle(tok, m)
	}
	if m&modRev != 0 {
		s = s.Reverse(true)
	}
	if len(s) == 0 {
		return ""
	}
	return s.String()
}

// colourStyle is the colours of a token, over the background of its row.
func (p swatch) colourStyle(tok token, m mod) ansi.Style {
	var s ansi.Style
	if fg := p.fg[tok]; fg != "" {
		s = s.ForegroundColor(hex(fg))
	}
	if m&modSel != 0 {
		s = s.BackgroundColor(hex(p.selection))
	}
	if m&modMatch != 0 {
		s = ansi.Style{}.ForegroundColor(hex(p.onMatch)).BackgroundColor(hex(p.match))
	}
	if tok == tokTitle || tok == tokKey || m&modBold != 0 {
		s = s.Bold()
	}
	return s
}

// monoStyle tells tokens apart without a colour.
func monoStyle(tok token, m mod) ansi.Style {
	var s ansi.Style
	switch tok {
	case tokTitle, tokCrit, tokWarn, tokKey, tokFocus:
		s = s.Bold()
	case tokFaint, tokBorder, tokChart:
		if m&modSel == 0 { // faint and reversed can not be read
			s = s.Faint()
		}
	default:
		if m&modBold != 0 {
			s = s.Bold()
		}
	}
	if m&modSel != 0 {
		s = s.Reverse(true)
	}
	if m&modMatch != 0 {
		s = s.Underline(true).Bold()
	}
	return s
}

func hex(s string) color.Color { return lipgloss.Color(s) }

// instanceToken gives a name its colour, the same one each time.
func instanceToken(name string) token {
	var h uint32 = 2166136261
	for i := 0; i < len(name); i++ {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return tokInst0 + token(h%6)
}
