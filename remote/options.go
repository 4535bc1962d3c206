package remote

import (
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"
)

// Options is what the outside world gives to this package: the environment and
// the places of files. The zero value knows no environment and no home.
type Options struct {
	Home       string                           // what "~" means
	User       string                           // who logs in when a host names no user
	LookupEnv  func(name string) (string, bool) // nil: an empty environment
	KnownHosts []string                         // where hosts' keys are when a host names no file; default: the usual places
	Log        *slog.Logger                     // nil: silent
	Now        func() time.Time                 // nil: the clock
	Learned    func(secret string)              // told of every secret that was read, before it is used; nil: nobody
}

// ProcessOptions is the environment this process runs in.
func ProcessOptions() Options {
	o := Options{LookupEnv: os.LookupEnv}
	if home, err := os.UserHomeDir(); err == nil {
		o.Home = home
	}
	if u, err := user.Current(); err == nil {
		o.User = u.Username
	} else {
		o.User = os.Getenv("USER")
	}
	return o
}

func (o Options) env(name string) (string, bool) {
	if o.LookupEnv == nil {
		return "", false
	}
	return o.LookupEnv(name)
}

func (o Options) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

func (o Options) log() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log
}

// expand replaces a leading "~/" with the home folder.
func (o Options) expand(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok && o.Home != "" {
		return filepath.Join(o.Home, rest)
	}
	return path
}

// knownHosts are the files to look a host's key up in, the one to add to first.
func (o Options) knownHosts(cfg Config) []string {
	files := cfg.KnownHosts
	if len(files) == 0 {
		files = o.KnownHosts
	}
	if len(files) == 0 {
		files = []string{"~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"}
	}
	out := make([]string, 0, len(files))
	for _, f := range files {
		out = append(out, o.expand(f))
	}
	return out
}
