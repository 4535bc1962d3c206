package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/lab/real"
)

func TestWithoutALabItSaysWhatToDo(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, args := range [][]string{{"state"}, {"config"}, {"status"}, {"deploy", "ai", "prod", "0.1.1"}, {"fault", "loki", "stop"}} {
		err := run(t.Context(), io.Discard, io.Discard, args)
		if err == nil || !strings.Contains(err.Error(), "labctl up") {
			t.Errorf("%v: %v, want the command that helps", args, err)
		}
	}
}

func TestUsage(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	if err := os.MkdirAll(filepath.Join(cache, "nexops-lab"), 0o755); err != nil {
		t.Fatal(err)
	}
	state := `{"version":1,"root":"` + cache + `","config":"/there/config.toml"}`
	if err := os.WriteFile(filepath.Join(cache, "nexops-lab", "state.json"), []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		nil, {"fly"}, {"up", "-x"}, {"deploy", "ai"}, {"app", "ai"}, {"fault", "loki"}, {"fault", "loki", "fly"}, {"fault", "prod-1", "sshd", "fly"},
	} {
		if err := run(t.Context(), io.Discard, io.Discard, args); !errors.Is(err, errUsage) {
			t.Errorf("%v: %v, want wrong usage", args, err)
		}
	}
	var out strings.Builder
	if err := run(t.Context(), &out, io.Discard, []string{"config"}); err != nil || out.String() != "/there/config.toml\n" {
		t.Errorf("config printed %q, %v", out.String(), err)
	}
}

// TestEveryFaultInTheUsageExists keeps the help and the program together.
func TestEveryFaultInTheUsageExists(t *testing.T) {
	l := &real.Lab{}
	servers, hosts := serverFaults(l), hostFaults(l)
	n := 0
	for line := range strings.Lines(usage) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "fault" {
			continue
		}
		for _, verb := range strings.Split(f[len(f)-1], "|") {
			n++
			if f[1] == "HOST" {
				if hosts[f[2]+" "+verb] == nil {
					t.Errorf("no fault HOST %s %s", f[2], verb)
				}
				continue
			}
			for _, name := range strings.Split(f[1], "|") {
				if servers[name+" "+verb] == nil {
					t.Errorf("no fault %s %s", name, verb)
				}
			}
		}
	}
	if n != 16 {
		t.Errorf("the usage names %d faults", n)
	}
}
