// Package remote reaches hosts: it runs argv on them and dials addresses and
// sockets as they see them, over SSH or on this machine.
package remote

import (
	"context"
	"io"
	"net"
)

// Host is one reachable machine. All methods are safe for concurrent use and
// share one connection, which is made on first use and made again when lost.
type Host interface {
	// Name is the config name.
	Name() string
	// Address is how the host is reached, for people: "root@10.0.0.4:22", "local".
	Address() string
	// Run runs one command to its end. A command that ran and ended with another
	// code than 0 is no error: see Result.Code. An error means that it is not known
	// how the command ended (connection lost, context done) or that it never
	// began; errors.Is(err, ErrNotStarted) tells the second from the first.
	Run(ctx context.Context, cmd Command) (Result, error)
	// Dial connects to what the host itself would reach: network is "tcp" or "unix".
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	// Close ends the connection and its goroutines.
	Close() error
}

// Command is one program call. It is argv, never a shell string: quoting for
// the far shell is this package's business alone. Never put a secret in Argv or Env.
type Command struct {
	Argv   []string
	Dir    string            // working folder on the host; "" is the login folder
	Env    map[string]string // added to the environment
	Stdin  io.Reader         // nil is empty
	Stdout io.Writer         // gets the output while it comes, as well as Result; nil is fine
	Stderr io.Writer
	// Outlives: over SSH it goes on to its end when the connection is lost in it, and when nexops dies. It has no Stdin.
	Outlives bool
}

// Result is how a command ended. Output is bounded (1 MiB a stream); Truncated says when it was cut.
type Result struct {
	Code      int
	Stdout    []byte
	Stderr    []byte
	Truncated bool
}
