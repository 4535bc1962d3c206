package store

import (
	"crypto/md5" //nolint:gosec // an ETag is one
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// s3 answers as a server does to the few calls of a lock; conditions says how it keeps them. The lab has a real one.
type s3 struct {
	mu         sync.Mutex
	objects    map[string][]byte
	skew       time.Duration
	conditions int // status of a PUT with conditions, whatever they are; 0 keeps them
}

func etag(b []byte) string {
	sum := md5.Sum(b) //nolint:gosec // as above
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func (s *s3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Date", time.Now().Add(s.skew).UTC().Format(http.TimeFormat))
	refuse := func(status int, code string) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>no</Message></Error>")
	}
	old, there := s.objects[r.URL.Path]
	none, match := r.Header.Get("If-None-Match"), r.Header.Get("If-Match")
	switch {
	case r.Method == http.MethodDelete:
		delete(s.objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodGet && !there:
		refuse(http.StatusNotFound, "NoSuchKey")
	case r.Method == http.MethodGet:
		w.Header().Set("ETag", etag(old))
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		_, _ = w.Write(old)
	case s.conditions != 0 && none+match != "":
		refuse(s.conditions, map[int]string{http.StatusNotImplemented: "NotImplemented", http.StatusConflict: "ConditionalRequestConflict"}[s.conditions])
	case none == "*" && there, match != "" && there && match != etag(old):
		refuse(http.StatusPreconditionFailed, "PreconditionFailed")
	case match != "" && !there:
		refuse(http.StatusNotFound, "NoSuchKey")
	default:
		body, _ := io.ReadAll(r.Body)
		s.objects[r.URL.Path] = body
		w.Header().Set("ETag", etag(body))
	}
}

func lockable(t *testing.T, c Config) (Locks, *s3) {
	t.Helper()
	s := &s3{objects: map[string][]byte{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c.Endpoint, c.Bucket = server.URL, "backups"
	if errs := c.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	p, err := Open(c, "ai", Deps{Host: func(string) (remote.Host, error) { return nil, io.EOF }})
	if err != nil {
		t.Fatal(err)
	}
	l, ok := LocksOf(p)
	if !ok {
		t.Fatal("the bucket keeps no locks")
	}
	return l, s
}

func TestLocksOfABucket(t *testing.T) {
	l, s := lockable(t, Config{Prefix: "prod"})
	s.skew = -10 * time.Minute
	ctx := t.Context()
	write := func(text, version string, want bool) {
		t.Helper()
		if ok, err := l.WriteLock(ctx, "prod.ai", []byte(text), version); err != nil || ok != want {
			t.Errorf("write %q on %q: %v %v", text, version, ok, err)
		}
	}
	read := func(limit int64) (string, string) {
		t.Helper()
		body, version, now, err := l.ReadLock(ctx, "prod.ai", limit)
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Until(now); off < -11*time.Minute || off > -9*time.Minute {
			t.Errorf("the server's clock is %s off", off)
		}
		return string(body), version
	}
	if body, version := read(99); body != "" || version != "" {
		t.Errorf("nothing: %q %q", body, version)
	}
	write("x", strings.Repeat("0", 32), false) // nothing is there to write over
	write("one", "", true)
	write("two", "", false)
	body, version := read(99)
	if body != "one" || version == "" {
		t.Errorf("%q %q", body, version)
	}
	write("two", strings.Repeat("0", 32), false)
	write("two", version, true)
	write("three", version, false)
	if _, ok := s.objects["/backups/prod/ai/.nexops-locks/prod.ai.json"]; !ok || len(s.objects) != 1 {
		t.Errorf("objects %v", s.objects)
	}
	if _, _, _, err := l.ReadLock(ctx, "prod.ai", 2); err == nil {
		t.Error("more than the bound was read")
	}
	if err := l.RemoveLock(ctx, "prod.ai"); err != nil || len(s.objects) != 0 {
		t.Errorf("%v, left %v", err, s.objects)
	}
	s.conditions = http.StatusConflict // two wrote at the same moment
	write("x", "", false)
	s.conditions = http.StatusNotImplemented
	if _, err := l.WriteLock(ctx, "prod.ai", []byte("x"), ""); err == nil || !strings.Contains(err.Error(), `lock = "local"`) {
		t.Errorf("no conditions: %v", err)
	}
}

func TestWhereLocksAreNot(t *testing.T) {
	for _, c := range []Config{{Path: "/srv/x"}, {Endpoint: "https://s3.example.org", Bucket: "b", Lock: LockLocal}} {
		p, err := Open(c, "", Deps{Host: func(string) (remote.Host, error) { return nil, io.EOF }})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := LocksOf(p); ok {
			t.Errorf("%s keeps locks", p)
		}
	}
	for _, c := range []Config{{Path: "/srv/x", Lock: LockLocal}, {Endpoint: "https://s3.example.org", Bucket: "b", Lock: "host"}} {
		if errs := c.Validate(); len(errs) != 1 || !strings.Contains(errs[0].Error(), "lock") {
			t.Errorf("%+v: %v", c, errs)
		}
	}
}
