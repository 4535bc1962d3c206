package sources

import (
	"context"

	"github.com/nexgate-hq/nexops/remote"
)

// Endpoint is how a system that speaks HTTP is reached. Kinds embed it in their Config.
type Endpoint = remote.Endpoint

// Transport is the way to an Endpoint.
type Transport = remote.HTTPTransport

// ReachHost gives the connection to a host by config name.
func (d Deps) ReachHost(name string) (remote.Host, error) { return d.Host(name) }

// ReachSecret reads a secret.
func (d Deps) ReachSecret(ctx context.Context, s remote.Secret) (string, error) {
	if d.Secret == nil {
		return s.Resolve(ctx) //nolint:wrapcheck // it names itself
	}
	return d.Secret(ctx, s)
}
