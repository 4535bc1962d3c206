package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// Bounds of one request.
const (
	tryTimeout = 10 * time.Second
	maxAnswer  = 64 << 10
	maxWait    = 10 * time.Minute // no server's Retry-After is obeyed for longer
)

// refused is an answer that asking again does not make better.
type refused struct{ text string }

// Error is the reason in words.
func (e *refused) Error() string { return e.text }

// later is an answer that says when to ask again.
type later struct {
	text string
	wait time.Duration
}

// Error is the reason in words.
func (e *later) Error() string { return e.text }

// request is one call to a receiver.
type request struct {
	to     remote.Endpoint
	path   string // behind the endpoint's URL; it may hold a secret
	header http.Header
	body   any
}

// send makes one call. Its error never holds the address: that may be the secret.
func send(ctx context.Context, reach remote.Reach, r request) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	body, err := json.Marshal(r.body)
	if err != nil {
		return &refused{"it cannot be written as JSON"}
	}
	transport, err := r.to.Transport(reach, maxAnswer)
	if err != nil {
		return err //nolint:wrapcheck // it says it all
	}
	defer transport.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.to.URL+r.path, bytes.NewReader(body))
	if err != nil {
		return &refused{"its address is none"} // the error of net/http holds it
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return remote.HTTPCause(err) //nolint:wrapcheck // the worker wraps it once
	}
	defer func() { _ = resp.Body.Close() }()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return answer(resp, said)
}

// answer says what an answer means.
func answer(resp *http.Response, said []byte) error {
	code := resp.StatusCode
	text := fmt.Sprintf("it answers %d %s", code, http.StatusText(code))
	if line := firstLine(said); line != "" {
		text += ": " + line
	}
	switch {
	case code/100 == 2:
		return nil
	case code == http.StatusTooManyRequests || (code == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != ""):
		return &later{text, retryAfter(resp, said)}
	case code == http.StatusRequestTimeout || code == http.StatusTooEarly || code/100 == 5:
		return errors.New(text)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return &later{text + "; check its token", time.Minute} // it may be put right while we run
	default:
		return &refused{text}
	}
}

func firstLine(said []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(said), []byte{'\n'})
	const most = 200
	if len(line) > most {
		line = line[:most]
	}
	return remote.Clean(string(bytes.ToValidUTF8(line, nil)))
}

// retryAfter is how long the server wants to be left alone: the header, or Telegram's own field.
func retryAfter(resp *http.Response, said []byte) time.Duration {
	const usual = 5 * time.Second
	var telegram struct {
		Parameters struct {
			RetryAfter int `json:"retry_after"`
		} `json:"parameters"`
	}
	wait := usual
	header := resp.Header.Get("Retry-After")
	if n, err := strconv.Atoi(header); err == nil && n >= 0 {
		wait = time.Duration(min(n, int(maxWait/time.Second))) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = time.Until(at)
	} else if json.Unmarshal(said, &telegram) == nil && telegram.Parameters.RetryAfter > 0 {
		wait = time.Duration(min(telegram.Parameters.RetryAfter, int(maxWait/time.Second))) * time.Second
	}
	return min(max(wait, time.Second), maxWait)
}
