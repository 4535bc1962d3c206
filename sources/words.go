package sources

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// HTTPError says that a server answered, but not with what was asked for.
type HTTPError struct {
	Status int
	Body   string // first line or two, clean
}

// Error says what came and what to do about it.
func (e *HTTPError) Error() string {
	text := fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	if e.Body != "" {
		text += ": " + e.Body
	}
	if hint := HTTPHint(e.Status); hint != "" {
		text += "; " + hint
	}
	return text
}

// HTTPHint says what to do about an answer that is no success.
func HTTPHint(status int) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "check bearer_token, username and password"
	case status == http.StatusNotFound:
		return "check url: is it the server itself, with its path prefix?"
	case status == http.StatusTooManyRequests:
		return "the server asks for fewer requests: raise poll"
	case status/100 == 3:
		return "it redirects: set url to where it leads"
	case status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout:
		return "the server is not ready, or a proxy cannot reach it"
	default:
		return ""
	}
}

// Cause takes an error of net/http apart: the way it went wrong, without the
// method and the address that the caller names anyway.
func Cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", err)
	default:
		return err
	}
}
