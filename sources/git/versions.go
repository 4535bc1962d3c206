package git

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/nexgate-hq/nexops/fleet"
)

// version is what one tag file said from one commit on.
type version struct {
	Key     string `json:"key,omitempty"`
	Tag     string `json:"tag,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Problem string `json:"problem,omitempty"` // why it could not be read
	Gone    bool   `json:"gone,omitempty"`    // the file was removed
	Commit  string `json:"commit"`
	Author  string `json:"author,omitempty"`
	Subject string `json:"subject,omitempty"`
	At      int64  `json:"at"`
}

func (v version) same(w version) bool {
	return v.Tag == w.Tag && v.Digest == w.Digest && v.Problem == w.Problem && v.Gone == w.Gone
}

func (v version) release(image string) fleet.Release {
	return fleet.Release{
		Image: image, Tag: v.Tag, Digest: v.Digest,
		Commit: v.Commit, Author: v.Author, Subject: v.Subject, At: unix(v.At),
		Note: v.Problem,
	}
}

// branchState is everything known of one branch at one head.
type branchState struct {
	Head  string               `json:"head"`
	Files map[string][]version `json:"files"` // by path, newest first, no two neighbours the same
	// Images are the repositories of the images at Head, by path of the tag file.
	Images map[string]string `json:"images"`
}

// advance makes the state of a branch at head. When the branch only grew since
// the state before, that is built upon; else the whole history is read.
func (s *source) advance(ctx context.Context, old *branchState, head string, patterns []pattern) (state *branchState, grown bool, err error) {
	if old != nil && old.Head == head {
		return old, true, nil
	}
	git, repo := s.mirror.git, s.mirror.repo()
	state = &branchState{Head: head, Files: map[string][]version{}}
	edits, composed, grown, err := git.since(ctx, repo, old, head, patterns, editsKept(s.config.History))
	if err != nil {
		return nil, false, err
	}
	if grown {
		state.Files = maps.Clone(old.Files)
	}
	if err := s.addVersions(ctx, edits, state, patterns); err != nil {
		return nil, false, err
	}
	stale := func(string) bool { return true }
	if grown {
		stale = func(file string) bool {
			return composed[path.Dir(file)] || len(old.Files[file]) == 0 || key(old.Files[file]) != key(state.Files[file])
		}
		state.Images = maps.Clone(old.Images)
	}
	return state, grown, s.readImages(ctx, state, patterns, stale)
}

// since walks what is new at head since the old state; grown says that it only grew. Where it did not, or
// there is none, all is walked. That it grew is asked while the new part is being walked, which it mostly did.
func (p program) since(ctx context.Context, repo string, old *branchState, head string, patterns []pattern, limit int) (
	edits map[string][]edit, composed map[string]bool, grown bool, err error,
) {
	if old != nil {
		var asked sync.WaitGroup
		asked.Go(func() { grown = p.extends(ctx, repo, old.Head, head, limit) })
		edits, composed, err = p.walk(ctx, repo, old.Head+".."+head, patterns, limit)
		asked.Wait()
		if grown {
			return edits, composed, true, err
		}
	}
	edits, composed, err = p.walkAll(ctx, repo, head, patterns, limit)
	return edits, composed, false, err
}

// editsKept bounds the edits of one file; a file edited more often without a
// new tag has a shorter history.
func editsKept(history int) int { return 5*history + 50 }

// addVersions puts what the edits say before the versions of the state. Most
// files reach their bound with their newest edits, so those blobs are read
// first, and the rest only of files that repeat themselves.
func (s *source) addVersions(ctx context.Context, edits map[string][]edit, state *branchState, patterns []pattern) error {
	history := s.config.History
	read, err := s.readVersions(ctx, newest(edits, history+1), patterns)
	if err != nil {
		return err
	}
	rest := map[string][]edit{}
	for file, versions := range read {
		if len(versions) == len(edits[file]) {
			state.Files[file] = prepend(versions, state.Files[file], history)
		} else if some := prepend(versions, nil, history); len(some) > history {
			state.Files[file] = some
		} else {
			rest[file] = edits[file]
		}
	}
	read, err = s.readVersions(ctx, rest, patterns)
	if err != nil {
		return err
	}
	for file, versions := range read {
		all := prepend(versions, state.Files[file], history)
		if len(versions) == editsKept(history) && len(all) > 1 {
			all = all[:len(all)-1] // nobody knows where the oldest began
		}
		state.Files[file] = all
	}
	return nil
}

func newest(edits map[string][]edit, n int) map[string][]edit {
	out := make(map[string][]edit, len(edits))
	for file, all := range edits {
		out[file] = all[:min(n, len(all))]
	}
	return out
}

// discreet is what a commit's author wrote, without secrets: it is kept on disk.
func (s *source) discreet(text string) string {
	if s.redact == nil {
		return text
	}
	return s.redact(text)
}

// readVersions reads what each edit's file said, in the order of the edits.
func (s *source) readVersions(ctx context.Context, edits map[string][]edit, patterns []pattern) (map[string][]version, error) {
	var wanted []object
	read := make(map[string][]version, len(edits))
	for file, list := range edits {
		service := serviceOf(patterns, file)
		versions := make([]version, len(list))
		read[file] = versions
		for i, e := range list {
			v := &versions[i]
			*v = version{Commit: e.commit.sha, Author: e.commit.author, Subject: s.discreet(e.commit.subject), At: e.commit.at}
			switch e.mode {
			case "000000":
				v.Gone = true
			case "100644", "100755":
				wanted = append(wanted, object{name: e.blob, use: func(content []byte, ok bool) {
					v.read(file, service, content, ok)
				}})
			default:
				v.Problem = problem(file, errors.New("a link or a submodule, not a file"))
			}
		}
	}
	if err := s.mirror.git.blobs(ctx, s.mirror.repo(), MaxTagFile+1, wanted); err != nil {
		return nil, fmt.Errorf("read tag files: %w", err)
	}
	return read, nil
}

func (v *version) read(file, service string, content []byte, ok bool) {
	f, err := ParseTagFile(service, content)
	if !ok {
		err = errors.New("its content is missing from the repository")
	}
	if err != nil {
		v.Problem = problem(file, err)
		return
	}
	v.Key, v.Tag, v.Digest = f.Key, f.Tag, f.Digest
}

func problem(file string, err error) string { return clean(file, 120) + ": " + err.Error() }

// prepend puts newer versions before older ones and drops those that repeat the
// one before them in time; only the name of the variable is taken from them. It keeps one
// more than history: the last one may have begun earlier than what was
// read, and is only there to be compared with.
func prepend(newer, older []version, history int) []version {
	all := slices.Clone(older)
	slices.Reverse(all) // oldest first
	for _, v := range slices.Backward(newer) {
		if n := len(all); n > 0 && v.same(all[n-1]) {
			all[n-1].Key = v.Key
			continue
		}
		all = append(all, v)
	}
	slices.Reverse(all)
	return all[:min(len(all), history+1)]
}

func serviceOf(patterns []pattern, file string) string {
	for _, p := range patterns {
		if service, ok := p.service(file); ok {
			return service
		}
	}
	return ""
}

// composeFiles are where the image of a service is looked for, beside its tag file.
var composeFiles = [...]string{"service.yml", "service.yaml", "compose.yml", "compose.yaml", "docker-compose.yml"}

// key is the variable of a tag file that is there now; "" when it cannot be read.
func key(versions []version) string {
	if len(versions) == 0 {
		return ""
	}
	return versions[0].Key
}

// readImages finds the images of the services that have a tag file at the
// state's head, where what is known is stale.
func (s *source) readImages(ctx context.Context, state *branchState, patterns []pattern, stale func(file string) bool) error {
	if state.Images == nil {
		state.Images = map[string]string{}
	}
	var wanted []object
	for file, versions := range state.Files {
		if len(versions) == 0 || !stale(file) {
			continue
		}
		delete(state.Images, file)
		if versions[0].Gone || strings.ContainsRune(file, '\n') {
			continue
		}
		service, key := serviceOf(patterns, file), key(versions)
		if key == "" {
			key = TagKey(service)
		}
		for _, name := range composeFiles {
			wanted = append(wanted, object{
				name: state.Head + ":" + path.Join(path.Dir(file), name),
				use: func(content []byte, ok bool) {
					if image := imageOf(content, service, key); ok && image != "" && state.Images[file] == "" {
						state.Images[file] = image
					}
				},
			})
		}
	}
	if err := s.mirror.git.blobs(ctx, s.mirror.repo(), maxServiceFile+1, wanted); err != nil {
		return fmt.Errorf("read service files: %w", err)
	}
	return nil
}
