// Package place says where nexops keeps its files: config, cache, state.
package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	return filepath.Join(os.TempDir(), fmt.Sprintf("nexops-%d", os.Getuid()))
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
