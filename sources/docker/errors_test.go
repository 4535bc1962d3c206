package docker

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestVersions(t *testing.T) {
	tests := []struct{ api, used, fails string }{
		{"1.24", "v1.24", ""},
		{"1.41", "v1.41", ""},
		{"1.99", "v1.51", ""},
		{"", "v1.24", ""}, // before the header
		{"1.22", "", "docker prod-1: connect: the engine speaks API 1.22, nexops needs 1.24 or newer (Docker 1.12): upgrade the engine"},
	}
	for _, tt := range tests {
		t.Run("api "+tt.api, func(t *testing.T) {
			f := newFake(t)
			f.api = tt.api
			fill(f, 2)
			s := f.source(t)
			facts, err := s.Observe(context.Background())
			if tt.fails != "" {
				if err == nil || err.Error() != tt.fails {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.count(tt.used) == 0 || facts.Hosts[0].Engine != "docker 20.10.24, api "+tt.used[1:] {
				t.Errorf("not spoken: %s; %s", tt.used, facts.Hosts[0].Engine)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	fail := func(path string, code int, text string) func(*fakeEngine) {
		return func(f *fakeEngine) {
			f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, path) {
					return false
				}
				refuse(w, code, text)
				return true
			})
		}
	}
	tests := []struct {
		name     string
		sabotage func(*fakeEngine)
		want     []string
	}{
		{"list fails", fail("/containers/json", 500, "layer \x1b[31mdoes not exist"), []string{"docker prod-1: list containers: ", "layer", "does not exist"}},
		{"images fail", fail("/images/json", 500, "disk"), []string{"docker prod-1: list images: disk"}},
		{"info fails", fail("/info", 500, "x"), []string{"docker prod-1: read info: x"}},
		{"refused by a plugin", fail("/containers/json", 403, "authorization denied"), []string{"list containers: authorization denied: an authorization plugin"}},
		{"engine too new", fail("/info", 400, "client version 1.51 is too old. Minimum supported API version is 1.60"), []string{"upgrade nexops"}},
		{"page of a proxy", func(f *fakeEngine) {
			f.setFault(func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusBadGateway)
				_, _ = w.Write([]byte(strings.Repeat("<h1>bad\ngateway</h1>", 1000)))
				return true
			})
		}, []string{"docker prod-1: ", "bad gateway"}},
		{"no JSON", func(f *fakeEngine) {
			f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/containers/json") {
					_, _ = w.Write([]byte("[{]"))
					return true
				}
				return false
			})
		}, []string{"docker prod-1: list containers: invalid character"}},
		{"socket missing", func(f *fakeEngine) { f.stop(); _ = os.Remove(f.socket) }, []string{"docker prod-1: local prod-1: socket ", f0Socket, "install or start Docker"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			fill(f, 2)
			tt.sabotage(f)
			_, err := f.source(t).Observe(context.Background())
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if want = strings.ReplaceAll(want, f0Socket, f.socket); !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %q", want, err)
				}
			}
			if strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 700 {
				t.Errorf("error is not clean: %q", err)
			}
			f.setFault(nil)
		})
	}
}

// f0Socket stands for the socket's path in wanted texts.
const f0Socket = "SOCKET"

func TestHungEngine(t *testing.T) {
	f := newFake(t)
	fill(f, 2)
	free := make(chan struct{})
	f.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/containers/json") {
			<-free
		}
		return false
	})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := f.source(t).Observe(ctx)
	close(free)
	if err == nil || !strings.Contains(err.Error(), "no answer in time") || !strings.HasPrefix(err.Error(), "docker prod-1: ") {
		t.Errorf("error %v", err)
	}
}

// A connection that was kept and broke says nothing; the new one says why, or works.
func TestBrokenConnectionIsTriedOnceMore(t *testing.T) {
	f := newFake(t)
	fill(f, 2)
	var asked atomic.Int64
	f.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/info") && asked.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	observe(t, f.source(t))
}
