package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
)

// snapshotVault is a raft snapshot by Vault's API.
func (a *action) snapshotVault(ctx context.Context, j *Job, p *product) {
	p.ext = "snap"
	p.look = lookSnapshot
	address := strings.TrimSuffix(j.Vault.URL, "/")
	p.dump = store.Call{Argv: []string{"GET", address + "/v1/sys/storage/raft/snapshot"}, Run: func(ctx context.Context, _ io.Reader, out io.Writer) error {
		return a.vault(ctx, j.Vault, "/v1/sys/storage/raft/snapshot", out, 0)
	}}
	const unhealthy = "vault"
	hctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	err := a.vault(hctx, j.Vault, "/v1/sys/health", io.Discard, maxHealth)
	if err != nil {
		p.check(actions.CheckFail, unhealthy, "%v", err)
		return
	}
	p.check(actions.CheckOK, unhealthy, "%s is unsealed and active", address)
}

// Bounds of the answer about Vault's health.
const (
	healthTime = 20 * time.Second
	maxHealth  = 64 << 10
)

// vault asks Vault for one thing, at most limit bytes of it; 0 is no bound. The token goes into a header, and nowhere else.
func (a *action) vault(ctx context.Context, v *Vault, path string, out io.Writer, limit int64) error {
	token, err := a.deps.Secret(ctx, v.Token)
	if err != nil {
		return err
	}
	client, err := a.vaultClient(v)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(v.URL, "/")+path, nil)
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	req.Header.Set("X-Vault-Token", token)
	req.Header.Set("X-Vault-Request", "true")
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("vault: %s: %s", path, vaultStatus(res.StatusCode))
	}
	body := io.Reader(res.Body)
	if limit > 0 {
		body = io.LimitReader(body, limit+1)
	}
	n, err := io.Copy(out, body)
	if limit > 0 && n > limit {
		return fmt.Errorf("vault: %s: more than %d KiB came, which is no answer of Vault's: see whether vault.url is its address", path, limit>>10)
	}
	if err != nil {
		return fmt.Errorf("vault: %s: it broke off: %w", path, err)
	}
	if res.ContentLength >= 0 && n != res.ContentLength {
		return fmt.Errorf("vault: %s: %d bytes of %d came", path, n, res.ContentLength)
	}
	return nil
}

// vaultStatus says what a status means.
func vaultStatus(code int) string {
	switch code {
	case http.StatusForbidden:
		return "the token may not do this: it needs read on sys/storage/raft/snapshot"
	case http.StatusTooManyRequests, 472, 473:
		return "that node is a standby: name the active one in vault.url"
	case http.StatusNotImplemented:
		return "vault is not initialized"
	case http.StatusServiceUnavailable:
		return "vault is sealed: unseal it first"
	default:
		return fmt.Sprintf("status %d", code)
	}
}

func (a *action) vaultClient(v *Vault) (*http.Client, error) {
	t := &http.Transport{TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute}
	if v.Via != "" {
		t.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
			h, err := a.deps.Host(v.Via)
			if err != nil {
				return nil, err
			}
			return h.Dial(ctx, "tcp", address) //nolint:wrapcheck // it names the host
		}
	}
	if v.CAFile != "" {
		pem, err := os.ReadFile(v.CAFile)
		pool := x509.NewCertPool()
		if err != nil || !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("vault: ca_file: %s cannot be read as a certificate", remote.Clean(v.CAFile))
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	// The token would follow a redirect to whoever it leads to.
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// maxSums bounds the list of checksums in a snapshot.
const maxSums = 64 << 10

// lookSnapshot checks a snapshot by its own SHA256SUMS: a gzipped archive of meta.json, state.bin and these.
func lookSnapshot(r io.Reader) (string, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return "", fmt.Errorf("it is no snapshot: %w", err)
	}
	got, want := map[string]string{}, map[string]string{}
	err = eachEntry(z, func(name string, r io.Reader) error {
		if name == "SHA256SUMS" {
			b, err := io.ReadAll(io.LimitReader(r, maxSums))
			if err != nil {
				return fmt.Errorf("the archive is not whole: %w", err)
			}
			want = readSums(b)
			return nil
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil { // #nosec G110 -- it is hashed and dropped
			return fmt.Errorf("the archive is not whole: %w", err)
		}
		got[name] = hex.EncodeToString(sum.Sum(nil))
		return nil
	})
	if err != nil {
		return "", err
	}
	if want["state.bin"] == "" || want["meta.json"] == "" {
		return "", errors.New("the snapshot has no SHA256SUMS of its state")
	}
	for name, sum := range want {
		if got[name] != sum {
			return "", fmt.Errorf("%s does not have the checksum that the snapshot gives it", remote.Clean(name))
		}
	}
	return fmt.Sprintf("the %d checksums of the snapshot are right", len(want)), nil
}

func readSums(b []byte) map[string]string {
	out := map[string]string{}
	s := bufio.NewScanner(bytes.NewReader(b))
	for s.Scan() {
		if sum, name, ok := strings.Cut(s.Text(), " "); ok {
			out[strings.TrimLeft(name, " *")] = sum
		}
	}
	return out
}
