package real

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// State is what a running lab tells about itself; `labctl state` prints it and
// $NEXOPS_LAB names the file it is in.
type State struct {
	Version      int                  `json:"version"`
	Root         string               `json:"root"`        // the lab's own folder
	Config       string               `json:"config"`      // a nexops config for this lab
	Key          string               `json:"key"`         // the console's private key
	KnownHosts   string               `json:"known_hosts"` // with the hosts' real keys
	Network      string               `json:"network"`
	Hosts        map[string]HostState `json:"hosts"`
	Registry     string               `json:"registry"`         // as image names have it
	RegistryAddr string               `json:"registry_address"` // as this machine reaches it
	Repo         string               `json:"repo"`             // URL of the bare infra repo
	RepoDir      string               `json:"repo_dir"`         // the same, as a folder of this machine
	Prometheus   string               `json:"prometheus"`       // as seen from ops
	Loki         string               `json:"loki"`             // as seen from ops
	Refs         map[string]string    `json:"refs"`             // branch to first commit, for Reset
}

// HostState is one host of the lab.
type HostState struct {
	Address      string         `json:"address"` // ip:22
	IP           string         `json:"ip"`
	Env          string         `json:"env,omitempty"`
	PID          int            `json:"pid"` // holds the host's namespaces
	Netns        string         `json:"netns"`
	Dir          string         `json:"dir"`
	DockerSocket string         `json:"docker_socket,omitempty"` // as a path of this machine
	Compose      string         `json:"compose,omitempty"`       // the stack file, in the checkout
	Checkout     string         `json:"checkout,omitempty"`
	Project      string         `json:"project,omitempty"`
	Ports        map[string]int `json:"ports,omitempty"` // service to published port
}

// places are the folders the lab uses on the machine.
type places struct {
	cache string // built things and the state file: stays
	root  string // everything of one run: removed by down
}

func newPlaces() (places, error) {
	c, err := os.UserCacheDir()
	if err != nil {
		return places{}, fmt.Errorf("find the cache folder: %w", err)
	}
	// Not in the cache folder: hosts see their own /root instead of the machine's.
	return places{cache: filepath.Join(c, "nexops-lab"), root: "/var/lib/nexops-lab"}, nil
}

func (p places) bin(name string) string { return filepath.Join(p.cache, "bin", name) }
func (p places) state() string          { return filepath.Join(p.cache, "state.json") }
func (p places) lock() string           { return filepath.Join(p.cache, "lock") }
func (p places) host(name string) string {
	return filepath.Join(p.root, "hosts", name)
}
func (p places) console(name string) string { return filepath.Join(p.root, "console", name) }
func (p places) run(name string) string     { return filepath.Join(p.root, "bin", name) }
func (p places) log(name string) string     { return filepath.Join(p.root, "log", name+".log") }

// StatePath is where a running lab's state is.
func StatePath() (string, error) {
	p, err := newPlaces()
	if err != nil {
		return "", err
	}
	return p.state(), nil
}

// errDown says that no lab is up.
var errDown = errors.New("the lab is not up: run `go run ./lab/real/labctl up`")

func readState(path string) (State, error) {
	var s State
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, errDown
	}
	if err != nil {
		return s, fmt.Errorf("read the lab's state: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("read the lab's state %s: %w", path, err)
	}
	return s, nil
}

func writeState(path string, s State) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write the lab's state: %w", err)
	}
	return writeFile(path, append(b, '\n'), 0o644)
}

// writeFile replaces a file whole, making its folder.
func writeFile(path string, b []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
