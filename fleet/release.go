package fleet

import "time"

// Release is one version of one service's artifact.
type Release struct {
	Image   string    // repository without tag or digest: "ghcr.io/nexgate-hq/ai-service"
	Tag     string    // "0.4.2"; "" when only a digest is known
	Digest  string    // repository digest "sha256:..."; "" when not known
	ImageID string    // the engine's own id (config digest) "sha256:..."; "" when not known
	Commit  string    // the commit that made this release desired; "" when not known
	Author  string    // who made that commit
	Subject string    // that commit's subject line
	At      time.Time // when it became desired (commit time) or was created; zero when not known
	Note    string    // what is odd about it, in words: "tag.env is empty"; "" when nothing is
}

// IsZero reports whether nothing at all is known of the release.
func (r Release) IsZero() bool { return r.Tag == "" && r.Digest == "" && r.ImageID == "" }

// Version is the shortest honest name: the tag, or a short digest, or "unknown".
func (r Release) Version() string {
	switch {
	case r.Tag != "":
		return r.Tag
	case r.Digest != "":
		return ShortDigest(r.Digest)
	case r.ImageID != "":
		return ShortDigest(r.ImageID)
	default:
		return "unknown"
	}
}

// Ref is the image reference a container engine understands: "repo:tag", or "repo@sha256:..." without a tag.
func (r Release) Ref() string {
	switch {
	case r.Image == "":
		return r.Version()
	case r.Tag != "":
		return r.Image + ":" + r.Tag
	case r.Digest != "":
		return r.Image + "@" + r.Digest
	default:
		return r.Image
	}
}

// ShortDigest is the first twelve hexadecimal digits of a "sha256:..." digest.
func ShortDigest(d string) string {
	const prefix = "sha256:"
	if len(d) > len(prefix) && d[:len(prefix)] == prefix {
		d = d[len(prefix):]
	}
	if len(d) > 12 {
		d = d[:12]
	}
	return d
}

// History is what git says a service should have run in an environment.
type History struct {
	Subject  Subject   // Environment and Service are set
	Releases []Release // newest first; the first is desired now
	Problem  string    // why the file could not be read, in words; Releases may then be empty
}

// Tag is a release made by a tag in a git repository (v1.2.3).
type Tag struct {
	Name   string
	Commit string
	Author string
	At     time.Time
}
