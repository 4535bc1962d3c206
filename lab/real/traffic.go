package real

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Traffic is steady HTTP load on one address, and what became of it. Half of the requests are on connections of their own, every fifth
// of those a POST that is never sent twice. The others are GETs on kept connections, as browsers have them: a server may
// close an idle one at any time, and then the client asks again on a new one.
type Traffic struct {
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

const (
	trafficUsers = 10
	trafficRate  = 150 // requests a second
	// A measurement is of so many requests; without a report one that fails requests anyhow is of fewer.
	trafficRequests = 10_000
	trafficFew      = 1_500
)

// StartTraffic asks steadily until it is ended. Nothing is asked twice.
func StartTraffic(t TB, url string) *Traffic {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	tr := &Traffic{url: url, stop: stop}
	for i := range trafficUsers {
		client := &http.Client{
			Timeout:   10 * time.Second,
			Transport: &http.Transport{DisableKeepAlives: i%2 == 0, MaxIdleConnsPerHost: 1},
		}
		tr.users.Go(func() {
			defer client.CloseIdleConnections()
			tick := time.NewTicker(time.Second * trafficUsers / trafficRate)
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
	t.Cleanup(tr.End)
	return tr
}

func (tr *Traffic) ask(client *http.Client, post bool) {
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

func (tr *Traffic) fail(why string) {
	tr.failed.Add(1)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	const most = 5
	if len(tr.why) < most {
		tr.why = append(tr.why, time.Now().UTC().Format("15:04:05.000 ")+why)
	}
}

// End ends it; more than once does no harm.
func (tr *Traffic) End() {
	tr.stop()
	tr.users.Wait()
}

// Failed is how many requests have failed, and why the first of them did.
func (tr *Traffic) Failed() (n int64, why string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.failed.Load(), strings.Join(tr.why, "; ")
}

// Measure lets the load go on until enough requests were made, ends it, and says how it went. Where a report is wanted,
// $NEXOPS_REPORT is its file, and it gets a line. few makes fewer requests do when there is none.
func (tr *Traffic) Measure(t TB, what string, few bool) string {
	t.Helper()
	report := os.Getenv("NEXOPS_REPORT")
	enough := int64(trafficRequests)
	if few && report == "" {
		enough = trafficFew
	}
	for end := time.Now().Add(3 * time.Minute); tr.asked.Load() < enough; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("only %d requests were made", tr.asked.Load())
		}
	}
	tr.End()
	figures := fmt.Sprintf("%d requests (%d of them POST), %d failed, slowest %.0f ms",
		tr.asked.Load(), tr.posts.Load(), tr.failed.Load(), float64(tr.slow.Load())/1000)
	if report != "" {
		if err := appendLine(report, "| "+what+" | "+figures+" |\n"); err != nil {
			t.Fatalf("report: %v", err)
		}
	}
	return figures
}

func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}
