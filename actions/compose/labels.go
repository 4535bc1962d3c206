package compose

import (
	"context"
	"fmt"
	"path"
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
func (s *Survey) checkLabels(ctx context.Context) error {
	if len(s.Place.Told) > maxLabelPaths {
		return fmt.Errorf("its labels name %d files, %d are allowed", len(s.Place.Told), maxLabelPaths)
	}
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
		out, err := s.Probe.Text(ctx, "stat", "-c", "%u %f", real)
		if err != nil {
			return err
		}
		_, hex, _ := strings.Cut(out, " ")
		mode, err := strconv.ParseUint(hex, 16, 32)
		if err != nil {
			return fmt.Errorf("%s: stat is not understood: %w", real, err)
		}
		const byEverybody = 0o002
		if mode&byEverybody != 0 {
			return fmt.Errorf("everybody on the host may change %s: chmod o-w it", real)
		}
	}
	return nil
}
