package fleet

import "time"

// State is what an instance is doing, in the container engine's words.
type State string

// The states of an instance. A state that is not listed is shown as it came.
const (
	StateRunning    State = "running"
	StateRestarting State = "restarting"
	StatePaused     State = "paused"
	StateCreated    State = "created"
	StateExited     State = "exited"
	StateRemoving   State = "removing"
	StateDead       State = "dead"
	StateUnknown    State = "unknown"
)

// Health is the verdict of a health check, of an instance or of a whole service.
type Health string

// The healths. A service's health is the worst of its instances'.
const (
	HealthHealthy   Health = "healthy"   // a check says so
	HealthStarting  Health = "starting"  // within its start period
	HealthUnhealthy Health = "unhealthy" // a check fails
	HealthDown      Health = "down"      // not running at all
	HealthNone      Health = "none"      // running, has no health check
	HealthUnknown   Health = "unknown"   // cannot be seen
)

// Limits are what the engine lets an instance use. Zero means no limit.
type Limits struct {
	CPU    float64 // cores
	Memory int64   // bytes
}

// Subject is how a source names what a fact is about, before the join has
// decided which service that is. Empty fields are unknown.
type Subject struct {
	Environment string
	Host        string // config name of a host
	Project     string // Compose project
	Service     string // Compose service, or the service label of a metric or log stream
	Container   string // container name, no leading slash
}

// Instance is one container (later: unit, LXC, pod, task).
type Instance struct {
	ID           string // engine's id, whole
	Kind         string // "container"
	Host         string // config name of its host
	Name         string // container name, no leading slash
	Subject      Subject
	Release      Release
	State        State
	Health       Health
	HealthOutput string // last output of the health check, one line, at most 200 bytes
	Life         Life
	Limits       Limits
	OneOff       bool              // "docker compose run", not part of the service
	Ports        []string          // "0.0.0.0:8080->80/tcp"
	Labels       map[string]string // labels an action may need (com.docker.compose.*, org.opencontainers.image.*)
}

// Image is an image that lies on a host, ready to run without a pull.
type Image struct {
	Host    string
	ID      string
	Tags    []string // "repo:tag"
	Digests []string // "repo@sha256:..."
	Created time.Time
	Size    int64 // bytes
}

// Life is when and how an instance began and ended.
type Life struct {
	Restarts   int // the engine's restart count
	ExitCode   int // of the last exit; meaningful when not running
	OOMKilled  bool
	Error      string      // the engine's error for it, e.g. a failed start
	CreatedAt  time.Time   // when the container was created
	StartedAt  time.Time   // zero when never
	FinishedAt time.Time   // zero when never
	Exits      []time.Time // unexpected ends seen in the last 10 minutes, oldest first, across re-creations of the name with the same release
}

// Host is one machine of the estate. Its identity is its config name.
type Host struct {
	Name        string
	Environment string
	Address     string
	Up          bool      // reachable and its engine answers
	Error       string    // why not, in words
	Since       time.Time // of Up or not Up; zero when not known
	Engine      string    // "docker 20.10.24, api 1.41"
	CPUs        int
	Memory      int64 // bytes
}
