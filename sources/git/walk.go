package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// commit is what a Release says about who made it desired.
type commit struct {
	sha     string
	at      int64
	author  string
	subject string
}

// edit is one commit's change of one file.
type edit struct {
	commit *commit
	mode   string // "100644"; "000000" when the file is gone
	blob   string
}

// walk lists the edits of the files that match, newest first, from one commit
// (or one range "old..new"). Only first parents are followed, and a merge is
// compared with its first parent: what a merge brings became desired with the
// merge, by whoever merged. At most limit edits a file are kept. composed are the
// folders in which a Compose file changed.
func (p program) walk(ctx context.Context, repo, revs string, patterns []pattern, limit int) (
	edits map[string][]edit, composed map[string]bool, err error,
) {
	args := []string{
		"--literal-pathspecs", "log", "--first-parent", "-m", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-color",
		"--no-ext-diff", "--encoding=UTF-8", "--format=tformat:%H%x00%ct%x00%an%x00%s", revs, "--",
	}
	args = append(args, folders(patterns)...)
	edits, composed = map[string][]edit{}, map[string]bool{}
	err = p.run(ctx, call{repo: repo, args: args, read: func(r io.Reader) error {
		return readLog(r, func(file string, e edit) {
			switch {
			case slices.Contains(composeFiles[:], path.Base(file)):
				composed[path.Dir(file)] = true
			case len(edits[file]) < limit && matches(patterns, file):
				edits[file] = append(edits[file], e)
			}
		})
	}})
	if err != nil {
		return nil, nil, fmt.Errorf("read history: %w", err)
	}
	return edits, composed, nil
}

func matches(patterns []pattern, file string) bool {
	return slices.ContainsFunc(patterns, func(p pattern) bool {
		_, ok := p.service(file)
		return ok
	})
}

// folders are the pathspecs of a walk: literal folders, which the
// changed-path filters know. None means the whole repository.
func folders(patterns []pattern) []string {
	var out []string
	for _, p := range patterns {
		dir := p.dir()
		if dir == "" {
			return nil
		}
		if !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	return out
}

// maxToken is the longest path, name or subject that is read whole.
const maxToken = 1 << 20

// readLog reads the NUL-separated output of walk's git log: four fields a
// commit, then for each file ":modes blobs status" and its path.
func readLog(r io.Reader, emit func(file string, e edit)) error {
	tokens := bufio.NewScanner(r)
	tokens.Buffer(make([]byte, 64<<10), maxToken)
	tokens.Split(splitNUL)
	var current *commit
	var fields []string
	for tokens.Scan() {
		token := tokens.Text()
		if len(fields) == 0 {
			token = strings.TrimLeft(token, "\n")
		}
		if len(fields) == 0 && strings.HasPrefix(token, ":") {
			e, err := readRaw(token)
			if err != nil || current == nil || !tokens.Scan() {
				return fmt.Errorf("git log: cannot read %q", clean(token, 100))
			}
			e.commit = current
			emit(tokens.Text(), e)
			continue
		}
		if len(fields) == 0 && token == "" {
			continue
		}
		if fields = append(fields, token); len(fields) == 4 {
			at, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil || !isSHA(fields[0]) {
				return fmt.Errorf("git log: cannot read commit %q", clean(fields[0], 100))
			}
			current = &commit{sha: fields[0], at: at, author: clean(fields[2], 100), subject: clean(fields[3], 200)}
			fields = fields[:0]
		}
	}
	if err := tokens.Err(); err != nil {
		return fmt.Errorf("git log: %w", err)
	}
	if len(fields) > 0 {
		return errors.New("git log: ends in the middle of a commit")
	}
	return nil
}

// readRaw reads ":100644 100644 <old> <new> M".
func readRaw(token string) (edit, error) {
	f := strings.Fields(token)
	if len(f) != 5 || !isSHA(f[3]) {
		return edit{}, errors.New("not a raw diff line")
	}
	return edit{mode: f[1], blob: f[3]}, nil
}

// isSHA accepts the names of both of git's hashes.
func isSHA(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') }) < 0
}

func splitNUL(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// extends reports whether new was made by adding commits on top of old, along
// first parents. Only then are old's edits still new's. A branch that was
// moved to a merge whose second parent is old tells another story. More than
// most commits are not looked at: a walk of everything costs no more.
func (p program) extends(ctx context.Context, repo, old, now string, most int) bool {
	last, count := "", 0
	err := p.run(ctx, call{
		repo: repo,
		args: []string{"rev-list", "--first-parent", "--parents", "--max-count=" + strconv.Itoa(most+1), now, "^" + old, "--"},
		read: func(r io.Reader) error {
			lines := bufio.NewScanner(r)
			for lines.Scan() {
				last = lines.Text()
				count++
			}
			return lines.Err() //nolint:wrapcheck // run wraps it
		},
	})
	f := strings.Fields(last)
	return err == nil && count <= most && len(f) >= 2 && f[1] == old
}

// object is one thing asked of blobs: a name git understands and what to do with it.
type object struct {
	name string
	use  func(content []byte, ok bool)
}

// blobs reads many objects with one git, in order. Content is cut at limit
// bytes. A name that is not there, or is no blob, has ok false.
func (p program) blobs(ctx context.Context, repo string, limit int, objects []object) error {
	if len(objects) == 0 {
		return nil
	}
	var names bytes.Buffer
	for _, o := range objects {
		names.WriteString(o.name)
		names.WriteByte('\n')
	}
	return p.run(ctx, call{repo: repo, args: []string{"cat-file", "--batch", "--buffer"}, stdin: names.Bytes(), read: func(r io.Reader) error {
		in := bufio.NewReaderSize(r, 64<<10)
		for _, o := range objects {
			if err := readObject(in, limit, o); err != nil {
				return fmt.Errorf("git cat-file: %s: %w", clean(o.name, 100), err)
			}
		}
		return nil
	}})
}

func readObject(in *bufio.Reader, limit int, o object) error {
	head, err := in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	head = strings.TrimSuffix(head, "\n")
	if strings.HasSuffix(head, " missing") || strings.HasSuffix(head, " ambiguous") {
		o.use(nil, false)
		return nil
	}
	f := strings.Fields(head)
	if len(f) != 3 {
		return fmt.Errorf("odd header %q", clean(head, 100))
	}
	size, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil || size < 0 {
		return fmt.Errorf("odd size %q", clean(f[2], 40))
	}
	content := make([]byte, min(size, int64(limit)))
	if _, err := io.ReadFull(in, content); err != nil {
		return fmt.Errorf("read content: %w", err)
	}
	if _, err := io.CopyN(io.Discard, in, size-int64(len(content))+1); err != nil {
		return fmt.Errorf("read content: %w", err)
	}
	o.use(content, f[1] == "blob")
	return nil
}
