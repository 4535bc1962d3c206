package git

import (
	"regexp"
	"sort"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxServiceFile is the most bytes of a service.yml that are read.
const maxServiceFile = 256 << 10

// variable is Compose's ${NAME}, ${NAME:-default}, ${NAME-default} or $NAME.
var variable = regexp.MustCompile(`\$(?:\{([A-Za-z_][A-Za-z0-9_]*)(?::?-([^{}]*)|:?[?+][^{}]*)?\}|([A-Za-z_][A-Za-z0-9_]*))`)

// imageOf finds the repository of the image whose tag is the variable key in a
// Compose file: "ghcr.io/nexgate-hq/ai-service". It gives "" when the file
// cannot be read or says nothing: a release without a repository is still one.
func imageOf(compose []byte, service, key string) string {
	if len(compose) > maxServiceFile {
		return ""
	}
	var file struct {
		Services map[string]struct {
			Image string `yaml:"image"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(compose, &file); err != nil {
		return ""
	}
	if image := repository(file.Services[service].Image, key); image != "" {
		return image
	}
	names := make([]string, 0, len(file.Services))
	for name := range file.Services {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if image := repository(file.Services[name].Image, key); image != "" {
			return image
		}
	}
	return ""
}

// repository gives the part of an image line before its tag, if the tag is the variable key and nothing
// else: "${AI_TAG}-slim" is another tag than the one the tag file says.
func repository(line, key string) string {
	found := false
	expanded := variable.ReplaceAllStringFunc(line, func(ref string) string {
		m := variable.FindStringSubmatch(ref)
		name := m[1] + m[3]
		if name == key {
			found = true
			return "\x00"
		}
		return m[2] // another variable's default; without one the line stays odd and is refused below
	})
	repo, ok := strings.CutSuffix(expanded, ":\x00")
	if !found || !ok || !imageGrammar.MatchString(repo) {
		return ""
	}
	return repo
}

// imageGrammar is loose: registry with port, lower-case path.
var imageGrammar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*$`)
