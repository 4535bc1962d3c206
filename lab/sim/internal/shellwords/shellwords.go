// Package shellwords reads the one-line command strings that SSH clients send,
// quoted as POSIX says, and refuses everything that would need a real shell.
package shellwords

import (
	"errors"
	"fmt"
	"strings"
)

// The reasons to refuse a line.
var (
	ErrUnterminated = errors.New("unterminated quote")
	ErrShell        = errors.New("needs a shell")
	ErrEmpty        = errors.New("no command")
)

// Command is one program call.
type Command struct {
	Dir  string // "" is the login folder
	Env  map[string]string
	Argv []string
}

// Parse reads "[cd [--] DIR &&] [exec] [env] [K=V]... argv...".
func Parse(line string) (Command, error) {
	parts, err := Split(line)
	if err != nil {
		return Command{}, err
	}
	var cmd Command
	if len(parts) > 1 && len(parts[0]) >= 2 && parts[0][0] == "cd" {
		dir := parts[0][1:]
		if dir[0] == "--" {
			dir = dir[1:]
		}
		if len(dir) != 1 {
			return Command{}, fmt.Errorf("%w: cd with %d arguments", ErrShell, len(dir))
		}
		cmd.Dir, parts = dir[0], parts[1:]
	}
	if len(parts) != 1 {
		return Command{}, fmt.Errorf("%w: %d commands in a row", ErrShell, len(parts))
	}
	argv := parts[0]
	if len(argv) > 0 && argv[0] == "exec" {
		argv = argv[1:]
	}
	argv = cmd.assignments(argv)
	if len(argv) > 0 && argv[0] == "env" {
		argv = cmd.assignments(argv[1:])
		if len(argv) > 0 && argv[0] == "--" {
			argv = argv[1:]
		}
	}
	if len(argv) == 0 {
		return Command{}, ErrEmpty
	}
	cmd.Argv = argv
	return cmd, nil
}

func (c *Command) assignments(argv []string) []string {
	for len(argv) > 0 {
		name, value, ok := strings.Cut(argv[0], "=")
		if !ok || !isName(name) {
			break
		}
		if c.Env == nil {
			c.Env = map[string]string{}
		}
		c.Env[name] = value
		argv = argv[1:]
	}
	return argv
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z')
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// Split splits a line into words, and the words into the commands between "&&".
func Split(line string) ([][]string, error) {
	s := splitter{rest: line}
	for s.rest != "" {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	s.endWord()
	if len(s.words) == 0 {
		return nil, ErrEmpty
	}
	return append(s.parts, s.words), nil
}

type splitter struct {
	rest   string
	parts  [][]string
	words  []string
	word   strings.Builder
	inWord bool
}

func (s *splitter) endWord() {
	if s.inWord {
		s.words = append(s.words, s.word.String())
		s.word.Reset()
		s.inWord = false
	}
}

func (s *splitter) step() error {
	c := s.rest[0]
	switch {
	case c == ' ' || c == '\t':
		s.rest = s.rest[1:]
		s.endWord()
		return nil
	case c == '\'':
		return s.single()
	case c == '"':
		return s.double()
	case c == '\\':
		if len(s.rest) < 2 || s.rest[1] == '\n' {
			return fmt.Errorf("%w: line continuation", ErrShell)
		}
		s.add(s.rest[1])
		s.rest = s.rest[2:]
		return nil
	case c == '&':
		return s.and()
	case strings.IndexByte("|;<>()$`*?[\n\r\x00", c) >= 0, !s.inWord && (c == '#' || c == '~' || c == '!' || c == '{'):
		return fmt.Errorf("%w: unquoted %q", ErrShell, c)
	}
	s.add(c)
	s.rest = s.rest[1:]
	return nil
}

func (s *splitter) add(c byte) {
	s.inWord = true
	s.word.WriteByte(c)
}

func (s *splitter) and() error {
	if !strings.HasPrefix(s.rest, "&&") {
		return fmt.Errorf("%w: unquoted %q", ErrShell, '&')
	}
	s.endWord()
	if len(s.words) == 0 {
		return ErrEmpty
	}
	s.parts, s.words = append(s.parts, s.words), nil
	s.rest = s.rest[2:]
	return nil
}

func (s *splitter) single() error {
	end := strings.IndexByte(s.rest[1:], '\'')
	if end < 0 {
		return ErrUnterminated
	}
	s.inWord = true
	s.word.WriteString(s.rest[1 : 1+end])
	s.rest = s.rest[end+2:]
	return nil
}

func (s *splitter) double() error {
	s.inWord = true
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; c {
		case '"':
			s.rest = s.rest[i+1:]
			return nil
		case '$', '`':
			return fmt.Errorf("%w: %q in double quotes", ErrShell, c)
		case '\\':
			if i++; i < len(s.rest) {
				if strings.IndexByte("$`\"\\", s.rest[i]) < 0 {
					s.word.WriteByte('\\')
				}
				s.word.WriteByte(s.rest[i])
			}
		default:
			s.word.WriteByte(c)
		}
	}
	return ErrUnterminated
}
