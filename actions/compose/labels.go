package compose

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// What containers can write to, whatever the engine: a path that leads there may be a container's own.
func containersOwn() []string {
	return []string{"/var/lib/docker", "/var/lib/containerd", "/proc", "/sys", "/dev"}
}

// maxLabelPaths bounds how many paths of labels are looked at.
const maxLabelPaths = 20

// checkLabels looks at the paths that were read from a container's labels before anything runs in
// them: any image may carry any label, and then what is run would be what the image's author wants,
// as who logs in. A path of the config is taken at its word.
func (v Surveyor) checkLabels(ctx context.Context, s *Survey) error {
	if len(s.Place.Told) > maxLabelPaths {
		return fmt.Errorf("its labels name %d files, %d are allowed", len(s.Place.Told), maxLabelPaths)
	}
	var all []string // the paths, where they lead, and all that is above either: who can change one of them can change what is run
	itself := map[string]bool{}
	for _, told := range s.Place.Told {
		real, err := s.Probe.Text(ctx, "readlink", "-f", told)
		if err != nil || !strings.HasPrefix(real, "/") {
			return fmt.Errorf("%s is not there any more: %s", told, orSaid(err, "it has no path"))
		}
		for _, own := range append(containersOwn(), s.Engine.DockerRootDir) {
			if own = path.Clean(own); own != "." && own != "/" && (real == own || strings.HasPrefix(real, own+"/")) {
				return fmt.Errorf("%s is below %s, where containers write: what its labels say cannot be believed", real, own)
			}
		}
		itself[path.Clean(told)], itself[real] = true, true
		for _, p := range append(lineage(path.Clean(told)), lineage(real)...) {
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	owners, err := v.owners(ctx, s)
	if err != nil {
		return err
	}
	out, err := s.Probe.Text(ctx, append([]string{"stat", "-c", "%u %f"}, all...)...)
	if err != nil {
		return err
	}
	lines := strings.Split(out, "\n")
	if len(lines) != len(all) {
		return fmt.Errorf("stat of %s is not understood", s.Place.Dir)
	}
	for i, p := range all {
		if err := v.owned(p, lines[i], owners, itself[p]); err != nil {
			return err
		}
	}
	return nil
}

// lineage is a path and all that is above it.
func lineage(p string) []string {
	out := []string{p}
	for p != "/" && p != "." {
		p = path.Dir(p)
		out = append(out, p)
	}
	return out
}

// owners are the users whose files may be run as who logs in: that one, root, and those of the config.
func (v Surveyor) owners(ctx context.Context, s *Survey) (map[string]bool, error) {
	own := map[string]bool{superuser: true}
	for _, who := range append([]string{""}, v.Owners...) {
		if who != "" && strings.Trim(who, "0123456789") == "" {
			own[who] = true
			continue
		}
		argv := []string{"id", "-u"}
		if who != "" {
			argv = append(argv, who)
		}
		uid, err := s.Probe.Text(ctx, argv...)
		var f *Failure
		switch {
		case errors.As(err, &f) && who != "": // this host has no such user
		case err != nil:
			return nil, err
		default:
			own[uid] = true
		}
	}
	return own, nil
}

const superuser = "0"

// owned reports why what lies at a path cannot be believed. said is what stat says of it: owner and st_mode. In a sticky folder above
// it nobody can exchange what is another's.
func (v Surveyor) owned(p, said string, owners map[string]bool, itself bool) error {
	uid, hex, _ := strings.Cut(said, " ")
	mode, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		return fmt.Errorf("%s: stat is not understood: %w", p, err)
	}
	const typeMask, link, sticky, byEverybody = 0o170000, 0o120000, 0o1000, 0o002
	switch {
	case !owners[uid]:
		return fmt.Errorf("%s belongs to user %s of the host, who is neither root nor who logs in and could have them run anything: name them under owners in [%s] when that is meant", p, uid, v.Table)
	case mode&byEverybody != 0 && mode&typeMask != link && (itself || mode&sticky == 0):
		return fmt.Errorf("everybody on the host may change %s: chmod o-w it", p)
	}
	return nil
}
