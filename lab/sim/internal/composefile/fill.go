package composefile

import (
	"fmt"
	"strings"
)

// fill replaces the variables in every string of a value.
func fill(v any, env map[string]string) (any, error) {
	switch v := v.(type) {
	case string:
		return Interpolate(v, env)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			item, err := fill(v[i], env)
			if err != nil {
				return nil, err
			}
			out[i] = item
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			item, err := fill(v[k], env)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			out[k] = item
		}
		return out, nil
	default:
		return v, nil
	}
}

// Interpolate fills $VAR, ${VAR}, ${VAR:-default}, ${VAR-default}, ${VAR:?message} and ${VAR?message}; $$ is a dollar.
func Interpolate(s string, env map[string]string) (string, error) {
	var out strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 {
			out.WriteString(s)
			return out.String(), nil
		}
		out.WriteString(s[:i])
		s = s[i+1:]
		switch {
		case strings.HasPrefix(s, "$"):
			out.WriteByte('$')
			s = s[1:]
		case strings.HasPrefix(s, "{"):
			end := strings.IndexByte(s, '}')
			if end < 0 {
				return "", fmt.Errorf("invalid interpolation format: %q", "$"+s)
			}
			value, err := expand(s[1:end], env)
			if err != nil {
				return "", err
			}
			out.WriteString(value)
			s = s[end+1:]
		default:
			n := nameLen(s)
			if n == 0 {
				return "", fmt.Errorf("invalid interpolation format: %q", "$"+s)
			}
			out.WriteString(env[s[:n]])
			s = s[n:]
		}
	}
}

func expand(expr string, env map[string]string) (string, error) {
	n := nameLen(expr)
	name, rest := expr[:n], expr[n:]
	if n == 0 {
		return "", fmt.Errorf("invalid interpolation format: %q", "${"+expr+"}")
	}
	value, set := env[name]
	if strings.HasPrefix(rest, ":") {
		set, rest = value != "", rest[1:]
		if rest == "" {
			return "", fmt.Errorf("invalid interpolation format: %q", "${"+expr+"}")
		}
	}
	switch {
	case rest == "" || (set && (rest[0] == '-' || rest[0] == '?')):
		return value, nil
	case rest[0] == '-':
		return rest[1:], nil
	case rest[0] == '?':
		return "", fmt.Errorf("required variable %s is missing a value: %s", name, rest[1:])
	default:
		return "", fmt.Errorf("invalid interpolation format: %q", "${"+expr+"}")
	}
}

func nameLen(s string) int {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}
