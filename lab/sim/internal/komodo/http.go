package komodo

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const maxBody = 2 << 20

// problem is an answer that is no success.
type problem struct {
	status int
	text   string
	trace  []string
}

// Error is what it says.
func (p *problem) Error() string { return p.text }

func fault(status int, format string, args ...any) error {
	return &problem{status: status, text: fmt.Sprintf(format, args...)}
}

// wrong is the answer to nearly everything that goes wrong.
func wrong(format string, args ...any) error {
	return fault(http.StatusInternalServerError, format, args...)
}

type call func(ctx context.Context, u *User, p params) (any, error)

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	modules := map[string]map[string]call{"read": s.reads(), "write": s.writes(), "execute": s.executes()}
	for name, calls := range modules {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) { s.bodyForm(w, r, name, calls) })
		mux.HandleFunc("POST /"+name+"/{type}", func(w http.ResponseWriter, r *http.Request) { s.pathForm(w, r, name, calls) })
	}
	mux.HandleFunc("GET /ws/update", s.websocket)
	if !s.o.V1 {
		mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(w, s.version())
		})
		mux.HandleFunc("GET /user", func(w http.ResponseWriter, r *http.Request) {
			u, err := s.login(r)
			if err != nil {
				answer(w, nil, err)
				return
			}
			answer(w, userDoc(u), nil)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if !s.has(HTML) {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><html><head><title>Komodo</title></head><body><div id=\"root\"></div></body></html>")
	})
	return mux
}

func (s *Server) version() string {
	if s.o.V1 {
		return "1.19.5"
	}
	return "2.3.2"
}

// bodyForm takes {"type": "ListStacks", "params": {}}.
func (s *Server) bodyForm(w http.ResponseWriter, r *http.Request, module string, calls map[string]call) {
	u, err := s.login(r)
	if err != nil {
		answer(w, nil, err)
		return
	}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		answer(w, nil, fault(http.StatusUnsupportedMediaType, "Expected request with `Content-Type: application/json`"))
		return
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil || !json.Valid(raw) {
		answer(w, nil, fault(http.StatusBadRequest, "Failed to parse the request body as JSON"))
		return
	}
	var req struct {
		Type   string           `json:"type"`
		Params *json.RawMessage `json:"params"`
	}
	_ = json.Unmarshal(raw, &req)
	do, ok := calls[req.Type]
	if !ok || req.Params == nil {
		answer(w, nil, fault(http.StatusUnprocessableEntity, "Failed to deserialize the JSON body into the target type: unknown variant `%s`, or missing field `params`", req.Type))
		return
	}
	s.serve(w, r, u, module, req.Type, do, *req.Params)
}

// pathForm takes POST /read/ListStacks with the params alone.
func (s *Server) pathForm(w http.ResponseWriter, r *http.Request, module string, calls map[string]call) {
	u, err := s.login(r)
	if err != nil {
		answer(w, nil, err)
		return
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil || !json.Valid(raw) {
		answer(w, nil, fault(http.StatusBadRequest, "Failed to parse the request body as JSON"))
		return
	}
	do, ok := calls[r.PathValue("type")]
	if !ok {
		answer(w, nil, s.status(http.StatusUnprocessableEntity, "unknown variant `%s`", r.PathValue("type")))
		return
	}
	s.serve(w, r, u, module, r.PathValue("type"), do, raw)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, u *User, module, kind string, do call, raw json.RawMessage) {
	var p params
	if err := json.Unmarshal(raw, &p); err != nil {
		answer(w, nil, fault(http.StatusUnprocessableEntity, "invalid params: %v", err))
		return
	}
	if module == "execute" {
		s.mu.Lock()
		s.calls[kind]++
		s.mu.Unlock()
	}
	got, err := do(r.Context(), u, p)
	if module == "execute" && err == nil && s.has(LoseAnswer) {
		panic(http.ErrAbortHandler) // it is under way, and nobody is told
	}
	answer(w, got, err)
}

// status is 500 for what a client would expect another status for, unless that trap is off.
func (s *Server) status(better int, format string, args ...any) error {
	if s.has(Status500) {
		return wrong(format, args...)
	}
	return fault(better, format, args...)
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err == nil {
		_ = json.NewEncoder(w).Encode(v)
		return
	}
	p := &problem{status: http.StatusInternalServerError, text: err.Error()}
	_ = errors.As(err, &p)
	w.WriteHeader(p.status)
	trace := p.trace
	if trace == nil {
		trace = []string{}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"error": p.text, "trace": trace})
}

const (
	maxFails  = 5
	failsSpan = 15 * time.Second
)

// login finds who asks. Only failures count against the limit.
func (s *Server) login(r *http.Request) (*User, error) {
	if r.Header.Get("X-Api-Signature") != "" {
		return nil, wrong("not yet implemented")
	}
	return s.check(r.Header.Get("X-Api-Key"), r.Header.Get("X-Api-Secret"))
}

func (s *Server) check(key, secret string) (*User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	kept := s.fails[:0]
	for _, at := range s.fails {
		if now.Sub(at) < failsSpan {
			kept = append(kept, at)
		}
	}
	s.fails = kept
	if len(s.fails) >= maxFails {
		return nil, fault(http.StatusTooManyRequests, "Too many attempts. Try again in 15 seconds.")
	}
	for i := range s.o.Users {
		u := &s.o.Users[i]
		if u.Key == key && subtle.ConstantTimeCompare([]byte(u.Secret), []byte(secret)) == 1 {
			return u, nil
		}
	}
	s.fails = append(s.fails, now)
	return nil, fault(http.StatusUnauthorized, "Invalid user credentials")
}
