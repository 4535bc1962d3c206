package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

// source is one infrastructure repository.
type source struct {
	id          fleet.SourceID
	name        string
	environment string // the one that is open
	config      Config
	layout      layout
	mirror      *mirror
	now         func() time.Time
	redact      func(string) string // of what is kept on disk; nil: nothing is taken out

	states   map[string]*branchState // by branch
	unsaved  int                     // moves since the states were written
	tags     []fleet.Tag
	tagsOf   string // what the tags were read from
	noted    note
	hasClone atomic.Bool
}

// note is that the cache was made again.
type note struct {
	text string
	at   time.Time
}

// noteFor is how long it is said that the cache was made again.
const noteFor = 10 * time.Minute

// ID names the source.
func (s *source) ID() fleet.SourceID { return s.id }

// Timing is the configured poll. A first clone may take its time, a fetch may not.
func (s *source) Timing() sources.Timing {
	every := s.config.Poll.Std()
	timeout := time.Minute
	if !s.hasClone.Load() {
		timeout = 10 * time.Minute
	}
	return sources.Timing{Every: every, Timeout: timeout, MaxAge: max(4*every, time.Minute)}
}

// Observe fetches, and reads what is new.
func (s *source) Observe(ctx context.Context) (fleet.Facts, error) {
	facts, err := s.observe(ctx)
	if err != nil {
		return fleet.Facts{}, fmt.Errorf("git %s: %w", s.name, err)
	}
	return facts, nil
}

func (s *source) observe(ctx context.Context) (fleet.Facts, error) {
	if err := os.MkdirAll(s.mirror.folder, 0o700); err != nil {
		return fleet.Facts{}, fmt.Errorf("make the cache: %w", err)
	}
	unlock, err := lock(ctx, s.mirror.folder+".lock")
	if err != nil {
		return fleet.Facts{}, err
	}
	defer unlock()
	word, err := s.mirror.update(ctx)
	if err != nil {
		return fleet.Facts{}, err
	}
	s.hasClone.Store(true)
	facts, err := s.read(ctx)
	var failure *commandError
	if errors.As(err, &failure) && ctx.Err() == nil && s.mirror.doubt() {
		facts, err = s.read(ctx)
	}
	if errors.As(err, &failure) && ctx.Err() == nil {
		// What was just fetched cannot be read: the copy is damaged.
		if word, err = s.mirror.rebuild(ctx, failure); err != nil {
			return fleet.Facts{}, err
		}
		facts, err = s.read(ctx)
	}
	if err != nil {
		return fleet.Facts{}, err
	}
	facts.ObservedAt = s.now()
	if word != "" {
		s.noted = note{word, facts.ObservedAt}
	}
	if s.noted.text != "" && facts.ObservedAt.Sub(s.noted.at) < noteFor {
		facts.Warnings = append(facts.Warnings, s.noted.text)
	}
	return facts, nil
}

// read makes facts of the mirror as it is.
func (s *source) read(ctx context.Context) (fleet.Facts, error) {
	var facts fleet.Facts
	refs, err := s.mirror.refs(ctx)
	if err != nil {
		return facts, err
	}
	if err := s.advanceAll(ctx, refs); err != nil {
		return facts, err
	}
	for _, p := range s.layout {
		state := s.states[p.branch]
		switch {
		case state == nil && p.environment == s.environment:
			return facts, errors.New(s.mirror.missing(p))
		case state == nil:
			facts.Warnings = append(facts.Warnings, s.mirror.missing(p))
			continue
		}
		if p.environment == s.environment {
			facts.Detail = state.Head[:7]
		}
		found := histories(p, state, s.config.History)
		if len(found) == 0 {
			facts.Warnings = append(facts.Warnings, fmt.Sprintf("branch %s (environment %s) has no file %s*%s",
				p.branch, p.environment, p.pattern.before, p.pattern.after))
		}
		facts.Histories = append(facts.Histories, found...)
		facts.Changes = append(facts.Changes, changes(p, state, s.config.History, s.id)...)
	}
	sort.SliceStable(facts.Changes, func(i, j int) bool { return facts.Changes[i].At.After(facts.Changes[j].At) })
	facts.Tags, err = s.readTags(ctx, refs)
	return facts, err
}

// advanceAll brings the state of every branch that exists up to its head.
func (s *source) advanceAll(ctx context.Context, refs map[string]string) error {
	if len(s.states) == 0 {
		s.states = s.load()
	}
	next := map[string]*branchState{}
	whole := false
	for _, branch := range s.mirror.branches {
		head, ok := refs["refs/heads/"+branch]
		if slices.Contains(s.mirror.absent, branch) {
			continue
		}
		if !ok {
			return &commandError{command: "fetch", cause: fmt.Errorf("branch %q is not in the cached copy", branch)}
		}
		old := s.states[branch]
		state, grown, err := s.advance(ctx, old, head, s.layout.patterns(branch))
		if err != nil {
			return fmt.Errorf("branch %s: %w", branch, err)
		}
		if state != old {
			s.unsaved++
			whole = whole || !grown
		}
		next[branch] = state
	}
	s.states = next
	if whole || s.unsaved >= saveEvery {
		s.save()
		s.mirror.tidy(ctx)
	}
	return nil
}

// maxTags is how many git tags are reported, newest first.
const maxTags = 200

// readTags reads the tags that are releases, if any moved since the last time.
func (s *source) readTags(ctx context.Context, refs map[string]string) ([]fleet.Tag, error) {
	if s.config.Tags == "" {
		return nil, nil
	}
	var all []string
	for name, sha := range refs {
		if strings.HasPrefix(name, "refs/tags/") {
			all = append(all, name+" "+sha)
		}
	}
	sort.Strings(all)
	of := strings.Join(all, "\n")
	if of == s.tagsOf {
		return slices.Clone(s.tags), nil
	}
	tags, err := s.mirror.git.tags(ctx, s.mirror.repo(), s.config.Tags)
	if err != nil {
		return nil, err
	}
	s.tags, s.tagsOf = tags, of
	return slices.Clone(tags), nil
}
