package fleet

import "time"

// reportedChange is a change on its way into a row.
type reportedChange struct {
	*Change
	by SourceID
}

// change is what goes into the snapshot.
func (c reportedChange) change(of Subject) Change {
	out := *c.Change
	out.Subject = of
	if out.Source == "" {
		out.Source = c.by
	}
	return out
}

// settleReleases puts releases and changes into the row: those of the last join where nothing they are made of has changed,
// which it reports.
func (j *joiner) settleReleases(r *row, sameInstances bool) (same bool) {
	index := j.memory.images.index
	reported, anew := r.reported.end()
	if !anew && sameInstances && r.kept.same(r, index) {
		return true
	}
	changes := j.changeRoom.take(len(reported) + 1)[:0] // one more may be told by the container itself
	for _, c := range reported {
		of := c.Subject
		of.Environment, of.Service = r.svc.Key.Environment, r.svc.Key.Name
		changes = append(changes, c.change(of))
	}
	r.svc.Releases = j.joinReleases(r, changes)
	r.svc.Changes = j.joinChanges(r, changes)
	r.kept.madeOf = madeOf{history: r.history, problem: r.problem, desiredBy: r.desiredBy, index: index}
	return false
}

// joinReleases finds the three releases of a service.
func (j *joiner) joinReleases(r *row, changes []Change) Releases {
	index := j.memory.images.index
	var rel Releases
	rel.Running, rel.Mixed = runningRelease(j.main)
	history := j.releaseRoom.take(min(len(r.history), maxHistory))
	for i := range history {
		h := &history[i]
		*h = r.history[i]
		if h.Image == "" {
			h.Image = rel.Running.Image
		}
		if h.Digest == "" && h.Tag != "" && len(index.digests) > 0 {
			h.Digest = index.digests[imageRef{h.Image, h.Tag}]
		}
	}
	rel.History = history
	if len(history) > 0 && r.problem == "" {
		rel.Desired = history[0]
	}
	at := indexOfTag(history, rel.Running.Tag)
	if at >= 0 {
		h := history[at]
		rel.Running.Commit, rel.Running.Author, rel.Running.Subject = h.Commit, h.Author, h.Subject
		rel.Running.At = h.At
	}
	rel.Previous = previousGood(history, at, rel.Running)
	if at < 0 {
		rel.Previous = ranBefore(changes, rel.Running, history)
	}
	if rel.Previous.IsZero() && len(history) == 0 {
		rel.Previous = previousImage(rel.Running, j.main, index.byRepo)
	}
	return rel
}

// runningRelease is that of the newest running instance, else of the newest at all.
func runningRelease(list []*Instance) (rel Release, mixed bool) {
	var newest *Instance
	for _, in := range list {
		if newest == nil || newer(in, newest) {
			newest = in
		}
	}
	if newest == nil {
		return Release{}, false
	}
	for i := range list {
		if list[i].State == StateRunning && !sameRelease(&list[i].Release, &newest.Release) {
			mixed = true
		}
	}
	return newest.Release, mixed
}

func newer(a, b *Instance) bool {
	if ra, rb := a.State == StateRunning, b.State == StateRunning; ra != rb {
		return ra
	}
	if !a.Life.CreatedAt.Equal(b.Life.CreatedAt) {
		return a.Life.CreatedAt.After(b.Life.CreatedAt)
	}
	return a.ID > b.ID
}

// sameRelease compares by digest where both have one, then by image id, then by tag.
func sameRelease(a, b *Release) bool {
	switch {
	case a.Tag != b.Tag:
		return false
	case a.Digest != "" && b.Digest != "":
		return a.Digest == b.Digest
	case a.ImageID != "" && b.ImageID != "":
		return a.ImageID == b.ImageID
	default:
		return true
	}
}

func indexOfTag(history []Release, tag string) int {
	if tag == "" {
		return -1
	}
	for i := range history {
		if history[i].Tag == tag {
			return i
		}
	}
	return -1
}

// previousGood is the newest release before the running one that is another
// artifact and was not itself rolled back.
func previousGood(history []Release, at int, running Release) Release {
	if at < 0 {
		return Release{}
	}
	for k := at + 1; k < len(history); k++ {
		h := history[k]
		if h.Tag == "" || h.Tag == running.Tag || rolledBack(history, k) {
			continue
		}
		return h
	}
	return Release{}
}

// ranBefore is what the engine saw replaced by the running release, for a deploy that is
// newer than what is known of git, or that git never knew.
func ranBefore(changes []Change, running Release, history []Release) Release {
	var at time.Time
	var from Release
	for i := range changes {
		c := &changes[i]
		if c.Kind == ChangeDeploy && c.To.Tag == running.Tag && !c.From.IsZero() && c.From.Tag != running.Tag && c.At.After(at) {
			at, from = c.At, c.From
		}
	}
	if i := indexOfTag(history, from.Tag); i >= 0 {
		known := history[i]
		if known.Digest == "" {
			known.Digest = from.Digest
		}
		return known
	}
	return from
}

