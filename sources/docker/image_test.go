package docker

import (
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"
)

func TestSplitImage(t *testing.T) {
	tests := map[string]imageRef{
		"nginx":                            {repo: "nginx"},
		"nginx:1.27":                       {repo: "nginx", tag: "1.27"},
		"ghcr.io/nexgate-hq/ai:0.4.2":      {repo: "ghcr.io/nexgate-hq/ai", tag: "0.4.2"},
		"host:5000/a/b":                    {repo: "host:5000/a/b"},
		"host:5000/a/b:tag":                {repo: "host:5000/a/b", tag: "tag"},
		"host:5000/a/b:tag@sha256:abc":     {repo: "host:5000/a/b", tag: "tag", digest: "sha256:abc"},
		"a@sha256:abc":                     {repo: "a", digest: "sha256:abc"},
		"[fd00::1]:5000/a:b":               {repo: "[fd00::1]:5000/a", tag: "b"},
		"":                                 {},
		"localhost/a:":                     {repo: "localhost/a"},
		"ghcr.io/x/y:0.4.2-rc.1_build.7":   {repo: "ghcr.io/x/y", tag: "0.4.2-rc.1_build.7"},
		"registry.example:5000/only-image": {repo: "registry.example:5000/only-image"},
	}
	for in, want := range tests {
		if got := splitImage(in); got != want {
			t.Errorf("splitImage(%q) = %+v, want %+v", in, got, want)
		}
	}
}

func FuzzSplitImage(f *testing.F) {
	for _, s := range []string{"nginx", "a:b", "h:5000/a/b:t@sha256:1", "@", ":", "/:", "a/b@c@d", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref := splitImage(s)
		if strings.Contains(ref.tag, "/") || strings.Contains(ref.repo, "@") {
			t.Errorf("%q: %+v", s, ref)
		}
		back := ref.repo
		if ref.tag != "" {
			back += ":" + ref.tag
		}
		if ref.digest != "" {
			back += "@" + ref.digest
		}
		// Only the empty tag or digest of "a:" and "a@" is lost.
		if back != s && !strings.HasSuffix(s, "@") && !strings.Contains(s, ":@") && !strings.HasSuffix(s, ":") {
			t.Errorf("%q came back as %q", s, back)
		}
	})
}

func TestReleaseOf(t *testing.T) {
	images := indexImages([]image.Summary{
		{ID: "sha256:aaa", RepoTags: []string{"ghcr.io/x/ai:0.4.1"}, RepoDigests: []string{"ghcr.io/x/ai@sha256:d1", "mirror:5000/x/ai@sha256:d9"}, Created: 1_700_000_000},
		{ID: "sha256:bbb", RepoTags: []string{"<none>:<none>"}, RepoDigests: []string{"ghcr.io/x/ai@sha256:d2"}},
		{ID: "sha256:ccc", RepoTags: []string{"nginx:1", "nginx:latest"}, RepoDigests: []string{"nginx@sha256:d3", "nginx@sha256:d0"}},
		{ID: "sha256:0123456789abcdef", RepoTags: []string{"built:7"}},
	})
	tests := []struct {
		name, created, id             string
		image, tag, digest, noteHolds string
	}{
		{"plain", "ghcr.io/x/ai:0.4.1", "sha256:aaa", "ghcr.io/x/ai", "0.4.1", "sha256:d1", ""},
		{"other registry of the same image", "mirror:5000/x/ai:0.4.1", "sha256:aaa", "mirror:5000/x/ai", "0.4.1", "sha256:d9", "tagged ghcr.io/x/ai:0.4.1 now"},
		{"tag moved away", "ghcr.io/x/ai:0.4.1", "sha256:bbb", "ghcr.io/x/ai", "0.4.1", "sha256:d2", "names another image"},
		{"by digest", "nginx@sha256:d3", "sha256:ccc", "nginx", "", "sha256:d3", ""},
		{"by tag and digest", "docker.io/library/nginx:1@sha256:d3", "sha256:ccc", "docker.io/library/nginx", "1", "sha256:d3", ""},
		{"two digests", "nginx:1", "sha256:ccc", "nginx", "1", "sha256:d0", ""},
		{"no tag is latest", "nginx", "sha256:ccc", "nginx", "latest", "sha256:d0", ""},
		{"by id", "sha256:ccc", "sha256:ccc", "nginx", "", "sha256:d0", "created by image id, tagged nginx:1"},
		{"by short id", "0123456789ab", "sha256:0123456789abcdef", "built", "", "", "created by image id"},
		{"image gone", "ghcr.io/x/ai:0.3.0", "sha256:zzz", "ghcr.io/x/ai", "0.3.0", "", "no longer on the host"},
		{"untagged, gone", "", "", "", "", "", "created by image id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := releaseOf(tt.created, tt.id, images)
			if r.Image != tt.image || r.Tag != tt.tag || r.Digest != tt.digest || r.ImageID != tt.id {
				t.Errorf("%+v", r)
			}
			if (tt.noteHolds == "" && r.Note != "") || !strings.Contains(r.Note, tt.noteHolds) {
				t.Errorf("note %q", r.Note)
			}
		})
	}
	if r := releaseOf("ghcr.io/x/ai:0.4.1", "sha256:aaa", images); r.At.Unix() != 1_700_000_000 {
		t.Errorf("at %v", r.At)
	}
}
