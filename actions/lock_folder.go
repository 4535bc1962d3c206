package actions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// The commands of a lock's folder on a host.

// mkdir reports whether it made the folder; false means that it was there.
func (f *lockFolder) mkdir(ctx context.Context, dir string) (bool, error) {
	res, err := f.run(ctx, nil, "mkdir", "-m", "0755", dir)
	switch {
	case err != nil:
		return false, err
	case res.Code == 0:
		return true, nil
	case bytes.Contains(res.Stderr, []byte("exists")):
		return false, nil
	}
	return false, f.failed("mkdir "+dir, res)
}

// clock is the time of the host.
func (f *lockFolder) clock(ctx context.Context) (time.Time, error) {
	return f.seconds(ctx, "date", "+%s")
}

func (f *lockFolder) seconds(ctx context.Context, argv ...string) (time.Time, error) {
	res, err := f.run(ctx, nil, argv...)
	if err != nil {
		return time.Time{}, err
	}
	n, perr := strconv.ParseInt(strings.TrimSpace(string(res.Stdout)), 10, 64)
	if res.Code != 0 || perr != nil {
		return time.Time{}, f.failed(strings.Join(argv, " "), res)
	}
	return time.Unix(n, 0).UTC(), nil
}

// read gives what the lock says. A lock that says nothing counts from when its folder was made.
func (f *lockFolder) read(ctx context.Context) (owner, error) {
	var o owner
	res, err := f.run(ctx, nil, "cat", f.owner())
	if err != nil {
		return o, err
	}
	if res.Code == 0 && len(res.Stdout) <= maxOwner && json.Unmarshal(res.Stdout, &o) == nil && !o.Until.IsZero() {
		return o, nil
	}
	made, err := f.seconds(ctx, "stat", "-c", "%Y", f.path())
	var said saidError
	if errors.As(err, &said) && strings.Contains(err.Error(), "No such file") {
		return o, errNoLock
	}
	if err != nil {
		return o, err
	}
	return owner{Since: made, Until: made.Add(f.expiry)}, nil
}

// errNoLock says that there is no lock's folder.
var errNoLock = errors.New("there is no lock")

// write writes our owner.json, until counted from now.
func (f *lockFolder) write(ctx context.Context, file string, now time.Time) error {
	if f.me.Since.IsZero() {
		f.me.Since = now
	}
	f.me.Until = time.Time{}
	if f.expiry > 0 {
		f.me.Until = now.Add(f.expiry)
	}
	b, err := json.Marshal(f.me)
	if err != nil {
		return fmt.Errorf("lock on %s: %w", f.host.Name(), err)
	}
	res, err := f.run(ctx, append(b, '\n'), "tee", file)
	if err != nil {
		return err
	}
	if res.Code != 0 {
		return f.failed("tee "+file, res)
	}
	return nil
}

func (f *lockFolder) must(ctx context.Context, argv ...string) error {
	res, err := f.run(ctx, nil, argv...)
	if err != nil {
		return err
	}
	if res.Code != 0 {
		return f.failed(strings.Join(argv, " "), res)
	}
	return nil
}

func (f *lockFolder) run(ctx context.Context, stdin []byte, argv ...string) (remote.Result, error) {
	cmd := remote.Command{Argv: argv, Env: map[string]string{"LC_ALL": "C"}} // what they say is read
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	res, err := f.host.Run(ctx, cmd)
	if err != nil {
		return res, fmt.Errorf("lock on %s: %s: %w", f.host.Name(), argv[0], err)
	}
	return res, nil
}

func (f *lockFolder) failed(what string, res remote.Result) error {
	said := oneLine(string(res.Stderr))
	if said == "" {
		said = fmt.Sprintf("exit code %d", res.Code)
	}
	return saidError(fmt.Sprintf("lock on %s: %s: %s (the folder is dir of [actions.lock])", f.host.Name(), what, said))
}

// saidError is what a host itself said: the command ran to its end.
type saidError string

// Error is what it said.
func (e saidError) Error() string { return string(e) }
