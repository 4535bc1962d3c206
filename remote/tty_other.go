//go:build !unix

package remote

import (
	"context"
	"errors"
	"fmt"
)

// Interact is not possible here: this system has no terminals to give.
func (h localHost) Interact(context.Context, Command, TTY) (int, error) {
	return -1, fmt.Errorf("%s: %w", h.spoken(), &notStarted{errors.New("this system has no terminals to give: use a host behind SSH")})
}
