package git

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The estate of the targets: 40 tag files over 50,000 commits.
const (
	benchServices = 40
	benchCommits  = 50000
)

// bigRepo makes such a repository. One commit in every moves a tag, the others
// change something else, half of it beside the tag files.
func bigRepo(b *testing.B, every int) *repo {
	b.Helper()
	r := newRepo(b)
	importer := exec.Command("git", "-C", r.dir, "fast-import", "--quiet")
	in, err := importer.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	importer.Stderr = os.Stderr
	if err := importer.Start(); err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriter(in)
	inline := func(path, content string) {
		_, _ = fmt.Fprintf(w, "M 100644 inline %s\ndata %d\n%s\n", path, len(content), content)
	}
	for i := range benchCommits {
		_, _ = fmt.Fprintf(w, "commit refs/heads/master\ncommitter Ana <a@example.org> %d +0000\ndata 5\ntag %d\n", 1.6e9+i*60, i%10)
		service := fmt.Sprintf("svc-%02d", i%benchServices)
		switch {
		case i < benchServices:
			inline("services/"+service+"/tag.env", TagKey(service)+"=0\n")
			inline("services/"+service+"/service.yml", "services: {"+service+": {image: 'r/"+service+":${"+TagKey(service)+"}'}}\n")
		case i%every == 0:
			service = fmt.Sprintf("svc-%02d", i/every%benchServices)
			inline("services/"+service+"/tag.env", fmt.Sprintf("%s=1.%d\n", TagKey(service), i))
		case i%2 == 0:
			inline("services/"+service+"/config.env", fmt.Sprintf("N=%d\n", i))
		default:
			inline("base/postgres.yml", fmt.Sprintf("# %d\n", i))
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	_ = in.Close()
	if err := importer.Wait(); err != nil {
		b.Fatal(err)
	}
	r.git("reset", "--quiet", "--hard")
	return r
}

// BenchmarkCold is the first observation of a process without anything parsed;
// the clone is there. The ratio is to a bare "git log" of the folder.
func BenchmarkCold(b *testing.B) {
	for name, every := range map[string]int{"one_commit_in_6": 6, "every_commit": 1} {
		b.Run(name, func(b *testing.B) {
			r := bigRepo(b, every)
			cache := b.TempDir()
			first := newSource(b, r.dir, options{cache: cache})
			observe(b, first)
			var raw time.Duration
			for b.Loop() {
				b.StopTimer()
				if err := os.Remove(first.stateFile()); err != nil {
					b.Fatal(err)
				}
				raw += rawLog(b, first.mirror.repo())
				s := newSource(b, r.dir, options{cache: cache})
				b.StartTimer()
				if n := len(observe(b, s).Histories); n != benchServices {
					b.Fatalf("%d services", n)
				}
			}
			b.ReportMetric(float64(raw.Milliseconds())/float64(b.N), "git-log-ms/op")
			b.ReportMetric(float64(b.Elapsed())/float64(raw), "times-git-log")
		})
	}
}

// rawLog is the least that any reader of the history has to wait for.
func rawLog(b *testing.B, repo string) time.Duration {
	b.Helper()
	start := time.Now()
	p := program{env: environ(os.Environ(), "")}
	err := p.run(context.Background(), call{repo: repo,
		args: []string{"log", "--first-parent", "-m", "--raw", "-z", "--no-abbrev", "--no-renames", "--format=%H", "master", "--", "services"},
		read: func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }})
	if err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// BenchmarkIncremental is the observation after one more commit.
func BenchmarkIncremental(b *testing.B) {
	r := bigRepo(b, 6)
	s := newSource(b, r.dir, options{})
	observe(b, s)
	bare := filepath.Join(b.TempDir(), "bare.git")
	r.git("clone", "--quiet", "--bare", r.dir, bare)
	var ours, fetches []time.Duration
	for b.Loop() {
		b.StopTimer()
		r.tag("svc-00", fmt.Sprintf("2.%d", len(ours)))
		began := time.Now()
		r.git("-C", bare, "fetch", "--quiet", "--no-tags", "origin", "+refs/heads/master:refs/heads/master")
		fetches = append(fetches, time.Since(began))
		b.StartTimer()
		began = time.Now()
		observe(b, s)
		ours = append(ours, time.Since(began))
	}
	slices.Sort(ours)
	slices.Sort(fetches)
	b.ReportMetric(float64(ours[len(ours)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(ours[0].Microseconds())/1000, "best-ms")
	b.ReportMetric(float64(fetches[len(fetches)/2].Microseconds())/1000, "bare-fetch-median-ms")
	b.ReportMetric(float64(fetches[0].Microseconds())/1000, "bare-fetch-best-ms")
}

// BenchmarkUnchanged is the observation when nothing was pushed.
func BenchmarkUnchanged(b *testing.B) {
	r := bigRepo(b, 6)
	s := newSource(b, r.dir, options{})
	observe(b, s)
	for b.Loop() {
		observe(b, s)
	}
}

// BenchmarkRestart is the first observation of a process that finds what an earlier one parsed.
func BenchmarkRestart(b *testing.B) {
	r := bigRepo(b, 6)
	cache := b.TempDir()
	observe(b, newSource(b, r.dir, options{cache: cache}))
	for b.Loop() {
		observe(b, newSource(b, r.dir, options{cache: cache}))
	}
}
