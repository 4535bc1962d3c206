package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"github.com/nexgate-hq/nexops/remote"
)

// unchanged reports whether the remote's refs are those that the mirror was last seen to have. It is asked over the
// connection that is open already: where nothing was pushed, which is nearly always, no process is started here. When
// it cannot tell it says no, and a fetch says the rest.
func (m *mirror) unchanged(ctx context.Context) bool {
	if m.tunnel == nil || m.known == nil {
		return false
	}
	refs, err := m.tunnel.advertised(ctx)
	if err != nil {
		return false
	}
	maps.DeleteFunc(refs, func(name, _ string) bool { return !m.wanted(name) })
	return maps.Equal(refs, m.known)
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
