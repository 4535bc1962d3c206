//go:build !unix

package ui

import (
	"github.com/charmbracelet/x/term"

	"github.com/nexgate-hq/nexops/actions"
)

// watchSize tells nothing: this system sends no signal when a terminal changes its size.
func watchSize(term.File) (sizes <-chan actions.Size, stop func()) { return nil, func() {} }
