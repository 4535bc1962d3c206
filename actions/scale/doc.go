// Package scale is the action that changes how many containers of a service run on a host.
package scale
