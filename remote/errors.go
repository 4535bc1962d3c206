package remote

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNotStarted is in the error of a Run whose command never began: it is safe to run it again.
var ErrNotStarted = errors.New("the command did not start")

// ErrClosed is in the error of calls on a host that was closed.
var ErrClosed = errors.New("the connection was closed by nexops")

// ErrConnectionLost is in the error of a Run whose connection broke while the
// command ran: nobody knows how it ended.
var ErrConnectionLost = errors.New("connection lost")

// notStarted marks an error as one before the command began.
type notStarted struct{ err error }

func (e *notStarted) Error() string   { return e.err.Error() }
func (e *notStarted) Unwrap() []error { return []error{ErrNotStarted, e.err} }

// UnknownKeyError says that nobody has vouched for a host's key yet.
type UnknownKeyError struct {
	Host        string // config name
	Address     string // host:port
	KeyType     string // "ssh-ed25519"
	Fingerprint string // "SHA256:..."
	File        string // where the key belongs
	Command     string // adds the key, once its fingerprint was compared
}

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("the host key of %s is not in %s; its %s fingerprint is %s: compare it with the host's own, then add it by: %s",
		e.Address, e.File, e.KeyType, e.Fingerprint, e.Command)
}

// KnownKey is one key that is on record for a host.
type KnownKey struct {
	File        string
	Line        int
	KeyType     string
	Fingerprint string
}

// ChangedKeyError says that a host shows another key than the one on record:
// it was installed anew, or somebody is in between.
type ChangedKeyError struct {
	Host        string // config name
	Address     string // host:port
	KeyType     string // what it shows; the kinds it offers when none of them is on record
	Fingerprint string // "" when it offers none of the kinds on record
	Known       []KnownKey
}

func (e *ChangedKeyError) Error() string {
	places := make([]string, 0, len(e.Known))
	for _, k := range e.Known {
		places = append(places, fmt.Sprintf("%s:%d has %s %s", k.File, k.Line, k.KeyType, k.Fingerprint))
	}
	shows := strings.TrimSpace(e.KeyType + " " + e.Fingerprint)
	return fmt.Sprintf("THE HOST KEY OF %s HAS CHANGED, nothing was sent: it shows %s, but %s; "+
		"either the host was installed anew or somebody is in between: ask who runs it before you remove that line",
		e.Address, shows, strings.Join(places, ", "))
}

// RevokedKeyError says that the host shows a key that known_hosts marks as @revoked.
type RevokedKeyError struct {
	Host        string
	Address     string
	Fingerprint string
	File        string
	Line        int
}

func (e *RevokedKeyError) Error() string {
	return fmt.Sprintf("THE HOST KEY OF %s IS REVOKED by %s:%d (%s), nothing was sent: ask who runs the host",
		e.Address, e.File, e.Line, e.Fingerprint)
}

// AuthError says that a host let none of the keys in.
type AuthError struct {
	Host    string
	Address string   // user@host:port
	Tried   []string // "agent SHA256:...", "/home/ana/.ssh/id_ed25519 SHA256:..."
	Notes   []string // keys that could not be tried, and why
	Err     error
}

func (e *AuthError) Error() string {
	var b strings.Builder
	if len(e.Tried) == 0 {
		fmt.Fprintf(&b, "no key to log in with as %s", e.Address)
	} else {
		fmt.Fprintf(&b, "%s lets none of these keys in: %s", e.Address, strings.Join(e.Tried, ", "))
	}
	if len(e.Notes) > 0 {
		fmt.Fprintf(&b, "; not tried: %s", strings.Join(e.Notes, "; "))
	}
	if len(e.Tried) == 0 {
		b.WriteString("; set identity_files or start an agent")
	}
	return b.String()
}

func (e *AuthError) Unwrap() error { return e.Err }

// SocketProblem is why a socket on a host cannot be dialled.
type SocketProblem string

// The problems of a socket.
const (
	SocketMissing   SocketProblem = "missing"
	SocketNotSocket SocketProblem = "not a socket"
	SocketDenied    SocketProblem = "permission denied"
	SocketDead      SocketProblem = "nothing listens"
	SocketForbidden SocketProblem = "forwarding not allowed"
	SocketUnknown   SocketProblem = "unknown"
)

// SocketError says why a unix socket on a host cannot be dialled.
type SocketError struct {
	Host    string
	Path    string
	User    string // who tried
	Problem SocketProblem
	Detail  string // what the host said
	Err     error
}

func (e *SocketError) Error() string {
	var s string
	switch e.Problem {
	case SocketMissing:
		s = "there is no such socket"
	case SocketNotSocket:
		s = "it is no socket"
	case SocketDenied:
		s = fmt.Sprintf("permission denied for user %s: add the user to the socket's group", e.User)
	case SocketDead:
		s = "nothing listens on it"
	case SocketForbidden:
		s = "sshd on the host does not allow socket forwarding: set AllowStreamLocalForwarding yes in its sshd_config"
	case SocketUnknown:
		s = "it cannot be opened"
	default:
		s = string(e.Problem)
	}
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return "socket " + Clean(e.Path) + ": " + s
}

func (e *SocketError) Unwrap() error { return e.Err }
