package ui

import (
	"time"

	"github.com/nexgate-hq/nexops/actions"
)

// gate is a Runner that also says what the policy allows.
type gate interface {
	// Forbidden says in words why no such action may run; "" when it may.
	Forbidden(environment, action string) string
	// Access says whether an environment is read only, and until when it is unlocked.
	Access(environment string) actions.Access
}

// accessSegment says in the header whether this console may act at all, where that is not so of course.
func accessSegment(m *Model, now time.Time) []segment {
	g, ok := m.o.Runner.(gate)
	if !ok {
		return nil
	}
	a := g.Access(m.o.Environment)
	switch {
	case !a.ReadOnly:
		return nil
	case a.Until.IsZero():
		return []segment{{[]line{ln(bold(tokInfo, "read-only"))}, 0}}
	default:
		left := clockLeft(a.Until.Sub(now))
		return []segment{{[]line{ln(bold(tokWarn, "unlocked "+left+" left")), ln(bold(tokWarn, "unlocked "+left))}, 1}}
	}
}

// clockLeft is a time that runs down, to the second: "14:32".
func clockLeft(d time.Duration) string {
	s := int((max(d, 0) + time.Second - 1) / time.Second)
	two := func(n int) string {
		if n < 10 {
			return "0" + itoa(n)
		}
		return itoa(n)
	}
	return two(s/60) + ":" + two(s%60)
}
