package docker

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

const stampText = "2026-03-01T12:00:00.000000001Z "

func pieces(t *testing.T, raw []byte, tty bool) ([]logPiece, error) {
	t.Helper()
	var out []logPiece
	err := demux(iotest.OneByteReader(bytes.NewReader(raw)), tty, func(p logPiece) { out = append(out, p) })
	return out, err
}

func TestDemuxFrames(t *testing.T) {
	full := strings.Repeat("a", maxLine)
	tests := []struct {
		name   string
		frames []byte
		want   []string // "stream text"
	}{
		{"both streams", bytes.Join([][]byte{frame(1, stampText+"one\n"), frame(2, stampText+"two\n")}, nil), []string{"stdout one", "stderr two"}},
		{"empty line", frame(1, stampText+"\n"), []string{"stdout "}},
		{"pieces of one line, the other stream between", bytes.Join([][]byte{frame(1, stampText+"abc"), frame(2, stampText+"err\n"), frame(1, stampText+"def\n")}, nil), []string{"stderr err", "stdout abcdef"}},
		{"long line", bytes.Join([][]byte{frame(1, stampText+full), frame(1, stampText+"more\n")}, nil), []string{"stdout " + full + " … [4 bytes cut]"}},
		{"one long frame", frame(1, stampText+full+"0123456789\n"), []string{"stdout " + full + " … [10 bytes cut]"}},
		{"very long frame", frame(1, stampText+strings.Repeat(full, 20)+"\n"), []string{"stdout " + full + fmt.Sprintf(" … [%d bytes cut]", 19*maxLine)}},
		{"exactly full", frame(1, stampText+full+"\n"), []string{"stdout " + full}},
		{"no newline at the end", frame(1, stampText+"end"), []string{"stdout end"}},
		{"several lines in one", frame(1, stampText+"a\nb\n"), []string{"stdout a", "stdout b"}},
		{"the engine's word", frame(3, "Error grabbing logs: EOF\n"), []string{"nexops Error grabbing logs: EOF"}},
		{"carriage return", frame(1, stampText+"x\r\n"), []string{"stdout x"}},
		{"nothing", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pieces(t, tt.frames, false)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, p := range got {
				lines = append(lines, p.stream+" "+p.text)
				if p.stream != streamNexops && p.at.Nanosecond() != 1 {
					t.Errorf("time %v", p.at)
				}
			}
			if strings.Join(lines, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("got %.300q\nwant %.300q", lines, tt.want)
			}
		})
	}
}

func TestDemuxPlain(t *testing.T) {
	full := strings.Repeat("a", maxLine)
	raw := stampText + "one\r\n" + stampText + "\r\n" + stampText + full + stampText + "rest\r\n" + stampText + "end"
	got, err := pieces(t, []byte(raw), true)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || got[0].text != "one" || got[1].text != "" || !strings.HasPrefix(got[2].text, full+" … [") || got[3].text != "end" {
		t.Errorf("%.400v", fmt.Sprint(got))
	}
	for _, p := range got {
		if !p.at.Equal(time.Date(2026, 3, 1, 12, 0, 0, 1, time.UTC)) {
			t.Errorf("time %v", p.at)
		}
	}
}

func TestDemuxGarbled(t *testing.T) {
	for name, raw := range map[string][]byte{
		"text":      []byte("HTTP/1.1 500 Oh no"),
		"huge":      {1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
		"half":      frame(1, stampText+"one\n")[:20],
		"half head": {1, 0, 0},
	} {
		if got, err := pieces(t, raw, false); err == nil || len(got) != 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func FuzzDemux(f *testing.F) {
	f.Add(frame(1, stampText+"one\n"), false)
	f.Add(append(frame(2, stampText+"part"), frame(2, stampText+"rest\n")...), false)
	f.Add([]byte(stampText+"one\r\n"), true)
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0}, false)
	f.Fuzz(func(t *testing.T, raw []byte, tty bool) {
		total := 0
		_ = demux(bytes.NewReader(raw), tty, func(p logPiece) {
			total++
			if strings.Contains(p.text, "\n") || len(p.text) > maxLine*3+64 {
				t.Errorf("line of %d bytes: %.80q", len(p.text), p.text)
			}
		})
		if total > len(raw)+1 {
			t.Errorf("%d lines of %d bytes", total, len(raw))
		}
	})
}
