package ui

import (
	"fmt"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/fleet"
)

// BenchmarkFrame draws one frame of an estate of 2,000 services and 10,000 instances.
func BenchmarkFrame(b *testing.B) {
	snap := sampleMany(2000, 5)
	for _, size := range [][2]int{{80, 24}, {120, 40}, {160, 48}} {
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			m := console(b, size[0], size[1], func(o *Options) { o.Latest = func() *fleet.Snapshot { return snap } })
			for b.Loop() {
				m.frame.valid = false
				m.View()
			}
		})
	}
}

// BenchmarkKey is a key and the frame after it.
func BenchmarkKey(b *testing.B) {
	snap := sampleMany(2000, 5)
	m := console(b, 160, 48, func(o *Options) { o.Latest = func() *fleet.Snapshot { return snap } })
	for b.Loop() {
		keys(m, "j")
	}
}

// BenchmarkSnapshot takes a newer snapshot of that estate, and draws it.
func BenchmarkSnapshot(b *testing.B) {
	snap := sampleMany(2000, 5)
	m := console(b, 160, 48, func(o *Options) { o.Latest = func() *fleet.Snapshot { return snap } })
	for b.Loop() {
		send(m, snapshotMsg{snap})
	}
}

// BenchmarkLogs takes what comes in 50 ms at 50,000 lines a second, and draws it.
func BenchmarkLogs(b *testing.B) {
	m := console(b, 160, 48)
	keys(m, "l")
	batch := make([]fleet.LogLine, 2500)
	for i := range batch {
		batch[i] = sampleLog()[i%9]
	}
	for b.Loop() {
		m.detail.logs.add(batch, 0)
		send(m, tea.WindowSizeMsg{Width: 160, Height: 48})
	}
}

// BenchmarkSearch finds a word in a full log.
func BenchmarkSearch(b *testing.B) {
	m := console(b, 160, 48)
	keys(m, "l")
	log := sampleLog()
	for i := range defaultLogLines {
		m.detail.logs.ring.add(log[i%len(log)])
	}
	for b.Loop() {
		m.detail.logs.search("tokenizer")
	}
}
