package loki

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	logcli "github.com/grafana/loki/v3/pkg/logcli/client"
	"github.com/grafana/loki/v3/pkg/loghttp"
	"github.com/grafana/loki/v3/pkg/logproto"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// client asks a Loki server through logcli's client. That one knows no context, writes
// every failure to the standard log and then says only "run out of attempts"; so
// each call gets its own, whose transport never fails in its eyes and keeps the error for us.
type client struct {
	address string
	tenant  string
	base    http.RoundTripper
}

// exchange is the transport of one call.
type exchange struct {
	ctx  context.Context //nolint:containedctx // the vendor's client has no other way to take it
	base http.RoundTripper
	err  error
}

// RoundTrip sends the request with the call's context. It never fails: what
// went wrong is kept, and the client gets an empty success to swallow.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := x.send(req.WithContext(x.ctx))
	if err != nil {
		x.err = err
		body = []byte("null")
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}, nil
}

// send gives the whole JSON of a successful answer.
func (x *exchange) send(req *http.Request) ([]byte, error) {
	resp, err := x.base.RoundTrip(req)
	if err != nil {
		return nil, sources.Cause(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		return nil, refusal(resp)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("the answer broke off: %w", sources.Cause(err))
	}
	if !json.Valid(body) {
		kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		return nil, fmt.Errorf("the answer is not Loki's JSON (%s); check url, or what stands before the server", remote.Clean(kind))
	}
	return body, nil
}

// refusal reads why a server said no; Loki says it in plain text.
func refusal(resp *http.Response) *sources.HTTPError {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	e := &sources.HTTPError{Status: resp.StatusCode}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); !strings.Contains(kind, "html") {
		e.Body = remote.Clean(string(text))
	}
	return e
}

// do runs one call of the vendor's client and gives its true error.
func (c *client) do(ctx context.Context, call func(*logcli.DefaultClient) error) error {
	x := &exchange{ctx: ctx, base: c.base}
	vendor := &logcli.DefaultClient{
		Address: c.address, OrgID: c.tenant,
		Tripperware: func(http.RoundTripper) http.RoundTripper { return x },
	}
	err := call(vendor)
	if x.err != nil {
		return x.err
	}
	if err != nil {
		return fmt.Errorf("the answer cannot be read: %s", remote.Clean(err.Error()))
	}
	return nil
}

// labelNames gives the labels that streams have between two moments.
func (c *client) labelNames(ctx context.Context, from, to time.Time) ([]string, error) {
	var names []string
	err := c.do(ctx, func(v *logcli.DefaultClient) error {
		resp, err := v.ListLabelNames(true, from, to)
		if resp != nil {
			names = resp.Data
		}
		return err //nolint:wrapcheck // do wraps it
	})
	return names, err
}

// series gives the label sets of the streams that match any of the selectors.
func (c *client) series(ctx context.Context, selectors []string, from, to time.Time) ([]loghttp.LabelSet, error) {
	var sets []loghttp.LabelSet
	err := c.do(ctx, func(v *logcli.DefaultClient) error {
		resp, err := v.Series(selectors, from, to, true)
		if resp != nil {
			sets = resp.Data
		}
		return err //nolint:wrapcheck // do wraps it
	})
	return sets, err
}

// matrix runs a metric query over a grid.
func (c *client) matrix(ctx context.Context, query string, g sources.Grid) (loghttp.Matrix, error) {
	var result loghttp.ResultValue
	err := c.do(ctx, func(v *logcli.DefaultClient) error {
		resp, err := v.QueryRange(query, maxSeries, g.Start, g.End(), logproto.FORWARD, g.Step, 0, true)
		if resp != nil {
			result = resp.Data.Result
		}
		return err //nolint:wrapcheck // do wraps it
	})
	if err != nil {
		return nil, err
	}
	m, ok := result.(loghttp.Matrix)
	if !ok {
		return nil, errors.New("the answer is no range of samples: the query must be a metric query")
	}
	return m, nil
}

// lines runs a log query; the newest limit entries before to, which is exclusive.
func (c *client) lines(ctx context.Context, query string, limit int, from, to time.Time) (loghttp.Streams, error) {
	var result loghttp.ResultValue
	err := c.do(ctx, func(v *logcli.DefaultClient) error {
		resp, err := v.QueryRange(query, limit, from, to, logproto.BACKWARD, 0, 0, true)
		if resp != nil {
			result = resp.Data.Result
		}
		return err //nolint:wrapcheck // do wraps it
	})
	if err != nil {
		return nil, err
	}
	s, ok := result.(loghttp.Streams)
	if !ok {
		return nil, errors.New("the answer holds no log lines")
	}
	return s, nil
}
