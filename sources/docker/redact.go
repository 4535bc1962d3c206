package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/nexgate-hq/nexops/fleet"
)

const redacted = "[redacted]"

// Inspect gives the engine's whole record of a container as indented JSON, secrets redacted.
func (s *source) Inspect(ctx context.Context, in *fleet.Instance) ([]byte, error) {
	if in.Host != s.host {
		return nil, fmt.Errorf("docker %s: inspect %s: it is on host %s", s.host, clean(in.Name), clean(in.Host))
	}
	cli, err := s.engine.client(ctx)
	if err != nil {
		return nil, s.engine.explain(connecting, err)
	}
	id := in.ID
	if id == "" {
		id = in.Name
	}
	_, raw, err := cli.ContainerInspectWithRaw(ctx, id, false)
	if cerrdefs.IsNotFound(err) && in.Name != "" {
		_, raw, err = cli.ContainerInspectWithRaw(ctx, in.Name, false) // re-created under its name
	}
	if err != nil {
		return nil, s.engine.explain("inspect "+clean(in.Name), err)
	}
	out, err := redactJSON(raw)
	if err != nil {
		return nil, s.engine.explain("inspect "+clean(in.Name), err)
	}
	return out, nil
}

// redactJSON indents a record and takes the secrets out of it.
func redactJSON(raw []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // sizes and times stay as they are written
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("read the engine's answer: %w", err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(redact("", doc)); err != nil {
		return nil, fmt.Errorf("write the record: %w", err)
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

// redact walks a record. key is the name under which the value stands.
func redact(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			v[k] = redact(k, inner)
		}
		return v
	case []any:
		return redactList(v)
	case string:
		if secretName(key) && v != "" {
			return redacted
		}
		return redactText(v)
	default:
		return v
	}
}

// redactList handles the lists of the record: environment ("NAME=value"), command lines
// ("--password=x", "--password", "x").
func redactList(list []any) []any {
	follows := false // the word before was a flag whose value is secret
	for i, v := range list {
		s, ok := v.(string)
		if !ok {
			list[i] = redact("", v)
			follows = false
			continue
		}
		if follows && !strings.HasPrefix(s, "-") {
			list[i], follows = redacted, false
			continue
		}
		list[i] = redactText(s)
		follows = strings.HasPrefix(s, "-") && !strings.Contains(s, "=") && secretName(s)
	}
	return list
}

var (
	// nameValue is NAME=value or --name=value, alone or among other words.
	nameValue = regexp.MustCompile(`(-{0,2}[A-Za-z_][A-Za-z0-9_.\-]*)=("[^"]*"|'[^']*'|[^\s"']+)`)
	// flagValue is "--name value" within a shell line.
	flagValue = regexp.MustCompile(`(--?[A-Za-z][A-Za-z0-9_\-]*)([ \t]+)("[^"]*"|'[^']*'|[^\s\-"'][^\s"']*)`)
	// userInfo is what stands before the @ of a URL; the second form is a password with a slash in it, not a port.
	userInfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.\-]*://)(?:[^\s/@"']*(?:@[^\s/@"']*)*|[^\s/@:"']*:[0-9]*[^0-9/\s@"'][^\s@"']*)@`)
	// colonValue is a header or a field: "X-Api-Key: value", "\"password\": \"value\"".
	colonValue = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_.\-]*)(["']?[ \t]*:[ \t]*)("[^"]*"|'[^']*'|[^\s"',;}/][^\s"',;}]*)`)
	// bearer is a token in a header.
	bearer = regexp.MustCompile(`(?i)\b(bearer|basic)[ \t]+[A-Za-z0-9+/=._~\-]{8,}`)
	// pemBlock is a key or certificate in place.
	pemBlock = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|$)`)
)

// redactText takes the secrets out of a text. An environment variable whose name
// says secret loses its whole value, however it is written.
func redactText(s string) string {
	if name, _, ok := strings.Cut(s, "="); ok && !strings.ContainsAny(name, " \t\n/:") && secretName(name) {
		return name + "=" + redacted
	}
	s = pemBlock.ReplaceAllString(s, redacted)
	s = userInfo.ReplaceAllString(s, "${1}"+redacted+"@")
	s = bearer.ReplaceAllString(s, "$1 "+redacted)
	s = nameValue.ReplaceAllStringFunc(s, func(m string) string {
		name, _, _ := strings.Cut(m, "=")
		if !secretName(name) {
			return m
		}
		return name + "=" + redacted
	})
	return redactNamed(redactNamed(s, flagValue), colonValue)
}

// redactNamed replaces the values that a pattern of name, what is between, and value finds.
func redactNamed(s string, pattern *regexp.Regexp) string {
	return pattern.ReplaceAllStringFunc(s, func(m string) string {
		part := pattern.FindStringSubmatch(m)
		if !secretName(part[1]) || part[3] == redacted {
			return m
		}
		return part[1] + part[2] + redacted
	})
}

// secretName reports whether a name says that its value is a secret. It rather
// hides one name too many.
func secretName(name string) bool {
	upper := strings.ToUpper(name)
	if upper == "PWD" || upper == "OLDPWD" {
		return false // a shell's folders
	}
	if containsAny(upper, "AUTHORIZATION", "PASS", "PWD", "SECRET", "TOKEN", "CREDENTIAL", "DSN", "PRIVATE", "CERT",
		"SIGNATURE", "SALT", "COOKIE", "WEBHOOK", "CONNECTION_STRING", "CONN_STR") {
		return true
	}
	return containsAny(harmless.Replace(upper), "KEY", "AUTH")
}

// harmless takes out the words that only look like secret ones.
var harmless = strings.NewReplacer(
	"AUTHOR", "", "KEYBOARD", "", "KEYSPACE", "", "KEYWORD", "", "KEYCLOAK", "", "MONKEY", "", "HOTKEY", "", "SANDBOXKEY", "", "KEYFRAME", "",
)

func containsAny(s string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}
