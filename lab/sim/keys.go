package sim

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

func newHostKey() (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("sim: host key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("sim: host key: %w", err)
	}
	return signer, nil
}

// KeyPath is the private key that every host of the estate lets in.
func (e *Estate) KeyPath() string { return filepath.Join(e.dir, "id_ed25519") }

// KnownHostsPath is the known_hosts file with the keys of the hosts.
func (e *Estate) KnownHostsPath() string { return filepath.Join(e.dir, "known_hosts") }

// writeKey makes the client's key and gives its public half.
func (e *Estate) writeKey() (ssh.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("sim: client key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "nexops-sim")
	if err != nil {
		return nil, fmt.Errorf("sim: client key: %w", err)
	}
	if err := os.WriteFile(e.KeyPath(), pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, fmt.Errorf("sim: client key: %w", err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("sim: client key: %w", err)
	}
	return key, nil
}
