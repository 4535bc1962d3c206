//go:build unix

package ui

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/charmbracelet/x/term"

	"github.com/nexgate-hq/nexops/actions"
)

// watchSize tells of every new size of a terminal until stop is called.
func watchSize(out term.File) (sizes <-chan actions.Size, stop func()) {
	ch, done, signals := make(chan actions.Size), make(chan struct{}), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	var owner sync.WaitGroup
	owner.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-signals:
			}
			select {
			case <-done:
				return
			case ch <- sizeOf(out):
			}
		}
	})
	return ch, func() {
		signal.Stop(signals)
		close(done)
		owner.Wait()
	}
}
