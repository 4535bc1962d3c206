package loki

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// What Loki answers, as its API documents it.

type labelSet map[string]string

// logStream is one stream of a log query, or of a message of the live tail.
type logStream struct {
	Labels  labelSet   `json:"stream"`
	Entries []logEntry `json:"values"`
}

// logEntry is one line, written as [nanoseconds, line] and, with structured metadata, a third part.
type logEntry struct {
	At   time.Time
	Line string
}

// UnmarshalJSON reads the first two parts.
func (e *logEntry) UnmarshalJSON(data []byte) error {
	var at nanoseconds
	parts := []any{&at, &e.Line} // what comes after them decodes into anything
	if err := json.Unmarshal(data, &parts); err != nil {
		return err //nolint:wrapcheck // the decoder's caller wraps it
	}
	if len(parts) < 2 {
		return errors.New("a line has fewer than two parts")
	}
	e.At = time.Time(at)
	return nil
}

// nanoseconds is a time that Loki writes as a string of digits.
type nanoseconds time.Time

// UnmarshalJSON reads them.
func (n *nanoseconds) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err //nolint:wrapcheck // the decoder's caller wraps it
	}
	ns, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("a time is no number of nanoseconds: %w", err)
	}
	*n = nanoseconds(time.Unix(0, ns))
	return nil
}

// tailMessage is one message of the live tail.
type tailMessage struct {
	Streams []logStream `json:"streams"`
	Dropped []struct {
		At nanoseconds `json:"timestamp"`
	} `json:"dropped_entries"`
}
