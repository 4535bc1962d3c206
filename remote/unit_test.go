package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestSecretIsAReference(t *testing.T) {
	for _, text := range []string{"hunter2", "env:", "env:not a name", "env:1A", "file:", "cmd:", "cmd: ", "cmd:''", `cmd:pass "show`, "ENV:X", " env:X"} {
		var s Secret
		err := s.UnmarshalText([]byte(text))
		if err == nil {
			t.Errorf("%q is accepted", text)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "not a name") {
			t.Errorf("%q: the error repeats it: %v", text, err)
		}
	}
	for text, shown := range map[string]string{
		"": "", "env:LOKI_PASSWORD": "env:LOKI_PASSWORD", "file:~/a b": "file:~/a b",
		"cmd:pass show nexgate/loki": "cmd:pass", "cmd:'my pass' --token=abc": "cmd:my pass",
	} {
		var s Secret
		if err := s.UnmarshalText([]byte(text)); err != nil || s.String() != shown || s.IsZero() != (text == "") {
			t.Errorf("%q: %v, shown as %q", text, err, s)
		}
	}
}

// However it is printed, neither the arguments of a command nor a value made around UnmarshalText show.
func TestSecretShowsNothing(t *testing.T) {
	for _, s := range []Secret{"cmd:vault read hunter2", "hunter2"} {
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s)
		js, err := json.Marshal(map[string]any{"s": s})
		if err != nil {
			t.Fatal(err)
		}
		_, rerr := s.Resolve(context.Background())
		all := fmt.Sprintf("%v %+v %#v %s %q %x %X %s %s %v", s, s, s, s, s, s, s, log.String(), js, rerr)
		all += fmt.Sprintf("%v %+v %#v", Config{Passphrase: s}, Config{Passphrase: s}, Config{Passphrase: s})
		if strings.Contains(all, "hunter2") || strings.Contains(strings.ToLower(all), fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("shown: %s", all)
		}
	}
}

