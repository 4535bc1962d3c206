package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/lab/ptytest"
)

// TestLabLeavesAHungHostAtOnce: an engine or an sshd that takes connections and answers nothing holds
// nobody up: not the first screen, not who leaves, not who interrupts a command.
func TestLabLeavesAHungHostAtOnce(t *testing.T) {
	for _, part := range []string{"prod-1.dockerd", "prod-1.sshd"} {
		t.Run(part, func(t *testing.T) {
			lab, nexops := inLab(t)
			term := ptytest.Start(t, nexops(), 120, 40)
			term.WaitFor(within, "hosts 2/2", "notification")
			if err := lab.Freeze(part); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { // before the lab is put in order again, which needs it
				if err := lab.Thaw(part); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(time.Second) // something is asked of it meanwhile
			began := time.Now()
			term.Type("q")
			if c := term.WaitEnd(within); c != 0 {
				t.Errorf("exit code %d", c)
			}
			t.Logf("the screen was left in %.2f s, the key's own 0.15 s included", time.Since(began).Seconds())

			for _, args := range [][]string{{"status"}, {"logs", "ai"}, {"plan", "redeploy", "ai"}, {"redeploy", "ai", "--confirm", "ai@prod"}} {
				cmd := nexops(args...)
				var out strings.Builder
				cmd.Stdout, cmd.Stderr = &out, &out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				began := time.Now()
				if err := cmd.Process.Signal(os.Interrupt); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
				t.Logf("%v ended %.2f s after the interrupt", args, time.Since(began).Seconds())
				if c := cmd.ProcessState.ExitCode(); c != 130 || !strings.Contains(out.String(), "interrupted") {
					t.Errorf("%v: exit code %d: %s", args, c, &out)
				}
			}
		})
	}
}
