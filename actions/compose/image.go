package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// Image is what an engine says of an image on its disk.
type Image struct {
	ID          string `json:"Id"`
	RepoDigests []string
	Size        int64
	Created     time.Time
	Config      struct{ Labels map[string]string }
}

// Digest is the repository digest of the image.
func (i Image) Digest(repository string) string {
	for _, d := range i.RepoDigests {
		if digest, ok := strings.CutPrefix(d, repository+"@"); ok {
			return digest
		}
	}
	return ""
}

// Image gives the image that lies on the host under a reference; nil when none does.
func (p Probe) Image(ctx context.Context, ref string) (*Image, error) {
	out, err := p.Run(ctx, remote.Command{Argv: []string{"docker", "image", "inspect", ref}})
	var f *Failure
	if errors.As(err, &f) && noSuchImage(f.Res.Stderr) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Image
	if err := json.Unmarshal(out, &list); err != nil || len(list) != 1 {
		return nil, fmt.Errorf("%s: docker image inspect %s is not understood", p.Host.Name(), remote.Clean(ref))
	}
	return &list[0], nil
}

func noSuchImage(stderr []byte) bool {
	return bytes.Contains(bytes.ToLower(stderr), []byte("no such image"))
}

// manifestArgv asks the registry, with the host's own credentials, for an image.
func manifestArgv(ref string, insecure bool) []string {
	argv := []string{"docker", "manifest", "inspect", "--verbose"}
	if insecure {
		argv = append(argv, "--insecure")
	}
	return append(argv, ref)
}

// Manifest is what a registry has under a reference.
type Manifest struct {
	Digest string // "" when it does not tell: an image for several platforms
	Size   int64  // of what would be pulled, compressed; 0 when it does not tell
	// Platforms are the digests of the images of an image for several platforms: "linux/amd64" to that platform's.
	Platforms map[string]string
}

// For is the digest of what an engine of a platform pulls of it.
func (m Manifest) For(platform string) string {
	if m.Digest != "" {
		return m.Digest
	}
	return m.Platforms[platform]
}

// Manifest asks the registry for an image. An error means that the image cannot be pulled.
func (p Probe) Manifest(ctx context.Context, ref string, insecure bool) (Manifest, error) {
	out, err := p.Run(ctx, remote.Command{Argv: manifestArgv(ref, insecure)})
	var f *Failure
	if errors.As(err, &f) && bytes.Contains(f.Res.Stderr, []byte("unsupported manifest")) {
		return Manifest{}, nil // the registry has it; this docker program is older than its format
	}
	if err != nil {
		return Manifest{}, err
	}
	type layers struct {
		Layers []struct{ Size int64 }
	}
	var one struct {
		Descriptor       struct{ Digest string }
		SchemaV2Manifest layers
		OCIManifest      layers
	}
	if bytes.HasPrefix(bytes.TrimSpace(out), []byte("[")) {
		return Manifest{Platforms: platforms(out)}, nil
	}
	if json.Unmarshal(out, &one) != nil || !digestGrammar.MatchString(one.Descriptor.Digest) {
		return Manifest{}, nil
	}
	m := Manifest{Digest: one.Descriptor.Digest}
	for _, l := range append(one.SchemaV2Manifest.Layers, one.OCIManifest.Layers...) {
		m.Size += max(0, l.Size)
	}
	return m, nil
}

// platforms reads what docker manifest inspect --verbose says of an image for several platforms; nil when not all of it is
// understood. What is for no platform is no image but what was noted of one when it was built.
func platforms(out []byte) map[string]string {
	var list []struct {
		Descriptor struct {
			Digest   string
			Platform struct{ OS, Architecture, Variant string }
		}
	}
	if json.Unmarshal(out, &list) != nil {
		return nil
	}
	all := map[string]string{}
	for _, e := range list {
		p := e.Descriptor.Platform
		if p.OS == "unknown" {
			continue
		}
		name := platform(p.OS, p.Architecture, p.Variant)
		if _, twice := all[name]; twice || p.OS == "" || p.Architecture == "" || !digestGrammar.MatchString(e.Descriptor.Digest) {
			return nil
		}
		all[name] = e.Descriptor.Digest
	}
	return all
}

// platform is the name of one, as images have it.
func platform(os, arch, variant string) string {
	switch {
	case arch == "arm64" && variant == "v8":
		variant = ""
	case variant != "":
		variant = "/" + variant
	}
	return os + "/" + arch + variant
}

// Platform is that of an engine, as images name it; "" when it does not say.
func (e Engine) Platform() string {
	if e.OSType == "" || e.Architecture == "" {
		return ""
	}
	arch, variant := e.Architecture, ""
	switch arch {
	case "x86_64":
		arch = "amd64"
	case "aarch64":
		arch = "arm64"
	case "armv7l":
		arch, variant = "arm", "v7"
	case "armv6l":
		arch, variant = "arm", "v6"
	}
	return platform(e.OSType, arch, variant)
}