func TestSecretResolve(t *testing.T) {
	dir := t.TempDir()
	good, loose, empty := filepath.Join(dir, "good"), filepath.Join(dir, "loose"), filepath.Join(dir, "empty")
	writeFile(t, good, "from a file\r\n")
	writeFile(t, loose, "x")
	writeFile(t, empty, "\n")
	if err := os.Chmod(loose, 0o640); err != nil { // #nosec G302 -- the point of the test
		t.Fatal(err)
	}
	opts := env("A", "from the environment", "EMPTY", "")
	opts.Home = dir
	for _, tc := range []struct {
		secret Secret
		want   string
		err    string
	}{
		{"", "", ""},
		{"env:A", "from the environment", ""},
		{"env:B", "", "secret env:B: the variable is not set"},
		{"env:EMPTY", "", "it is empty"},
		{Secret("file:" + good), "from a file", ""},
		{"file:~/good", "from a file", ""},
		{"file:~/loose", "", "mode 0640 lets others read it: chmod 600"},
		{"file:~/none", "", "no such file"},
		{"file:~/empty", "", "it is empty"},
		{Secret("file:" + dir), "", "no regular file"},
		{`cmd:printf 'first\r\nsecond\n'`, "first", ""},
		{`cmd:sh -c 'echo leaked; echo leaked >&2; exit 3'`, "", "secret cmd:sh: the command ended with code 3"},
		{"cmd:/no/such/program", "", "no such file"},
		{"cmd:true", "", "it is empty"},
	} {
		got, err := tc.secret.ResolveIn(context.Background(), opts)
		if got != tc.want || (err == nil) != (tc.err == "") {
			t.Errorf("%s: %q, %v", tc.secret, got, err)
			continue
		}
		if err != nil && (!strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "leaked")) {
			t.Errorf("%s: %v, want %q", tc.secret, err, tc.err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Secret("cmd:sleep 60").ResolveIn(ctx, opts); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestConfigValidate(t *testing.T) {
	ok := []Config{
		{Address: "local"}, {Address: "prod-1.nexgate.internal"}, {Address: "10.0.0.1:2222", User: "deploy"},
		{Address: "::1"}, {Address: "[::1]"}, {Address: "[fe80::1%eth0]:22"}, {Address: "h", User: "ana@corp.example"},
		{Address: "h", Passphrase: "env:X", ConnectTimeout: Duration(time.Second), Keepalive: Duration(time.Second)},
	}
	for _, c := range ok {
		if errs := c.Validate(); len(errs) != 0 {
			t.Errorf("%+v: %v", c, errs)
		}
	}
	bad := map[string]Config{
		"address: missing":                  {},
		"holds a user":                      {Address: "root@10.0.0.1"},
		"port \"0\"":                        {Address: "h:0"},
		"port \"70000\"":                    {Address: "h:70000"},
		"address: \"-oProxyCommand=x\"":     {Address: "-oProxyCommand=x"},
		"no host":                           {Address: ":22"},
		"address: \"a b\"":                  {Address: "a b"},
		"not host or host:port":             {Address: "a:b:c"},
		"user: ":                            {Address: "h", User: "-lroot"},
		"user: \"a b\"":                     {Address: "h", User: "a b"},
		"identity_files: ":                  {Address: "h", IdentityFiles: []string{""}},
		"known_hosts: ":                     {Address: "h", KnownHosts: []string{""}},
		"passphrase: a secret is never":     {Address: "h", Passphrase: "x"},
		"connect_timeout: 1h0m0s":           {Address: "h", ConnectTimeout: Duration(time.Hour)},
		"keepalive: 1ms":                    {Address: "h", Keepalive: Duration(time.Millisecond)},
		"jump: this machine is not reached": {Address: "local", Jump: "x"},
	}
	for want, c := range bad {
		errs := c.Validate()
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("%+v: %v, want %q", c, errs, want)
		}
	}
	many := Config{User: "a b", Passphrase: "x", IdentityFiles: []string{""}}
	if errs := many.Validate(); len(errs) != 4 {
		t.Errorf("not all at once: %v", errs)
	}
}

func TestValidateHosts(t *testing.T) {
	got := ValidateHosts(map[string]Config{
		"a": {Address: "h", Jump: "b"}, "b": {Address: "h", Jump: "c"}, "c": {Address: "h", Jump: "b"},
		"d": {Address: "h", Jump: "none"}, "e": {Address: "h", Jump: "me"}, "me": {Address: "local"}, "f g": {Address: "h"}, "z": {},
	})
	want := []string{
		"a: jump: goes in a circle: a → b → c → b", "b: jump: goes in a circle: b → c → b", "c: jump: goes in a circle: c → b → c",
		`d: jump: host "none" is not configured`, `e: jump: host "me" is this machine`, `"f g": is no host name`, "z: address: missing",
	}
	if len(got) != len(want) {
		t.Fatalf("%d errors: %v", len(got), got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i].Error(), want[i]) {
			t.Errorf("%v, want %s", got[i], want[i])
		}
	}
}

func TestDuration(t *testing.T) {
	var d Duration
	if err := d.UnmarshalText([]byte("1m30s")); err != nil || d.Std() != 90*time.Second || d.String() != "1m30s" || d.Or(1) != 90*time.Second {
		t.Errorf("%v %v", d, err)
	}
	if text, err := d.MarshalText(); err != nil || string(text) != "1m30s" {
		t.Errorf("%s %v", text, err)
	}
	for _, text := range []string{"15", "", "-1s", "1 s", "x\x1b"} {
		if err := d.UnmarshalText([]byte(text)); err == nil || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if Duration(0).Or(time.Second) != time.Second {
		t.Error("no default")
	}
}

func TestShellLine(t *testing.T) {
	for _, tc := range []struct {
		cmd  Command
		want string
	}{
		{Command{Argv: []string{"docker", "ps", "-a"}}, "docker ps -a"},
		{Command{Argv: []string{"a b", "", "it's", "$x", "*", "~"}}, `'a b' '' 'it'\''s' '$x' '*' '~'`},
		{Command{Argv: []string{"if"}}, "'if'"},
		{Command{Argv: []string{"up"}, Dir: "/opt/a b"}, "cd -- '/opt/a b' && exec up"},
		{Command{Argv: []string{"up"}, Dir: "~/infra"}, "cd -- ./infra && exec up"},
		{Command{Argv: []string{"up"}, Dir: "-"}, "cd -- ./- && exec up"},
		{Command{Argv: []string{"up"}, Env: map[string]string{"B": "x y", "A": ""}}, "env A= 'B=x y' up"},
	} {
		got, err := shellLine(tc.cmd)
		// "=" is quoted like everything that is not known to be harmless.
		if got = strings.ReplaceAll(got, "'A='", "A="); err != nil || got != tc.want {
			t.Errorf("%s %v, want %s", got, err, tc.want)
		}
	}
	for _, cmd := range []Command{
		{}, {Argv: []string{""}}, {Argv: []string{"-x"}}, {Argv: []string{"A=b"}}, {Argv: []string{"a", "b\x00"}},
		{Argv: []string{"a"}, Dir: "\x00"}, {Argv: []string{"a"}, Env: map[string]string{"A B": "x"}}, {Argv: []string{"a"}, Env: map[string]string{"A": "\x00"}},
	} {
		if line, err := shellLine(cmd); err == nil {
			t.Errorf("%+v: %s", cmd, line)
		}
	}
}

// A real shell in a real folder sees what the command says.
func TestShellLineInAShell(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "-a 'b'\n$c *")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	line, err := shellLine(Command{
		Argv: []string{"sh", "-c", `pwd; echo "$V"; echo "$1"`, "sh", "`id` !!"}, Dir: dir, Env: map[string]string{"V": "1 'x' \"y\" $z"},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	if want := dir + "\n1 'x' \"y\" $z\n`id` !!\n"; err != nil || string(out) != want {
		t.Errorf("%q %v, want %q", out, err, want)
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", "'", `\`, "a\nb", "$(id)", "~", "-n", "%s", "\xff\xfe", "é", "a'b\"c`d", "!x", "#", "a=b", "{a,b}", "\t"} {
		f.Add(s, "x")
		f.Add("y", s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.ContainsRune(a+b, 0) {
			t.Skip("no argument holds a NUL")
		}
		argv := []string{a, b}
		out, err := exec.Command("sh", "-c", `printf '%s\0' `+Quote(argv)).Output()
		if err != nil {
			t.Fatalf("%q: %v", Quote(argv), err)
		}
		if got := string(out); got != a+"\x00"+b+"\x00" {
			t.Fatalf("%q became %q by %s", argv, got, Quote(argv))
		}
	})
}

func FuzzSplitArgv(f *testing.F) {
	for _, s := range []string{"pass show a/b", `a "b c" d\ e`, "'x", `x\`, "  ", `''`, "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		argv, err := splitArgv(line)
		if err != nil || !utf8.ValidString(line) {
			return
		}
		again, err := splitArgv(Quote(argv))
		if err != nil || !reflect.DeepEqual(argv, again) && len(argv)+len(again) > 0 {
			t.Fatalf("%q: %q became %q, %v", line, argv, again, err)
		}
	})
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"a\x1b[2Jb", "\r\n", "a\u202eb", strings.Repeat("é", 400), "\xff", "a\u009bb", "x  \t y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if strings.ContainsFunc(got, unicode.IsControl) || !utf8.ValidString(got) || len(got) > maxForeign+len("…") {
			t.Fatalf("%q became %q", s, got)
		}
		if again := Clean(got); len(got) <= maxForeign && again != got {
			t.Fatalf("%q became %q, then %q", s, got, again)
		}
	})
}

func TestLocalRun(t *testing.T) {
	h := Local("here")
	dir := t.TempDir()
	res, err := h.Run(within(t), Command{
		Argv: []string{"sh", "-c", `pwd; cat; echo $V; echo e >&2; exit 3`}, Dir: dir, Env: map[string]string{"V": "x"}, Stdin: strings.NewReader("in\n"),
	})
	if err != nil || res.Code != 3 || string(res.Stdout) != dir+"\nin\nx\n" || string(res.Stderr) != "e\n" {
		t.Errorf("%+v %v", res, err)
	}
	if res, err = run(t, h, "sh", "-c", "kill -9 $$"); err != nil || res.Code != 137 {
		t.Errorf("%+v %v", res, err)
	}
	if res, err = run(t, h, "head", "-c", "3000000", "/dev/zero"); err != nil || !res.Truncated || len(res.Stdout) != maxOutput {
		t.Errorf("%d bytes %v", len(res.Stdout), err)
	}
	for _, cmd := range []Command{{Argv: []string{"/no/such"}}, {Argv: []string{"true"}, Dir: "/no/such"}, {}} {
		if _, err = h.Run(within(t), cmd); !errors.Is(err, ErrNotStarted) {
			t.Errorf("%+v: %v", cmd, err)
		}
	}
	if h.Name() != "here" || h.Address() != "local" || h.Close() != nil {
		t.Errorf("%s %s", h.Name(), h.Address())
	}
}

// Cancelling ends the command's children as well.
func TestLocalCancelEndsTheGroup(t *testing.T) {
	h := Local("here")
	ctx, cancel := context.WithCancel(within(t))
	var out bytes.Buffer
	_, err := h.Run(ctx, Command{Argv: []string{"sh", "-c", "sleep 300 & echo $!; wait"}, Stdout: &tee{&out, cancel}})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrNotStarted) {
		t.Errorf("err = %v", err)
	}
	pid := strings.TrimSpace(out.String())
	for range 100 {
		state, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
		if err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("process %s lives on", pid)
}

type tee struct {
	out  *bytes.Buffer
	then func()
}

func (w *tee) Write(p []byte) (int, error) { w.out.Write(p); w.then(); return len(p), nil }

func TestLocalDial(t *testing.T) {
	h := Local("here")
	l, path := listenUnix(t)
	echoHTTP(t, l)
	tr := Transport(h, "unix", path)
	defer tr.CloseIdleConnections()
	if got, err := get(t, tr, "http://docker/x"); err != nil || got != "hello /x" {
		t.Errorf("%q %v", got, err)
	}
	for p, want := range map[string]SocketProblem{"/no/such.sock": SocketMissing, deadSocket(t): SocketDead} {
		var se *SocketError
		if _, err := h.Dial(within(t), "unix", p); !errors.As(err, &se) || se.Problem != want || !strings.HasPrefix(err.Error(), "local here: socket "+p) {
			t.Errorf("%s: %v", p, err)
		}
	}
	if _, err := h.Dial(within(t), "tcp", "127.0.0.1:1"); err == nil {
		t.Error("no error")
	}
}

func TestOpenSSHArgs(t *testing.T) {
	off := false
	p := NewPool(map[string]Config{
		"plain": {Address: "h"},
		"full": {
			Address: "[::1]:2222", User: "ana", IdentityFiles: []string{"~/k 1"}, KnownHosts: []string{"/a b", "~/c"},
			Agent: &off, Passphrase: "env:PASS", ConnectTimeout: Duration(1500 * time.Millisecond), Jump: "plain",
		},
	}, Options{Home: "/home/ana", User: "root"})
	for name, want := range map[string][]string{
		"plain": {
			"-o", `UserKnownHostsFile="/home/ana/.ssh/known_hosts" "/etc/ssh/ssh_known_hosts"`,
			"-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10",
		},
		"full": {
			"-i", "/home/ana/k 1", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", `UserKnownHostsFile="/a b" "/home/ana/c"`,
			"-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=1",
			"-o", `ProxyCommand=ssh -o 'UserKnownHostsFile="/home/ana/.ssh/known_hosts" "/etc/ssh/ssh_known_hosts"' -o 'StrictHostKeyChecking=yes' ` +
				`-o 'BatchMode=yes' -o 'ConnectTimeout=10' -W '[%h]:%p' h`,
			"-p", "2222", "-l", "ana",
		},
	} {
		h, err := p.Host(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.(OpenSSH).OpenSSHArgs(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
	if _, ok := Local("x").(OpenSSH); ok {
		t.Error("this machine is reached by ssh")
	}
}
