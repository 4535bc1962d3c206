// Package store reaches the places that keep backups, folders of hosts and S3
// buckets, and knows the names and the records that lie there.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// Object is one file of a place.
type Object struct {
	Name     string // below the place's folder or prefix
	Size     int64
	Modified time.Time
}

// Call is one command, or one call of a client library, that reads or changes a place. Argv is exactly what
// runs on Host; for a call that is no process it is what it does in words, and Host is "".
type Call struct {
	Host string
	Argv []string
	// Run runs it once: in may be nil, and what the call gives is written to out, which may be nil.
	Run func(ctx context.Context, in io.Reader, out io.Writer) error
}

// Place keeps backups under names. Every Call is made without I/O.
type Place interface {
	// String is the place for people: "ops:/srv/backups/ai", "s3 backups/ai".
	String() string
	// Host is the host where it is; "" for a bucket and for this machine.
	Host() string
	// List gives every object, none of the folders below. A place that is not there yet is empty.
	List(ctx context.Context) ([]Object, error)
	// Get reads a small object whole; one larger than limit is an error.
	Get(ctx context.Context, name string, limit int64) ([]byte, error)
	// Free is the room left; known is false where there is no such bound.
	Free(ctx context.Context) (free int64, known bool, err error)
	// Make are the calls that make the place, where it has to be made.
	Make() []Call
	// Write are the calls that make the object of what the last of them reads. On a host it is there under
	// its name while it is being written; in a bucket only when it is whole.
	Write(name string) []Call
	Read(name string) Call
	// Rename is one call, and atomic. A bucket has none.
	Rename(from, to string) (Call, bool)
	Remove(names ...string) []Call
	// Broken are the calls that remove what writes of a job's own files which were cut off have left, and their names.
	Broken(ctx context.Context, job string) ([]Call, []string, error)
}

// Config is one [actions.backup.stores.NAME] table: a folder or a bucket.
type Config struct {
	// Host and Path are a folder on a host; without Host, of this machine.
	Host string `toml:"host"`
	Path string `toml:"path"`
	// Endpoint and Bucket are a bucket of an S3 server; Prefix is put before every name.
	Endpoint string `toml:"endpoint"`
	Bucket   string `toml:"bucket"`
	Prefix   string `toml:"prefix"`
	Region   string `toml:"region"`
	// Via is the host that reaches the server.
	Via       string        `toml:"via"`
	AccessKey remote.Secret `toml:"access_key"`
	SecretKey remote.Secret `toml:"secret_key"`
	CAFile    string        `toml:"ca_file"`
	// Lock is where the locks of jobs are that no host locks: in the bucket, or, for a server that has no conditional
	// writes, "local": then only the consoles of one machine exclude one another.
	Lock string `toml:"lock"`
}

// IsBucket reports whether the place is a bucket.
func (c *Config) IsBucket() bool { return c.Bucket != "" || c.Endpoint != "" }

// HostNames are the hosts the config names.
func (c *Config) HostNames() []string {
	var out []string
	for _, h := range []string{c.Host, c.Via} {
		if h != "" {
			out = append(out, h)
		}
	}
	return out
}

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	if c.IsBucket() {
		return c.validateBucket()
	}
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !path.IsAbs(c.Path) || path.Clean(c.Path) != c.Path || c.Path == "/" || strings.ContainsFunc(c.Path, isControl) {
		add(`path: must be an absolute path: "/srv/backups"; or give endpoint and bucket`)
	}
	if c.Prefix != "" || c.Via != "" || c.AccessKey != "" || c.SecretKey != "" || c.Region != "" || c.CAFile != "" || c.Lock != "" {
		add("prefix, via, region, access_key, secret_key, ca_file and lock are for a bucket: give endpoint and bucket")
	}
	return errs
}

// validateBucket is Validate of a bucket.
func (c *Config) validateBucket() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Path != "" || c.Host != "" {
		add("path: give either host and path, or endpoint and bucket, not both")
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" || u.User != nil {
		add(`endpoint: must be the address of an S3 server: "https://s3.example.org"`)
	}
	if c.Bucket == "" || strings.ContainsAny(c.Bucket, "/ ") {
		add("bucket: missing, or no name of a bucket")
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		add("access_key: give access_key and secret_key, or neither")
	}
	if c.Lock != "" && c.Lock != LockLocal {
		add(`lock: %q is none: leave it out, or "local" for a server without conditional writes`, remote.Clean(c.Lock))
	}
	return append(errs, checkFolder("prefix", c.Prefix)...)
}

// CheckFolder gives what is wrong with a folder below a place.
func CheckFolder(key, folder string) []error { return checkFolder(key, folder) }

func checkFolder(key, folder string) []error {
	if folder == "" {
		return nil
	}
	if path.IsAbs(folder) || path.Clean(folder) != strings.TrimSuffix(folder, "/") || strings.HasPrefix(folder, "..") ||
		strings.HasPrefix(folder, "-") || strings.ContainsFunc(folder, isControl) {
		return []error{fmt.Errorf(`%s: must be a plain relative path: "nexgate/ai"`, key)}
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// Deps is what a place needs of the program around it.
type Deps struct {
	Host   func(name string) (remote.Host, error)
	Secret func(ctx context.Context, s remote.Secret) (string, error)
}

// Open gives the place, or the folder below it. It does no I/O.
func Open(c Config, folder string, deps Deps) (Place, error) {
	if deps.Host == nil {
		return nil, errors.New("no way to reach hosts")
	}
	if c.IsBucket() {
		return newBucket(c, folder, deps), nil
	}
	h := remote.Local("")
	if c.Host != "" {
		var err error
		if h, err = deps.Host(c.Host); err != nil {
			return nil, fmt.Errorf("host %s: %w", c.Host, err)
		}
	}
	return &dir{host: h, name: c.Host, path: path.Join(c.Path, folder)}, nil
}
