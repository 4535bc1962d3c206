package redeploy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// traffic is steady HTTP load on one address, and what became of it. Half of the requests are on connections of their own, every fifth
// of those a POST that is never sent twice. The others are GETs on kept connections, as browsers have them: a server may
// close an idle one at any time, and then the client asks again on a new one.
type traffic struct {
	url    string
	asked  atomic.Int64
	failed atomic.Int64
	posts  atomic.Int64
	slow   atomic.Int64 // the longest, in microseconds
	mu     sync.Mutex
	why    []string
	stop   context.CancelFunc
	users  sync.WaitGroup
}

const trafficUsers = 10

// startTraffic asks rate times a second until it is stopped. Nothing is asked twice.
func startTraffic(t *testing.T, url string, rate int) *traffic {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	tr := &traffic{url: url, stop: stop}
	for i := range trafficUsers {
		client := &http.Client{
			Timeout:   10 * time.Second,
			Transport: &http.Transport{DisableKeepAlives: i%2 == 0, MaxIdleConnsPerHost: 1},
		}
		tr.users.Go(func() {
			defer client.CloseIdleConnections()
			tick := time.NewTicker(time.Second * trafficUsers / time.Duration(rate))
			defer tick.Stop()
			for n := i; ctx.Err() == nil; n++ {
				tr.ask(client, i%2 == 0 && n%5 == 0)
				select {
				case <-ctx.Done():
				case <-tick.C:
				}
			}
		})
	}
	t.Cleanup(tr.end)
	return tr
}

func (tr *traffic) ask(client *http.Client, post bool) {
	method, body := http.MethodGet, io.Reader(nil)
	if post {
		tr.posts.Add(1)
		method, body = http.MethodPost, io.MultiReader(strings.NewReader(`{"question":"how are you?"}`)) // no GetBody: it cannot be sent twice
	}
	tr.asked.Add(1)
	began := time.Now()
	req, err := http.NewRequestWithContext(context.Background(), method, tr.url, body)
	if err != nil {
		tr.fail(err.Error())
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		tr.fail(err.Error())
		return
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		tr.fail(fmt.Sprintf("%s %s %v", method, resp.Status, err))
	}
	for took := time.Since(began).Microseconds(); ; {
		was := tr.slow.Load()
		if took <= was || tr.slow.CompareAndSwap(was, took) {
			return
		}
	}
}

func (tr *traffic) fail(why string) {
	tr.failed.Add(1)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	const most = 5
	if len(tr.why) < most {
		tr.why = append(tr.why, time.Now().UTC().Format("15:04:05.000 ")+why)
	}
}

func (tr *traffic) end() {
	tr.stop()
	tr.users.Wait()
}

// atLeast lets the load go on until so many requests were made, ends it, and says how it went.
func (tr *traffic) atLeast(t *testing.T, n int64) string {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); tr.asked.Load() < n; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("only %d requests were made", tr.asked.Load())
			break
		}
	}
	tr.end()
	return fmt.Sprintf("%d requests (%d of them POST), %d failed, slowest %.0f ms",
		tr.asked.Load(), tr.posts.Load(), tr.failed.Load(), float64(tr.slow.Load())/1000)
}
