package real

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// marker is in the environment of every process the lab starts: the net under
// the ledger, for a process started in the very moment the lab was killed.
const marker = "NXL_OWNED"

// process is one entry of the ledger: a pid alone may have been given to
// somebody else meanwhile, a pid with its start time is one process for ever.
type process struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// alive says whether that very process runs (a zombie does not).
func (p process) alive() bool {
	st, err := readStat(p.PID)
	return err == nil && st.start == p.Start && st.state != 'Z' && st.state != 'X'
}

type procStat struct {
	state byte
	start uint64
}

func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return parseStat(b)
}

// parseStat reads /proc/PID/stat. The name in parentheses may hold anything,
// more parentheses too: fields are counted from the last one.
func parseStat(b []byte) (procStat, error) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return procStat{}, errors.New("process stat: no name in it")
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 20 {
		return procStat{}, fmt.Errorf("process stat: %d fields after the name", len(f))
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	if err != nil {
		return procStat{}, fmt.Errorf("process stat: start time: %w", err)
	}
	return procStat{state: f[0][0], start: start}, nil
}

func (p places) ledger() string { return filepath.Join(p.root, "ledger.jsonl") }

// record appends to the ledger, one line a write, so that a kill cuts no entry before it.
func (p places) record(name string, pid int) (process, error) {
	st, err := readStat(pid)
	if err != nil {
		return process{}, fmt.Errorf("start %s: it ended at once: %w", name, err)
	}
	e := process{Name: name, PID: pid, Start: st.start}
	b, err := json.Marshal(e)
	if err != nil {
		return e, fmt.Errorf("record %s: %w", name, err)
	}
	f, err := os.OpenFile(p.ledger(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return e, fmt.Errorf("record %s: %w", name, err)
	}
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return e, fmt.Errorf("record %s: %w", name, err)
	}
	return e, nil
}

// recorded are the ledger's processes that still run.
func (p places) recorded() ([]process, error) {
	b, err := os.ReadFile(p.ledger())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	return slices.DeleteFunc(parseLedger(b), func(e process) bool { return !e.alive() }), nil
}

// parseLedger reads what is readable: the last line may be cut.
func parseLedger(b []byte) []process {
	var out []process
	for line := range bytes.Lines(b) {
		var e process
		if json.Unmarshal(line, &e) == nil && e.PID > 1 {
			out = append(out, e)
		}
	}
	return out
}

// find gives the living recorded process of that name, the newest if there were several.
func (p places) find(name string) (process, bool) {
	all, err := p.recorded()
	if err != nil {
		return process{}, false
	}
	for _, e := range slices.Backward(all) {
		if e.Name == name {
			return e, true
		}
	}
	return process{}, false
}

// start runs argv as a process of its own session that outlives this one, its
// output in the lab's log folder.
func (p places) start(name string, argv []string) (process, error) {
	log, err := os.OpenFile(p.log(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return process{}, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(cleanEnv(), marker+"="+p.root)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return process{}, fmt.Errorf("start %s: %w", name, err)
	}
	e, err := p.record(name, cmd.Process.Pid)
	if err != nil {
		return e, err
	}
	if err := cmd.Process.Release(); err != nil {
		return e, fmt.Errorf("start %s: %w", name, err)
	}
	return e, nil
}

// cleanEnv is what the lab's servers see: a host's plain environment, not the caller's.
func cleanEnv() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
}

// run runs a short command to its end; an error holds what it printed.
func run(ctx context.Context, argv ...string) (string, error) {
	return runIn(ctx, "", nil, nil, argv...)
}

func runIn(ctx context.Context, dir string, env []string, stdin []byte, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = 2 * time.Second
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(append(out.Bytes(), errs.Bytes()...)))
	}
	return out.String(), nil
}

// until calls ok until it gives nil or ctx ends, and then says what was last wrong.
func until(ctx context.Context, what string, every time.Duration, ok func(context.Context) error) error {
	t := time.NewTicker(every)
	defer t.Stop()
	err := errors.New("not looked at")
	for {
		now := ok(ctx)
		if now == nil {
			return nil
		}
		if ctx.Err() == nil { // what the end of ctx made of it tells nothing
			err = now
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", what, context.Cause(ctx), err)
		case <-t.C:
		}
	}
}
