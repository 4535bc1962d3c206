package docker

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/system"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// fakeEngine answers as a Docker Engine does, over a unix socket; it is for faults and speed.
// What it answers is held against the real one by TestRealEngine, which asks the same questions.
type fakeEngine struct {
	socket string

	mu       sync.Mutex
	api      string // version it speaks; "" sends no header
	list     []container.Summary
	records  map[string]container.InspectResponse
	images   []image.Summary
	info     system.Info
	past     []events.Message
	streams  map[chan events.Message]struct{}
	logs     map[string][]fakeLine
	logWake  chan struct{} // closed and replaced when a log or a state changes
	counts   map[string]int
	fault    func(w http.ResponseWriter, r *http.Request) bool
	sinceLog []string
	server   *httptest.Server
}

type fakeLine struct {
	at     time.Time
	stream byte
	text   string // with its newline, if it has one
}

func newFake(tb testing.TB) *fakeEngine {
	tb.Helper()
	dir, err := os.MkdirTemp("", "nx")
	if err != nil {
		tb.Fatal(err)
	}
	f := &fakeEngine{
		socket: filepath.Join(dir, "d.sock"), api: "1.41", records: map[string]container.InspectResponse{},
		streams: map[chan events.Message]struct{}{}, logs: map[string][]fakeLine{}, logWake: make(chan struct{}), counts: map[string]int{},
		info: system.Info{ServerVersion: "20.10.24", NCPU: 2, MemTotal: 4 << 30},
	}
	f.start(tb)
	tb.Cleanup(func() {
		f.stop()
		_ = os.RemoveAll(dir)
	})
	return f
}

func (f *fakeEngine) start(tb testing.TB) {
	tb.Helper()
	l, err := net.Listen("unix", f.socket)
	if err != nil {
		tb.Fatal(err)
	}
	f.server = httptest.NewUnstartedServer(f)
	f.server.Listener = l
	f.server.Start()
}

func (f *fakeEngine) stop() {
	f.server.CloseClientConnections()
	f.server.Close()
}

// source is the source under test on the host prod-1.
func (f *fakeEngine) source(tb testing.TB) *source {
	tb.Helper()
	s := newSource(remote.Local("prod-1"), f.socket, 30*time.Second, sources.Deps{Environment: "prod", Now: time.Now})
	tb.Cleanup(s.engine.reset)
	return s
}

// add puts a container there, quietly.
func (f *fakeEngine) add(id, name, service, img, imgID string, change func(*container.Summary, *container.InspectResponse)) {
	labels := map[string]string{}
	if service != "" {
		labels = map[string]string{labelProject: "shop", labelService: service, labelOneOff: "False"}
	}
	created := time.Now().Add(-time.Hour)
	sum := container.Summary{
		ID: id, Names: []string{"/" + name}, Image: img, ImageID: imgID, Created: created.Unix(),
		State: "running", Status: "Up 1 hour", Labels: labels,
	}
	rec := container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID: id, Name: "/" + name, Image: imgID, Created: created.UTC().Format(time.RFC3339Nano),
			State: &container.State{
				Status: "running", Running: true, StartedAt: created.UTC().Format(time.RFC3339Nano), FinishedAt: "0001-01-01T00:00:00Z",
			},
			HostConfig: &container.HostConfig{},
		},
		Config: &container.Config{Image: img, Labels: labels},
	}
	if change != nil {
		change(&sum, &rec)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, sum)
	f.records[id] = rec
}

// update changes a container, quietly.
func (f *fakeEngine) update(id string, change func(*container.Summary, *container.InspectResponse)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.list {
		if f.list[i].ID == id {
			rec := f.records[id]
			change(&f.list[i], &rec)
			f.records[id] = rec
		}
	}
	f.wakeLogs()
}

func (f *fakeEngine) removeContainer(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.list {
		if f.list[i].ID == id {
			f.list = append(f.list[:i:i], f.list[i+1:]...)
			break
		}
	}
	delete(f.records, id)
	f.wakeLogs()
}

// event tells everybody who follows, and remembers it.
func (f *fakeEngine) event(typ events.Type, action events.Action, id string, attr map[string]string) {
	ev := events.Message{Type: typ, Action: action, Actor: events.Actor{ID: id, Attributes: attr}, TimeNano: time.Now().UnixNano()}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.past = append(f.past, ev)
	for ch := range f.streams {
		ch <- ev
	}
}

func (f *fakeEngine) containerEvent(action events.Action, id, name, service string, more ...string) {
	attr := map[string]string{"name": name, labelProject: "shop", labelService: service, "image": "app:1"}
	for i := 0; i+1 < len(more); i += 2 {
		attr[more[i]] = more[i+1]
	}
	f.event(events.ContainerEventType, action, id, attr)
}

