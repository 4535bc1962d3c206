package fleet

import (
	"reflect"
	"slices"
	"sort"
	"strings"
)

// images are those on the hosts.
type images struct {
	lists [][]Image // as they were reported
	list  []Image
	index *imageIndex
}

// settle makes list and index anew when something is different. A host that is asked again mostly has
// the same images, in a new list.
func (x *images) settle(lists [][]Image) {
	same := x.index != nil && slices.EqualFunc(x.lists, lists, func(a, b []Image) bool {
		return sameSlice(a, b) || slices.EqualFunc(a, b, func(a, b Image) bool { return reflect.DeepEqual(a, b) })
	})
	x.lists = lists
	if same {
		return
	}
	x.list = sortedImages(slices.Concat(lists...))
	x.index = newImageIndex(x.list)
}

// imageRef is "repo:tag" in its parts: looked up without joining them first.
type imageRef struct{ repository, tag string }

// imageIndex finds the images that lie on the hosts.
type imageIndex struct {
	digests map[imageRef]string // the repository digest, where all hosts agree; hosts that disagree leave it ""
	ids     map[imageOn]string  // the engine's id
	byRepo  map[string][]Image  // one entry a tag
}

type imageOn struct {
	host string
	imageRef
}

func newImageIndex(images []Image) *imageIndex {
	x := &imageIndex{digests: map[imageRef]string{}, ids: map[imageOn]string{}, byRepo: map[string][]Image{}}
	for _, im := range images {
		for _, tag := range im.Tags {
			var ref imageRef
			ref.repository, ref.tag = splitTag(tag)
			d := digestFor(im, tag)
			if old, seen := x.digests[ref]; seen && old != d {
				d = ""
			}
			x.digests[ref] = d
			x.ids[imageOn{im.Host, ref}] = im.ID
			one := im
			one.Tags = []string{tag}
			x.byRepo[ref.repository] = append(x.byRepo[ref.repository], one)
		}
	}
	return x
}

// on is the id of the image that bears the release's reference on the host now.
func (x *imageIndex) on(host string, r Release) string {
	if len(x.ids) == 0 {
		return ""
	}
	ref := imageRef{r.Image, r.Tag}
	if r.Image == "" {
		ref = imageRef{repository: r.Tag}
	}
	return x.ids[imageOn{host, ref}]
}

// digestFor is the repository digest of an image under the repository of one of its tags.
func digestFor(im Image, tag string) string {
	repo, _ := splitTag(tag)
	for _, d := range im.Digests {
		if r, digest, ok := strings.Cut(d, "@"); ok && r == repo {
			return digest
		}
	}
	return ""
}

// splitTag splits "host:5000/a/b:tag" into repository and tag.
func splitTag(ref string) (repository, tag string) {
	i := strings.LastIndexByte(ref, ':')
	if i < 0 || strings.Contains(ref[i:], "/") {
		return ref, ""
	}
	return ref[:i], ref[i+1:]
}

func sortedImages(list []Image) []Image {
	sort.Slice(list, func(a, b int) bool {
		if list[a].Host != list[b].Host {
			return list[a].Host < list[b].Host
		}
		return list[a].ID < list[b].ID
	})
	return list
}
