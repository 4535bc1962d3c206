package sim

import (
	"fmt"
	"time"

	"github.com/nexgate-hq/nexops/lab/sim/internal/nexgate"
	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

const scaleServices = 500 // at most; beyond it services have several instances

// scaleHosts are many machines without a checkout.
func scaleHosts(s Scale, now time.Time) []nexgate.Host {
	out := make([]nexgate.Host, 0, s.Hosts)
	for i := range s.Hosts {
		h := nexgate.Host{Project: "scale"}
		h.Name, h.Environment = fmt.Sprintf("scale-%03d", i+1), "scale"
		h.Engine = world.Engine{Version: "28.5.1", APIVersion: "1.51", MinVersion: "1.24", GoVersion: "go1.24.8", GitCommit: "f8215cc"}
		h.CPUs, h.Memory, h.Booted = 16, 64<<30, now.AddDate(0, 0, -30)
		out = append(out, h)
	}
	return out
}

// populateScale fills one of these machines. Containers cost nothing but their record.
func (e *Estate) populateScale(h *host, now time.Time) error {
	perHost := e.opts.Scale.Containers
	services := min(scaleServices, perHost*e.opts.Scale.Hosts)
	index := 0
	for i, name := range e.hostsOf("scale") {
		if name == h.name {
			index = i
		}
	}
	for k := range perHost {
		service := fmt.Sprintf("app-%03d", (index*perHost+k)%services)
		at := now.Add(-time.Duration(1+(index*perHost+k)%700) * time.Hour)
		img := e.publish(service, "registry.scale.internal/"+service, "1.0.0", at)
		if _, _, err := e.world.Pull(h.name, img.Ref(), at); err != nil {
			return fmt.Errorf("sim: %w", err)
		}
		spec := &world.Spec{
			Environment: "scale", Host: h.name, Project: "scale", Service: service, Name: fmt.Sprintf("scale-%s-%d", service, k+1),
			WorkDir: "/opt/scale", ConfigFile: "/opt/scale/compose.yml", Command: []string{"/app"}, Limits: world.Limits{CPU: 1, Memory: 256 << 20}, Check: true,
			Share:   float64(services) / float64(perHost*e.opts.Scale.Hosts),
			Profile: scaleProfile(k),
		}
		h.specs[service] = spec
		if _, err := e.world.Replace(spec, nil, img, at); err != nil {
			return fmt.Errorf("sim: %w", err)
		}
	}
	return nil
}

// scaleProfile lets one container in twenty be watched as the estate's services are; of the others
// there are container metrics only. Ten thousand histograms of an hour are more than any server answers at once.
func scaleProfile(k int) world.Profile {
	p := world.Profile{Lang: world.Plain, CPU: 0.1, Memory: 120 << 20, Lines: 0.01, Boot: time.Second, Unshipped: true}
	if k%20 == 0 {
		p.Lang, p.RPS, p.Errors, p.P50, p.P95 = world.Node, 20, 0.001, 20*time.Millisecond, 90*time.Millisecond
		p.Lines, p.ErrorLines, p.Unshipped = 0.05, 0.0005, false
	}
	return p
}
