// Package exec is the action that opens a shell, or runs one command, in an instance of a service.
package exec
