package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"

	"github.com/nexgate-hq/nexops/lab/sim/internal/engine"
	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

// docker is the docker program, as far as it is needed here.
func (c *call) docker(ctx context.Context, args []string) int {
	if len(args) == 0 {
		return c.fail(1, "usage: docker COMMAND")
	}
	h, _ := c.m.World.Host(c.m.Name)
	switch {
	case args[0] == "compose":
		return c.compose(ctx, args[1:])
	case args[0] == "info":
		return c.template(args[1:], engine.Info(c.m.World, h))
	case args[0] == "version":
		return c.template(args[1:], map[string]any{
			"Client": map[string]string{"Version": h.Engine.Version, "ApiVersion": h.Engine.APIVersion}, "Server": engine.Version(h),
		})
	case args[0] == "exec":
		return c.dockerExec(ctx, args[1:])
	case args[0] == "ps" && slices.Contains(args, "--filter"):
		return c.listService(args[1:])
	case args[0] == "ps":
		return c.ps(args[1:])
	case args[0] == "stop" || args[0] == "rm":
		return c.end(ctx, args[0], args[1:])
	case len(args) == 3 && args[0] == "image" && args[1] == "inspect":
		return c.imageInspect(args[2])
	case len(args) == 5 && slices.Equal(args[:4], []string{"container", "inspect", "--format", "{{json .State}}"}):
		return c.containerState(args[4])
	case len(args) == 2 && args[0] == "pull":
		return c.dockerPull(ctx, args[1])
	case len(args) >= 3 && args[0] == "manifest" && args[1] == "inspect":
		return c.manifestInspect(args[2:])
	case slices.Equal(args, []string{"system", "dial-stdio"}):
		return c.dialStdio(ctx)
	}
	return c.fail(1, "docker: '%s' is not a docker command.\nSee 'docker --help'", strings.Join(args, " "))
}

// template prints v for the one template that programs use, or as plain text.
func (c *call) template(args []string, v any) int {
	switch {
	case len(args) == 2 && (args[0] == "--format" || args[0] == "-f") && (args[1] == "{{json .}}" || args[1] == "json"),
		len(args) == 1 && (args[0] == "--format={{json .}}" || args[0] == "--format=json"):
		return c.json(v, "")
	case len(args) == 0:
		return c.json(v, "  ")
	}
	return c.fail(64, "template parsing error: only {{json .}} is known here")
}

func (c *call) json(v any, indent string) int {
	enc := json.NewEncoder(c.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return c.fail(1, "%v", err)
	}
	return 0
}

func (c *call) imageInspect(ref string) int {
	img, ok := c.m.World.HostImage(c.m.Name, ref)
	if !ok {
		_ = c.say("[]")
		return c.fail(1, "Error: No such image: %s", ref)
	}
	return c.json([]any{engine.InspectImage(img)}, "    ")
}

func (c *call) dockerPull(ctx context.Context, ref string) int {
	if !c.pause(ctx, c.m.Pace) {
		return 130
	}
	img, _, err := c.m.World.Pull(c.m.Name, ref, c.m.World.Now())
	if err != nil {
		return c.fail(1, "Error response from daemon: manifest for %s not found: manifest unknown: manifest unknown", ref)
	}
	return c.say("Digest: %s\nStatus: Downloaded newer image for %s\n%s", img.Digest, ref, ref)
}

func (c *call) manifestInspect(args []string) int {
	verbose := false
	for len(args) > 1 {
		switch args[0] {
		case "--verbose", "-v":
			verbose = true
		case "--insecure":
		default:
			return c.fail(125, "unknown flag: %s", args[0])
		}
		args = args[1:]
	}
	img, err := c.m.World.Image(args[0])
	if err != nil {
		return c.fail(1, "no such manifest: %s", args[0])
	}
	const mediaType = "application/vnd.docker.distribution.manifest.v2+json"
	manifest := map[string]any{
		"schemaVersion": 2, "mediaType": mediaType,
		"config": map[string]any{"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2417, "digest": img.ID},
		"layers": []any{map[string]any{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": img.Size, "digest": img.Digest}},
	}
	if !verbose {
		return c.json(manifest, "\t")
	}
	return c.json(map[string]any{
		"Ref": img.Ref(),
		"Descriptor": map[string]any{
			"mediaType": mediaType, "digest": img.Digest, "size": 1157,
			"platform": map[string]string{"architecture": "amd64", "os": "linux"},
		},
		"SchemaV2Manifest": manifest,
	}, "\t")
}

func (c *call) ps(args []string) int {
	all, whole, asJSON := false, false, false
	var labels []string
	for i := 0; i < len(args); i++ {
		value := ""
		if i+1 < len(args) {
			value = args[i+1]
		}
		switch {
		case args[i] == "-a" || args[i] == "--all":
			all = true
		case args[i] == "--no-trunc":
			whole = true
		case args[i] == "--filter" && strings.HasPrefix(value, "label="):
			labels = append(labels, strings.TrimPrefix(value, "label="))
			i++
		case args[i] == "--format" && value == "{{json .}}":
			asJSON = true
			i++
		default:
			return c.fail(125, "unknown flag: %s", args[i])
		}
	}
	list := slices.DeleteFunc(slices.Clone(c.m.World.Containers(c.m.Name)), func(k *world.Container) bool {
		if !all && k.State != world.Running {
			return true
		}
		return slices.ContainsFunc(labels, func(l string) bool {
			key, value, _ := strings.Cut(l, "=")
			return k.Labels()[key] != value
		})
	})
	if asJSON {
		return c.psJSON(list, whole)
	}
	return c.psTable(list, whole)
}

func (c *call) psJSON(list []*world.Container, whole bool) int {
	now := c.m.World.Now()
	for _, k := range list {
		_ = c.json(map[string]string{
			"ID": shortID(k, whole), "Names": k.Name, "Image": k.Image.Ref(), "State": k.State, "Status": engine.Status(k, now),
		}, "")
	}
	return 0
}

func shortID(k *world.Container, whole bool) string {
	if whole {
		return k.ID
	}
	return k.ID[:12]
}

func (c *call) psTable(list []*world.Container, whole bool) int {
	w := tabwriter.NewWriter(c.stdout, 20, 1, 3, ' ', 0)
	_, _ = fmt.Fprintln(w, "CONTAINER ID\tIMAGE\tCOMMAND\tCREATED\tSTATUS\tPORTS\tNAMES")
	now := c.m.World.Now()
	for _, k := range list {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%q\t%s ago\t%s\t%s\t%s\n", shortID(k, whole), k.Image.Ref(), strings.Join(k.Spec.Command, " "),
			units.HumanDuration(now.Sub(k.Created)), engine.Status(k, now), "", k.Name)
	}
	_ = w.Flush()
	return 0
}

// dialStdio joins the session to the engine's socket.
func (c *call) dialStdio(ctx context.Context) int {
	conn, err := c.m.Dial("unix", "/var/run/docker.sock")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var work sync.WaitGroup
	work.Add(1)
	go func() {
		defer work.Done()
		_, _ = io.Copy(conn, c.stdin)
		_ = conn.Close()
	}()
	_, _ = io.Copy(c.stdout, conn)
	_ = conn.Close()
	if closer, ok := c.stdin.(io.Closer); ok {
		_ = closer.Close() // ends the copy above
	}
	work.Wait()
	return 0
}

// pause waits as long as the real thing would take; false when the client has gone.
func (c *call) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
