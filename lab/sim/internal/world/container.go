package world

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// The states of a container, in the engine's words.
const (
	Created    = "created"
	Running    = "running"
	Restarting = "restarting"
	Exited     = "exited"
)

// The healths of a container, in the engine's words.
const (
	HealthNone      = ""
	HealthStarting  = "starting"
	HealthHealthy   = "healthy"
	HealthUnhealthy = "unhealthy"
)

// Image is one release of one service's artifact, with what is wrong with it.
type Image struct {
	Repo    string // "ghcr.io/nexgate-hq/ai-service"
	Tag     string
	ID      string // config digest
	Digest  string // manifest digest
	Created time.Time
	Size    int64
	Flaws   Flaws
}

// Ref is "repo:tag".
func (i Image) Ref() string { return i.Repo + ":" + i.Tag }

// Port is one port of a container; Public is 0 when it is not published.
type Port struct {
	Private int
	Public  int
}

// Spec is one service of one Compose project on one host.
type Spec struct {
	Environment string
	Host        string
	Project     string
	Service     string
	Name        string // of the container
	WorkDir     string // of the project, as the host sees it
	ConfigFile  string
	Command     []string
	Env         []string
	Ports       []Port
	Limits
	Share   float64 // of the service's traffic that this instance gets
	Check   bool    // it has a health check
	Profile Profile
}

// Limits are what a container may use.
type Limits struct {
	CPU    float64 // in cores, 0 is none
	Memory int64   // in bytes, 0 is none
}

// Run is one life of a container's process. End is zero while it runs.
type Run struct {
	Start time.Time
	End   time.Time
	Exit  int
	OOM   bool
}

// maxRuns bounds what a crash loop leaves behind.
const maxRuns = 60

// Container is the record of one container. It is never changed once published:
// an operation puts a changed copy in its place.
type Container struct {
	ID       string
	Spec     *Spec
	Name     string // may differ from Spec.Name while it is being replaced
	Image    *Image
	Created  time.Time
	Removed  time.Time // zero while it exists
	State    string
	Health   string
	Restarts int
	Runs     []Run // oldest first
	Seed     uint64
	said     *utterances
}

func (c *Container) clone() *Container {
	out := *c
	out.Runs = slices.Clone(c.Runs)
	return &out
}

// LastRun is the newest life; ok is false when it never started.
func (c *Container) LastRun() (r Run, ok bool) {
	if len(c.Runs) == 0 {
		return Run{}, false
	}
	return c.Runs[len(c.Runs)-1], true
}

// Pid is a made-up process id, 0 when nothing runs.
func (c *Container) Pid() int {
	if c.State != Running {
		return 0
	}
	return 1000 + int(c.Seed%60000) + c.Restarts
}

// IP is the container's address in the project's network.
func (c *Container) IP() string {
	return "172.20." + strconv.Itoa(int((c.Seed>>8)%4)) + "." + strconv.Itoa(2+int(c.Seed%250))
}

// Labels are what Compose v2 puts on a container, and the image's own.
func (c *Container) Labels() map[string]string {
	s := c.Spec
	labels := map[string]string{
		"org.opencontainers.image.version": c.Image.Tag,
		"org.opencontainers.image.title":   c.Image.Repo[strings.LastIndexByte(c.Image.Repo, '/')+1:],
		"org.opencontainers.image.created": c.Image.Created.UTC().Format(time.RFC3339),
	}
	if s.Project == "" {
		return labels
	}
	labels["com.docker.compose.project"] = s.Project
	labels["com.docker.compose.service"] = s.Service
	labels["com.docker.compose.container-number"] = "1"
	if n := c.Name[strings.LastIndexByte(c.Name, '-')+1:]; n != "" && strings.Trim(n, "0123456789") == "" {
		labels["com.docker.compose.container-number"] = n
	}
	labels["com.docker.compose.oneoff"] = "False"
	labels["com.docker.compose.version"] = "2.40.3"
	labels["com.docker.compose.depends_on"] = ""
	labels["com.docker.compose.image"] = c.Image.ID
	labels["com.docker.compose.config-hash"] = strings.TrimPrefix(fakeDigest("service", s.Service, c.Image.ID), "sha256:")
	labels["com.docker.compose.project.working_dir"] = s.WorkDir
	labels["com.docker.compose.project.config_files"] = s.ConfigFile
	return labels
}
