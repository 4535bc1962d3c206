package real

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// S3 is a real S3 server on the ops host, over a folder. It is not there until a test puts it up.
type S3 struct {
	Endpoint  string
	AccessKey string
	SecretKey string
	Dir       string // of its buckets, on the machine: each is a folder
}

const (
	s3Name = "s3"
	s3Tool = "versitygw-1.8.0"
	s3Port = "7070"
)

// PutS3 starts the server with these buckets, all empty.
func (l *Lab) PutS3(ctx context.Context, buckets ...string) (*S3, error) {
	h, err := l.host(ops)
	if err != nil {
		return nil, err
	}
	if err := l.RemoveS3(ctx); err != nil {
		return nil, err
	}
	if err := l.places.ensureTool(ctx, s3Tool); err != nil {
		return nil, err
	}
	s := &S3{Endpoint: "http://" + net.JoinHostPort(h.IP, s3Port), AccessKey: "lab" + strings.ToLower(rand.Text()[:8]), SecretKey: rand.Text(), Dir: filepath.Join(h.Dir, s3Name)}
	for _, b := range buckets {
		if err := os.MkdirAll(filepath.Join(s.Dir, b), 0o755); err != nil {
			return nil, fmt.Errorf("make the bucket %s: %w", b, err)
		}
	}
	program := l.places.run(s3Name)
	// The one of an earlier test is a link to the cached program: copying onto it would empty both.
	if err := os.Remove(program); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("place the S3 server: %w", err)
	}
	if err := place(l.places.bin(s3Tool), program); err != nil {
		return nil, err
	}
	// Its keys are its environment's, not its argv's.
	argv := []string{"env", "ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey, program, "--quiet", "--port", net.JoinHostPort(h.IP, s3Port), "posix", s.Dir}
	p, err := l.places.start(s3Name, inside(h, argv...))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return s, until(ctx, "the S3 server", 50*time.Millisecond, func(ctx context.Context) error {
		if !p.alive() {
			return fmt.Errorf("it ended: see %s", l.places.log(s3Name))
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(h.IP, s3Port))
		if err != nil {
			return fmt.Errorf("dial the S3 server: %w", err)
		}
		return c.Close()
	})
}

// RemoveS3 ends the server and removes its buckets, also those that a killed test left.
func (l *Lab) RemoveS3(ctx context.Context) error {
	h, err := l.host(ops)
	if err != nil {
		return err
	}
	return errors.Join(l.kill(ctx, s3Name), os.RemoveAll(filepath.Join(h.Dir, s3Name)))
}

// ensureTool builds a tool that is not in the cache yet: a lab that was brought up by an earlier version has none of it.
// Of two at once the second waits.
func (p places) ensureTool(ctx context.Context, file string) error {
	lock, err := os.OpenFile(p.bin(file)+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("build %s: %w", file, err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { //nolint:gosec // a file's number
		return fmt.Errorf("build %s: %w", file, err)
	}
	if _, err := os.Stat(p.bin(file)); err == nil {
		return nil
	}
	for _, t := range tools() {
		if t.file == file {
			return p.buildTool(ctx, t)
		}
	}
	return fmt.Errorf("no tool %s", file)
}
