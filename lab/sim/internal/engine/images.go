package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/api/types/storage"
	"github.com/docker/docker/api/types/system"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

func (s *Server) images(w http.ResponseWriter, _ *http.Request) {
	out := []image.Summary{}
	for _, img := range s.world.HostImages(s.host) {
		out = append(out, image.Summary{
			ID: img.ID, Created: img.Created.Unix(), RepoTags: []string{img.Ref()}, RepoDigests: []string{img.Repo + "@" + img.Digest},
			Size: img.Size, VirtualSize: img.Size, SharedSize: -1, Containers: -1, Labels: map[string]string{},
		})
	}
	reply(w, out)
}

func (s *Server) imageInspect(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutSuffix(r.PathValue("rest"), "/json")
	if !ok {
		fail(w, http.StatusNotFound, "page not found")
		return
	}
	img, ok := s.world.HostImage(s.host, name)
	if !ok {
		fail(w, http.StatusNotFound, "No such image: "+name)
		return
	}
	s.reply(w, InspectImage(img), oldImage)
}

// InspectImage is the whole record of an image that lies on a host.
func InspectImage(img *world.Image) image.InspectResponse {
	out := image.InspectResponse{
		ID: img.ID, RepoTags: []string{img.Ref()}, RepoDigests: []string{img.Repo + "@" + img.Digest},
		Created: stamp(img.Created), DockerVersion: "", Architecture: "amd64", Os: "linux", Size: img.Size, VirtualSize: img.Size,
		GraphDriver: storage.DriverData{Name: "overlay2", Data: map[string]string{"MergedDir": "/var/lib/docker/overlay2/" + hexID(img.ID) + "/merged"}},
		RootFS:      image.RootFS{Type: "layers", Layers: []string{"sha256:" + hexID(img.Repo), "sha256:" + hexID(img.Ref())}},
		Config:      &dockerspec.DockerOCIImageConfig{},
	}
	out.Config.Labels = map[string]string{"org.opencontainers.image.version": img.Tag}
	out.Metadata.LastTagTime = img.Created
	return out
}

func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	s.reply(w, Info(s.world, s.hostNow()), oldInfo)
}

// Info is what the engine says of its host.
func Info(w *world.World, h world.Host) system.Info {
	out := system.Info{
		ID: strings.ToUpper(hexID("engine" + h.Name)[:32]), Name: h.Name, ServerVersion: h.Engine.Version, Driver: "overlay2",
		DriverStatus: [][2]string{{"Backing Filesystem", "extfs"}, {"Supports d_type", "true"}},
		NCPU:         h.CPUs, MemTotal: h.Memory, OperatingSystem: "Ubuntu 24.04.1 LTS", OSVersion: "24.04", OSType: "linux",
		Architecture: "x86_64", KernelVersion: kernel, CgroupDriver: "systemd", CgroupVersion: "2", LoggingDriver: "json-file",
		DockerRootDir: "/var/lib/docker", SystemTime: stamp(w.Now()), MemoryLimit: true, SwapLimit: true, CPUCfsPeriod: true,
		CPUCfsQuota: true, CPUShares: true, CPUSet: true, PidsLimit: true, IPv4Forwarding: true, NFd: 41, NGoroutines: 57,
		IndexServerAddress: "https://index.docker.io/v1/", DefaultRuntime: "runc", InitBinary: "docker-init",
		Runtimes:        map[string]system.RuntimeWithStatus{"runc": {Runtime: system.Runtime{Path: "runc"}}},
		SecurityOptions: []string{"name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"},
		Plugins: system.PluginsInfo{
			Volume: []string{"local"}, Network: []string{"bridge", "host", "ipvlan", "macvlan", "null", "overlay"}, Log: []string{"json-file", "local"},
		},
		RegistryConfig: &registry.ServiceConfig{
			IndexConfigs: map[string]*registry.IndexInfo{"docker.io": {Name: "docker.io", Mirrors: []string{}, Secure: true, Official: true}},
			Mirrors:      []string{},
		},
		ContainerdCommit: system.Commit{ID: "7f7fdf5fed64eb6a7caf99b3e12efcf9d60e311c"}, RuncCommit: system.Commit{ID: "v1.1.14-0-g2c9f560"},
		InitCommit: system.Commit{ID: "de40ad0"}, Images: len(w.HostImages(h.Name)), Labels: []string{},
	}
	out.Swarm.LocalNodeState = "inactive"
	for _, c := range w.Containers(h.Name) {
		out.Containers++
		if c.State == world.Running || c.State == world.Restarting {
			out.ContainersRunning++
		} else {
			out.ContainersStopped++
		}
	}
	return out
}

func hexID(of string) string {
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:])
}
