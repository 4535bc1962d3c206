// Package promote is the action that makes the very artifact that staging runs the release that prod wants.
package promote
