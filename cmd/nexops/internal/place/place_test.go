package place

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func env(home string, vars map[string]string) Env {
	return Env{Home: home, Getenv: func(k string) string { return vars[k] }}
}

func write(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigIsFoundInOrder(t *testing.T) {
	home := t.TempDir()
	vars := map[string]string{}
	e := env(home, vars)
	if _, err := e.Config(""); !errors.Is(err, ErrNoConfig) {
		t.Fatalf("nothing there: %v", err)
	}
	inHome := write(t, filepath.Join(home, ".config", "nexops", "config.toml"))
	inXDG := write(t, filepath.Join(home, "xdg", "nexops", "config.toml"))
	inVar := write(t, filepath.Join(home, "var.toml"))
	inFlag := write(t, filepath.Join(home, "flag.toml"))
	check := func(flag, want string) {
		t.Helper()
		if got, err := e.Config(flag); err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	check("", inHome)
	vars["XDG_CONFIG_HOME"] = "relative/is/ignored"
	check("", inHome)
	vars["XDG_CONFIG_HOME"] = filepath.Join(home, "xdg")
	check("", inXDG)
	vars["NEXOPS_CONFIG"] = inVar
	check("", inVar)
	check(inFlag, inFlag)
	if _, err := e.Config(filepath.Join(home, "gone.toml")); err == nil || errors.Is(err, ErrNoConfig) {
		t.Errorf("a named file that is not there must be an error of its own: %v", err)
	}
}

func TestFoldersWithoutAHome(t *testing.T) {
	e := env("", nil)
	if c := e.Cache(); !filepath.IsAbs(c) {
		t.Errorf("cache %q", c)
	}
	if _, err := e.Config(""); !errors.Is(err, ErrNoConfig) {
		t.Errorf("%v", err)
	}
}
