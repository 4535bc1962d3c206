package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"unicode/utf8"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api"
	"github.com/docker/docker/client"

	"github.com/nexgate-hq/nexops/remote"
)

// tooOldError is an engine that speaks an API before ours.
type tooOldError struct{ version string }

func (e *tooOldError) Error() string {
	return fmt.Sprintf("the engine speaks API %s, nexops needs %s or newer (Docker 1.12): upgrade the engine", clean(e.version), minAPI)
}

// engineError is a failure in words; it keeps the cause for errors.Is.
type engineError struct {
	text  string
	cause error
}

func (e *engineError) Error() string { return e.text }
func (e *engineError) Unwrap() error { return e.cause }

// connecting is what is done first with an engine.
const connecting = "connect"

// explain wraps an error once, at the boundary: what was done, to which host,
// what happened and what to do next.
func (e *engine) explain(op string, err error) error {
	if err == nil {
		return nil
	}
	cause := rootCause(err)
	if client.IsErrConnectionFailed(err) {
		if dialed := e.lastDialError(); dialed != nil {
			cause = dialed
			if op == connecting {
				op = "" // the way to the host says it, and where
			}
		}
	}
	text := "docker " + e.host.Name() + ": "
	if op != "" {
		text += op + ": "
	}
	text += clean(cause.Error())
	if next := e.advice(cause); next != "" {
		text += ": " + next
	}
	return &engineError{text: text, cause: err}
}

// rootCause takes off what the HTTP client puts around a reason.
func rootCause(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) && ue.Err != nil {
		return ue.Err
	}
	return err
}

// advice says what to do next about an error, where the error does not say it itself.
func (e *engine) advice(err error) string {
	text := err.Error()
	var socket *remote.SocketError
	switch {
	case errors.As(err, &socket):
		return socketAdvice(socket.Problem)
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time; see on the host whether the engine hangs (systemctl status docker)"
	case strings.Contains(text, "is too old. Minimum supported API version"):
		return "the engine no longer speaks API " + api.DefaultVersion + ", the newest that nexops does: upgrade nexops"
	case cerrdefs.IsPermissionDenied(err):
		return "an authorization plugin or a socket proxy on the host refuses it: allow reading containers, images, info and events"
	case broken(err):
		return "the connection ended: the way to the host broke or its engine stopped; it is tried again"
	default:
		return ""
	}
}

// broken is a connection that ended under a request.
func broken(err error) bool {
	for _, target := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func socketAdvice(p remote.SocketProblem) string {
	switch p {
	case remote.SocketMissing:
		return "install or start Docker on the host (systemctl start docker), or name its socket by `socket` or `sockets`"
	case remote.SocketNotSocket:
		return "name the engine's socket by `socket` or `sockets`"
	case remote.SocketDenied:
		return "on the host: usermod -aG docker USER, then connect again"
	case remote.SocketDead:
		return "start the engine on the host (systemctl start docker)"
	case remote.SocketForbidden, remote.SocketUnknown:
		return ""
	default:
		return ""
	}
}

// clean makes text from outside fit for one line of an error: no control
// characters, bounded, without the client's own opening words.
func clean(s string) string {
	return remote.Clean(strings.TrimPrefix(s, "Error response from daemon: "))
}

// oneLine is text from outside as one clean line of at most limit bytes.
func oneLine(s string, limit int) string {
	s = remote.Clean(s)
	if len(s) <= limit {
		return s
	}
	const mark = "…"
	cut := max(limit-len(mark), 0)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + mark
}
