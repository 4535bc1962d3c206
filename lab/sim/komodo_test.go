package sim_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/lab/sim"
)

// TestKomodoAnswersAsTheRealOne: the status and the kind of each answer, by what is asked.
func TestKomodoAnswersAsTheRealOne(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	secret := func(what string) string {
		raw, err := os.ReadFile(filepath.Join(e.Dir(), "komodo."+what))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(raw))
	}
	key, hidden := secret("key"), secret("secret")
	ask := func(method, path, key, body string) (int, string, string) {
		req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Api-Key", key)
		req.Header.Set("X-Api-Secret", hidden)
		rec := httptest.NewRecorder()
		e.Komodo().ServeHTTP(rec, req)
		raw, _ := io.ReadAll(rec.Body)
		return rec.Code, rec.Header().Get("Content-Type"), string(raw)
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
		kind, want         string
	}{
		{"GET", "/version", "", 200, "text/plain", "2.3.2"},
		{"GET", "/nosuch", "", 200, "text/html", "<!doctype html>"},
		{"POST", "/read", `{"type":"GetVersion","params":{}}`, 200, "application/json", `"version":"2.3.2"`},
		{"POST", "/read/GetVersion", `{}`, 200, "application/json", "2.3.2"},
		{"POST", "/read", `{"type":"GetVersion"}`, 422, "application/json", "missing field `params`"},
		{"POST", "/read", `{"type":"Nosuch","params":{}}`, 422, "application/json", "unknown variant"},
		{"POST", "/read/Nosuch", `{}`, 500, "application/json", "unknown variant"},
		{"POST", "/read", `{`, 400, "application/json", `"error"`},
		{"POST", "/read", `{"type":"GetStack","params":{"stack":"nosuch"}}`, 500, "application/json", "Did not find any Stack matching nosuch"},
		{"POST", "/execute", `{"type":"DeployStackIfChanged","params":{"stack":"nexgate-prod-1"}}`, 200, "application/json", `{"operation":"DeployStackIfChanged"`},
		{"POST", "/read", `{"type":"ListStacks","params":{"limit":1}}`, 200, "application/json", "nexgate-staging"},
		{"POST", "/read", `{"type":"GetResourceSync","params":{"sync":"nexgate-prod"}}`, 200, "application/json", `\u003cspan class=`},
	} {
		status, kind, body := ask(tt.method, tt.path, key, tt.body)
		if status != tt.status || !strings.HasPrefix(kind, tt.kind) || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s %s: %d %s %.300s, wanted %d %s %s", tt.method, tt.path, tt.body, status, kind, body, tt.status, tt.kind, tt.want)
		}
	}
	for i := range 6 {
		want := http.StatusUnauthorized
		if i == 5 {
			want = http.StatusTooManyRequests
		}
		if status, _, _ := ask("POST", "/read", "wrong", `{"type":"GetVersion","params":{}}`); status != want {
			t.Errorf("failed login %d: %d, wanted %d", i+1, status, want)
		}
	}
}
