package loki

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/nexgate-hq/nexops/fleet"
)

// What to ask depends on the labels there are, and to ask for those first would double the time to
// the first figures. So the question that they will most likely lead to is asked beside them; its
// answer counts only when the labels then lead to that very question.

// attempt is a question asked before the labels are known.
type attempt struct {
	question question
	cancel   context.CancelFunc
	done     sync.WaitGroup
	facts    fleet.Facts
	err      error
}

// try asks what the guessed labels lead to; nil when they lead to nothing.
func (s *Source) try(ctx context.Context, guess shape) *attempt {
	q, err := s.question(guess)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	a := &attempt{question: q, cancel: cancel}
	a.done.Go(func() { a.facts, a.err = s.answers(ctx, q) })
	return a
}

// asked reports whether the attempt asked just that.
func (a *attempt) asked(q question) bool {
	return a != nil && a.question.selector == q.selector && slices.Equal(a.question.queries, q.queries)
}

// result waits for the answer.
func (a *attempt) result() (fleet.Facts, error) {
	a.done.Wait()
	return a.facts, a.err
}

// end gives up what nobody waits for any more.
func (a *attempt) end() {
	if a != nil {
		a.cancel()
		a.done.Wait()
	}
}

// guess gives the labels that the server had the last time, or those that the mapping begins with.
func (s *Source) guess() shape {
	if names := s.remembered(); len(names) > 0 {
		return shape{names: names}
	}
	l := s.cfg.Labels
	names := []string{serviceName}
	for _, list := range [][]string{l.Service, l.Environment, l.Host, l.Container} {
		if len(list) > 0 {
			names = append(names, list[0])
		}
	}
	return shape{names: names}
}

const (
	maxRemembered = 64 << 10 // bytes
	kindName      = "loki"
)

// memoryFile is where the label names are kept from one run to the next; "" is nowhere.
func (s *Source) memoryFile() string {
	if s.deps.CacheDir == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s.cfg.URL + "\n" + s.cfg.Via + "\n" + s.cfg.Tenant))
	return filepath.Join(s.deps.CacheDir, kindName, "labels-"+hex.EncodeToString(sum[:8])+".json")
}

func (s *Source) remembered() []string {
	raw, err := os.ReadFile(s.memoryFile())
	var names []string
	if err != nil || len(raw) > maxRemembered || json.Unmarshal(raw, &names) != nil {
		return nil
	}
	return names
}

// remember keeps the names. A failure costs time at the next start, nothing else.
func (s *Source) remember(names []string) {
	file := s.memoryFile()
	if file == "" || slices.Equal(names, s.remembered()) {
		return
	}
	raw, err := json.Marshal(names)
	if err != nil || len(raw) > maxRemembered || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	if os.WriteFile(file+".new", raw, 0o600) == nil {
		_ = os.Rename(file+".new", file)
	}
}
