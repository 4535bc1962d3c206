package store

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/nexgate-hq/nexops/remote"
)

// bucket is a bucket of an S3 server.
type bucket struct {
	cfg    Config
	prefix string // ends with / or is empty
	deps   Deps

	clock serverClock

	mu     sync.Mutex
	client *minio.Client
}

// partSize is the size of one part of an upload, which is kept in memory until it is sent. S3 takes
// 10,000 of them.
const (
	partSize  = 32 << 20
	maxStream = partSize * 10_000
)

func newBucket(c Config, folder string, deps Deps) *bucket {
	prefix := strings.Trim(c.Prefix, "/")
	if folder = strings.Trim(folder, "/"); folder != "" {
		prefix = strings.Trim(prefix+"/"+folder, "/")
	}
	if prefix != "" {
		prefix += "/"
	}
	return &bucket{cfg: c, prefix: prefix, deps: deps}
}

func (b *bucket) String() string {
	return "s3 " + strings.TrimSuffix(b.cfg.Bucket+"/"+b.prefix, "/")
}

func (b *bucket) Host() string { return "" }

func (b *bucket) key(name string) string { return b.prefix + name }

// open makes the client at first use: its keys are secrets that have to be read.
func (b *bucket) open(ctx context.Context) (*minio.Client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.client != nil {
		return b.client, nil
	}
	u, err := url.Parse(b.cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	creds := credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
	if b.cfg.AccessKey != "" {
		access, err := b.secret(ctx, b.cfg.AccessKey)
		if err != nil {
			return nil, err
		}
		secret, err := b.secret(ctx, b.cfg.SecretKey)
		if err != nil {
			return nil, err
		}
		creds = credentials.NewStaticV4(access, secret, "")
	}
	transport, err := b.transport()
	if err != nil {
		return nil, err
	}
	region := b.cfg.Region
	if region == "" {
		region = "us-east-1" // what servers that have no regions answer to; asking for it is one call more
	}
	b.clock.to = transport
	c, err := minio.New(u.Host, &minio.Options{
		Creds: creds, Secure: u.Scheme == "https", Transport: &b.clock, Region: region, BucketLookup: minio.BucketLookupAuto, MaxRetries: 3,
	})
	if err != nil {
		return nil, fmt.Errorf("s3 %s: %w", u.Host, err)
	}
	b.client = c
	return c, nil
}

func (b *bucket) secret(ctx context.Context, s remote.Secret) (string, error) {
	if b.deps.Secret != nil {
		return b.deps.Secret(ctx, s)
	}
	return s.Resolve(ctx) //nolint:wrapcheck // it names the reference
}

func (b *bucket) transport() (*http.Transport, error) {
	t := &http.Transport{
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute, IdleConnTimeout: 30 * time.Second,
		MaxIdleConnsPerHost: 2, DisableCompression: true,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
	}
	if b.cfg.Via != "" {
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			h, err := b.deps.Host(b.cfg.Via)
			if err != nil {
				return nil, err
			}
			return h.Dial(ctx, "tcp", address) //nolint:wrapcheck // it names the host
		}
	}
	if b.cfg.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(b.cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: %s holds no certificate", b.cfg.CAFile)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

// fail says what an S3 server answered, in one line.
func (b *bucket) fail(what string, err error) error {
	var r minio.ErrorResponse
	if errors.As(err, &r) && r.Code != "" {
		return fmt.Errorf("%s: %s: %s (%s)", b, what, remote.Clean(r.Message), remote.Clean(r.Code))
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %s: %w", b, what, err)
	}
	return fmt.Errorf("%s: %s: %w", b, what, cleanError{err})
}

// cleanError is an error whose words came from outside.
type cleanError struct{ err error }

func (e cleanError) Error() string { return remote.Clean(e.err.Error()) }
func (e cleanError) Unwrap() error { return e.err }

// List gives the objects right below the prefix.
func (b *bucket) List(ctx context.Context) ([]Object, error) {
	c, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the lister when we stop reading
	var out []Object
	for o := range c.ListObjects(ctx, b.cfg.Bucket, minio.ListObjectsOptions{Prefix: b.prefix}) {
		if o.Err != nil {
			return nil, b.fail("list", o.Err)
		}
		name := strings.TrimPrefix(o.Key, b.prefix)
		if name == "" || strings.HasSuffix(name, "/") || strings.ContainsFunc(name, isControl) {
			continue
		}
		out = append(out, Object{Name: name, Size: o.Size, Modified: o.LastModified.UTC()})
		if len(out) > maxObjects {
			return nil, fmt.Errorf("%s holds more than %d objects: give the backups a prefix of their own", b, maxObjects)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, b.fail("list", err)
	}
	return out, nil
}

// Get reads a small object.
func (b *bucket) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	var buf bytes.Buffer
	err := b.Read(name).Run(ctx, nil, &boundedWriter{to: &buf, left: limit})
	if err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// boundedWriter takes so many bytes and no more.
type boundedWriter struct {
	to   io.Writer
	left int64
}

var errTooLarge = errors.New("it is larger than was expected")

func (w *boundedWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return 0, errTooLarge
	}
	w.left -= int64(len(p))
	return w.to.Write(p) //nolint:wrapcheck // a buffer's
}

// Free is not known of a bucket.
func (b *bucket) Free(context.Context) (int64, bool, error) { return 0, false, nil }

// Make makes nothing: a bucket is made by whoever pays for it.
func (b *bucket) Make() []Call { return nil }

func (b *bucket) call(what string, run func(ctx context.Context, c *minio.Client, in io.Reader, out io.Writer) error, words ...string) Call {
	return Call{Argv: append([]string{"s3", what}, words...), Run: func(ctx context.Context, in io.Reader, out io.Writer) error {
		c, err := b.open(ctx)
		if err != nil {
			return err
		}
		if err := run(ctx, c, in, out); err != nil {
			return b.fail(what, err)
		}
		return nil
	}}
}

func (b *bucket) full(name string) string { return b.cfg.Bucket + "/" + b.key(name) }

// Write uploads in parts. The object is there when the last part is, and not before.
func (b *bucket) Write(name string) []Call {
	return []Call{b.call("put", func(ctx context.Context, c *minio.Client, in io.Reader, _ io.Writer) error {
		_, err := c.PutObject(ctx, b.cfg.Bucket, b.key(name), in, -1, minio.PutObjectOptions{
			PartSize: partSize, NumThreads: 1, ContentType: "application/octet-stream", DisableContentSha256: b.cfg.secure(),
		})
		return err //nolint:wrapcheck // call does it
	}, b.full(name))}
}

// secure reports whether the server is reached over TLS, which keeps what is sent whole.
func (c *Config) secure() bool { return strings.HasPrefix(c.Endpoint, "https://") }

// Read gives the object.
func (b *bucket) Read(name string) Call {
	return b.call("get", func(ctx context.Context, c *minio.Client, _ io.Reader, out io.Writer) error {
		o, err := c.GetObject(ctx, b.cfg.Bucket, b.key(name), minio.GetObjectOptions{})
		if err != nil {
			return err //nolint:wrapcheck // call does it
		}
		defer func() { _ = o.Close() }()
		if out == nil {
			out = io.Discard
		}
		_, err = io.Copy(out, o)
		return err //nolint:wrapcheck // call does it
	}, b.full(name))
}

// Rename there is none.
func (b *bucket) Rename(string, string) (Call, bool) { return Call{}, false }

// Remove removes objects one by one: that an object is not there is no error.
func (b *bucket) Remove(names ...string) []Call {
	var out []Call
	for len(names) > 0 {
		some := names[:min(len(names), perCall)]
		names = names[len(some):]
		words := make([]string, 0, len(some))
		for _, n := range some {
			words = append(words, b.full(n))
		}
		out = append(out, b.call("remove", func(ctx context.Context, c *minio.Client, _ io.Reader, _ io.Writer) error {
			for _, n := range some {
				if err := c.RemoveObject(ctx, b.cfg.Bucket, b.key(n), minio.RemoveObjectOptions{}); err != nil {
					return err //nolint:wrapcheck // call does it
				}
			}
			return nil
		}, words...))
	}
	return out
}

// Broken are uploads that were begun and never ended: their parts are kept, and paid for, until somebody says so.
func (b *bucket) Broken(ctx context.Context, job string) ([]Call, []string, error) {
	c, err := b.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var calls []Call
	var names []string
	for u := range c.ListIncompleteUploads(ctx, b.cfg.Bucket, b.key(job+"-"), false) {
		if u.Err != nil {
			return nil, nil, b.fail("list uploads", u.Err)
		}
		name := strings.TrimPrefix(u.Key, b.prefix)
		// "ai-" also begins the names of the job ai-files, which may be at work.
		if _, _, own := Own(job, name); !own || strings.ContainsFunc(name, isControl) || len(names) >= perCall {
			continue
		}
		names = append(names, name)
		calls = append(calls, b.call("abort-upload", func(ctx context.Context, c *minio.Client, _ io.Reader, _ io.Writer) error {
			return c.RemoveIncompleteUpload(ctx, b.cfg.Bucket, b.key(name)) //nolint:wrapcheck // call does it
		}, b.full(name)))
	}
	return calls, names, nil
}
