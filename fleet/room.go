package fleet

// scratch are the lists that rows are made from; the first entry of members and series is nobody's.
type scratch struct {
	members []member
	series  []metricInput
	found   []*member      // of the row being finished
	main    []*Instance    // of the row being finished: without companions, in svc.Instances
	metrics []joinedMetric // of the row being finished
}

// room is where the slices of a snapshot are cut from.
type room struct {
	rowRoom      carver[row]
	instanceRoom carver[Instance]
	hostRoom     carver[string]
	releaseRoom  carver[Release]
	changeRoom   carver[Change]
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

// makeRoom counts first, so that little is made twice.
func (j *joiner) makeRoom() {
	instances, series, releases, services := 0, 0, 0, 0
	for i := range j.reports {
		f := &j.reports[i].Facts
		instances, series, services = instances+len(f.Instances), series+len(f.Metrics), services+len(f.Histories)
		for k := range f.Histories {
			if f.Histories[k].Subject.Environment == j.in.Environment {
				releases += min(len(f.Histories[k].Releases), maxHistory)
			}
		}
	}
	j.members = make([]member, 1, instances+1)
	j.metricsRoom(series)
	few := min(max(services, instances/4, 8), 256)
	j.rowRoom.chunk, j.changeRoom.chunk = few, few
	j.instanceRoom.chunk, j.hostRoom.chunk, j.releaseRoom.chunk = instances, instances, releases
}
