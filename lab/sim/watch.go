package sim

import (
	"github.com/nexgate-hq/nexops/lab/sim/internal/loki"
	"github.com/nexgate-hq/nexops/lab/sim/internal/memhttp"
	"github.com/nexgate-hq/nexops/lab/sim/internal/prom"
)

// serveWatchers puts Prometheus and Loki on the loopback of the ops host.
func (e *Estate) serveWatchers() {
	e.prom, e.loki = memhttp.New(prom.New(e.world)), memhttp.New(loki.New(e.world))
	e.prom.Start()
	e.loki.Start()
	ops := e.hosts["ops"].machine
	ops.Reach("tcp", "127.0.0.1:9090", e.prom.Dial)
	ops.Reach("tcp", "127.0.0.1:3100", e.loki.Dial)
}
