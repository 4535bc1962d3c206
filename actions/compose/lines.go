package compose

import (
	"bytes"
	"sync"
)

// maxLine bounds a line that never ends.
const maxLine = 8 << 10

// lines cuts a stream of bytes into lines. A progress bar's carriage returns end lines too.
type lines struct {
	emit   func(stream, line string)
	stream string
	mu     sync.Mutex
	rest   []byte
}

// Write takes the next bytes.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexAny(l.rest, "\r\n")
		switch {
		case i >= 0:
			l.say(l.rest[:i])
			l.rest = l.rest[i+1:]
		case len(l.rest) >= maxLine:
			l.say(l.rest[:maxLine])
			l.rest = l.rest[maxLine:]
		default:
			return len(p), nil
		}
	}
}

// flush gives out a last line that has no end.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.say(l.rest)
	l.rest = nil
}

func (l *lines) say(line []byte) {
	if line = bytes.TrimRight(line, " \t"); len(line) > 0 {
		l.emit(l.stream, string(line))
	}
}
