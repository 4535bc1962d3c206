// Command labctl brings the real lab up and down, asks it, and breaks it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/nexgate-hq/nexops/lab/real"
)

const usage = `usage: labctl COMMAND

  up [-install]            make the lab (or find it up) and print the config to use;
                           -install first installs the Debian packages it needs
  install                  only install them
  down                     remove everything the lab made
  state                    print its state as JSON
  config                   print the path of the nexops config for it
  status                   look at every part; exit 1 if one is not as it should be
  deploy SERVICE ENV TAG   release as CI does (0.1.1 is the bad release of every service)
  reset                    undo every fault and deploy
  app SERVICE HOST ORDER [BODY]
                           /crash /unhealthy /errors?ratio=0.5 /slow?by=2s /leak?mib=4
                           /log?rate=100 /line (writes BODY) /fix
  fault HOST sshd kill|start
  fault HOST engine stop|cont|kill|start
  fault HOST cable pull|plug
  fault HOST clock ahead|right
                           by 10 min
  fault prometheus|loki stop|start|freeze|thaw
  fault registry stop|start
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, os.Stdout, os.Stderr, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "labctl: %v\n%s", err, usage)
		os.Exit(64)
	case err != nil:
		fmt.Fprintln(os.Stderr, "labctl:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong usage")

func run(ctx context.Context, out, progress io.Writer, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	name, args := args[0], args[1:]
	switch name {
	case "up":
		return up(ctx, out, progress, args)
	case "install":
		return aptInstall(ctx, progress)
	case "down":
		return real.Down(ctx)
	}
	path, err := real.StatePath()
	if err != nil {
		return err
	}
	l, err := real.Open(path)
	if err != nil {
		return err
	}
	switch name {
	case "state":
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(l.State)
	case "config":
		_, err := fmt.Fprintln(out, l.Config)
		return err
	case "status":
		return status(ctx, out, l)
	case "reset":
		return l.Reset(ctx)
	case "deploy":
		if len(args) != 3 {
			return fmt.Errorf("%w: deploy SERVICE ENV TAG", errUsage)
		}
		return l.Deploy(ctx, args[0], args[1], args[2])
	case "app":
		return order(ctx, out, l, args)
	case "fault":
		return fault(ctx, l, args)
	}
	return fmt.Errorf("%w: no command %q", errUsage, name)
}

func up(ctx context.Context, out, progress io.Writer, args []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	install := flags.Bool("install", false, "install the Debian packages the lab needs")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if *install {
		if err := aptInstall(ctx, progress); err != nil {
			return err
		}
	}
	start := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(progress, "%5.1fs  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	l, err := real.Up(ctx, say)
	if err != nil {
		return err
	}
	say("the lab is up")
	path, err := real.StatePath()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n\nnexops --config %s --env prod\nexport NEXOPS_LAB=%s\n", l.Config, l.Config, path)
	return err
}

func aptInstall(ctx context.Context, progress io.Writer) error {
	for _, argv := range [][]string{
		{"apt-get", "update", "-qq"},
		append([]string{"apt-get", "install", "-qq", "-y", "--no-install-recommends"}, real.Packages()...),
	} {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = progress, progress
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", argv[0]+" "+argv[1], err)
		}
	}
	return nil
}

func status(ctx context.Context, out io.Writer, l *real.Lab) error {
	bad := 0
	for _, f := range l.Status(ctx) {
		if f.Err != nil {
			bad++
			fmt.Fprintf(out, "BAD  %s: %v\n", f.What, f.Err)
			continue
		}
		fmt.Fprintf(out, "ok   %s\n", f.What)
	}
	if bad > 0 {
		return fmt.Errorf("%d parts are not as they should be", bad)
	}
	return nil
}

func order(ctx context.Context, out io.Writer, l *real.Lab, args []string) error {
	if len(args) != 3 && len(args) != 4 {
		return fmt.Errorf("%w: app SERVICE HOST ORDER [BODY]", errUsage)
	}
	body := ""
	if len(args) == 4 {
		body = args[3]
	}
	answer, err := l.App(ctx, args[0], args[1], args[2], body)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(out, answer)
	return err
}
