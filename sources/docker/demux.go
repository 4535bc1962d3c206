package docker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	maxLine     = 16 << 10 // bytes of a line that are kept
	maxStamp    = 40       // bytes of a time before a line
	maxFrame    = 64 << 20 // a longer one is no frame: the stream is not what it is taken for
	frameHeader = 8

	streamOut    = "stdout"
	streamErr    = "stderr"
	streamNexops = "nexops"
)

// logPiece is one line of a container's log.
type logPiece struct {
	at     time.Time
	stream string
	text   string
}

// demux reads a log as the engine sends it with timestamps, line by line. A
// container with a terminal has one plain stream, another has both in frames.
// Only a log that ends cleanly gives its last line without a newline: of one that
// broke off, that line is read again whole.
func demux(r io.Reader, tty bool, fn func(logPiece)) error {
	br := bufio.NewReaderSize(r, maxLine+maxStamp)
	if tty {
		return demuxPlain(br, fn)
	}
	joins := map[string]*joiner{}
	for {
		stream, size, err := readHeader(br)
		if errors.Is(err, io.EOF) {
			for _, name := range sortedKeys(joins) {
				joins[name].end()
			}
			return nil
		}
		if err != nil {
			return err
		}
		payload, cut, newline, err := readPayload(br, size)
		if err != nil {
			return err
		}
		if joins[stream] == nil {
			joins[stream] = &joiner{stream: stream, emit: fn}
		}
		joins[stream].frame(payload, cut, newline)
	}
}

// readHeader reads which stream a frame is of, and its size. io.EOF is a clean end.
func readHeader(br *bufio.Reader) (stream string, size int, err error) {
	var head [frameHeader]byte
	switch _, err := io.ReadFull(br, head[:]); {
	case errors.Is(err, io.EOF):
		return "", 0, io.EOF
	case err != nil:
		return "", 0, fmt.Errorf("read log frame: %w", err)
	}
	n := binary.BigEndian.Uint32(head[4:])
	if head[0] > 3 || head[1] != 0 || head[2] != 0 || head[3] != 0 || n > maxFrame {
		return "", 0, fmt.Errorf("log stream is garbled: no frame begins with % x", head)
	}
	switch head[0] {
	case 2:
		stream = streamErr
	case 3: // the engine's own word on why it stops
		stream = streamNexops
	default:
		stream = streamOut
	}
	return stream, int(n), nil
}

// readPayload reads a frame and keeps its beginning: how much was cut, and
// whether it ended with a newline.
func readPayload(br *bufio.Reader, size int) (kept []byte, cut int, newline bool, err error) {
	kept = make([]byte, min(size, maxLine+maxStamp+1))
	if _, err := io.ReadFull(br, kept); err != nil {
		return nil, 0, false, fmt.Errorf("read log frame: %w", err)
	}
	rest := size - len(kept)
	if rest == 0 {
		return kept, 0, bytes.HasSuffix(kept, []byte("\n")), nil
	}
	if _, err := io.CopyN(io.Discard, br, int64(rest-1)); err != nil {
		return nil, 0, false, fmt.Errorf("read log frame: %w", err)
	}
	last, err := br.ReadByte()
	if err != nil {
		return nil, 0, false, fmt.Errorf("read log frame: %w", err)
	}
	if last == '\n' {
		rest--
	}
	return kept, rest, last == '\n', nil
}

// joiner puts the pieces of long lines together: the engine sends a line in
// pieces of 16 KiB, each with the time before it, only the last with a newline.
type joiner struct {
	stream  string
	emit    func(logPiece)
	at      time.Time
	text    []byte
	cut     int
	pending bool
}

func (j *joiner) frame(payload []byte, cut int, newline bool) {
	at, text := splitStamp(payload)
	if newline && cut == 0 {
		text = bytes.TrimSuffix(text, []byte("\n"))
	}
	parts := bytes.Split(text, []byte("\n")) // one, but for loggers that keep several lines as one
	for i, part := range parts {
		if !j.pending {
			j.at, j.pending = at, true
		}
		j.add(part)
		if i == len(parts)-1 {
			j.cut += cut
		}
		if i < len(parts)-1 || newline {
			j.end()
		}
	}
}

func (j *joiner) add(part []byte) {
	room := maxLine - len(j.text)
	if len(part) > room {
		j.cut += len(part) - room
		part = part[:room]
	}
	j.text = append(j.text, part...)
}

func (j *joiner) end() {
	if !j.pending {
		return
	}
	j.emit(logPiece{at: j.at, stream: j.stream, text: lineText(j.text, j.cut)})
	j.text, j.cut, j.pending = j.text[:0], 0, false
}

// lineText is a line as it is shown: without the carriage return of a terminal, marked when cut.
func lineText(text []byte, cut int) string {
	if cut > 0 {
		return strings.ToValidUTF8(string(text), "\uFFFD") + fmt.Sprintf(" … [%d bytes cut]", cut)
	}
	return string(bytes.TrimSuffix(text, []byte("\r")))
}

// splitStamp takes the time off the front of a line; without one the time is zero.
func splitStamp(line []byte) (time.Time, []byte) {
	space := bytes.IndexByte(line[:min(len(line), maxStamp)], ' ')
	if space < 0 {
		// An empty line may come as the time alone.
		space = len(bytes.TrimRight(line, "\r\n"))
		if space > maxStamp {
			return time.Time{}, line
		}
	}
	at, err := time.Parse(time.RFC3339Nano, string(line[:space]))
	if err != nil {
		return time.Time{}, line
	}
	if space < len(line) && line[space] == ' ' {
		space++
	}
	return at, line[space:]
}

// demuxPlain reads the one stream of a container with a terminal.
func demuxPlain(br *bufio.Reader, fn func(logPiece)) error {
	var head []byte // the beginning of a line longer than the buffer
	cut := 0
	for {
		part, err := br.ReadSlice('\n')
		if room := maxLine + maxStamp - len(head); len(part) > room {
			trimmed := bytes.TrimSuffix(part, []byte("\n"))
			cut += max(len(trimmed)-room, 0)
			part = part[:room]
		}
		head = append(head, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("read log: %w", err)
		}
		if len(head) > 0 {
			fn(plainPiece(head, cut))
		}
		if err != nil {
			return nil //nolint:nilerr // io.EOF is the clean end
		}
		head, cut = head[:0], 0
	}
}

func plainPiece(line []byte, cut int) logPiece {
	at, text := splitStamp(line)
	text = bytes.TrimSuffix(text, []byte("\n"))
	if len(text) > maxLine {
		cut += len(text) - maxLine
		text = text[:maxLine]
		if text[len(text)-1] == '\r' {
			text = text[:len(text)-1]
		}
	}
	return logPiece{at: at, stream: streamOut, text: lineText(text, cut)}
}
