package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// establish makes one connection: to the host, trusting its key, logged in.
func (h *sshHost) establish(ctx context.Context) (*link, error) {
	trust, err := newTrust(h)
	if err != nil {
		return nil, err
	}
	conn, err := h.dialTCP(ctx)
	if err != nil {
		return nil, h.whyNot(ctx, err)
	}
	keys := newKeyring(ctx, h)
	defer keys.close()
	l := newLink(conn, h.cfg.Keepalive.Or(DefaultKeepalive))
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	cc, chans, reqs, err := ssh.NewClientConn(l.raw, h.hostPort(), &ssh.ClientConfig{
		User:              h.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(keys.signers...)},
		HostKeyCallback:   trust.check,
		HostKeyAlgorithms: trust.algorithms(),
		ClientVersion:     "SSH-2.0-nexops",
	})
	if !stop() && err == nil {
		_ = cc.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, h.whyRefused(ctx, trust, keys, err)
	}
	l.conn, l.chans, l.reqs = cc, chans, reqs
	return l, nil
}

// whyNot says why there is not even a connection.
func (h *sshHost) whyNot(ctx context.Context, err error) error {
	if h.ctx.Err() != nil {
		return ErrClosed
	}
	if ctx.Err() != nil {
		return fmt.Errorf("no answer from %s within %s: %w", h.hostPort(), h.cfg.ConnectTimeout.Or(DefaultConnectTimeout), context.Cause(ctx))
	}
	return err // of net: it says where, and that it was the connection
}

// whyRefused says why the handshake or the login failed.
func (h *sshHost) whyRefused(ctx context.Context, trust *trust, keys *keyring, err error) error {
	switch {
	case h.ctx.Err() != nil:
		return ErrClosed
	case trust.err != nil:
		return trust.err
	case ctx.Err() != nil:
		return fmt.Errorf("no login on %s within %s: %w", h.hostPort(), h.cfg.ConnectTimeout.Or(DefaultConnectTimeout), context.Cause(ctx))
	}
	if changed := trust.noCommonKind(err); changed != nil {
		return changed
	}
	text := err.Error()
	refused := strings.Contains(text, "unable to authenticate") || strings.Contains(text, "Too many authentication failures")
	if refused || len(keys.signers) == 0 && strings.Contains(text, "ssh: ") {
		return &AuthError{Host: h.name, Address: h.Address(), Tried: keys.tried, Notes: keys.notes, Err: err}
	}
	var neterr interface{ Timeout() bool }
	if errors.As(err, &neterr) {
		return fmt.Errorf("handshake with %s: %w", h.hostPort(), err)
	}
	return fmt.Errorf("handshake with %s: %s", h.hostPort(), Clean(strings.TrimPrefix(text, "ssh: handshake failed: ")))
}
