package git

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/nexgate-hq/nexops/sources"
	"github.com/nexgate-hq/nexops/sources/sourcestest"
)

func TestContract(t *testing.T) {
	sourcestest.Contract(t,
		func(t *testing.T) sources.Source {
			r := newRepo(t)
			for _, tag := range []string{"0.1.0", "0.2.0\x1b[31m", "0.3.0"} {
				r.write("services/ai/tag.env", "AI_TAG="+tag+"\n")
				r.commit("ai: \x1b]0;title\x07" + tag)
			}
			return newSource(t, r.dir, options{})
		},
		func(t *testing.T) sources.Source { // the repository is gone
			return newSource(t, filepath.Join(t.TempDir(), "gone"), options{})
		},
		func(t *testing.T) sources.Source { // the branch is gone
			r := newRepo(t)
			r.tag("ai", "0.1.0")
			return newSource(t, r.dir, options{change: func(c *Config) { c.Branches = map[string]string{"prod": "release"} }})
		},
		func(t *testing.T) sources.Source { // something else answers
			return newSource(t, "git://"+serve(t, "\x1b]0;title\x07HTTP/1.1 418 teapot\n")+"/infra.git", options{})
		},
		func(t *testing.T) sources.Source { // the cache cannot be written
			r := newRepo(t)
			r.tag("ai", "0.1.0")
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return newSource(t, r.dir, options{cache: file})
		},
	)
}

// serve answers every connection with a text and hangs up.
func serve(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(text))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}
