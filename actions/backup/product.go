package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
)

// product is how one job makes a backup, and how what was made is told to be whole.
type product struct {
	ext      string
	dump     store.Call
	versions string // of the programs
	expected int64  // bytes at most; 0 is not known
	checks   []actions.Check
	risks    []string
	// One of these two reads the backup back. lister is a program that reads it and ends with 0; told sums up
	// what it printed.
	lister *store.Call
	told   func(lines int) string
	look   func(r io.Reader) (string, error)
}

func (p *product) check(state actions.CheckState, name, format string, args ...any) {
	p.checks = append(p.checks, actions.Check{Name: name, State: state, Detail: fmt.Sprintf(format, args...)})
}

// produce preflights a job.
func (a *action) produce(ctx context.Context, j *Job, at *site) *product {
	p := &product{}
	switch j.Kind {
	case KindPostgres:
		a.dumpPostgres(ctx, j, at, p)
	case KindFiles:
		a.archiveFiles(ctx, j, at, p)
	case KindVault:
		a.snapshotVault(ctx, j, p)
	case KindCommand:
		a.runCommand(j, at, p)
	}
	return p
}

// archiveFiles is tar.
func (a *action) archiveFiles(ctx context.Context, j *Job, at *site, p *product) {
	p.ext = "tar.gz"
	argv := []string{"tar", "--create", "--gzip", "--file", "-", "--directory", "/"}
	for _, e := range j.Files.Exclude {
		argv = append(argv, "--exclude="+e)
	}
	argv = append(argv, "--")
	total := int64(0)
	for _, path := range j.Files.Paths {
		argv = append(argv, strings.TrimPrefix(path, "/"))
		out, err := at.read(ctx, nil, "du", "-sk", "--", path)
		if err != nil {
			p.check(actions.CheckFail, "files", "%s: %v", path, err)
			continue
		}
		var kib int64
		if _, err := fmt.Sscan(out, &kib); err == nil {
			total += kib << 10
		}
	}
	if total > 0 {
		p.check(actions.CheckOK, "files", "%s before they are packed", fleet.Bytes(float64(total)))
	}
	p.expected = total
	p.dump = at.call(argv, nil)
	run := p.dump.Run
	p.dump.Run = func(ctx context.Context, in io.Reader, out io.Writer) error {
		err := run(ctx, in, out)
		var exit *store.ExitError
		if errors.As(err, &exit) && exit.Code == 1 {
			return nil // tar's word for files that changed while they were read; what it wrote is whole
		}
		return err
	}
	p.look = lookTar
	p.risks = append(p.risks, "files that change while they are read are taken as they are at that moment")
}

// runCommand is whatever the config says.
func (a *action) runCommand(j *Job, at *site, p *product) {
	p.ext = j.Command.Ext
	p.dump = at.call(j.Command.Argv, nil)
	switch {
	case len(j.Command.Check) > 0:
		c := at.call(j.Command.Check, nil)
		p.lister, p.told = &c, func(int) string { return remote.Clean(j.Command.Check[0]) + " says it is whole" }
	case strings.HasSuffix(p.ext, "tar.gz") || p.ext == "tgz":
		p.look = lookTar
	case strings.HasSuffix(p.ext, "gz"):
		p.look = lookGzip
	default:
		p.look = lookBytes
		p.check(actions.CheckWarn, "verification", "without a check it is only read back and compared byte for byte: give command.check")
	}
}

// lookBytes reads to the end; the checksum says the rest.
func lookBytes(r io.Reader) (string, error) {
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		return "", fmt.Errorf("read back: %w", err)
	}
	return fmt.Sprintf("read back, %d bytes", n), nil
}

func lookGzip(r io.Reader) (string, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return "", fmt.Errorf("it is no gzip file: %w", err)
	}
	n, err := io.Copy(io.Discard, z) // #nosec G110 -- what is unpacked is counted and dropped
	if err != nil {
		return "", fmt.Errorf("the gzip file is not whole: %w", err)
	}
	return fmt.Sprintf("gzip is whole, %d bytes unpacked", n), nil
}

// lookTar reads every entry to its end.
func lookTar(r io.Reader) (string, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return "", fmt.Errorf("it is no gzip file: %w", err)
	}
	entries := 0
	err = eachEntry(z, func(string, io.Reader) error { entries++; return nil })
	if err != nil {
		return "", err
	}
	if entries == 0 {
		return "", errors.New("the archive is empty")
	}
	return fmt.Sprintf("tar lists %d entries", entries), nil
}

// eachEntry reads an archive to its very end: also what follows the last entry belongs to the checksum of gzip.
func eachEntry(r io.Reader, do func(name string, r io.Reader) error) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("the archive is not whole: %w", err)
		}
		if err := do(h.Name, t); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, t); err != nil { // #nosec G110 -- it is dropped
			return fmt.Errorf("the archive is not whole: %w", err)
		}
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // #nosec G110 -- it is dropped
		return fmt.Errorf("the archive is not whole: %w", err)
	}
	return nil
}

// lineCounter counts lines that are no comments, whatever their length.
type lineCounter struct {
	n     int
	begun bool // the line has had a character
}

func (c *lineCounter) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case b == '\n':
			c.begun = false
		case !c.begun:
			c.begun = true
			if b != ';' {
				c.n++
			}
		}
	}
	return len(p), nil
}
