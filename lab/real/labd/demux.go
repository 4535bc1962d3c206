package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	maxFrame = 1 << 20
	maxLine  = 256 << 10 // Loki takes no longer ones
)

// demux reads the Engine's multiplexed log stream (a container without a tty)
// and calls line for every whole line, with the time the Engine wrote before it.
func demux(r io.Reader, line func(stream string, at time.Time, text string)) error {
	rest := map[byte][]byte{}
	var head [8]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read a frame's head: %w", err)
		}
		size := binary.BigEndian.Uint32(head[4:])
		if head[0] > 2 || size > maxFrame {
			return fmt.Errorf("not a log frame: stream %d of %d bytes", head[0], size)
		}
		buf := make([]byte, size)
		if _, err := io.ReadFull(r, buf); err != nil {
			return fmt.Errorf("read a frame: %w", err)
		}
		kind := head[0]
		rest[kind] = lines(append(rest[kind], buf...), func(b []byte) { emit(kind, b, line) })
		if len(rest[kind]) > maxLine {
			emit(kind, rest[kind], line)
			rest[kind] = nil
		}
	}
}

// lines calls fn for every line ended in b and gives what is left.
func lines(b []byte, fn func([]byte)) []byte {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return b
		}
		fn(b[:i])
		b = b[i+1:]
	}
}

func emit(kind byte, b []byte, line func(string, time.Time, string)) {
	stream := "stdout"
	if kind == 2 {
		stream = "stderr"
	}
	stamp, text, _ := strings.Cut(string(b), " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return
	}
	line(stream, at, text)
}
