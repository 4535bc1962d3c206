package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// trust is what known_hosts says about one host, read anew for each connection,
// so that a key that was just added counts.
type trust struct {
	h     *sshHost
	files []string
	db    *knownhosts.HostKeyDB
	err   error // what the check found, whatever the handshake makes of it
}

func newTrust(h *sshHost) (*trust, error) {
	t := &trust{h: h, files: h.opts.knownHosts(h.cfg)}
	var present []string
	for _, f := range t.files {
		_, err := os.Stat(f)
		switch {
		case err == nil:
			present = append(present, f)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("known_hosts: %w", err)
		}
	}
	db, err := knownhosts.NewDB(present...)
	if err != nil {
		return nil, fmt.Errorf("known_hosts is not readable, correct or remove that line: %s", Clean(err.Error()))
	}
	t.db = db
	return t, nil
}

// algorithms are the kinds of host key to ask for: those on record, or else the
// one whose fingerprint people compare first.
func (t *trust) algorithms() []string {
	if algos := t.db.HostKeyAlgorithms(t.h.hostPort()); len(algos) > 0 {
		return algos
	}
	return []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
}

func (t *trust) check(hostport string, remote net.Addr, key ssh.PublicKey) error {
	if _, _, err := net.SplitHostPort(remote.String()); err != nil {
		remote = addr{"tcp", hostport}
	}
	t.err = t.explain(t.db.HostKeyCallback()(hostport, remote, key), key)
	return t.err
}

// explain turns the verdict on a key into an error that says what to do.
func (t *trust) explain(err error, key ssh.PublicKey) error {
	if err == nil {
		return nil
	}
	h := t.h
	print256 := ssh.FingerprintSHA256(key)
	var revoked *xknownhosts.RevokedError
	if errors.As(err, &revoked) {
		return &RevokedKeyError{
			Host: h.name, Address: h.hostPort(), Fingerprint: print256,
			File: revoked.Revoked.Filename, Line: revoked.Revoked.Line,
		}
	}
	var bad *xknownhosts.KeyError
	switch {
	case !errors.As(err, &bad):
		return fmt.Errorf("host key of %s: %s", h.hostPort(), Clean(err.Error()))
	case len(bad.Want) > 0:
		return t.changed(bad.Want, key.Type(), print256)
	default:
		return &UnknownKeyError{
			Host: h.name, Address: h.hostPort(), KeyType: key.Type(), Fingerprint: print256,
			File: t.files[0], Command: t.scanCommand(key.Type()),
		}
	}
}

func (t *trust) changed(want []xknownhosts.KnownKey, keyType, print256 string) error {
	e := &ChangedKeyError{Host: t.h.name, Address: t.h.hostPort(), KeyType: keyType, Fingerprint: print256}
	for _, k := range want {
		e.Known = append(e.Known, KnownKey{
			File: k.Filename, Line: k.Line, KeyType: k.Key.Type(), Fingerprint: ssh.FingerprintSHA256(k.Key),
		})
	}
	return e
}

// noCommonKind is the verdict on a host that offers none of the kinds of key on record.
func (t *trust) noCommonKind(err error) error {
	var negotiation *ssh.AlgorithmNegotiationError
	if !errors.As(err, &negotiation) || negotiation.What != "host key" {
		return nil
	}
	var bad *xknownhosts.KeyError
	var none net.Addr = addr{"tcp", t.h.hostPort()}
	if !errors.As(t.db.HostKeyCallback()(t.h.hostPort(), none, noKey{}), &bad) || len(bad.Want) == 0 {
		return nil
	}
	return t.changed(bad.Want, Clean("only "+strings.Join(negotiation.RequestedAlgorithms, ", ")), "")
}

// scanCommand is the command that adds the key that the host shows.
func (t *trust) scanCommand(keyType string) string {
	kind := "ed25519"
	switch {
	case strings.HasPrefix(keyType, "ecdsa-"):
		kind = "ecdsa"
	case strings.Contains(keyType, "rsa"):
		kind = "rsa"
	}
	argv := []string{"ssh-keyscan", "-t", kind, "-p", t.h.port, t.h.host}
	if t.h.jump != nil {
		argv = append(append([]string{"ssh", "-p", t.h.jump.port, "-l", t.h.jump.user, t.h.jump.host}, "--"), argv...)
	}
	return Quote(argv) + " >> " + Quote([]string{t.files[0]})
}

// noKey is a key that no host has: asking for it brings the keys on record.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }
