package redeploy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// target is the service to redeploy, where it runs, and to what it goes.
type target struct {
	*compose.Target
	to fleet.Release
}

// findTarget reads from a snapshot what runs where. Its error is a reason in words.
func findTarget(cfg *Config, snap *fleet.Snapshot, refs []fleet.Ref) (*target, *fleet.Service, error) {
	t, svc, err := cfg.places().Find(snap, refs)
	if err == nil {
		err = t.CheckTags(svc)
	}
	if err != nil {
		return nil, svc, err //nolint:wrapcheck // a reason in words
	}
	return &target{Target: t}, svc, nil
}

// releases are all that may be gone back to: the history, what runs, and the images on all hosts.
func (t *target) releases(svc *fleet.Service, snap *fleet.Snapshot) []fleet.Release {
	var out []fleet.Release
	add := func(r fleet.Release) {
		if r.Tag != "" && !slices.ContainsFunc(out, func(o fleet.Release) bool { return o.Tag == r.Tag }) {
			if r.Image == "" {
				r.Image = t.Image
			}
			out = append(out, r)
		}
	}
	add(svc.Releases.Previous)
	for _, r := range svc.Releases.History {
		add(r)
	}
	for _, p := range t.Hosts {
		add(p.From)
	}
	for tag := range t.TagsEverywhere(snap) {
		add(fleet.Release{Image: t.Image, Tag: tag})
	}
	return out
}

// choose sets the release to go to: a tag, or the previous one when tag is "".
func (t *target) choose(svc *fleet.Service, snap *fleet.Snapshot, tag string) error {
	if tag == "" {
		t.to = svc.Releases.Previous
		if t.to.Tag == "" {
			return errors.New("no previous release is known: neither git nor the images on the hosts tell of one")
		}
		t.to.Image = t.Image
		return t.checkTag()
	}
	var known []string
	for _, r := range t.releases(svc, snap) {
		if r.Tag == tag {
			t.to = r
			t.to.Image = t.Image
			return t.checkTag()
		}
		known = append(known, r.Tag)
	}
	const most = 8
	if len(known) > most {
		known = append(known[:most], "...")
	}
	return fmt.Errorf("%s is no release of %s that is known: there is %s", remote.Clean(tag), t.Key, strings.Join(known, ", "))
}

// checkTag makes sure that what the infra repo calls a tag can be one: it stands in argv, of scripts too.
func (t *target) checkTag() error {
	if !compose.IsTag(t.to.Tag) {
		return fmt.Errorf("%q is not an image tag", remote.Clean(t.to.Tag))
	}
	return nil
}

// there reports whether every instance on every host already is what is wanted, and runs: one that
// a cut connection left created but not started is not there.
func (t *target) there(svc *fleet.Service) bool {
	for _, in := range svc.Instances {
		if !t.Pick(in) {
			continue
		}
		if in.State != fleet.StateRunning || in.Release.Tag != t.to.Tag || !actions.SameArtifact(in.Release, t.to) {
			return false
		}
	}
	return true
}
