package backup

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/nexgate-hq/nexops/remote"
)

type answer = func(context.Context, remote.Command) (remote.Result, error)

// refuse makes one program fail after it has read a little.
func refuse(s *stage, program, says string) answer {
	return func(ctx context.Context, cmd remote.Command) (remote.Result, error) {
		if cmd.Argv[0] == program {
			if cmd.Stdin != nil {
				_, _ = io.ReadFull(cmd.Stdin, make([]byte, 100))
			}
			return remote.Result{Code: 1, Stderr: []byte(says)}, nil
		}
		return s.answer(ctx, cmd)
	}
}

// damage makes a host that gives back something else than was written.
func damage(s *stage) answer {
	return func(ctx context.Context, cmd remote.Command) (remote.Result, error) {
		res, err := s.answer(ctx, cmd)
		if cmd.Argv[0] == "cat" && strings.Contains(strings.Join(cmd.Argv, " "), ".dump") && len(res.Stdout) > 0 {
			res.Stdout[len(res.Stdout)-1] ^= 1
		}
		return res, err
	}
}

// write puts a file below the stage's folder.
func (s *stage) write(name, content string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}
