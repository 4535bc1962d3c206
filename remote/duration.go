package remote

import (
	"fmt"
	"time"
)

// Duration is a length of time as it is written in the config: "250ms", "10s", "1m30s".
type Duration time.Duration

// Std is the same length as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Or is the length, or def when none was configured.
func (d Duration) Or(def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return time.Duration(d)
}

// String writes the length the way it is read.
func (d Duration) String() string { return time.Duration(d).String() }

// UnmarshalText reads "250ms", "10s", "1m30s".
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration: write a number with a unit, as in \"250ms\", \"10s\" or \"1m30s\"", Clean(string(text)))
	}
	if v < 0 {
		return fmt.Errorf("%q is negative", Clean(string(text)))
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes the length the way it is read.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
