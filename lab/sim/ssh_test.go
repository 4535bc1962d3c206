package sim_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/nexgate-hq/nexops/lab/sim"
)

func TestCommands(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	c := login(t, e, "prod-1")
	for _, tc := range []struct {
		line, stdin string
		code        int
		out, err    string // parts of them
	}{
		{line: "hostname", out: "prod-1\n"},
		{line: "date +%s", out: "1"},
		{line: "cat /opt/nexgate-infra/services/ai/tag.env", out: "AI_TAG=0.4.2\n"},
		{line: "cd -- /opt/nexgate-infra && exec cat services/ai/tag.env", out: "AI_TAG=0.4.2\n"},
		{line: "cat /nope", code: 1, err: "No such file or directory"},
		{line: "cat /../../../../../../etc/passwd", code: 1, err: "No such file or directory"},
		{line: "tee '/tmp/a b'", stdin: "it's", out: "it's"},
		{line: "cp -p '/tmp/a b' /tmp/c"},
		{line: "mv /tmp/c /tmp/d"},
		{line: "cat /tmp/d", out: "it's"},
		{line: "rm -f /tmp/d /tmp/never"},
		{line: "mkdir -p /tmp/locks/x"},
		{line: "mkdir /tmp/locks/x", code: 1, err: "File exists"},
		{line: "stat -c %Y /tmp/locks/x", out: "1"},
		{line: "rm -rf /tmp/locks"},
		{line: "readlink -f /opt/nexgate-infra/prod", out: "/opt/nexgate-infra/prod\n"},
		{line: "readlink -f /no/such", code: 1},
		{line: "git -C /opt/nexgate-infra/prod rev-parse --show-toplevel", out: "/opt/nexgate-infra\n"},
		{line: "git -C /opt/nexgate-infra rev-parse --abbrev-ref HEAD", out: "master\n"},
		{line: "git -C /opt/nexgate-infra ls-remote --exit-code origin refs/heads/master", out: "\trefs/heads/master\n"},
		{line: "git -C /tmp rev-parse --show-toplevel", code: 128, err: "not a git repository"},
		{line: "git -C /opt/nexgate-infra gc", code: 1},
		{line: "git -C /opt/nexgate-infra fetch --upload-pack=/bin/sh", code: 129},
		{line: "docker info --format '{{json .}}'", out: `"ServerVersion":"20.10.24"`},
		{line: "docker compose version --short", out: "2.40.3\n"},
		{line: "docker image inspect ghcr.io/nexgate-hq/ai-service:0.4.1", out: `"RepoDigests"`},
		{line: "docker image inspect ghcr.io/nexgate-hq/ai-service:9", code: 1, err: "No such image"},
		{line: "docker manifest inspect --verbose ghcr.io/nexgate-hq/ai-service:0.4.1", out: `"digest": "sha256:`},
		{line: "docker manifest inspect --verbose ghcr.io/nexgate-hq/ai-service:9", code: 1, err: "no such manifest"},
		{line: "docker ps -a", out: "nexgate-prod-ai-1"},
		{line: prodCompose + "config --format json ai", out: `"image": "ghcr.io/nexgate-hq/ai-service:0.4.2"`},
		{line: "env AI_TAG=0.4.1 " + prodCompose + "config --format json ai", out: `"image": "ghcr.io/nexgate-hq/ai-service:0.4.1"`},
		{line: prodCompose + "up -d --no-deps nosuch", code: 1, err: "no such service: nosuch"},
		{line: "env AI_TAG=9 " + prodCompose + "pull ai", code: 18, err: "manifest unknown"},
		{line: "docker exec nexgate-prod-ai-1 echo hi there", out: "hi there\n"},
		{line: "docker exec -i nexgate-prod-ai-1 sh", stdin: "echo one\nfalse\n", code: 1, out: "one\n"},
		{line: "docker exec nexgate-prod-ai-1 sh -c 'exit 7'", code: 7},
		{line: "docker exec nexgate-prod-ai-1 vi", code: 127, err: "executable file not found"},
		{line: "docker exec -it nexgate-prod-ai-1 sh", code: 1, err: "not a TTY"},
		{line: "docker ps --all --no-trunc --filter label=com.docker.compose.project=nexgate-prod --filter label=com.docker.compose.service=ai --filter label=com.docker.compose.oneoff=False --format '{{json .}}'", out: `"Names":"nexgate-prod-ai-1"`},
		{line: prodCompose + "restart --no-deps ai", err: "Container nexgate-prod-ai-1  Started"},
		{line: "cat /proc/meminfo", out: "MemAvailable:"},
		{line: "docker exec nosuch sh", code: 1, err: "No such container"},
		{line: "vi", code: 127, err: "command not found"},
		{line: "cat a; id", code: 127, err: "needs a shell"},
	} {
		code, out, errOut := run(t, c, tc.line, tc.stdin)
		if code != tc.code || !strings.Contains(out, tc.out) || !strings.Contains(errOut, tc.err) {
			t.Errorf("%s:\n  code %d, want %d\n  stdout %q, want part %q\n  stderr %q, want part %q", tc.line, code, tc.code, out, tc.out, errOut, tc.err)
		}
		if strings.Contains(out+errOut, e.Dir()) && !strings.Contains(tc.line, "ls-remote") {
			t.Errorf("%s shows a folder of the real machine:\n%s%s", tc.line, out, errOut)
		}
	}
}

const prodCompose = "docker compose --project-directory /opt/nexgate-infra/prod -p nexgate-prod -f /opt/nexgate-infra/prod/prod-1.yml "

func TestOnlyTheKeyComesIn(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	address, err := e.Address("prod-1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = ssh.Dial("tcp", address, &ssh.ClientConfig{User: "deploy", Auth: []ssh.AuthMethod{ssh.Password("x")}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}) //nolint:gosec // a test of the other side
	if err == nil {
		t.Fatal("a password let somebody in")
	}
}

func TestStopAndStartHost(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	c := login(t, e, "prod-2")
	if err := e.StopHost("prod-2"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.NewSession(); err == nil {
		t.Error("the connection outlived the host")
	}
	if err := e.StartHost(t.Context(), "prod-2"); err != nil {
		t.Fatal(err)
	}
	if got := must(t, login(t, e, "prod-2"), "hostname", ""); got != "prod-2\n" {
		t.Errorf("after the return: %q", got)
	}
}

// A terminal in a container: it echoes, edits, survives Ctrl-C and follows its window.
func TestShellInAContainer(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	s, err := login(t, e, "prod-1").NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.RequestPty("xterm", 40, 100, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	keys, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var screen bytes.Buffer
	s.Stdout = &screen
	if err := s.Start("docker exec -it nexgate-prod-ai-1 sh"); err != nil {
		t.Fatal(err)
	}
	if err := s.WindowChange(50, 132); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(keys, "ech hi\x7f\x7f\x7fo hi\rgarbage\x03vi\rls /app\rexit 3\r"); err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 3 {
		t.Errorf("it ended with %v", err)
	}
	for _, want := range []string{"/ # ", "hi\r\n", "sh: vi: not found\r\n", "ai\r\n"} {
		if !strings.Contains(screen.String(), want) {
			t.Errorf("no %q in %q", want, screen.String())
		}
	}
	if strings.Contains(screen.String(), "garbage: not found") {
		t.Errorf("Ctrl-C ran the line: %q", screen.String())
	}
}
