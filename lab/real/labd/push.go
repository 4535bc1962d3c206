package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// labels are those of one log stream, under the names Alloy and Promtail give them.
type labels struct {
	Env       string `json:"env"`
	Host      string `json:"host"`
	Project   string `json:"compose_project,omitempty"`
	Service   string `json:"compose_service,omitempty"`
	Container string `json:"container"`
	Stream    string `json:"stream"`
}

type entry struct {
	labels labels
	at     time.Time
	line   string
}

const (
	batchLines = 2000
	batchEvery = 500 * time.Millisecond
	queueLines = 20000
)

// pusher batches lines and pushes them to Loki; when Loki is away it keeps a
// bounded queue, and the readers wait, as a real shipper's do.
type pusher struct {
	url    string
	queue  chan entry
	client *http.Client
	log    *slog.Logger
}

func newPusher(url string, log *slog.Logger) *pusher {
	return &pusher{
		url: url + "/loki/api/v1/push", queue: make(chan entry, queueLines),
		client: &http.Client{Timeout: 10 * time.Second}, log: log,
	}
}

func (p *pusher) add(ctx context.Context, l labels, at time.Time, line string) {
	select {
	case p.queue <- entry{l, at, strings.ToValidUTF8(line, "\ufffd")}:
	case <-ctx.Done():
	}
}

func (p *pusher) run(ctx context.Context) {
	t := time.NewTicker(batchEvery)
	defer t.Stop()
	var batch []entry
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-p.queue:
			if batch = append(batch, e); len(batch) < batchLines {
				continue
			}
		case <-t.C:
		}
		if len(batch) == 0 {
			continue
		}
		p.deliver(ctx, batch)
		batch = batch[:0]
	}
}

// deliver tries until the batch is taken or refused for good.
func (p *pusher) deliver(ctx context.Context, batch []entry) {
	for ctx.Err() == nil {
		code, err := p.push(ctx, batch)
		if err == nil {
			return
		}
		p.log.Warn("push", "lines", len(batch), "error", err)
		if code >= 400 && code < 500 && code != http.StatusTooManyRequests {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (p *pusher) push(ctx context.Context, batch []entry) (int, error) {
	type stream struct {
		Stream labels      `json:"stream"`
		Values [][2]string `json:"values"`
	}
	byLabels := map[labels]*stream{}
	var body struct {
		Streams []*stream `json:"streams"`
	}
	for _, e := range batch {
		s := byLabels[e.labels]
		if s == nil {
			s = &stream{Stream: e.labels}
			byLabels[e.labels] = s
			body.Streams = append(body.Streams, s)
		}
		s.Values = append(s.Values, [2]string{strconv.FormatInt(e.at.UnixNano(), 10), e.line})
	}
	b, err := json.Marshal(body)
	if err != nil {
		return http.StatusBadRequest, fmt.Errorf("write the batch: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(b))
	if err != nil {
		return http.StatusBadRequest, fmt.Errorf("push to loki: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("push to loki: %w", err)
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return resp.StatusCode, fmt.Errorf("push to loki: %s: %s", resp.Status, bytes.TrimSpace(text))
	}
	return resp.StatusCode, nil
}
