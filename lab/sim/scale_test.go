package sim_test

import (
	"testing"

	"github.com/docker/docker/api/types/container"

	"github.com/nexgate-hq/nexops/lab/sim"
)

func TestScale(t *testing.T) {
	e := start(t, sim.Options{Still: true, Scale: sim.Scale{Hosts: 12, Containers: 40}})
	if n := len(e.Hosts()); n != 4+12 {
		t.Fatalf("%d hosts, want 16", n)
	}
	total := 0
	for _, name := range []string{"scale-001", "scale-012"} {
		list, err := engine(t, login(t, e, name)).ContainerList(t.Context(), container.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		total += len(list)
	}
	if total != 80 {
		t.Errorf("%d containers on two hosts, want 80", total)
	}
}

// BenchmarkList is one list of 100 containers over SSH, as a console with as many hosts asks often.
func BenchmarkList(b *testing.B) {
	e := start(b, sim.Options{Still: true, Scale: sim.Scale{Hosts: 1, Containers: 100}})
	d := engine(b, login(b, e, "scale-001"))
	for b.Loop() {
		if _, err := d.ContainerList(b.Context(), container.ListOptions{All: true}); err != nil {
			b.Fatal(err)
		}
	}
}
