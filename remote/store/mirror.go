package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/nexgate-hq/nexops/remote"
)

// Mirror copies the objects of one bucket below a folder of another. It never removes one.
type Mirror struct {
	from, to *bucket
}

// maxMirrored is how many objects a mirror takes: their names are kept in memory.
const maxMirrored = 2_000_000

// NewMirror makes the mirror of one place below a folder of another. Both are buckets.
func NewMirror(from, to Place, folder string) (*Mirror, error) {
	f, ok := from.(*bucket)
	t, ok2 := to.(*bucket)
	if !ok || !ok2 {
		return nil, errors.New("only a bucket can be mirrored, and only to a bucket")
	}
	return &Mirror{from: f, to: newBucket(t.cfg, strings.TrimPrefix(t.prefix, prefixOf(t.cfg))+folder, t.deps)}, nil
}

// prefixOf is the prefix that every folder of a configured bucket has.
func prefixOf(c Config) string {
	if p := strings.Trim(c.Prefix, "/"); p != "" {
		return p + "/"
	}
	return ""
}

// String names both ends.
func (m *Mirror) String() string { return m.from.String() + " → " + m.to.String() }

// Argv is what copying does, in words.
func (m *Mirror) Argv() []string { return []string{"s3", "mirror", m.from.full(""), m.to.full("")} }

// object is one of a bucket.
type object struct {
	size     int64
	modified time.Time
	etag     string
}

// all gives every object below the prefix.
func (b *bucket) all(ctx context.Context) (map[string]object, error) {
	c, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := map[string]object{}
	for o := range c.ListObjects(ctx, b.cfg.Bucket, minio.ListObjectsOptions{Prefix: b.prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, b.fail("list", o.Err)
		}
		if strings.Contains("/"+o.Key, "/"+lockFolder) {
			continue
		}
		out[strings.TrimPrefix(o.Key, b.prefix)] = object{o.Size, o.LastModified, strings.Trim(o.ETag, `"`)}
		if len(out) > maxMirrored {
			return nil, fmt.Errorf("%s holds more than %d objects: mirror its prefixes one by one", b, maxMirrored)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, b.fail("list", err)
	}
	return out, nil
}

// differs reports whether an object has to be copied again.
func differs(from, to object) bool {
	whole := func(o object) bool { return o.etag != "" && !strings.Contains(o.etag, "-") } // the tag of one part is its MD5
	if whole(from) && whole(to) {
		return from.etag != to.etag || from.size != to.size
	}
	return from.size != to.size || from.modified.After(to.modified)
}

// Todo says what a mirror has to do and how large all of it is.
type Todo struct {
	Objects int   // of the source
	Bytes   int64 // of all of them
	Copy    []string
	Extra   int // at the destination, and no longer in the source: they stay
}

// Compare lists both ends. What has come into the source, or changed there, after a time is left to the next run; zero is none.
func (m *Mirror) Compare(ctx context.Context, until time.Time) (Todo, error) {
	from, err := m.from.all(ctx)
	if err != nil {
		return Todo{}, err
	}
	to, err := m.to.all(ctx)
	if err != nil {
		return Todo{}, err
	}
	var todo Todo
	for name, o := range from {
		if !until.IsZero() && o.modified.After(until) {
			continue
		}
		todo.Objects++
		todo.Bytes += o.size
		if there, ok := to[name]; !ok || differs(o, there) {
			todo.Copy = append(todo.Copy, name)
		}
	}
	for name := range to {
		if _, ok := from[name]; !ok {
			todo.Extra++
		}
	}
	slices.Sort(todo.Copy)
	return todo, nil
}

// Copy copies objects, one after the other, each streamed. copied is told after each how many there are.
func (m *Mirror) Copy(ctx context.Context, names []string, copied func(n int)) error {
	from, err := m.from.open(ctx)
	if err != nil {
		return err
	}
	to, err := m.to.open(ctx)
	if err != nil {
		return err
	}
	for i, name := range names {
		if err := m.copy(ctx, from, to, name); err != nil {
			return fmt.Errorf("%s: %w", remote.Clean(name), err)
		}
		copied(i + 1)
	}
	return nil
}

func (m *Mirror) copy(ctx context.Context, from, to *minio.Client, name string) error {
	o, err := from.GetObject(ctx, m.from.cfg.Bucket, m.from.key(name), minio.GetObjectOptions{})
	if err != nil {
		return m.from.fail("get", err)
	}
	defer func() { _ = o.Close() }()
	info, err := o.Stat()
	if minio.ToErrorResponse(err).Code == "NoSuchKey" {
		return nil // it was removed since the listing
	}
	if err != nil {
		return m.from.fail("get", err)
	}
	opts := minio.PutObjectOptions{ContentType: info.ContentType, UserMetadata: info.UserMetadata, PartSize: partSize, NumThreads: 1}
	if _, err := to.PutObject(ctx, m.to.cfg.Bucket, m.to.key(name), o, info.Size, opts); err != nil {
		return m.to.fail("put", err)
	}
	return nil
}
