package real

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
)

const modulePath = "github.com/nexgate-hq/nexops"

// tool is a program that no package has: built once from its module, in a
// module of its own, and kept in the cache under its version.
type tool struct {
	file    string // in the cache
	mod     string // go.mod of the scratch module, without its first line
	pkg     string
	get     string
	ldflags string
}

func tools() []tool {
	return []tool{
		{
			file: "docker-compose-v2.40.3", pkg: "github.com/docker/compose/v2/cmd", get: "github.com/docker/compose/v2/cmd@v2.40.3",
			ldflags: "-X github.com/docker/compose/v2/internal.Version=v2.40.3",
		},
		{
			file: "loki-3.7.8", pkg: "github.com/grafana/loki/v3/cmd/loki", get: "github.com/grafana/loki/v3/cmd/loki@v3.7.8",
			// Its own go.mod's, which a module that requires it does not inherit.
			mod: `go 1.26.5
exclude k8s.io/client-go v8.0.0+incompatible
replace (
	github.com/Azure/azure-sdk-for-go => github.com/Azure/azure-sdk-for-go v68.0.0+incompatible
	github.com/Azure/azure-storage-blob-go => github.com/MasslessParticle/azure-storage-blob-go v0.14.1-0.20240322194317-344980fda573
	github.com/gocql/gocql => github.com/grafana/gocql v0.0.0-20200605141915-ba5dc39ece85
	github.com/hashicorp/memberlist => github.com/grafana/memberlist v0.3.1-0.20251126142931-6f9f62ab6f86
	github.com/grafana/regexp => github.com/grafana/regexp v0.0.0-20240518133315-a468a5bfb3bc
	github.com/influxdata/go-syslog/v3 => github.com/leodido/go-syslog/v4 v4.3.0
	github.com/thanos-io/objstore => github.com/grafana/objstore v0.0.0-20250728171719-b5d3b766d1b0
)
`,
		},
		{file: s3Tool, pkg: "github.com/versity/versitygw/cmd/versitygw", get: "github.com/versity/versitygw/cmd/versitygw@v1.8.0"},
	}
}

// build makes every program the lab needs: the slow ones unless cached, its own
// anew (the Go build cache makes that quick).
func (p places) build(ctx context.Context, say func(string, ...any)) error {
	if err := os.MkdirAll(p.bin(""), 0o755); err != nil {
		return fmt.Errorf("make the cache folder: %w", err)
	}
	src, err := moduleDir(ctx)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, name := range []string{"app", "labd"} {
		g.Go(func() error {
			return p.goBuild(gctx, src, p.bin(name), "./lab/real/"+name, "")
		})
	}
	g.Go(func() error {
		return p.goBuild(gctx, filepath.Join(src, "lab/real/cadvisor"), p.bin("cadvisor"), ".", "")
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("build the lab: %w", err)
	}
	for _, t := range tools() { // one after the other: each takes the whole machine
		if _, err := os.Stat(p.bin(t.file)); err == nil {
			continue
		}
		say("building %s: minutes, once", t.file)
		if err := p.buildTool(ctx, t); err != nil {
			return fmt.Errorf("build %s: %w", t.file, err)
		}
	}
	return nil
}

// sweep removes what a killed build left in the cache.
func (p places) sweep() {
	for _, pattern := range []string{p.bin("*.new-*"), filepath.Join(p.cache, "build-*")} {
		left, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		for _, f := range left {
			_ = os.RemoveAll(f) // what stays is only disk space, and is tried again
		}
	}
}

func (p places) buildTool(ctx context.Context, t tool) error {
	dir, err := os.MkdirTemp(p.cache, "build-")
	if err != nil {
		return fmt.Errorf("make a scratch module: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module scratch\n"+t.mod), 0o600); err != nil {
		return fmt.Errorf("make a scratch module: %w", err)
	}
	if _, err := runIn(ctx, dir, []string{"GOFLAGS=-mod=mod", "GOWORK=off", marker + "=" + p.root}, nil, "nice", "go", "get", t.get); err != nil {
		return err
	}
	return p.goBuild(ctx, dir, p.bin(t.file), t.pkg, t.ldflags)
}

// goBuild builds beside the target and renames, so that a kill leaves no half
// program. It begins with a copy of the target: what is up to date is not linked again.
func (p places) goBuild(ctx context.Context, dir, out, pkg, ldflags string) error {
	tmp := fmt.Sprintf("%s.new-%d", out, os.Getpid())
	if _, err := os.Stat(out); err == nil {
		if err := copyFile(out, tmp); err != nil {
			return err
		}
	}
	env := []string{"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", marker + "=" + p.root}
	_, err := runIn(ctx, dir, env, nil, "nice", "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", strings.TrimSpace("-s -w "+ldflags), "-o", tmp, pkg)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, out); err != nil {
		return fmt.Errorf("keep %s: %w", out, err)
	}
	return nil
}

// moduleDir is where this module's sources are, from anywhere inside it.
func moduleDir(ctx context.Context) (string, error) {
	out, err := run(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}")
	if err != nil {
		return "", fmt.Errorf("find the sources: %w", err)
	}
	path, dir, _ := strings.Cut(strings.TrimSpace(out), " ")
	if path != modulePath {
		return "", fmt.Errorf("find the sources: in module %s: run it inside a checkout of %s", path, modulePath)
	}
	return dir, nil
}

// place puts a cached program where the hosts can see it: a hard link when it can be one.
func place(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("place %s: %w", to, err)
	}
	if os.Link(from, to) == nil {
		return nil
	}
	return copyFile(from, to)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return fmt.Errorf("copy to %s: %w", to, err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy to %s: %w", to, err)
	}
	return nil
}
