package remote

import (
	"errors"
	"fmt"
	"strings"
)

// Quote writes argv as one line that a POSIX shell reads back as the same argv.
// It is the only place where a command becomes a string.
func Quote(argv []string) string {
	var b strings.Builder
	for i, arg := range argv {
		if i > 0 {
			b.WriteByte(' ')
		}
		quoteWord(&b, arg)
	}
	return b.String()
}

// safe are the characters that no shell reads as anything but themselves, anywhere in a word.
const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,+@"

func quoteWord(b *strings.Builder, arg string) {
	if arg != "" && strings.Trim(arg, safe) == "" && !reserved(arg) {
		b.WriteString(arg)
		return
	}
	b.WriteByte('\'')
	b.WriteString(strings.ReplaceAll(arg, "'", `'\''`))
	b.WriteByte('\'')
}

// reserved reports whether a shell reads the word, as the first of a line, as grammar.
func reserved(word string) bool {
	switch word {
	case "if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for", "in",
		"select", "function", "time", "coproc":
		return true
	default:
		return false
	}
}

// shellLine is the line sent to the login shell of a host.
func shellLine(cmd Command) (string, error) {
	if err := checkCommand(cmd); err != nil {
		return "", err
	}
	argv := cmd.Argv
	if cmd.Outlives {
		argv = outlive(argv)
	}
	if len(cmd.Env) > 0 {
		argv = append(append([]string{"env"}, envList(cmd.Env)...), argv...)
	}
	if cmd.Dir == "" {
		return Quote(argv), nil
	}
	dir := cmd.Dir
	switch {
	case dir == "~":
		dir = "."
	case strings.HasPrefix(dir, "~/"):
		dir = "./" + dir[2:] // the login folder is the home
	case !strings.HasPrefix(dir, "/"):
		dir = "./" + dir // neither CDPATH nor "-" has a say
	}
	return "cd -- " + Quote([]string{dir}) + " && exec " + Quote(argv), nil
}

// checkCommand refuses what a shell or env would read as something else than a program and its arguments.
func checkCommand(cmd Command) error {
	if len(cmd.Argv) == 0 || cmd.Argv[0] == "" {
		return errors.New("no program to run")
	}
	if strings.HasPrefix(cmd.Argv[0], "-") || strings.Contains(cmd.Argv[0], "=") {
		return fmt.Errorf("%q is no program name", Clean(cmd.Argv[0]))
	}
	if cmd.Outlives && cmd.Stdin != nil {
		return errors.New("a command that outlives its connection has no input of its own")
	}
	for _, arg := range append([]string{cmd.Dir}, cmd.Argv...) {
		if strings.ContainsRune(arg, 0) {
			return fmt.Errorf("%q holds a NUL", Clean(arg))
		}
	}
	for name, value := range cmd.Env {
		if !envName(name) {
			return fmt.Errorf("%q is no name of a variable", Clean(name))
		}
		if strings.ContainsRune(value, 0) {
			return fmt.Errorf("variable %s holds a NUL", name)
		}
	}
	return nil
}

// envList is K=V, sorted, so that the same command is always the same line.
func envList(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, name := range sortedKeys(env) {
		out = append(out, name+"="+env[name])
	}
	return out
}

// splitArgv reads a line as words: separated by blanks, quoted by ' or ", with \ before a
// character outside of '...'. Nothing is expanded.
func splitArgv(line string) ([]string, error) {
	var argv []string
	var word strings.Builder
	inWord, quote, escaped := false, rune(0), false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			inWord, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			inWord, quote = true, r
		case r == ' ' || r == '\t':
			if inWord {
				argv = append(argv, word.String())
				word.Reset()
			}
			inWord = false
		default:
			inWord = true
			word.WriteRune(r)
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote is not closed")
	}
	if inWord {
		argv = append(argv, word.String())
	}
	return argv, nil
}