// rolledBack reports whether, right after history[k], the estate went back to
// what it ran before k: then k was found bad.
func rolledBack(history []Release, k int) bool {
	return k > 0 && k+1 < len(history) && history[k-1].Tag == history[k+1].Tag
}

// previousImage is, for an estate without a history, the newest older image of
// the same repository that lies on every host of the service.
func previousImage(running Release, list []*Instance, byRepo map[string][]Image) Release {
	if running.Image == "" {
		return Release{}
	}
	hosts := map[string]bool{}
	for _, in := range list {
		hosts[in.Host] = true
	}
	on := map[string]map[string]bool{}
	best := map[string]Image{}
	var current time.Time
	for _, im := range byRepo[running.Image] {
		if im.ID == running.ImageID {
			current = im.Created
		}
		tag := im.Tags[0]
		if on[tag] == nil {
			on[tag] = map[string]bool{}
		}
		on[tag][im.Host] = true
		best[tag] = im
	}
	var out Image
	for tag, im := range best {
		older := current.IsZero() || im.Created.Before(current)
		if im.ID == running.ImageID || !older || !covers(on[tag], hosts) {
			continue
		}
		if out.ID == "" || im.Created.After(out.Created) || (im.Created.Equal(out.Created) && tag > out.Tags[0]) {
			out = im
		}
	}
	if out.ID == "" {
		return Release{}
	}
	_, tag := splitTag(out.Tags[0])
	return Release{
		Image: running.Image, Tag: tag, Digest: digestFor(out, out.Tags[0]), ImageID: out.ID,
		At: out.Created, Note: "older image on the host; no git history",
	}
}

func covers(have, want map[string]bool) bool {
	for h := range want {
		if !have[h] {
			return false
		}
	}
	return true
}

// joinChanges is the service's changes, newest first: what the sources saw, with
// who and why from git added to the deploys that the engine saw.
func (j *joiner) joinChanges(r *row, list []Change) []Change {
	if made, ok := j.createdChange(r, list); ok {
		list = append(list, made)
	}
	sortChanges(list)
	list = mergeDeploys(list)
	return list[:min(len(list), maxServiceChanges)]
}

// createdChange tells, from the creation time of the running container, of a
// deploy that happened before the console began to look.
func (j *joiner) createdChange(r *row, told []Change) (Change, bool) {
	run := &r.svc.Releases.Running
	var at time.Time
	var subject Subject
	for _, in := range j.main {
		if in.State == StateRunning && in.Release.Tag == run.Tag && in.Life.CreatedAt.After(at) {
			at, subject = in.Life.CreatedAt, in.Subject
		}
	}
	if at.IsZero() || run.Tag == "" {
		return Change{}, false
	}
	for i := range told {
		c := &told[i]
		near := c.At.Sub(at).Abs() < 30*time.Second
		if c.Kind == ChangeDeploy && c.To.Tag == run.Tag && near && c.Source != r.desiredBy {
			return Change{}, false // the engine told of it itself
		}
	}
	i := indexOfTag(r.svc.Releases.History, run.Tag)
	if i < 0 || at.Before(run.At) {
		return Change{}, false
	}
	subject.Environment, subject.Service = r.svc.Key.Environment, r.svc.Key.Name
	c := Change{Kind: ChangeDeploy, At: at, Subject: subject, To: *run, Source: "join"}
	if i+1 < len(r.svc.Releases.History) {
		c.From = r.svc.Releases.History[i+1]
	}
	return c, true
}

// mergeDeploys folds a commit that made a release desired into the deploy that
// brought it up: one change, at the time it took effect, with the commit's who and why.
func mergeDeploys(list []Change) []Change {
	used, some := make([]bool, len(list)), false
	for i := range list {
		c := &list[i]
		if c.Kind != ChangeDeploy || c.Who != "" || c.To.Tag == "" {
			continue
		}
		for k := i; k < len(list); k++ {
			g := &list[k]
			if g.Kind == ChangeDeploy && g.Who != "" && g.To.Tag == c.To.Tag && !g.At.After(c.At) {
				absorb(c, g)
				used[k], some = true, true
				break
			}
		}
		if c.What == "" {
			c.What = deployWords(c.From, c.To)
		}
	}
	if !some {
		return list
	}
	out := list[:0]
	for i, c := range list {
		if !used[i] {
			out = append(out, c)
		}
	}
	return out
}

func absorb(c, g *Change) {
	c.Who = g.Who
	c.To.Commit, c.To.Author, c.To.Subject = g.To.Commit, g.To.Author, g.To.Subject
	if c.From.IsZero() {
		c.From = g.From
	}
	if c.What == "" || g.To.Subject != "" {
		c.What = deployWords(c.From, c.To)
	}
}

func deployWords(from, to Release) string {
	w := to.Version()
	if !from.IsZero() {
		w = from.Version() + " → " + w
	}
	if to.Subject != "" {
		w += ": " + to.Subject
	}
	return w
}
