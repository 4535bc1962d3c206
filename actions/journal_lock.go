package actions

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// errLocked says that another console holds the file.
var errLocked = errors.New("held by another console")

// lockFile takes an exclusive lock on an open file. The kernel lets go of it when the
// file is closed or the process dies, so that a kill leaves nothing locked.
func lockFile(f *os.File, wait bool) error {
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err := syscall.Flock(int(f.Fd()), how) //nolint:gosec // a file descriptor fits an int
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errLocked
		default:
			return fmt.Errorf("flock %s: %w", f.Name(), err)
		}
	}
}
