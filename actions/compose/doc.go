// Package compose is how the actions handle a Compose service on its hosts: where its project is, what may be believed
// of that, which commands ask and change it, and where its tag is kept.
//
// It is no action. Every command it runs is listed in the README.md of an action that uses it.
package compose
