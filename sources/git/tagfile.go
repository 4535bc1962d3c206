package git

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

// MaxTagFile is the most bytes a tag file may have. A larger file is reported, not read.
const MaxTagFile = 64 << 10

// TagFile is what one version of a tag file says.
type TagFile struct {
	Key    string // "AI_TAG"
	Tag    string // "0.4.2"
	Digest string // "sha256:..." when the tag is pinned: AI_TAG=0.4.2@sha256:...
}

var (
	// The grammar of tags and digests is that of the image reference; both are
	// compared with what a registry and an engine say, so nothing else may pass.
	tagGrammar    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	digestGrammar = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	keyGrammar    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// TagKey is the variable that holds a service's tag: "file-thunder" has FILE_THUNDER_TAG.
func TagKey(service string) string {
	up := strings.ToUpper(service)
	return strings.Map(func(r rune) rune {
		if (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') {
			return r
		}
		return '_'
	}, up) + "_TAG"
}

// ParseTagFile reads a tag file the way Compose reads an env file: byte order
// mark, CRLF, "export", quotes and comments are understood. The error says what
// is wrong with the file in words that fit after its name: "empty".
func ParseTagFile(service string, content []byte) (TagFile, error) {
	if err := checkText(content); err != nil {
		return TagFile{}, err
	}
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	values := map[string]string{}
	var odd error
	for i, line := range strings.Split(string(content), "\n") {
		key, value, err := parseLine(line)
		switch {
		case err != nil && odd == nil:
			odd = fmt.Errorf("line %d: %w", i+1, err)
		case err == nil && key != "":
			values[key] = value // the last one counts, as for Compose
		}
	}
	if len(values) == 0 {
		if odd != nil {
			return TagFile{}, odd
		}
		return TagFile{}, errors.New("empty: no tag is set")
	}
	key, err := chooseKey(service, values)
	if err != nil {
		return TagFile{}, err
	}
	return checkValue(key, values[key])
}

func checkText(content []byte) error {
	switch {
	case len(content) > MaxTagFile:
		return fmt.Errorf("larger than %d KiB: not a tag file", MaxTagFile>>10)
	case bytes.IndexByte(content, 0) >= 0 || !utf8.Valid(content):
		return errors.New("binary or not UTF-8: not a tag file")
	default:
		return nil
	}
}

// parseLine reads one line; key is "" for a blank line or a comment.
func parseLine(line string) (key, value string, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", "", nil
	}
	if rest, ok := strings.CutPrefix(line, "export"); ok && strings.TrimLeft(rest, " \t") != rest {
		line = strings.TrimLeft(rest, " \t")
	}
	key, value, ok := strings.Cut(line, "=")
	key = strings.TrimSpace(key)
	if !ok || !keyGrammar.MatchString(key) {
		return "", "", errors.New("not KEY=VALUE")
	}
	value, err = unquote(strings.TrimSpace(value))
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", key, err)
	}
	return key, value, nil
}

// unquote takes quotes and a trailing comment off a value.
func unquote(value string) (string, error) {
	if value == "" || value[0] == '#' {
		return "", nil
	}
	if quote := value[0]; quote == '"' || quote == '\'' {
		end := strings.IndexByte(value[1:], quote)
		if end < 0 {
			return "", errors.New("the quote is not closed")
		}
		rest := strings.TrimSpace(value[end+2:])
		if rest != "" && rest[0] != '#' {
			return "", errors.New("text after the closing quote")
		}
		return strings.TrimSpace(value[1 : end+1]), nil
	}
	for i := 1; i < len(value); i++ {
		if value[i] == '#' && (value[i-1] == ' ' || value[i-1] == '\t') {
			return strings.TrimSpace(value[:i]), nil
		}
	}
	return value, nil
}

// chooseKey picks the service's own key; a lone key, or a lone *_TAG, will do.
func chooseKey(service string, values map[string]string) (string, error) {
	want := TagKey(service)
	if _, ok := values[want]; ok {
		return want, nil
	}
	var all, tags []string
	for key := range values {
		all = append(all, key)
		if strings.HasSuffix(key, "_TAG") {
			tags = append(tags, key)
		}
	}
	switch {
	case len(all) == 1:
		return all[0], nil
	case len(tags) == 1:
		return tags[0], nil
	}
	sort.Strings(all)
	shown := all
	if len(shown) > 4 {
		shown = shown[:4]
	}
	return "", fmt.Errorf("%d keys (%s) and none is %s", len(all), clean(strings.Join(shown, ", "), 120), want)
}

func checkValue(key, value string) (TagFile, error) {
	f := TagFile{Key: key, Tag: value}
	if value == "" {
		return TagFile{}, fmt.Errorf("empty: %s has no value", clean(key, 60))
	}
	if tag, digest, pinned := strings.Cut(value, "@"); pinned {
		if !digestGrammar.MatchString(digest) {
			return TagFile{}, fmt.Errorf("%s: %q is not a digest", clean(key, 60), clean(digest, 40))
		}
		f.Tag, f.Digest = tag, digest
	}
	if !tagGrammar.MatchString(f.Tag) {
		return TagFile{}, fmt.Errorf("%s: %q is not an image tag", clean(key, 60), clean(f.Tag, 40))
	}
	return f, nil
}
