package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/lab/real"
	"github.com/nexgate-hq/nexops/lab/sim"
	"github.com/nexgate-hq/nexops/remote"
)

const (
	labKomodoKey    = "K_bGFiLWtleQ_K"
	labKomodoSecret = "S_not-for-screens_S"
	labKomodoFile   = "komodo/prod.toml"
	labInfra        = "/srv/git/nexgate-infra.git"
)

// labEstate is the lab as Komodo's agents have it: they run real programs on real hosts, and real git says what the repository has.
// Only Core itself, which cannot run here, is simulated before it.
type labEstate struct{ pool *remote.Pool }

func (e labEstate) Run(ctx context.Context, server string, argv []string) (sim.KomodoResult, error) {
	h, err := e.pool.Host(server)
	if err != nil {
		return sim.KomodoResult{}, err
	}
	res, err := h.Run(ctx, remote.Command{Argv: argv})
	if err != nil {
		return sim.KomodoResult{}, err
	}
	return sim.KomodoResult{Code: res.Code, Stdout: string(res.Stdout), Stderr: string(res.Stderr)}, nil
}

// ask runs what has to succeed.
func (e labEstate) ask(ctx context.Context, server string, argv ...string) (string, error) {
	res, err := e.Run(ctx, server, argv)
	if err == nil && res.Code != 0 {
		err = fmt.Errorf("%s: exit code %d: %s", strings.Join(argv, " "), res.Code, res.Stderr)
	}
	return strings.TrimSpace(res.Stdout), err
}

func (e labEstate) Containers(ctx context.Context, server, project string) ([]sim.KomodoContainer, error) {
	ids, err := e.ask(ctx, server, "docker", "ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project="+project)
	if err != nil || ids == "" {
		return nil, err
	}
	const format = `{{.Id}} {{.Name}} {{index .Config.Labels "com.docker.compose.service"}} {{.Config.Image}} {{.State.Status}} {{.State.StartedAt}} {{with .State.Health}}{{.Status}}{{end}}`
	text, err := e.ask(ctx, server, append([]string{"docker", "inspect", "--format", format}, strings.Fields(ids)...)...)
	if err != nil {
		return nil, err
	}
	var out []sim.KomodoContainer
	for line := range strings.Lines(text) {
		f := append(strings.Fields(line), "") // without a health check it has no last word
		started, err := time.Parse(time.RFC3339Nano, f[5])
		if err != nil {
			return nil, err
		}
		out = append(out, sim.KomodoContainer{ID: f[0], Name: strings.TrimPrefix(f[1], "/"), Service: f[2], Image: f[3], State: f[4], Started: started, Health: f[6]})
	}
	return out, nil
}

func (e labEstate) Head(ctx context.Context, branch string) (hash, subject string, err error) {
	text, err := e.ask(ctx, "ops", "git", "--git-dir="+labInfra, "log", "-1", "--format=%H %s", "refs/heads/"+branch)
	hash, subject, _ = strings.Cut(text, " ")
	return hash, subject, err
}

func (e labEstate) Files(ctx context.Context, commit string, paths []string) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range paths {
		res, err := e.Run(ctx, "ops", []string{"git", "--git-dir=" + labInfra, "show", commit + ":" + p})
		if err != nil {
			return nil, err
		}
		if res.Code == 0 {
			out[p] = res.Stdout
		}
	}
	return out, nil
}

