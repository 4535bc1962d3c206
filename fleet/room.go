package fleet

// scratch are lists of the row being finished.
type scratch struct {
	found   []*member
	hosts   []string    // of those
	metrics Metrics     // where they are put together
	main    []*Instance // without companions
}

// room is where the slices of a snapshot are cut from that are small and many when all of it is new.
type room struct {
	instanceRoom carver[*Instance]
	hostRoom     carver[string]
	releaseRoom  carver[Release]
	changeRoom   carver[Change]
	metricRoom   carver[Metric]
}

// carver cuts small slices from larger ones.
type carver[T any] struct{ left []T }

// piece bounds what slices are cut from: it stays as long as one of them is kept.
const piece = 64

func (c *carver[T]) take(n int) []T {
	if n == 0 {
		return []T{}
	}
	if n > len(c.left) {
		c.left = make([]T, max(n, piece))
	}
	out := c.left[:n:n]
	c.left = c.left[n:]
	return out
}
