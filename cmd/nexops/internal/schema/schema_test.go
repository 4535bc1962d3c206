package schema

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"regexp"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/nexgate-hq/nexops/fleet"
)

var at = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

func snapshot() *fleet.Snapshot {
	return &fleet.Snapshot{
		At: at, Environment: "prod",
		Sources: []fleet.SourceStatus{{ID: "docker/prod-1", Kind: "docker", State: fleet.SourceOK, LastSuccess: at.Add(-2 * time.Second), MaxAge: time.Minute}},
		Services: []fleet.Service{{
			Key: fleet.ServiceKey{Environment: "prod", Name: "ai"}, Hosts: []string{"prod-1"},
			Instances: []*fleet.Instance{{ID: "c1", Name: "ai-1", Host: "prod-1", State: fleet.StateRunning}},
			Releases:  fleet.Releases{Running: fleet.Release{Image: "r/ai", Tag: "0.1.1", Digest: "sha256:ab"}},
			Severity:  fleet.SeverityCritical,
			Reasons:   []fleet.Reason{{Code: "errors", Severity: fleet.SeverityCritical, Text: "errors 7.1 % > 5 %"}},
			Metrics: fleet.Metrics{
				{Name: fleet.MetricRPS, Unit: fleet.UnitPerSecond, Latest: 12, Has: true},
				{Name: fleet.MetricErrorRatio, Unit: fleet.UnitRatio, Latest: math.NaN(), Note: "no traffic"},
			},
		}},
	}
}

func TestVerdict(t *testing.T) {
	cases := []struct {
		name string
		with func(*fleet.Snapshot)
		want Verdict
	}{
		{"attention", func(*fleet.Snapshot) {}, VerdictAttention},
		{"ok", func(s *fleet.Snapshot) { s.Services[0].Severity = fleet.SeverityInfo }, VerdictOK},
		{"blind", func(s *fleet.Snapshot) { s.Services = nil; s.Sources[0].State = fleet.SourceFailing }, VerdictBlind},
		{"never answered", func(s *fleet.Snapshot) { s.Services = nil; s.Sources[0].State = fleet.SourceConnecting }, VerdictBlind},
		{"stale", func(s *fleet.Snapshot) { s.Services = nil; s.Sources[0].LastSuccess = at.Add(-time.Hour) }, VerdictBlind},
		{"known trouble outweighs blindness", func(s *fleet.Snapshot) { s.Sources[0].State = fleet.SourceFailing }, VerdictAttention},
	}
	for _, c := range cases {
		s := snapshot()
		c.with(s)
		if got := MakeStatus(s).Verdict; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestStatusDocument(t *testing.T) {
	var buf bytes.Buffer
	if err := Write(&buf, FormatJSON, MakeStatus(snapshot())); err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(buf.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	services, _ := doc["services"].([]any)
	svc, _ := services[0].(map[string]any)
	for _, key := range []string{"name", "environment", "hosts", "instances", "desired", "running", "previous", "health", "severity", "reasons", "metrics", "changes"} {
		if _, ok := svc[key]; !ok {
			t.Errorf("service has no %q", key)
		}
	}
	if svc["desired"] != nil || svc["previous"] != nil {
		t.Errorf("an unknown release must be null: %v %v", svc["desired"], svc["previous"])
	}
	metrics, _ := svc["metrics"].(map[string]any)
	ratio, _ := metrics["error_ratio"].(map[string]any)
	if ratio["latest"] != nil || ratio["note"] != "no traffic" {
		t.Errorf("error ratio without traffic: %v", ratio)
	}
}

// Who holds a service, why and until when is there for programs too, not only as words.
func TestLockAndHold(t *testing.T) {
	s := snapshot()
	if got := MakeStatus(s).Services[0]; got.Lock != nil || got.Hold != nil {
		t.Errorf("out of nothing: %+v %+v", got.Lock, got.Hold)
	}
	s.Services[0].Lock = &fleet.Lock{
		Subject: fleet.Subject{Environment: "prod", Host: "prod-1", Service: "ai"}, Owner: "ana@laptop", Reason: "redeploy ai", Plan: "p1",
		Since: at.Add(-10 * time.Minute), Until: at.Add(-time.Minute),
	}
	s.Services[0].Hold = &fleet.Hold{Environment: "prod", Owner: "bo@desk", Reason: "migration", Since: at.Add(-time.Hour)}
	var buf bytes.Buffer
	if err := Write(&buf, FormatJSON, MakeStatus(s).Services[0]); err != nil {
		t.Fatal(err)
	}
	var doc struct{ Lock, Hold map[string]any }
	if err := json.Unmarshal(buf.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	wantLock := map[string]any{
		"owner": "ana@laptop", "reason": "redeploy ai", "plan": "p1", "host": "prod-1", "since": "2026-11-21T02:50:00Z", "until": "2026-11-21T02:59:00Z", "expired": true, "stale": false,
	}
	wantHold := map[string]any{"service": "", "owner": "bo@desk", "reason": "migration", "since": "2026-11-21T02:00:00Z", "until": nil, "stale": false}
	if !reflect.DeepEqual(doc.Lock, wantLock) || !reflect.DeepEqual(doc.Hold, wantHold) {
		t.Errorf("lock %v\nhold %v", doc.Lock, doc.Hold)
	}
}

// TestKeysAreSnakeCase walks the whole schema.
func TestKeysAreSnakeCase(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] || typ == reflect.TypeOf(time.Time{}) {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			if tag := typ.Field(i).Tag.Get("json"); !snake.MatchString(tag) {
				t.Errorf("%s.%s: json name %q", typ, typ.Field(i).Name, tag)
			}
			walk(typ.Field(i).Type)
		}
	}
	walk(reflect.TypeOf(Status{}))
}

func TestYAMLSaysTheSameAsJSON(t *testing.T) {
	var j, y bytes.Buffer
	doc := MakeStatus(snapshot())
	doc.Services[0].Reasons[0].Text = "odd: \"text\"\nyes: [1]"
	if err := Write(&j, FormatJSON, doc); err != nil {
		t.Fatal(err)
	}
	if err := Write(&y, FormatYAML, doc); err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := yaml.Unmarshal(j.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(y.Bytes(), &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("yaml differs:\n%s", y.String())
	}
	if bytes.ContainsAny(y.Bytes()[:20], "{") {
		t.Errorf("yaml is not in block style: %s", y.Bytes()[:60])
	}
}
