package komodo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

const maxAnswer = 32 << 20

// client asks one Komodo Core.
type client struct {
	cfg    *Config
	base   *sources.Transport
	secret func(ctx context.Context, s remote.Secret) (string, error)

	mu          sync.Mutex
	key, hidden string // read on first use, and again after a refusal
}

// Error is an answer that is no success. Komodo says 500 for nearly everything, so that the text tells what it is.
type Error struct {
	Status int
	Text   string
}

// Error says what came and what to do about it.
func (e *Error) Error() string {
	text := fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		text = e.Text
		if e.Status != http.StatusInternalServerError {
			text = fmt.Sprintf("%d: %s", e.Status, e.Text)
		}
	}
	switch low := strings.ToLower(e.Text); {
	case e.Status == http.StatusUnauthorized:
		text += "; check key and secret: is the key's user enabled, and the key not expired?"
	case e.Status == http.StatusTooManyRequests:
		text += "; Core locks out for 15 s after five wrong keys: check key and secret"
	case e.Status == http.StatusNotFound:
		text += "; check url: is it Komodo Core itself, with its path prefix?"
	case strings.Contains(low, "required permissions"):
		text += "; give the key's user that permission in Komodo"
	case e.Status == http.StatusBadGateway, e.Status == http.StatusServiceUnavailable, e.Status == http.StatusGatewayTimeout:
		text += "; Core is not ready, or a proxy cannot reach it"
	}
	return text
}

// missing reports whether a resource or update does not exist (any more).
func missing(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	low := strings.ToLower(e.Text)
	return strings.Contains(low, "did not find any") || strings.Contains(low, "no update exists")
}

// unsent marks the error of a request of which Core has certainly seen nothing.
type unsent struct{ error }

// Unwrap gives the error itself.
func (u unsent) Unwrap() error { return u.error }

// credentials are read once, and again after Core has refused them.
func (c *client) credentials(ctx context.Context) (key, secret string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.key != "" {
		return c.key, c.hidden, nil
	}
	if key, err = c.secret(ctx, c.cfg.Key); err != nil {
		return "", "", fmt.Errorf("key: %w", err)
	}
	if secret, err = c.secret(ctx, c.cfg.Secret); err != nil {
		return "", "", fmt.Errorf("secret: %w", err)
	}
	c.key, c.hidden = key, secret
	return key, secret, nil
}

func (c *client) forget() {
	c.mu.Lock()
	c.key, c.hidden = "", ""
	c.mu.Unlock()
}

func (c *client) read(ctx context.Context, kind string, params, out any) error {
	return c.call(ctx, "read", kind, params, out)
}

// list asks for all of a kind: without limit 0 Core cuts the list.
func (c *client) list(ctx context.Context, kind string, out any) error {
	return c.call(ctx, "read", kind, map[string]any{"query": map[string]any{}, "limit": 0}, out)
}

// call sends one request, in the form that v1 and v2 understand, and reads its answer.
func (c *client) call(ctx context.Context, module, kind string, params, out any) error {
	body, err := json.Marshal(map[string]any{"type": kind, "params": params})
	if err != nil {
		return unsent{fmt.Errorf("%s: %w", kind, err)}
	}
	key, secret, err := c.credentials(ctx)
	if err != nil {
		return unsent{err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.cfg.URL, "/")+"/"+module, bytes.NewReader(body))
	if err != nil {
		return unsent{fmt.Errorf("%s: %w", kind, err)}
	}
	req.GetBody = nil // a request is never sent a second time by the library
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Api-Key", key)
	req.Header.Set("X-Api-Secret", secret)
	resp, err := c.base.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("%s: %w", kind, sources.Cause(err))
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: the answer broke off: %w", kind, sources.Cause(err))
	}
	if resp.StatusCode/100 != 2 {
		if resp.StatusCode == http.StatusUnauthorized {
			c.forget()
		}
		return fmt.Errorf("%s: %w", kind, refusal(resp, raw))
	}
	if !isJSON(resp) || json.Unmarshal(raw, out) != nil {
		return fmt.Errorf("%s: %w", kind, errNoAnswer)
	}
	return nil
}

func isJSON(resp *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind == "application/json"
}

// refusal reads why Core said no; what stands before it may say so in plain text.
func refusal(resp *http.Response, raw []byte) *Error {
	e := &Error{Status: resp.StatusCode}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	var said wireError
	switch {
	case kind == "application/json" && json.Unmarshal(raw, &said) == nil:
		e.Text = line(said.text)
	case !strings.Contains(kind, "html"):
		e.Text = line(string(raw[:min(len(raw), 4<<10)]))
	}
	return e
}
