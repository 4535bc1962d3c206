package ui

import (
	"math"
	"strings"
)

// blocks are the eight heights of a bar.
var blocks = [...]rune{'▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'}

// resample reduces values to n, newest last, each the largest of its share; NaN where its share has none.
func resample(values []float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	if len(values) == 0 || n == 0 {
		return out
	}
	if len(values) <= n {
		copy(out[n-len(values):], values)
		return out
	}
	for i := range out {
		for _, v := range values[i*len(values)/n : (i+1)*len(values)/n] {
			if !math.IsNaN(v) && (math.IsNaN(out[i]) || v > out[i]) {
				out[i] = v
			}
		}
	}
	return out
}

// extent is the smallest and largest value; ok is false when there is none.
func extent(values []float64) (lo, hi float64, ok bool) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		lo, hi, ok = min(lo, v), max(hi, v), true
	}
	return lo, hi, ok
}

// spark draws the values in n columns, from zero to at least floor; a gap where
// there is no value. The floor keeps small figures from looking like large ones.
func spark(values []float64, n int, floor float64) string {
	cols := resample(values, n)
	lo, hi, ok := extent(cols)
	if !ok {
		return strings.Repeat(" ", n)
	}
	lo, hi = min(lo, 0), max(hi, floor)
	var b strings.Builder
	for _, v := range cols {
		b.WriteRune(bar(v, lo, hi))
	}
	return b.String()
}

func bar(v, lo, hi float64) rune {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return ' '
	}
	if hi <= lo {
		return blocks[0]
	}
	i := int(math.Round((v - lo) / (hi - lo) * float64(len(blocks)-1)))
	return blocks[min(max(i, 0), len(blocks)-1)]
}

// stretch makes exactly n values of any number, so that a chart fills its time axis.
func stretch(values []float64, n int) []float64 {
	if len(values) == 0 || len(values) >= n {
		return resample(values, n)
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = values[i*len(values)/n]
	}
	return out
}

// chart draws the values as bars of several rows, the highest row first, from zero to at least floor.
func chart(values []float64, w, h int, floor float64) []string {
	cols := stretch(values, w)
	lo, hi, ok := extent(cols)
	rows := make([]string, h)
	lo, hi = min(lo, 0), max(hi, floor)
	for r := range rows {
		var b strings.Builder
		for _, v := range cols {
			b.WriteRune(cell(v, lo, hi, h, h-1-r, ok))
		}
		rows[r] = b.String()
	}
	return rows
}

// cell is one column of one row of a chart, row 0 being the lowest.
func cell(v, lo, hi float64, h, row int, ok bool) rune {
	if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
		return ' '
	}
	level := 0.0
	if hi > lo {
		level = (v - lo) / (hi - lo) * float64(h*len(blocks))
	}
	part := int(math.Round(level)) - row*len(blocks)
	switch {
	case part >= len(blocks):
		return blocks[len(blocks)-1]
	case part > 0:
		return blocks[part-1]
	case row == 0:
		return blocks[0]
	default:
		return ' '
	}
}
