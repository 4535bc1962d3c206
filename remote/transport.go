package remote

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Transport makes HTTP go through a host. With network "" it dials what the URL
// says, as the host sees it; otherwise every request goes to that one address,
// such as "unix" and "/var/run/docker.sock", whatever the URL says. No proxy is used.
// The caller closes its idle connections when done.
func Transport(h Host, network, address string) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, netw, addr string) (net.Conn, error) {
			if network != "" {
				netw, addr = network, address
			}
			return h.Dial(ctx, netw, addr)
		},
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          16,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}
