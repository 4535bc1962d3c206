package git

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// stateVersion changes whenever what is kept on disk, or how it is read from
// the repository, changes.
const stateVersion = 2

// savedStates is what was parsed, as it lies in the cache folder. It is only a
// saving of time: anything odd about it, and it is made again.
type savedStates struct {
	Version int                     `json:"version"`
	Key     string                  `json:"key"` // what it was parsed for
	States  map[string]*branchState `json:"branches"`
}

// saveEvery is how many moves of a branch may be walked again at the next start
// before it is worth writing the whole state once more.
const saveEvery = 20

func (s *source) stateKey() string {
	var b strings.Builder
	fmt.Fprintf(&b, "history %d\n", s.config.History)
	for _, p := range s.layout {
		fmt.Fprintf(&b, "%q %q %q\n", p.branch, p.pattern.before, p.pattern.after)
	}
	return b.String()
}

func (s *source) stateFile() string {
	return filepath.Join(s.mirror.folder, "parsed-"+digest(s.stateKey())+".json")
}

// load gives the states that an earlier run left, or none.
func (s *source) load() map[string]*branchState {
	none := map[string]*branchState{}
	raw, err := os.ReadFile(s.stateFile())
	if err != nil {
		return none
	}
	var saved savedStates
	if json.Unmarshal(raw, &saved) != nil || saved.Version != stateVersion || saved.Key != s.stateKey() {
		return none
	}
	for _, state := range saved.States {
		if state == nil || !isSHA(state.Head) {
			return none
		}
	}
	return saved.States
}

// save writes the states. A failure costs time at the next start, nothing else.
func (s *source) save() {
	saved := savedStates{Version: stateVersion, Key: s.stateKey(), States: s.states}
	raw, err := json.Marshal(saved)
	if err != nil {
		return
	}
	file := s.stateFile()
	if os.WriteFile(file+".new", raw, 0o600) == nil && os.Rename(file+".new", file) == nil {
		s.unsaved = 0
	}
}
