package fleet

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Percent writes a ratio for people: "0.1 %", "7.1 %", "93 %".
func Percent(ratio float64) string {
	p := ratio * 100
	switch {
	case math.IsNaN(p):
		return "–"
	case p != 0 && math.Abs(p) < 0.05:
		return "<0.1 %"
	case math.Abs(p) < 9.95:
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	default:
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	}
}

// Seconds writes a length of time given in seconds: "40 ms", "1.9 s".
func Seconds(s float64) string {
	switch {
	case math.IsNaN(s):
		return "–"
	case s < 0.9995:
		return strconv.FormatFloat(s*1000, 'f', 0, 64) + " ms"
	case s < 9.95:
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	default:
		return strconv.FormatFloat(s, 'f', 0, 64) + " s"
	}
}

// Bytes writes a size in binary units: "310M", "1.2G".
func Bytes(n float64) string {
	if math.IsNaN(n) {
		return "–"
	}
	units := []string{"B", "K", "M", "G", "T", "P"}
	i := 0
	for math.Abs(n) >= 999.5 && i < len(units)-1 {
		n /= 1024
		i++
	}
	if i == 0 || math.Abs(n) >= 9.95 {
		return strconv.FormatFloat(n, 'f', 0, 64) + units[i]
	}
	return strconv.FormatFloat(n, 'f', 1, 64) + units[i]
}

// Rate writes a count per second or minute: "140", "4.2", "0.3".
func Rate(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v != 0 && math.Abs(v) < 0.05:
		return "<0.1"
	case math.Abs(v) < 9.95 && v != math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 1, 64)
	case math.Abs(v) >= 99_950:
		return strconv.FormatFloat(v/1000, 'f', 0, 64) + "k"
	default:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
}

// Ago writes how long ago something was, in at most two units: "40 s", "6 min", "3 d 4 h".
func Ago(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 24*time.Hour:
		return twoUnits(int(d.Hours()), "h", int(d.Minutes())%60, "min")
	default:
		return twoUnits(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
	}
}

func twoUnits(a int, unitA string, b int, unitB string) string {
	if b == 0 || a >= 10 {
		return fmt.Sprintf("%d %s", a, unitA)
	}
	return fmt.Sprintf("%d %s %d %s", a, unitA, b, unitB)
}
