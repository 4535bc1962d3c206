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

// Without a home everything is in the folder for everybody's files, where somebody may have been faster.
func TestSharedFolderIsOursAlone(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	e := env("", nil)
	if err := e.Own(); err != nil {
		t.Fatal(err)
	}
	if err := e.Own(); err != nil {
		t.Errorf("the second time: %v", err)
	}
	info, err := os.Stat(e.State())
	if err != nil || info.Mode().Perm() != 0o700 || filepath.Dir(e.State()) != tmp {
		t.Errorf("%s: %v, %v", e.State(), info, err)
	}
	if err := os.Chmod(e.State(), 0o755); err != nil { //nolint:gosec // the fault
		t.Fatal(err)
	}
	if err := e.Own(); err == nil {
		t.Error("others may read it, and it is taken")
	}
	if err := os.RemoveAll(e.State()); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), e.State()); err != nil {
		t.Fatal(err)
	}
	if err := e.Own(); err == nil {
		t.Error("it leads elsewhere, and it is taken")
	}
	if err := env(t.TempDir(), nil).Own(); err != nil {
		t.Errorf("with a home: %v", err)
	}
}
