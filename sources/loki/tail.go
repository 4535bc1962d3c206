package loki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// Tail emits the history of a service's log and then, with Follow, what comes.
func (s *Source) Tail(ctx context.Context, q sources.LogQuery, emit func(fleet.LogLine)) error {
	err := s.tail(ctx, q, emit)
	if err == nil || ctx.Err() != nil {
		return nil //nolint:nilerr // the end of the context is the ordinary end of a tail
	}
	s.forget()
	return s.fail(fmt.Errorf("log of %s: %w", remote.Clean(q.Service.String()), err))
}

func (s *Source) tail(ctx context.Context, q sources.LogQuery, emit func(fleet.LogLine)) error {
	selector, err := s.selectorOf(ctx, q)
	if err != nil {
		return err
	}
	t := &tailer{
		source: s, query: selector, service: q.Service.Name, emit: emit,
		pager: newPager(s.client, selector, newReader(s.cfg.Labels, q)), seen: newMemo(),
	}
	if err := t.history(ctx, q); err != nil {
		return err
	}
	if q.CaughtUp != nil {
		q.CaughtUp()
	}
	if !q.Follow {
		return nil
	}
	return t.follow(ctx)
}

// selectorOf chooses the streams of one service: by the first label of the mapping by
// which any stream knows it.
func (s *Source) selectorOf(ctx context.Context, q sources.LogQuery) (string, error) {
	sh, err := s.shape(ctx)
	if err != nil {
		return "", err
	}
	services, containers := []string{q.Service.Name}, []string{}
	for _, subject := range q.Subjects {
		services = append(services, subject.Service)
		containers = append(containers, subject.Container)
	}
	services, containers = names(services), names(containers)
	var selectors []string
	add := func(label string, values []string) error {
		if len(values) == 0 {
			return nil
		}
		selector, err := s.selector(sh, oneOf(label, values))
		selectors = append(selectors, selector)
		return err
	}
	for _, label := range sh.present(s.cfg.Labels.Service) {
		if err := add(label, services); err != nil {
			return "", err
		}
	}
	for _, label := range sh.present(s.cfg.Labels.Container) {
		if err := add(label, containers); err != nil {
			return "", err
		}
	}
	if len(selectors) == 0 {
		return "", errors.New("the streams have none of the labels of [sources.labels] service and container")
	}
	return s.firstKnown(ctx, selectors)
}

// firstKnown gives the first of the selectors that finds a stream; the first at all when none does yet.
func (s *Source) firstKnown(ctx context.Context, selectors []string) (string, error) {
	now := s.deps.Now()
	for _, selector := range selectors {
		sets, err := s.client.series(ctx, []string{selector}, now.Add(-labelSpan), now)
		if err != nil {
			return "", fmt.Errorf("streams: %w", err)
		}
		for _, set := range sets {
			if _, ok := s.subject(func(n string) string { return set[n] }, scoped(s.cfg.Selector)); ok {
				return selector, nil
			}
		}
	}
	return selectors[0], nil
}

// names sorts and drops what is empty or double.
func names(list []string) []string {
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == "" })
}

// tailer is one Tail under way.
type tailer struct {
	source  *Source
	query   string
	service string
	pager   *pager
	emit    func(fleet.LogLine)
	seen    *memo
	floor   time.Time // nothing before it belongs to the tail
	last    time.Time // of the newest line emitted, or the end of history
}

// say puts a word of the tail itself into the stream.
func (t *tailer) say(format string, args ...any) {
	t.emit(fleet.LogLine{At: t.source.deps.Now(), Service: t.service, Stream: "nexops", Text: fmt.Sprintf(format, args...)})
}

// sayCrowded tells of lines that no query can reach.
func (t *tailer) sayCrowded() {
	if c := t.pager.crowded; !c.IsZero() {
		t.pager.crowded = time.Time{}
		t.say("lines are missing at %s: the moment has more than the %d that one query may ask for", c.UTC().Format(time.RFC3339Nano), t.pager.page)
	}
}

// give emits the lines that were not emitted yet.
func (t *tailer) give(lines []fleet.LogLine) {
	for _, l := range lines {
		if l.At.Before(t.floor) || !t.seen.first(l) {
			continue
		}
		if l.At.After(t.last) {
			t.last = l.At
		}
		t.emit(l)
	}
}

// history emits what was logged before the tail began.
func (t *tailer) history(ctx context.Context, q sources.LogQuery) error {
	now := t.source.deps.Now()
	var lines []fleet.LogLine
	var more bool
	var err error
	switch {
	case q.Since.IsZero():
		most := q.Tail
		if most <= 0 {
			most = defaultTail
		}
		lines, _, err = t.pager.newest(ctx, now, min(most, maxHistory))
	default:
		most := maxHistory
		if q.Tail > 0 {
			most = min(q.Tail, maxHistory)
		}
		from := q.Since
		if oldest := now.Add(-maxLookback); from.Before(oldest) {
			from = oldest
		}
		lines, more, err = t.pager.last(ctx, from, now, most)
		t.floor = from
	}
	if err != nil {
		return err
	}
	if more {
		t.say("only the newest %d lines since %s are shown", len(lines), q.Since.UTC().Format(time.DateTime))
	}
	if q.Since.IsZero() {
		t.floor = now.Add(-longLook) // so far back it is known that there is nothing
	}
	t.last = now.Add(-time.Minute) // this machine's clock may be ahead of the lines'
	if len(lines) > 0 {
		t.last = lines[len(lines)-1].At
		if q.Since.IsZero() || more {
			t.floor = lines[0].At // older ones were left out on purpose
		}
	}
	t.sayCrowded()
	t.give(lines)
	return nil
}
