// Package place says where nexops keeps its files: config, cache, state.
package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Env is the environment that decides where things are.
type Env struct {
	Getenv func(string) string
	Home   string // "" when there is none
}

// ErrNoConfig says that there is no config file anywhere.
var ErrNoConfig = errors.New("no config file")

// Config finds the config file: the flag, then $NEXOPS_CONFIG, then nexops/config.toml in
// the XDG config folder. A file that was named must be there; ErrNoConfig is for when
// none was named and none is found.
func (e Env) Config(flag string) (string, error) {
	for _, named := range []struct{ path, by string }{{flag, "--config"}, {e.Getenv("NEXOPS_CONFIG"), "$NEXOPS_CONFIG"}} {
		if named.path == "" {
			continue
		}
		if _, err := os.Stat(named.path); err != nil {
			return "", fmt.Errorf("%s: %w", named.by, err)
		}
		return named.path, nil
	}
	dir := e.dir("XDG_CONFIG_HOME", ".config")
	if dir == "" {
		return "", ErrNoConfig
	}
	path := filepath.Join(dir, "nexops", "config.toml")
	switch _, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return "", ErrNoConfig
	case err != nil:
		return "", fmt.Errorf("config: %w", err)
	}
	return path, nil
}

// ConfigFolder is where the config is looked for when none is named.
func (e Env) ConfigFolder() string {
	return filepath.Join(e.dir("XDG_CONFIG_HOME", ".config"), "nexops")
}

// Cache is this program's cache folder: mirrors that can be made again.
func (e Env) Cache() string { return e.own("XDG_CACHE_HOME", ".cache") }

// State is this program's state folder: the journal and the log.
func (e Env) State() string { return e.own("XDG_STATE_HOME", filepath.Join(".local", "state")) }

func (e Env) own(variable, fallback string) string {
	if dir := e.dir(variable, fallback); dir != "" {
		return filepath.Join(dir, "nexops")
	}
	return e.shared()
}

// shared is where everything is when nobody says where home is: among everybody's files.
func (e Env) shared() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("nexops-%d", os.Getuid()))
}

// Own makes sure that a folder among everybody's files is ours alone: somebody else may have put
// one there first, to read or change what is written to it.
func (e Env) Own() error {
	if e.State() != e.shared() && e.Cache() != e.shared() {
		return nil
	}
	dir := e.shared()
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("state folder: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !ok || int(stat.Uid) != os.Getuid() {
		return fmt.Errorf("state folder %s: it is not ours alone: remove it, or set HOME or XDG_STATE_HOME and XDG_CACHE_HOME", dir)
	}
	return nil
}

// dir is an XDG base folder. The specification has relative values ignored.
func (e Env) dir(variable, fallback string) string {
	if v := e.Getenv(variable); filepath.IsAbs(v) {
		return v
	}
	if e.Home == "" {
		return ""
	}
	return filepath.Join(e.Home, fallback)
}
