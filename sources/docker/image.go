package docker

import (
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/image"

	"github.com/nexgate-hq/nexops/fleet"
)

// imageRef is an image reference taken apart: "registry:5000/a/b:tag@sha256:...".
type imageRef struct {
	repo   string
	tag    string
	digest string
}

// splitImage takes a reference apart. It never fails: what is no tag and no
// digest is the repository. A colon before the last slash is a registry's port.
func splitImage(ref string) imageRef {
	var out imageRef
	out.repo, out.digest, _ = strings.Cut(ref, "@")
	slash := strings.LastIndexByte(out.repo, '/')
	if colon := strings.LastIndexByte(out.repo, ':'); colon > slash {
		out.repo, out.tag = out.repo[:colon], out.repo[colon+1:]
	}
	return out
}

// canonicalRepo is the one spelling of a repository that has several:
// "nginx", "docker.io/nginx" and "index.docker.io/library/nginx" are one.
func canonicalRepo(repo string) string {
	for _, prefix := range []string{"index.docker.io/", "docker.io/"} {
		if rest, ok := strings.CutPrefix(repo, prefix); ok {
			repo = rest
			break
		}
	}
	return strings.TrimPrefix(repo, "library/")
}

// isImageID reports whether ref names an image by its id, whole or short.
func isImageID(ref, imageID string) bool {
	if ref == "" {
		return true
	}
	if strings.HasPrefix(ref, "sha256:") {
		return true
	}
	hex := strings.TrimPrefix(imageID, "sha256:")
	return len(ref) >= 12 && hex != "" && strings.HasPrefix(hex, ref)
}

// imageIndex finds a host's images by id.
type imageIndex map[string]image.Summary

func indexImages(list []image.Summary) imageIndex {
	out := make(imageIndex, len(list))
	for _, im := range list {
		out[im.ID] = im
	}
	return out
}

// releaseOf is what a container runs: image and tag as it was created with, the
// digest of the image it really runs, which a tag that moved since does not name.
func releaseOf(created, imageID string, images imageIndex) fleet.Release {
	im, known := images[imageID]
	rel := fleet.Release{ImageID: imageID, At: imageTime(im.Created)}
	if isImageID(created, imageID) {
		rel.Image, rel.Digest = anyRepo(im)
		rel.Note = "created by image id"
		if known && len(realTags(im.RepoTags)) > 0 {
			rel.Note += ", tagged " + strings.Join(realTags(im.RepoTags), " and ") + " now"
		}
		return rel
	}
	ref := splitImage(created)
	rel.Image, rel.Tag = ref.repo, ref.tag
	if rel.Tag == "" && ref.digest == "" {
		rel.Tag = "latest" // what the engine itself takes for no tag
	}
	rel.Digest = digestFor(ref, im.RepoDigests)
	rel.Note = releaseNote(rel, im, known)
	return rel
}

// releaseNote says what is odd about the image a container runs.
func releaseNote(rel fleet.Release, im image.Summary, known bool) string {
	switch {
	case !known && rel.ImageID != "":
		return "image is no longer on the host"
	case rel.Tag == "" || hasTag(im.RepoTags, rel.Image, rel.Tag):
		return ""
	case len(realTags(im.RepoTags)) == 0:
		return "tag " + rel.Tag + " names another image on this host now"
	default:
		return "image is tagged " + strings.Join(realTags(im.RepoTags), " and ") + " now"
	}
}

// digestFor is the image's digest in the repository of ref; the digest that ref
// itself names comes first, because one image may have several.
func digestFor(ref imageRef, repoDigests []string) string {
	var found []string
	for _, rd := range repoDigests {
		repo, digest, ok := strings.Cut(rd, "@")
		if !ok || canonicalRepo(repo) != canonicalRepo(ref.repo) {
			continue
		}
		if digest == ref.digest {
			return digest
		}
		found = append(found, digest)
	}
	if len(found) == 0 {
		return ref.digest
	}
	return slices.Min(found)
}

// anyRepo gives a repository (and digest) under which an image is known.
func anyRepo(im image.Summary) (repo, digest string) {
	for _, rd := range slices.Sorted(slices.Values(im.RepoDigests)) {
		if r, d, ok := strings.Cut(rd, "@"); ok && r != "<none>" {
			return r, d
		}
	}
	for _, t := range realTags(im.RepoTags) {
		return splitImage(t).repo, ""
	}
	return "", ""
}

func hasTag(tags []string, repo, tag string) bool {
	for _, t := range tags {
		ref := splitImage(t)
		if ref.tag == tag && canonicalRepo(ref.repo) == canonicalRepo(repo) {
			return true
		}
	}
	return false
}

// realTags are the tags without the engine's "<none>:<none>".
func realTags(tags []string) []string {
	var out []string
	for _, t := range tags {
		if !strings.HasPrefix(t, "<none>") && !strings.HasSuffix(t, ":<none>") {
			out = append(out, t)
		}
	}
	return out
}

// imageTime is when an image was built; reproducible builds say 1970 or 1980, which is no time.
func imageTime(unix int64) time.Time {
	t := time.Unix(unix, 0)
	if t.Year() < 2000 {
		return time.Time{}
	}
	return t
}

// imageFacts are the images of a host as the join wants them.
func imageFacts(host string, list []image.Summary) []fleet.Image {
	out := make([]fleet.Image, 0, len(list))
	for _, im := range list {
		var digests []string
		for _, rd := range im.RepoDigests {
			if !strings.HasPrefix(rd, "<none>") {
				digests = append(digests, rd)
			}
		}
		out = append(out, fleet.Image{
			Host: host, ID: im.ID, Tags: realTags(im.RepoTags), Digests: digests,
			Created: imageTime(im.Created), Size: im.Size,
		})
	}
	return out
}