func (f *fakeEngine) log(id string, lines ...fakeLine) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs[id] = append(f.logs[id], lines...)
	f.wakeLogs()
}

func (f *fakeEngine) wakeLogs() {
	close(f.logWake)
	f.logWake = make(chan struct{})
}

func (f *fakeEngine) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[path]
}

func (f *fakeEngine) setFault(fault func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// ServeHTTP is the engine's API, as much as is asked for.
func (f *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if strings.HasPrefix(path, "/v1.") {
		version, rest, _ := strings.Cut(path[2:], "/")
		path = "/" + rest
		f.mu.Lock()
		f.counts["v"+version]++
		f.mu.Unlock()
	}
	kind := path
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) == 3 {
		kind = "/" + parts[0] + "/*/" + parts[2]
	}
	f.mu.Lock()
	f.counts[kind]++
	fault, api := f.fault, f.api
	f.mu.Unlock()
	if api != "" {
		w.Header().Set("Api-Version", api)
	}
	if fault != nil && fault(w, r) {
		return
	}
	switch kind {
	case "/_ping":
		_, _ = io.WriteString(w, "OK")
	case "/info":
		f.mu.Lock()
		info := f.info
		f.mu.Unlock()
		if info.SystemTime == "" {
			info.SystemTime = time.Now().UTC().Format(time.RFC3339Nano)
		}
		answer(w, info)
	case "/containers/json":
		f.mu.Lock()
		defer f.mu.Unlock()
		answer(w, f.list)
	case "/images/json":
		f.mu.Lock()
		defer f.mu.Unlock()
		answer(w, f.images)
	case "/containers/*/json":
		f.inspect(w, parts[1])
	case "/containers/*/logs":
		f.serveLog(w, r, parts[1])
	case "/events":
		f.serveEvents(w, r)
	default:
		refuse(w, http.StatusNotFound, "page not found")
	}
}

func (f *fakeEngine) inspect(w http.ResponseWriter, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rec, ok := f.records[id]
	if !ok {
		refuse(w, http.StatusNotFound, "No such container: "+id)
		return
	}
	answer(w, rec)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": text})
}

func fakeTime(s string) time.Time {
	sec, nano, _ := strings.Cut(s, ".")
	n, _ := strconv.ParseInt(sec, 10, 64)
	m, _ := strconv.ParseInt(nano, 10, 64)
	return time.Unix(n, m)
}

func (f *fakeEngine) serveEvents(w http.ResponseWriter, r *http.Request) {
	since, until := r.FormValue("since"), r.FormValue("until")
	ch := make(chan events.Message, 1000)
	f.mu.Lock()
	var past []events.Message
	for _, ev := range f.past {
		if since != "" && !time.Unix(0, ev.TimeNano).Before(fakeTime(since)) {
			past = append(past, ev)
		}
	}
	if until == "" {
		f.streams[ch] = struct{}{}
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.streams, ch)
	}()
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	for _, ev := range past {
		_ = enc.Encode(ev)
	}
	_ = http.NewResponseController(w).Flush()
	if until != "" {
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case ev := <-ch:
			_ = enc.Encode(ev)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func (f *fakeEngine) serveLog(w http.ResponseWriter, r *http.Request, id string) {
	follow := r.FormValue("follow") == "1"
	sent := 0
	f.mu.Lock()
	f.sinceLog = append(f.sinceLog, r.FormValue("since"))
	if n, err := strconv.Atoi(r.FormValue("tail")); err == nil {
		sent = max(0, len(f.logs[id])-n)
	}
	f.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	for {
		f.mu.Lock()
		lines, wake := f.logs[id][min(sent, len(f.logs[id])):], f.logWake
		rec, exists := f.records[id]
		running := exists && rec.State.Running
		tty := exists && rec.Config.Tty
		f.mu.Unlock()
		for _, l := range lines {
			sent++
			if s := r.FormValue("since"); s != "" && l.at.Before(fakeTime(s)) {
				continue
			}
			text := l.at.UTC().Format("2006-01-02T15:04:05.000000000Z") + " " + l.text
			if tty {
				_, _ = io.WriteString(w, text)
				continue
			}
			_, _ = w.Write(frame(l.stream, text))
		}
		_ = http.NewResponseController(w).Flush()
		if !follow || !running {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-wake:
		}
	}
}

// frame is one piece of a log as the engine sends it.
func frame(stream byte, text string) []byte {
	out := make([]byte, frameHeader, frameHeader+len(text))
	out[0] = stream
	binary.BigEndian.PutUint32(out[4:], uint32(len(text))) //nolint:gosec // a test's own text
	return append(out, text...)
}

func outLine(at time.Time, format string, args ...any) fakeLine {
	return fakeLine{at: at, stream: 1, text: fmt.Sprintf(format, args...) + "\n"}
}
