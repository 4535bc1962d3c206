package loki

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

// The bounds of history.
const (
	defaultTail = 200
	maxHistory  = 50_000 // lines
	pageLines   = 1_000
	pageTimeout = 30 * time.Second
	quickLook   = time.Hour
	longLook    = 7 * 24 * time.Hour
	maxLookback = 30 * 24 * time.Hour // Loki's own default bound is 30 d 1 h
)

// pager reads a log query backwards, page by page.
type pager struct {
	client *client
	query  string
	reader reader
	page   int
	// crowded is a moment that has more lines than a page can hold, so that some are lost.
	crowded time.Time
}

func newPager(c *client, query string, r reader) *pager {
	return &pager{client: c, query: query, reader: r, page: pageLines}
}

// last gives the newest most lines of [from, to), in the order of time; more says
// that there are older ones in that span.
func (p *pager) last(ctx context.Context, from, to time.Time, most int) (lines []fleet.LogLine, more bool, err error) {
	seen, again := newMemo(), 0
	for {
		page, whole, err := p.one(ctx, from, to, min(p.page, most-len(lines)+1+again))
		if err != nil {
			return nil, false, err
		}
		fresh := slices.DeleteFunc(slices.Clone(page), func(l fleet.LogLine) bool { return !seen.first(l) })
		lines = append(fresh, lines...)
		if len(lines) > most {
			return lines[len(lines)-most:], true, nil
		}
		if whole {
			return lines, false, nil
		}
		oldest := page[0].At
		if len(fresh) > 0 {
			to = oldest.Add(1) // to is exclusive: the lines of that very nanosecond may go on
		} else {
			to = oldest // a page full of one nanosecond: go on before it
			p.crowded = oldest
		}
		again = sameMoment(lines, oldest)
	}
}

// sameMoment counts the first lines that are of one moment: the next page brings them again.
func sameMoment(lines []fleet.LogLine, at time.Time) int {
	n := 0
	for n < len(lines) && lines[n].At.Equal(at) {
		n++
	}
	return n
}

// one reads a page; whole says that there is nothing before it.
func (p *pager) one(ctx context.Context, from, to time.Time, limit int) (lines []fleet.LogLine, whole bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	for {
		var streams []logStream
		streams, err = p.client.lines(ctx, p.query, limit, from, to)
		if fewer, ok := allowed(err, limit); ok {
			limit, p.page = fewer, fewer
			continue
		}
		if err != nil {
			return nil, false, err
		}
		lines = p.reader.lines(streams, true)
		return lines, len(lines) < limit, nil
	}
}

var entriesLimit = regexp.MustCompile(`max entries limit.*> (\d+)\)`)

// allowed says how many lines a query may ask for, when it was refused for asking too many.
func allowed(err error, asked int) (int, bool) {
	var e *sources.HTTPError
	if !errors.As(err, &e) || e.Status != http.StatusBadRequest {
		return 0, false
	}
	m := entriesLimit.FindStringSubmatch(e.Body)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil && n > 0 && n < asked
}

// newest gives the last n lines before to: it looks back an hour, then further, since a
// short look is cheap and a quiet service may have said its last word days ago.
func (p *pager) newest(ctx context.Context, to time.Time, n int) (lines []fleet.LogLine, more bool, err error) {
	for _, back := range []time.Duration{quickLook, 24 * time.Hour, longLook} {
		lines, more, err = p.last(ctx, to.Add(-back), to, n)
		if err != nil || more || len(lines) >= n {
			return lines, more, err
		}
	}
	return lines, more, nil
}
