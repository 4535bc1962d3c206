package prometheus

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/common/model"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

// FuzzMatrix: whatever a server answers, every series fits the grid, holds no infinity
// and is of the open environment, and each subject comes once.
func FuzzMatrix(f *testing.F) {
	f.Add([]byte(`[{"metric":{"service":"ai","env":"prod"},"values":[[7200,"1"],[7140,"NaN"]]}]`))
	f.Add([]byte(`[{"metric":{"nexops_service":"ai","nexops_environment":"prod","instance":"a:1"},"values":[[7200,"0"]]},{"metric":{"host":"prod-1","name":"/x"},"values":[[-1,"+Inf"],[1e15,"3"]]}]`))
	f.Add([]byte(`[null]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var matrix model.Matrix
		if json.Unmarshal(data, &matrix) != nil {
			return
		}
		r := reader{labels: NewConfig().Labels, deps: testDeps(), grid: sources.NewGrid(epoch, span, step)}
		for _, q := range []query{{name: "rps"}, {name: "up", merge: sources.MergeMin, targets: true}, {name: "x", merge: sources.MergeMax, custom: true}} {
			facts, warnings := r.read(q, matrix)
			seen := map[fleet.Subject]bool{}
			for _, fact := range facts {
				if len(fact.Series.Values) != r.grid.Slots || fact.Subject.Environment != "prod" || seen[fact.Subject] {
					t.Fatalf("%+v", fact)
				}
				seen[fact.Subject] = true
				for _, v := range fact.Series.Values {
					if math.IsInf(v, 0) && q.merge != sources.MergeSum {
						t.Fatalf("infinity in %+v", fact)
					}
				}
			}
			if strings.ContainsAny(strings.Join(warnings, ""), "\n\x1b") {
				t.Fatalf("control characters in %q", warnings)
			}
		}
	})
}

// BenchmarkObserve is one observation of 200 services with all eight metrics, 60 samples each.
func BenchmarkObserve(b *testing.B) {
	bodies := map[bool][]byte{}
	for _, targets := range []bool{false, true} {
		var out strings.Builder
		out.WriteString(`{"status":"success","data":{"resultType":"matrix","result":[`)
		for i := range 200 {
			if i > 0 {
				out.WriteByte(',')
			}
			_, _ = fmt.Fprintf(&out, `{"metric":{"nexops_environment":"prod","nexops_service":"service-%d"`, i)
			if targets {
				_, _ = fmt.Fprintf(&out, `,"instance":"10.0.0.%d:8080"`, i)
			}
			out.WriteString(`},"values":[`)
			for k := range 61 {
				if k > 0 {
					out.WriteByte(',')
				}
				_, _ = fmt.Fprintf(&out, `[%d,"%d.%d"]`, epoch.Unix()-3600+int64(60*k), i, k)
			}
			out.WriteString(`]}`)
		}
		out.WriteString(`]}}`)
		bodies[targets] = []byte(out.String())
	}
	url := fake(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(bodies[strings.Contains(r.FormValue("query"), "instance")])
	})
	s := newSource(b, url, testDeps(), nil)
	b.ReportAllocs()
	for b.Loop() {
		if facts := observe(b, s); len(facts.Metrics) != 8*200 {
			b.Fatal(len(facts.Metrics))
		}
	}
}
