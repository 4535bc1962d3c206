package fleet

import "time"

// LogLine is one line of one instance's output, as it came: Text may hold
// control characters and must be neutralised before it is printed.
type LogLine struct {
	At       time.Time
	Host     string
	Service  string
	Instance string // container name
	Stream   string // "stdout", "stderr"; "nexops" for what the tail itself has to say (gaps, restarts, drops)
	Text     string
}
