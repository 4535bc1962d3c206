// Package redeploy puts a Compose service back to a release it ran before, where
// the estate keeps the tag and on every host that runs it.
//
// Everything it runs on a host is one of the few commands listed in README.md.
package redeploy
