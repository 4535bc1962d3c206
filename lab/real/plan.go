package real

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// The names under which the lab is known on the machine. Everything it makes
// carries the prefix, so that what a killed run left is told from everything else.
const (
	prefix       = "nxl-"
	lan          = prefix + "lan" // the namespace that holds the switch
	consoleLink  = "nxl0"         // the machine's own end on the lab network
	registryName = "registry.nexgate.lab:5000"
	repoPath     = "/srv/git/nexgate-infra.git"
	checkout     = "/opt/nexgate-infra"
	ops          = "ops"
)

// Releases built of every service. 0.1.0 is what runs at first.
const (
	FirstTag = "0.1.0"
	BadTag   = "0.1.1" // healthy containers, broken in each service's own way
	GoodTag  = "0.1.2"
	SlowTag  = "0.1.3"
	NoisyTag = "0.1.4"
)

type hostPlan struct {
	name    string
	env     string // "" is outside every environment
	last    byte   // last byte of its address
	compose string // the stack file run there, in the checkout
	branch  string
	runs    []string
}

type servicePlan struct {
	name  string
	image string // its repository in the registry
	port  int    // published on the host
	rps   float64
	bad   []string // what its 0.1.1 is built with
	tags  []string // its history, oldest first; the last is FirstTag
}

// key is the service's variable in tag.env.
func (s servicePlan) key() string {
	return strings.ToUpper(strings.ReplaceAll(s.name, "-", "_")) + "_TAG"
}

func hostPlans() []hostPlan {
	return []hostPlan{
		{name: ops, last: 5},
		{
			name: "staging", env: "staging", last: 21, compose: "staging/stack.yml", branch: "staging",
			runs: []string{"ai", "backend", "file-thunder", "notification"},
		},
		{
			name: "prod-1", env: "prod", last: 11, compose: "prod/prod-1.yml", branch: "master",
			runs: []string{"ai", "backend", "notification"},
		},
		{
			name: "prod-2", env: "prod", last: 12, compose: "prod/prod-2.yml", branch: "master",
			runs: []string{"backend", "file-thunder"},
		},
	}
}

func servicePlans() []servicePlan {
	return []servicePlan{
		{
			name: "ai", image: "nexgate/ai-service", port: 8081, rps: 8,
			bad:  []string{"APP_ERROR_RATIO=0.85"},
			tags: []string{"0.0.7", "0.0.8", "0.0.9", FirstTag},
		},
		{
			name: "backend", image: "nexgate/nexgate-backend", port: 8082, rps: 5,
			bad:  []string{"APP_LEAK_MIB=4"},
			tags: []string{"0.0.8", "0.0.9", FirstTag},
		},
		{
			name: "file-thunder", image: "nexgate/file-thunder", port: 8083, rps: 4,
			bad:  []string{"APP_UNHEALTHY_AFTER=5s"},
			tags: []string{"0.0.9", FirstTag},
		},
		{
			name: "notification", image: "nexgate/notification-server", port: 8084, rps: 4,
			bad:  []string{"APP_CRASH_AFTER=4s"},
			tags: []string{"0.0.8", "0.0.9", FirstTag},
		},
	}
}

// behaviour is what a release of a service is built with.
func (s servicePlan) behaviour(tag string) []string {
	switch tag {
	case BadTag:
		return s.bad
	case SlowTag:
		return []string{"APP_SLOW=1800ms"}
	case NoisyTag:
		return []string{"APP_LOG_RATE=500"}
	}
	return nil
}

// releases are all the tags the registry has of a service.
func (s servicePlan) releases() []string {
	return append(slices.Clone(s.tags), BadTag, GoodTag, SlowTag, NoisyTag)
}

func serviceByName(name string) (servicePlan, error) {
	var names []string
	for _, s := range servicePlans() {
		if s.name == name {
			return s, nil
		}
		names = append(names, s.name)
	}
	return servicePlan{}, fmt.Errorf("no service %q in the lab: it has %s", name, strings.Join(names, ", "))
}

// hostsOf are the hosts of env that run the service, all hosts of env when service is "".
func hostsOf(env, service string) []hostPlan {
	var out []hostPlan
	for _, h := range hostPlans() {
		if h.env == env && h.env != "" && (service == "" || slices.Contains(h.runs, service)) {
			out = append(out, h)
		}
	}
	return out
}

func environments() []string {
	seen := map[string]bool{}
	for _, h := range hostPlans() {
		if h.env != "" {
			seen[h.env] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// freeSubnet is the first of the lab's own networks that no address or route of
// the machine touches.
func freeSubnet(taken []netip.Prefix) (netip.Prefix, error) {
	for third := 77; third < 100; third++ {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(third), 0, 0}), 24)
		if !slices.ContainsFunc(taken, p.Overlaps) {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("every network from 10.77.0.0/24 to 10.99.0.0/24 is in use on this machine: free one of them")
}

// at is the address with the given last byte in the lab's network.
func at(p netip.Prefix, last byte) string {
	a := p.Addr().As4()
	a[3] = last
	return netip.AddrFrom4(a).String()
}
