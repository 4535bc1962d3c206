package docker

import (
	"net/http"
	"os"
	"testing"

	"github.com/nexgate-hq/nexops/sources"
	"github.com/nexgate-hq/nexops/sources/sourcestest"
)

func TestContract(t *testing.T) {
	sourcestest.Contract(t,
		func(t *testing.T) sources.Source {
			f := newFake(t)
			fill(f, 20)
			return f.source(t)
		},
		func(t *testing.T) sources.Source { // the engine is gone
			f := newFake(t)
			f.stop()
			return f.source(t)
		},
		func(t *testing.T) sources.Source { // no socket
			f := newFake(t)
			f.stop()
			_ = os.Remove(f.socket)
			return f.source(t)
		},
		func(t *testing.T) sources.Source { // something else answers
			f := newFake(t)
			f.setFault(func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusTeapot)
				_, _ = w.Write([]byte("\x1b]0;title\x07<html>\nteapot"))
				return true
			})
			return f.source(t)
		},
		func(t *testing.T) sources.Source { // the engine hangs up in the middle of an answer
			f := newFake(t)
			fill(f, 3)
			f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/_ping" {
					return false
				}
				w.Header().Set("Content-Length", "1000")
				_, _ = w.Write([]byte(`[{"Id":`))
				panic(http.ErrAbortHandler)
			})
			return f.source(t)
		},
	)
}
