package fleet

import "time"

// Input is everything the join looks at. The same input gives the same Snapshot, whatever the order of Reports.
type Input struct {
	Seq         uint64
	Now         time.Time
	Environment string
	Hosts       []Host // configured hosts of the environment: Name, Environment, Address are set
	Reports     []Report
	Rules       Rules
}

// Rules are the knobs of the join, from [join] of the config.
type Rules struct {
	// Aliases maps a name found in a source to the service it means: "nexgate-ai" = "ai".
	Aliases map[string]string
	// Containers maps a container name to a service by a pattern with one "*": "vpn-*".
	Containers []string
	// Ignore are service names or patterns with "*" that are not shown.
	Ignore []string
	// Companions maps a service to the one it is a part of: "file-thunder-clamav" = "file-thunder".
	Companions map[string]string
	Thresholds Thresholds
	// Services overrides thresholds for single services.
	Services map[string]Thresholds
}

// Thresholds say when a figure becomes a reason. Zero means the default.
type Thresholds struct {
	ErrorRatioWarning  float64       // of requests, default 0.01
	ErrorRatioCritical float64       // default 0.05
	P95Warning         time.Duration // default 1 s
	P95Critical        time.Duration // default 5 s
	MemoryWarning      float64       // of the limit, default 0.9
	MemoryCritical     float64       // default 0.97
	CPUWarning         float64       // of the limit, default 0.9
	LogErrorsWarning   float64       // error lines per minute, default 10
	RestartsWarning    int           // unexpected ends in 10 min, default 1
	RestartsCritical   int           // default 3
	MinRequestsPerMin  float64       // below it an error ratio is no reason, default 3
	StartingGrace      time.Duration // a container may be starting that long, default 2 min
}
