package fleet

// scratch are lists of the row being finished.
type scratch struct {
	found   []*member
	joined  []joinedMetric // where they are put together
	main    []*Instance    // without companions, in svc.Instances
	metrics []joinedMetric // all that is known of its metrics
}

// room is where the slices of a snapshot are cut from that are small and many when all of it is new.
type room struct {
	releaseRoom carver[Release]
	changeRoom  carver[Change]
}

// carver cuts small slices from large ones.
type carver[T any] struct {
	left  []T
	chunk int // how many are made at a time when there are none left
}

func (c *carver[T]) take(n int) []T {
	if n == 0 {
		return []T{}
	}
	if n > len(c.left) {
		c.left = make([]T, max(n, c.chunk))
	}
	out := c.left[:n:n]
	c.left = c.left[n:]
	return out
}

// largestPiece bounds a piece that slices are cut from: it stays as long as one of them is kept.
const largestPiece = 64

func (j *joiner) makeRoom() {
	j.releaseRoom.chunk, j.changeRoom.chunk = largestPiece, largestPiece
}
