package loki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// client asks a Loki server. Loki's own client library would do it too, but it links all of Loki: 20 ms
// at every start of the program, before its first line of code runs, and 40 MB of binary, for these three calls.
type client struct {
	address string
	tenant  string
	base    http.RoundTripper
}

// get asks one endpoint and reads the data of its answer. It follows no redirect: where one leads
// is for the config to say.
func (c *client) get(ctx context.Context, endpoint string, params url.Values, data any) error {
	u, err := url.Parse(c.address)
	if err != nil {
		return fmt.Errorf("url: %w", err)
	}
	u = u.JoinPath("loki/api/v1", endpoint)
	u.RawQuery = params.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if c.tenant != "" {
		req.Header.Set("X-Scope-OrgID", c.tenant)
	}
	body, err := c.send(req)
	if err != nil {
		return err
	}
	answer := struct {
		Data any `json:"data"`
	}{data}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("the answer cannot be read: %s", remote.Clean(err.Error()))
	}
	return nil
}

// send gives the whole JSON of a successful answer.
func (c *client) send(req *http.Request) ([]byte, error) {
	resp, err := c.base.RoundTrip(req)
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

// between are the parameters of a span of time.
func between(from, to time.Time) url.Values {
	return url.Values{"start": {strconv.FormatInt(from.UnixNano(), 10)}, "end": {strconv.FormatInt(to.UnixNano(), 10)}}
}

// labelNames gives the labels that streams have between two moments.
func (c *client) labelNames(ctx context.Context, from, to time.Time) ([]string, error) {
	var names []string
	err := c.get(ctx, "labels", between(from, to), &names)
	return names, err
}

// series gives the label sets of the streams that match any of the selectors.
func (c *client) series(ctx context.Context, selectors []string, from, to time.Time) ([]labelSet, error) {
	params := between(from, to)
	params["match"] = selectors
	var sets []labelSet
	err := c.get(ctx, "series", params, &sets)
	return sets, err
}

// matrix runs a metric query over a grid.
func (c *client) matrix(ctx context.Context, query string, g sources.Grid) (model.Matrix, error) {
	params := between(g.Start, g.End())
	params.Set("query", query)
	params.Set("limit", strconv.Itoa(maxSeries))
	params.Set("step", strconv.FormatFloat(g.Step.Seconds(), 'f', -1, 64))
	params.Set("direction", "FORWARD")
	var out model.Matrix
	if err := c.query(ctx, params, "matrix", &out); err != nil {
		if errors.Is(err, errOtherResult) {
			return nil, errors.New("the answer is no range of samples: the query must be a metric query")
		}
		return nil, err
	}
	return out, nil
}

// lines runs a log query; the newest limit entries before to, which is exclusive.
func (c *client) lines(ctx context.Context, query string, limit int, from, to time.Time) ([]logStream, error) {
	params := between(from, to)
	params.Set("query", query)
	params.Set("limit", strconv.Itoa(limit))
	params.Set("direction", "BACKWARD")
	var out []logStream
	if err := c.query(ctx, params, "streams", &out); err != nil {
		if errors.Is(err, errOtherResult) {
			return nil, errors.New("the answer holds no log lines")
		}
		return nil, err
	}
	return out, nil
}

var errOtherResult = errors.New("another type of result")

// query runs a range query whose result must be of the given type.
func (c *client) query(ctx context.Context, params url.Values, kind string, result any) error {
	var data struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	}
	if err := c.get(ctx, "query_range", params, &data); err != nil {
		return err
	}
	if data.Type != kind {
		return errOtherResult
	}
	if err := json.Unmarshal(data.Result, result); err != nil {
		return fmt.Errorf("the answer cannot be read: %s", remote.Clean(err.Error()))
	}
	return nil
}
