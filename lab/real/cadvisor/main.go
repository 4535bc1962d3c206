// Command cadvisor serves one host's container metrics under cAdvisor's own
// names, from cAdvisor's own library: what its image does, without the image.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/google/cadvisor/cache/memory"
	"github.com/google/cadvisor/container"
	_ "github.com/google/cadvisor/container/docker/install" // reads -docker and -docker_only
	v2 "github.com/google/cadvisor/info/v2"
	"github.com/google/cadvisor/manager"
	"github.com/google/cadvisor/metrics"
	"github.com/google/cadvisor/utils/sysfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/utils/clock"
)

func main() {
	addr := flag.String("addr", ":8088", "where to serve /metrics")
	cgroup := flag.String("cgroup", "/docker", "cgroup under which the host's containers are")
	flag.Parse()
	if err := serve(*addr, *cgroup); err != nil {
		fmt.Fprintln(os.Stderr, "cadvisor:", err)
		os.Exit(1)
	}
}

func serve(addr, cgroup string) error {
	set := container.MetricSet{
		container.CpuUsageMetrics:     {},
		container.MemoryUsageMetrics:  {},
		container.NetworkUsageMetrics: {},
		container.OOMMetrics:          {},
	}
	every, dynamic := 2*time.Second, false
	m, err := manager.New(memory.New(time.Minute, nil), sysfs.NewRealSysFs(),
		manager.HousekeepingConfig{Interval: &every, AllowDynamic: &dynamic},
		set, http.DefaultClient, []string{cgroup}, nil, "", 0)
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	if err := m.Start(); err != nil {
		return fmt.Errorf("start the manager: %w", err)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(
		metrics.NewPrometheusCollector(m, metrics.DefaultContainerLabels, set, clock.RealClock{},
			v2.RequestOptions{IdType: v2.TypeName, Count: 1, Recursive: true}),
		metrics.NewPrometheusMachineCollector(m, set))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	srv := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	if err := srv.ListenAndServe(); err != nil {
		return fmt.Errorf("serve %s: %w", addr, err)
	}
	return nil
}
