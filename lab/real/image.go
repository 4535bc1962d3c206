package real

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	typeManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeConfig   = "application/vnd.docker.container.image.v1+json"
	typeLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

type descriptor struct {
	MediaType string `json:"mediaType"`
	Size      int    `json:"size"`
	Digest    string `json:"digest"`
}

func digest(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}

// layer is one program as an image's only layer: `FROM scratch`, `COPY app /app`.
type layer struct {
	blob   []byte // gzipped
	diffID string
}

func newLayer(program string) (layer, error) {
	b, err := os.ReadFile(program)
	if err != nil {
		return layer{}, fmt.Errorf("make the image layer: %w", err)
	}
	var raw, zipped bytes.Buffer
	tw := tar.NewWriter(&raw)
	head := &tar.Header{Name: "app", Mode: 0o755, Size: int64(len(b)), ModTime: firstRelease(), Typeflag: tar.TypeReg}
	if err := tw.WriteHeader(head); err != nil {
		return layer{}, fmt.Errorf("make the image layer: %w", err)
	}
	if _, err := tw.Write(b); err != nil {
		return layer{}, fmt.Errorf("make the image layer: %w", err)
	}
	if err := tw.Close(); err != nil {
		return layer{}, fmt.Errorf("make the image layer: %w", err)
	}
	zw := gzip.NewWriter(&zipped)
	if _, err := zw.Write(raw.Bytes()); err != nil {
		return layer{}, fmt.Errorf("make the image layer: %w", err)
	}
	if err := zw.Close(); err != nil {
		return layer{}, fmt.Errorf("make the image layer: %w", err)
	}
	return layer{blob: zipped.Bytes(), diffID: digest(raw.Bytes())}, nil
}

// firstRelease dates the images: fixed, so that the same sources give the same digests.
func firstRelease() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) }

// imageConfig is the config blob of one release of one service.
func imageConfig(s servicePlan, tag string, diffID string) ([]byte, error) {
	env := append([]string{"APP_SERVICE=" + s.name, "APP_VERSION=" + tag}, s.behaviour(tag)...)
	config := map[string]any{
		"Env":          env,
		"Entrypoint":   []string{"/app"},
		"ExposedPorts": map[string]any{"8080/tcp": struct{}{}},
		"StopSignal":   "SIGTERM",
		"Labels": map[string]string{
			"org.opencontainers.image.title":    s.name,
			"org.opencontainers.image.version":  tag,
			"org.opencontainers.image.revision": digest([]byte(s.name + tag))[7:47],
			"org.opencontainers.image.source":   "https://git.nexgate.lab/" + s.image,
		},
		"Healthcheck": map[string]any{
			"Test":     []string{"CMD", "/app", "-healthcheck"},
			"Interval": 3 * time.Second, "Timeout": 2 * time.Second, "StartPeriod": 2 * time.Second, "Retries": 2,
		},
	}
	b, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "created": firstRelease(), "config": config,
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{diffID}},
		"history": []map[string]any{{"created": firstRelease(), "created_by": "COPY app /app"}},
	})
	if err != nil {
		return nil, fmt.Errorf("make the image config of %s %s: %w", s.name, tag, err)
	}
	return b, nil
}

// registry pushes to a registry by its HTTP API: no Engine is needed to make images this small.
type registry struct {
	base   string
	client *http.Client
}

func (r registry) pushAll(ctx context.Context, program string) error {
	l, err := newLayer(program)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range servicePlans() {
		g.Go(func() error {
			ld, err := r.blob(ctx, s.image, typeLayer, l.blob)
			if err != nil {
				return err
			}
			for _, tag := range s.releases() {
				if err := r.push(ctx, s, tag, l, ld); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("fill the registry: %w", err)
	}
	return nil
}

func (r registry) push(ctx context.Context, s servicePlan, tag string, l layer, ld descriptor) error {
	b, err := imageConfig(s, tag, l.diffID)
	if err != nil {
		return err
	}
	cd, err := r.blob(ctx, s.image, typeConfig, b)
	if err != nil {
		return err
	}
	m, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest, "config": cd, "layers": []descriptor{ld},
	})
	if err != nil {
		return fmt.Errorf("make the manifest of %s %s: %w", s.name, tag, err)
	}
	_, err = r.do(ctx, http.MethodPut, r.base+"/v2/"+s.image+"/manifests/"+tag, typeManifest, m)
	return err
}

// blob uploads in the two steps the protocol has.
func (r registry) blob(ctx context.Context, repo, mediaType string, b []byte) (descriptor, error) {
	d := descriptor{MediaType: mediaType, Size: len(b), Digest: digest(b)}
	at, err := r.do(ctx, http.MethodPost, r.base+"/v2/"+repo+"/blobs/uploads/", "", nil)
	if err != nil {
		return d, err
	}
	u, err := url.Parse(at)
	if err != nil {
		return d, fmt.Errorf("registry: upload to %q: %w", at, err)
	}
	q := u.Query()
	q.Set("digest", d.Digest)
	u.RawQuery = q.Encode()
	_, err = r.do(ctx, http.MethodPut, u.String(), "application/octet-stream", b)
	return d, err
}

func (r registry) do(ctx context.Context, method, at, contentType string, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("registry: %w", err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("registry: %w", err)
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return "", fmt.Errorf("registry: %s %s: %s: %s", method, at, resp.Status, text)
	}
	return resp.Header.Get("Location"), nil
}