// inLabWithKomodo puts Komodo before prod-1 of the lab, and gives a console whose config has it.
func inLabWithKomodo(t *testing.T) (*real.Lab, *sim.Komodo, func(args ...string) *exec.Cmd) {
	t.Helper()
	lab, nexops := inLab(t)
	h := lab.Hosts["prod-1"]
	stack := fmt.Sprintf(`[[stack]]
name   = "nexgate-prod-1"
deploy = true
tags   = ["prod"]
[stack.config]
server        = "prod-1"
project_name  = %q
branch        = "master"
run_directory = "prod"
file_paths    = ["prod-1.yml"]
auto_pull     = true
additional_env_files = [{ path = "../services/ai/tag.env", track = true }]
`, h.Project)
	if err := lab.Commit(t.Context(), "master", "komodo: prod-1", map[string]string{labKomodoFile: stack}); err != nil {
		t.Fatal(err)
	}
	configs := map[string]remote.Config{}
	for name, h := range lab.Hosts {
		configs[name] = remote.Config{Address: h.Address, User: "root", IdentityFiles: []string{lab.Key}, KnownHosts: []string{lab.KnownHosts}}
	}
	pool := remote.NewPool(configs, remote.Options{Home: t.TempDir()})
	core, err := sim.NewKomodo(t.Context(), sim.KomodoOptions{
		Estate: labEstate{pool}, Servers: []string{"prod-1"}, Checkout: h.Checkout,
		Users: []sim.KomodoUser{{ID: "66f0000000000000000000a1", Name: "nexops", Key: labKomodoKey, Secret: labKomodoSecret}},
		Syncs: []sim.KomodoSync{{Name: "nexgate-prod", Branch: "master", Path: labKomodoFile, Tags: []string{"prod"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(core)
	t.Cleanup(func() {
		core.Close()
		server.CloseClientConnections()
		server.Close()
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	text, err := os.ReadFile(lab.Config)
	if err != nil {
		t.Fatal(err)
	}
	more := fmt.Sprintf("\n[[sources]]\nkind = \"komodo\"\nurl = %q\nkey = \"env:KOMODO_KEY\"\nsecret = \"env:KOMODO_SECRET\"\npoll = \"2s\"\n", server.URL)
	config := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(config, append(text, more...), 0o600); err != nil {
		t.Fatal(err)
	}
	return lab, core, func(args ...string) *exec.Cmd {
		cmd := nexops(args...)
		cmd.Args[2] = config
		cmd.Env = append(cmd.Env, "KOMODO_KEY="+labKomodoKey, "KOMODO_SECRET="+labKomodoSecret)
		return cmd
	}
}

// TestLabKomodoUnderLoad: the tag commit goes to the lab's git, Komodo is asked to deploy it, its agent pulls and brings up on a real
// host, forth and back. It makes the container again, so requests fail, and it is measured how many.
func TestLabKomodoUnderLoad(t *testing.T) {
	lab, core, nexops := inLabWithKomodo(t)
	ctx := t.Context()
	// The release has to be one that git knows.
	if err := lab.Deploy(ctx, "ai", "prod", real.GoodTag); err != nil {
		t.Fatal(err)
	}
	h := lab.Hosts["prod-1"]
	load := real.StartTraffic(t, fmt.Sprintf("http://%s:%d/", h.IP, h.Ports["ai"]))
	for i, tag := range []string{real.FirstTag, real.GoodTag} {
		text, code := output(t, nexops("redeploy", "ai", "--to", tag, "--strategy", "komodo", "--confirm", "ai@prod"))
		if code != 0 || !strings.Contains(text, "ended: good") || core.Calls("DeployStack") != i+1 {
			t.Fatalf("to %s: exit code %d, DeployStack asked for %d times\n%s", tag, code, core.Calls("DeployStack"), text)
		}
		if strings.Contains(text, "not-for-screens") {
			t.Errorf("a secret is shown:\n%s", text)
		}
		runs(t, lab, "prod-1", "ai", tag)
		in, err := lab.SSH(ctx, "ops", "git", "--git-dir="+labInfra, "show", "master:services/ai/tag.env")
		there, err2 := lab.SSH(ctx, "prod-1", "cat", h.Checkout+"/services/ai/tag.env")
		if want := "AI_TAG=" + tag + "\n"; in != want || there != want {
			t.Errorf("after %s git has %q, %v, and the agent's checkout %q, %v", tag, in, err, there, err2)
		}
	}
	t.Log(load.Measure(t, "`komodo`", true))
	if n, _ := load.Failed(); n == 0 {
		t.Error("stopping the only container failed no request: the load does not reach it")
	}
	if text, code := output(t, nexops("journal", "verify")); code != 0 {
		t.Errorf("journal verify: %d\n%s", code, text)
	}
}
