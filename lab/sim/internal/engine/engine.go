// Package engine answers the Docker Engine API for one host of a simulated world,
// in the shapes of Engine 20.10 to 28.
package engine

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

const kernel = "6.8.0-48-generic"

// Server is the engine of one host.
type Server struct {
	world *world.World
	host  string
	mux   *http.ServeMux
}

// New makes the engine of a host of the world.
func New(w *world.World, host string) *Server {
	s := &Server{world: w, host: host, mux: http.NewServeMux()}
	s.mux.HandleFunc("/_ping", s.ping)
	s.mux.HandleFunc("GET /version", s.version)
	s.mux.HandleFunc("GET /info", s.info)
	s.mux.HandleFunc("GET /events", s.events)
	s.mux.HandleFunc("GET /containers/json", s.list)
	s.mux.HandleFunc("GET /containers/{id}/json", s.inspect)
	s.mux.HandleFunc("GET /containers/{id}/logs", s.logs)
	s.mux.HandleFunc("POST /containers/{id}/start", s.start)
	s.mux.HandleFunc("POST /containers/{id}/stop", s.stop)
	s.mux.HandleFunc("POST /containers/{id}/restart", s.restart)
	s.mux.HandleFunc("GET /images/json", s.images)
	// An image name has slashes in it, so that no pattern of the mux can end in /json.
	s.mux.HandleFunc("GET /images/{rest...}", s.imageInspect)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fail(w, http.StatusNotFound, "page not found") })
	return s
}

var versionPrefix = regexp.MustCompile(`^/v(\d+)\.(\d+)(/.*)$`)

// ServeHTTP takes the version prefix off and answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, ok := s.world.Host(s.host)
	if !ok {
		fail(w, http.StatusInternalServerError, "no such host")
		return
	}
	w.Header().Set("Api-Version", h.Engine.APIVersion)
	w.Header().Set("Docker-Experimental", "false")
	w.Header().Set("Ostype", "linux")
	w.Header().Set("Server", "Docker/"+h.Engine.Version+" (linux)")
	if m := versionPrefix.FindStringSubmatch(r.URL.Path); m != nil {
		asked := m[1] + "." + m[2]
		switch {
		case minor(asked) > minor(h.Engine.APIVersion):
			fail(w, http.StatusBadRequest, "client version "+asked+" is too new. Maximum supported API version is "+h.Engine.APIVersion)
			return
		case minor(asked) < minor(h.Engine.MinVersion):
			fail(w, http.StatusBadRequest, "client version "+asked+" is too old. Minimum supported API version is "+
				h.Engine.MinVersion+", please upgrade your client to a newer version")
			return
		}
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = m[3], ""
	}
	s.mux.ServeHTTP(w, r)
}

// minor is the second number of "1.41"; versions of another major are told apart by a thousand.
func minor(v string) int {
	a, b, _ := strings.Cut(v, ".")
	major, err1 := strconv.Atoi(a)
	n, err2 := strconv.Atoi(b)
	if err1 != nil || err2 != nil {
		return 0
	}
	return major*1000 + n
}

func (s *Server) ping(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Builder-Version", "2")
	w.Header().Set("Cache-Control", "no-cache, no-store, must-revalidate")
	w.Header().Set("Pragma", "no-cache")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Length", "0")
		return
	}
	_, _ = w.Write([]byte("OK"))
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) {
	reply(w, Version(s.hostNow()))
}

func (s *Server) hostNow() world.Host {
	h, _ := s.world.Host(s.host)
	return h
}

// Version is what the engine of a host says of itself.
func Version(h world.Host) types.Version {
	v := types.Version{
		Version: h.Engine.Version, APIVersion: h.Engine.APIVersion, MinAPIVersion: h.Engine.MinVersion,
		GitCommit: h.Engine.GitCommit, GoVersion: h.Engine.GoVersion, Os: "linux", Arch: "amd64",
		KernelVersion: kernel, BuildTime: "2026-05-18T18:38:29.000000000+00:00",
	}
	v.Components = []types.ComponentVersion{
		{Name: "Engine", Version: v.Version, Details: map[string]string{
			"ApiVersion": v.APIVersion, "Arch": v.Arch, "BuildTime": v.BuildTime, "Experimental": "false",
			"GitCommit": v.GitCommit, "GoVersion": v.GoVersion, "KernelVersion": v.KernelVersion,
			"MinAPIVersion": v.MinAPIVersion, "Os": v.Os,
		}},
		{Name: "containerd", Version: "1.7.22", Details: map[string]string{"GitCommit": "7f7fdf5fed64eb6a7caf99b3e12efcf9d60e311c"}},
		{Name: "runc", Version: "1.1.14", Details: map[string]string{"GitCommit": "v1.1.14-0-g2c9f560"}},
		{Name: "docker-init", Version: "0.19.0", Details: map[string]string{"GitCommit": "de40ad0"}},
	}
	return v
}

// find gives the container that a request is about, or answers that there is none.
func (s *Server) find(w http.ResponseWriter, r *http.Request) (*world.Container, bool) {
	c, err := s.world.Find(s.host, r.PathValue("id"))
	if err != nil {
		fail(w, http.StatusNotFound, "No such container: "+r.PathValue("id"))
		return nil, false
	}
	return c, true
}

func (s *Server) start(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	if c.State == world.Running {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	s.done(w, s.world.Start(s.host, c.ID, s.world.Now()))
}

func (s *Server) stop(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	if c.State != world.Running && c.State != world.Restarting {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	s.done(w, s.world.Stop(s.host, c.ID, s.world.Now(), "15"))
}

func (s *Server) restart(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	now := s.world.Now()
	s.done(w, errors.Join(s.world.Stop(s.host, c.ID, now, "15"), s.world.Start(s.host, c.ID, now)))
}

func (s *Server) done(w http.ResponseWriter, err error) {
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}

func fail(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(types.ErrorResponse{Message: message})
}

// parseTime reads "1732190000.123456789" or an RFC 3339 time; the zero time when it is empty.
func parseTime(v string) (time.Time, error) {
	if v == "" || v == "0" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
		return t, nil
	}
	whole, frac, _ := strings.Cut(v, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, err //nolint:wrapcheck // goes to the client as it is
	}
	frac = (frac + "000000000")[:9]
	nsec, err := strconv.ParseInt(frac, 10, 64)
	if err != nil {
		return time.Time{}, err //nolint:wrapcheck // goes to the client as it is
	}
	return time.Unix(sec, nsec), nil
}
