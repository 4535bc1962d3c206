package compose

import (
	"io"
	"strings"
	"testing"
)

func TestGitOutputIsBounded(t *testing.T) {
	var h head
	n, err := io.Copy(&h, strings.NewReader(strings.Repeat("x", maxGitOutput+7)))
	if err != nil || n != maxGitOutput+7 || len(h.String()) != maxGitOutput || !h.more {
		t.Errorf("took %d, kept %d, more %v, %v", n, len(h.String()), h.more, err)
	}
}
