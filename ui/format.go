package ui

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// none is shown where there is no figure: no traffic, no limit, not known.
const none = "–"

// age says how long something took or is ago, in one unit, two below a day where it matters.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 10*time.Hour && d%time.Hour >= time.Minute:
		return fmt.Sprintf("%dh%02dm", int(d/time.Hour), int(d%time.Hour/time.Minute))
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	default:
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
}

// since is the age of a moment, or nothing when it is not known.
func since(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return age(now.Sub(t))
}

// latency says how long a source took.
func latency(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Second:
		return strconv.Itoa(max(int(d/time.Millisecond), 1)) + "ms"
	default:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
}

// figure writes a number with two or three digits and k, M, G.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return none
	case a == 0:
		return "0"
	case a < 0.095:
		return fmt.Sprintf("%.2f", v)
	case a < 9.95:
		return fmt.Sprintf("%.1f", v)
	case a < 9999.5:
		return fmt.Sprintf("%.0f", v)
	case a < 999_500:
		return fmt.Sprintf("%.0fk", v/1e3)
	case a < 999_500_000:
		return fmt.Sprintf("%.1fM", v/1e6)
	default:
		return fmt.Sprintf("%.1fG", v/1e9)
	}
}

// size writes bytes in binary units.
func size(v float64) string {
	const unit = 1024
	for _, u := range []string{"B", "K", "M", "G", "T"} {
		if math.Abs(v) < 999.5 || u == "T" {
			if u == "B" || u == "K" || v >= 9.95 {
				return fmt.Sprintf("%.0f%s", v, u)
			}
			return fmt.Sprintf("%.1f%s", v, u)
		}
		v /= unit
	}
	return none
}

// ratio writes a share of one in percent.
func ratio(v float64) string {
	p := v * 100
	switch {
	case math.IsNaN(p):
		return none
	case p > 0 && p < 0.05:
		return "<0.1%"
	case p >= 99.95:
		return fmt.Sprintf("%.0f%%", p)
	default:
		return fmt.Sprintf("%.1f%%", p)
	}
}

// seconds writes a duration that came as seconds.
func seconds(v float64) string {
	switch {
	case math.IsNaN(v):
		return none
	case v < 0.00095:
		return fmt.Sprintf("%.1fms", v*1e3)
	case v < 0.9995:
		return fmt.Sprintf("%.0fms", v*1e3)
	case v < 60:
		return fmt.Sprintf("%.1fs", v)
	default:
		return age(time.Duration(v * float64(time.Second)))
	}
}

// perTime writes a rate; nothing needs no unit.
func perTime(v float64, unit string) string {
	if v == 0 {
		return "0"
	}
	return figure(v) + unit
}

// quantity writes a figure in its unit.
func quantity(u fleet.Unit, v float64) string {
	if math.IsNaN(v) {
		return none
	}
	switch u {
	case fleet.UnitPerSecond:
		return perTime(v, "/s")
	case fleet.UnitPerMinute:
		return perTime(v, "/m")
	case fleet.UnitRatio:
		return ratio(v)
	case fleet.UnitSeconds:
		return seconds(v)
	case fleet.UnitCores:
		return figure(v)
	case fleet.UnitBytes:
		return size(v)
	case fleet.UnitBool:
		if v >= 0.5 {
			return "yes"
		}
		return "no"
	case fleet.UnitNone:
	}
	return figure(v)
}

// plural writes a count with its word.
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}
