package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nexgate-hq/nexops/remote"
)

// glance asks the remote for the refs that a fetch would bring, where that costs little: over the connection that is open already, or in
// a folder of this machine. Where nothing was pushed, which is nearly always, no fetch is started. nil: it cannot be told that
// way, and a fetch says the rest.
func (m *mirror) glance(ctx context.Context) map[string]string {
	refs, err := map[string]string(nil), error(nil)
	switch {
	case m.tunnel != nil:
		refs, err = m.tunnel.advertised(ctx)
	case filepath.IsAbs(m.url):
		refs, err = m.listRefs(ctx, call{args: []string{"-C", m.url}})
	}
	if err != nil || refs == nil {
		return nil
	}
	maps.DeleteFunc(refs, func(name, _ string) bool { return !m.wanted(name) })
	return refs
}

// wanted reports whether a fetch brings the ref.
func (m *mirror) wanted(name string) bool {
	if branch, ok := strings.CutPrefix(name, "refs/heads/"); ok {
		for _, b := range m.branches {
			if b == branch {
				return true
			}
		}
		return false
	}
	return m.tags != "" && strings.HasPrefix(name, m.tagsHead())
}

// advertised are the refs that the repository on the host has now.
func (t *tunnel) advertised(ctx context.Context) (map[string]string, error) {
	result, err := t.host.Run(ctx, remote.Command{Argv: []string{"git-upload-pack", t.path}, Stdin: bytes.NewReader([]byte(flushPacket))})
	switch {
	case err != nil:
		return nil, fmt.Errorf("git-upload-pack: %w", err)
	case result.Code != 0 || result.Truncated:
		return nil, fmt.Errorf("git-upload-pack: exit code %d, %d bytes", result.Code, len(result.Stdout))
	}
	return parseAdvertisement(result.Stdout)
}

// flushPacket ends a list; sent instead of wishes it says that none are had.
const flushPacket = "0000"

// parseAdvertisement reads what git-upload-pack says first in version 0 of its protocol: packets with their length in four
// hexadecimal digits, "object name", the first with capabilities after a zero byte.
func parseAdvertisement(b []byte) (map[string]string, error) {
	refs := map[string]string{}
	for {
		if len(b) < len(flushPacket) {
			return nil, io.ErrUnexpectedEOF
		}
		if string(b[:4]) == flushPacket {
			return refs, nil
		}
		n, err := strconv.ParseUint(string(b[:4]), 16, 16)
		if err != nil || n < 4 || int(n) > len(b) {
			return nil, errors.New("not the refs of a repository")
		}
		line, _, _ := strings.Cut(string(b[4:n]), "\x00")
		object, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if ok && strings.HasPrefix(name, "refs/") && !strings.HasSuffix(name, "^{}") {
			refs[name] = object
		}
		b = b[n:]
	}
}
