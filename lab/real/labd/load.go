package main

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// loadOrders are the addresses to ask and how often.
type loadOrders struct {
	Targets []loadTarget `json:"targets"`
}

type loadTarget struct {
	URL string  `json:"url"`
	RPS float64 `json:"rps"`
}

const (
	maxRPS      = 50 // a target: the load is bounded whatever the file says
	maxInFlight = 8  // a target: a slow service gets fewer requests, not a pile of them
	patience    = 5 * time.Second
)

// load asks every target at its own even rate until ctx is done.
func load(ctx context.Context, o loadOrders) {
	client := &http.Client{
		Timeout:   patience,
		Transport: &http.Transport{MaxIdleConnsPerHost: maxInFlight, IdleConnTimeout: 10 * time.Second},
	}
	var wg sync.WaitGroup
	for _, t := range o.Targets {
		wg.Go(func() { user(ctx, client, t) })
	}
	wg.Wait()
	client.CloseIdleConnections()
}

func user(ctx context.Context, client *http.Client, t loadTarget) {
	rps := min(max(t.RPS, 0.1), maxRPS)
	tick := time.NewTicker(time.Duration(float64(time.Second) / rps))
	defer tick.Stop()
	slots := make(chan struct{}, maxInFlight)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case slots <- struct{}{}:
		default:
			continue
		}
		wg.Go(func() {
			ask(ctx, client, t.URL)
			<-slots
		})
	}
}

// ask makes one request; what came of it is in the service's own metrics.
func ask(ctx context.Context, client *http.Client, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	_ = resp.Body.Close()
}
