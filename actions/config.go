package actions

import (
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// LockConfig is [actions.lock].
type LockConfig struct {
	Dir    string          `toml:"dir"`    // on the host the action takes effect on
	Expiry remote.Duration `toml:"expiry"` // after that long without a heartbeat the lock may be taken over, once that is confirmed
}

// DefaultLockConfig is what an empty [actions.lock] means.
func DefaultLockConfig() LockConfig {
	return LockConfig{Dir: "/tmp/nexops-locks", Expiry: remote.Duration(2 * time.Minute)}
}

// Validate gives every mistake at once.
func (c *LockConfig) Validate() []error {
	var errs []error
	if !path.IsAbs(c.Dir) || path.Clean(c.Dir) == "/" {
		errs = append(errs, fmt.Errorf("dir: %q is not allowed: an absolute folder of the host, like /tmp/nexops-locks", c.Dir))
	}
	if c.Expiry < remote.Duration(30*time.Second) || c.Expiry > remote.Duration(24*time.Hour) {
		errs = append(errs, errors.New("expiry: allowed is 30s to 24h"))
	}
	return errs
}
