package cli

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/nexgate-hq/nexops/actions"
)

// maxLog is the size past which the log is set aside at start, so that two generations are kept.
const maxLog = 4 << 20

// openLog opens the program's own log. Nothing is ever logged to the terminal: the
// screen is there. Secrets do not reach it.
func (a *App) openLog(level string, redact *actions.Redactor) (*slog.Logger, func(), error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, nil, &ExitError{Code: ExitUsage, Err: fmt.Errorf("--log-level %q: it is debug, info, warn or error", level)}
	}
	dir := a.place().State()
	path := filepath.Join(dir, "nexops.log")
	f, err := openLogFile(dir, path)
	if err != nil {
		// A console that cannot write its log still has to open.
		return slog.New(slog.DiscardHandler), func() {}, nil //nolint:nilerr // said above
	}
	return slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: l, ReplaceAttr: discreet(redact)})), func() { _ = f.Close() }, nil
}

// discreet takes the secrets out of what is logged, before it is quoted.
func discreet(redact *actions.Redactor) func([]string, slog.Attr) slog.Attr {
	return func(_ []string, a slog.Attr) slog.Attr {
		switch v := a.Value.Resolve(); v.Kind() {
		case slog.KindString:
			a.Value = slog.StringValue(redact.Text(v.String()))
		case slog.KindAny:
			if _, isLevel := v.Any().(slog.Level); !isLevel {
				a.Value = slog.StringValue(redact.Text(fmt.Sprint(v.Any())))
			}
		default: // numbers, times
		}
		return a
	}
}

func openLogFile(dir, path string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	if st, err := os.Stat(path); err == nil && st.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // our own folder
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return f, nil
}
