package git

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/nexgate-hq/nexops/fleet"
)

// tags reads the tags that match the pattern, newest first. An annotated tag
// tells its own author and time, a light one its commit's.
func (p program) tags(ctx context.Context, repo, pattern string) ([]fleet.Tag, error) {
	const format = "%(refname:strip=2)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)%00%(creatordate:unix)%00%(taggername)%00%(authorname)"
	var tags []fleet.Tag
	err := p.run(ctx, call{
		repo: repo,
		args: []string{"for-each-ref", "--sort=-creatordate", "--count=" + strconv.Itoa(maxTags), "--format=" + format, "refs/tags/" + pattern},
		read: func(r io.Reader) error {
			lines := bufio.NewScanner(r)
			for lines.Scan() {
				if tag, ok := readTag(lines.Text()); ok {
					tags = append(tags, tag)
				}
			}
			return lines.Err() //nolint:wrapcheck // run wraps it
		},
	})
	if err != nil {
		return nil, fmt.Errorf("read tags: %w", err)
	}
	return tags, nil
}

// readTag reads one line of tags' format; a tag of something else than a commit is no release.
func readTag(line string) (fleet.Tag, bool) {
	f := strings.Split(line, "\x00")
	if len(f) != 8 {
		return fleet.Tag{}, false
	}
	tag := fleet.Tag{Name: clean(f[0], 100)}
	switch {
	case f[1] == "commit":
		tag.Commit, tag.Author = f[2], clean(f[7], 100)
	case f[1] == "tag" && f[3] == "commit":
		tag.Commit, tag.Author = f[4], clean(f[6], 100)
	default:
		return fleet.Tag{}, false
	}
	if at, err := strconv.ParseInt(f[5], 10, 64); err == nil {
		tag.At = unix(at)
	}
	return tag, true
}
