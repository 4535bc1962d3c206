package compose

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/nexgate-hq/nexops/remote"
)

// maxTagFile bounds what is read as a tag file.
const maxTagFile = 64 << 10

var (
	tagGrammar    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	digestGrammar = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// IsTag reports whether a word from outside may stand for a tag: in argv it can never be taken for an option.
func IsTag(word string) bool { return tagGrammar.MatchString(word) }

// assignment is where one KEY=VALUE stands in a file.
type assignment struct {
	from, to int // of the value, without its quotes
	value    string
}

// findTag finds the assignment of key that counts: the last one, as for Compose.
func findTag(content []byte, key string) (assignment, error) {
	var found assignment
	if len(content) > maxTagFile {
		return found, fmt.Errorf("larger than %d KiB: not a tag file", maxTagFile>>10)
	}
	if bytes.IndexByte(content, 0) >= 0 || !utf8.Valid(content) {
		return found, errors.New("binary or not UTF-8: not a tag file")
	}
	line := regexp.MustCompile(`(?m)^(?:\x{FEFF})?[ \t]*(?:export[ \t]+)?` + regexp.QuoteMeta(key) +
		`[ \t]*=[ \t]*(?:"([^"\r\n]*)"|'([^'\r\n]*)'|([^\s"'#][^\s"']*)?)[ \t]*(?:#[^\r\n]*)?\r?$`)
	all := line.FindAllSubmatchIndex(content, -1)
	if len(all) == 0 {
		return found, fmt.Errorf("it has no line %s=TAG (it has: %s)", key, firstLines(content))
	}
	m := all[len(all)-1]
	for g := 1; g <= 3; g++ {
		if m[2*g] >= 0 {
			found = assignment{from: m[2*g], to: m[2*g+1], value: string(content[m[2*g]:m[2*g+1]])}
		}
	}
	if strings.TrimSpace(found.value) == "" {
		return found, fmt.Errorf("%s has no value in it", key)
	}
	return found, nil
}

func firstLines(content []byte) string {
	var keys []string
	for _, l := range strings.Split(string(content), "\n") {
		if key, _, ok := strings.Cut(l, "="); ok && !strings.HasPrefix(strings.TrimSpace(l), "#") {
			keys = append(keys, remote.Clean(key))
		}
		if len(keys) == 4 {
			break
		}
	}
	if len(keys) == 0 {
		return "none"
	}
	return strings.Join(keys, ", ")
}

// ReadTag gives the tag, without a pinned digest, that a file holds.
func ReadTag(content []byte, key string) (tag, digest string, err error) {
	a, err := findTag(content, key)
	if err != nil {
		return "", "", err
	}
	tag, digest, pinned := strings.Cut(strings.TrimSpace(a.value), "@")
	if !tagGrammar.MatchString(tag) || (pinned && !digestGrammar.MatchString(digest)) {
		return "", "", fmt.Errorf("%s=%s is not an image tag", key, remote.Clean(a.value))
	}
	return tag, digest, nil
}

// SetTag gives the file with another tag. Nothing else of it changes: comments, quotes, line ends and
// other keys stay. A value that was pinned to a digest stays pinned when the new digest is known.
func SetTag(content []byte, key, tag, digest string) ([]byte, error) {
	if !tagGrammar.MatchString(tag) {
		return nil, fmt.Errorf("%q is not an image tag", remote.Clean(tag))
	}
	a, err := findTag(content, key)
	if err != nil {
		return nil, err
	}
	value := tag
	if strings.Contains(a.value, "@") && digestGrammar.MatchString(digest) {
		value += "@" + digest
	}
	out := make([]byte, 0, len(content)+len(value))
	out = append(out, content[:a.from]...)
	out = append(out, value...)
	return append(out, content[a.to:]...), nil
}

// ChangedLine is the one line that differs, for people.
func ChangedLine(content []byte, key string) string {
	a, err := findTag(content, key)
	if err != nil {
		return ""
	}
	return key + "=" + remote.Clean(a.value)
}
