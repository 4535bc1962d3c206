package compose

import (
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/remote"
)

// TestFailureSaysTheReason, and not what a program happened to print.
func TestFailureSaysTheReason(t *testing.T) {
	git, up := []string{"git", "-C", "/opt/x", "pull"}, []string{"docker", "compose", "up"}
	for _, tt := range []struct {
		name     string
		argv     []string
		out, err string
		want     string
	}{
		{"the last word on stderr", up, "all is well\n", "Container ai-1  Recreate\nError response from daemon: port is already allocated\n", "Error response from daemon: port is already allocated"},
		{"git puts more after it", git, "", "fatal: not a git repository\nhint: run git init\n", "fatal: not a git repository"},
		{"what only looks like git's", up, "", "error: of the program itself, long before\nError response from daemon: no such network\n", "Error response from daemon: no such network"},
		{"its own output is no reason", up, "listening on :8080\nall is well\n", "", `exit code 7, no word on stderr; the end of its output is "all is well"`},
		{"nothing", up, "", "\n", "exit code 7"},
		{"control characters", up, "", "a\x1b[2Jb\n", "b"},
	} {
		f := &Failure{Host: "prod-1", Argv: tt.argv, Res: remote.Result{Code: 7, Stdout: []byte(tt.out), Stderr: []byte(tt.err)}}
		got := f.Error()
		if !strings.HasSuffix(got, tt.want) || strings.Contains(got, "\x1b") || strings.Contains(got, "well") && !strings.Contains(got, "exit code") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	long := &Failure{Host: "prod-1", Argv: up, Res: remote.Result{Code: 1, Stderr: []byte(strings.Repeat("x", 1<<20))}}
	if n := len(long.Error()); n > 400 {
		t.Errorf("a reason of %d bytes", n)
	}
}
