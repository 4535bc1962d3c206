package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxKeyFile bounds what is read as a key.
const maxKeyFile = 256 << 10

// keyring is what one connection may log in with.
type keyring struct {
	signers []ssh.Signer
	tried   []string
	notes   []string
	held    map[string]ssh.Signer // of the agent, by public key
	agent   net.Conn
}

// newKeyring collects the keys: the configured files first, because a host counts the
// keys it refuses, then the agent's, then the files with the usual names.
func newKeyring(ctx context.Context, h *sshHost) *keyring {
	k := &keyring{held: map[string]ssh.Signer{}}
	var held []ssh.Signer
	if h.cfg.useAgent() {
		held = k.askAgent(ctx, h.opts)
	}
	for _, file := range h.cfg.IdentityFiles {
		k.addFile(ctx, h, h.opts.expand(file), true)
	}
	for _, s := range held {
		k.add(s, "agent")
	}
	if len(h.cfg.IdentityFiles) == 0 {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			k.addFile(ctx, h, filepath.Join(h.opts.expand("~/.ssh"), name), false)
		}
	}
	return k
}

func (k *keyring) close() {
	if k.agent != nil {
		_ = k.agent.Close()
	}
}

func (k *keyring) note(format string, args ...any) {
	k.notes = append(k.notes, Clean(fmt.Sprintf(format, args...)))
}

// add appends a key unless it is there.
func (k *keyring) add(s ssh.Signer, from string) {
	for _, have := range k.signers {
		if bytes.Equal(have.PublicKey().Marshal(), s.PublicKey().Marshal()) {
			return
		}
	}
	k.signers = append(k.signers, s)
	k.tried = append(k.tried, from+" "+ssh.FingerprintSHA256(s.PublicKey()))
}

func (k *keyring) askAgent(ctx context.Context, opts Options) []ssh.Signer {
	sock, ok := opts.env("SSH_AUTH_SOCK")
	if !ok || sock == "" {
		return nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", sock)
	if err != nil {
		k.note("agent: %v", cause(err))
		return nil
	}
	k.agent = conn
	// An agent may ask its owner, so there is no bound but the connect timeout.
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		k.note("agent: %v", err)
		return nil
	}
	for _, s := range signers {
		k.held[string(s.PublicKey().Marshal())] = s
	}
	return signers
}

// addFile adds the key in a file, as the agent holds it or as it is read.
// One with a usual name need not be there.
func (k *keyring) addFile(ctx context.Context, h *sshHost, file string, named bool) {
	data, err := readKey(file)
	if err != nil {
		if named || !errors.Is(err, fs.ErrNotExist) {
			k.note("%s: %v", file, err)
		}
		return
	}
	signer, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		if held := k.fromAgent(file, locked.PublicKey); held != nil {
			k.add(held, "agent")
			return
		}
		signer, err = unlock(ctx, h, data)
	}
	if err != nil {
		k.note("%s: %v", file, err)
		return
	}
	if cert := certified(file, signer); cert != nil {
		k.add(cert, file+"-cert.pub")
	}
	k.add(signer, file)
}

func unlock(ctx context.Context, h *sshHost, data []byte) (ssh.Signer, error) {
	if h.cfg.Passphrase.IsZero() {
		return nil, errors.New("is encrypted: add it to the agent by ssh-add, or set passphrase")
	}
	pass, err := h.cfg.Passphrase.ResolveIn(ctx, h.opts)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	signer, err := ssh.ParsePrivateKeyWithPassphrase(data, []byte(pass))
	if err != nil {
		return nil, fmt.Errorf("the passphrase from %s does not open it", h.cfg.Passphrase)
	}
	return signer, nil
}

// fromAgent finds the agent's copy of an encrypted key, by its public half.
func (k *keyring) fromAgent(file string, pub ssh.PublicKey) ssh.Signer {
	if pub == nil {
		data, err := os.ReadFile(file + ".pub") // #nosec G304 -- beside the person's own key
		if err != nil {
			return nil
		}
		if pub, _, _, _, err = ssh.ParseAuthorizedKey(data); err != nil {
			return nil
		}
	}
	return k.held[string(pub.Marshal())]
}

// certified pairs a key with the certificate beside it, if there is one.
func certified(file string, signer ssh.Signer) ssh.Signer {
	data, err := os.ReadFile(file + "-cert.pub") // #nosec G304 -- beside the person's own key
	if err != nil {
		return nil
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey(data)
	if err != nil {
		return nil
	}
	cert, ok := pub.(*ssh.Certificate)
	if !ok {
		return nil
	}
	s, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		return nil
	}
	return s
}

func readKey(file string) ([]byte, error) {
	f, err := os.Open(file) // #nosec G304 -- the path is the person's own config
	if err != nil {
		return nil, cause(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, cause(err)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("mode %04o lets others read it: chmod 600 it", perm)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, cause(err)
	}
	return data, nil
}
