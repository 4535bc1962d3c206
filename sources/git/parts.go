package git

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// A whole history is walked in parts, at the same time: git compares the trees of one commit after the other on one
// processor, and that is nearly all of a cold start.
const (
	mostParts   = 4
	partCommits = 5000 // fewer are not worth a git of their own
)

// walkAll is walk of everything that led to head.
func (p program) walkAll(ctx context.Context, repo, head string, patterns []pattern, limit int) (
	edits map[string][]edit, composed map[string]bool, err error,
) {
	cuts, err := p.cuts(ctx, repo, head, min(runtime.GOMAXPROCS(0), mostParts), partCommits)
	if err != nil {
		return nil, nil, err
	}
	return p.walkParts(ctx, repo, cuts, patterns, limit)
}

// walkParts is walk of everything that led to the first of the commits; the others are where it is cut, newest first.
func (p program) walkParts(ctx context.Context, repo string, cuts []string, patterns []pattern, limit int) (
	edits map[string][]edit, composed map[string]bool, err error,
) {
	parts := make([]struct {
		edits    map[string][]edit
		composed map[string]bool
	}, len(cuts))
	walks, ctx := errgroup.WithContext(ctx)
	for i, from := range cuts {
		revs := from
		if i+1 < len(cuts) {
			revs = cuts[i+1] + ".." + from
		}
		walks.Go(func() (err error) {
			parts[i].edits, parts[i].composed, err = p.walk(ctx, repo, revs, patterns, limit)
			return err
		})
	}
	if err := walks.Wait(); err != nil {
		return nil, nil, err //nolint:wrapcheck // walk's own
	}
	edits, composed = parts[0].edits, parts[0].composed
	for _, older := range parts[1:] {
		for file, list := range older.edits {
			newer := edits[file]
			edits[file] = append(newer, list[:min(len(list), limit-len(newer))]...)
		}
		maps.Copy(composed, older.composed)
	}
	return edits, composed, nil
}

// cuts are where the parts of a history begin, head first. Each has some least number of commits.
func (p program) cuts(ctx context.Context, repo, head string, most, least int) ([]string, error) {
	if most < 2 {
		return []string{head}, nil
	}
	var chain []string
	err := p.run(ctx, call{repo: repo, args: []string{"rev-list", "--first-parent", head, "--"}, read: func(r io.Reader) error {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			chain = append(chain, lines.Text())
		}
		return lines.Err() //nolint:wrapcheck // run wraps it
	}})
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	n := max(1, min(most, len(chain)/least))
	cuts := []string{head}
	for i := 1; i < n; i++ {
		cuts = append(cuts, chain[i*len(chain)/n])
	}
	return cuts, nil
}
