package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/schema"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/ui"
)

func (a *App) printPlan(plan *actions.Plan, output string) error {
	format, err := parseFormat(output)
	if err != nil {
		return err
	}
	if format == schema.FormatTable {
		err = planText(a.Stdout, plan)
	} else {
		err = schema.Write(a.Stdout, format, schema.MakePlan(plan))
	}
	if err != nil {
		return &ExitError{Code: ExitRefused, Err: err}
	}
	if ok, _ := plan.Runnable(); !ok {
		return &ExitError{Code: ExitRefused}
	}
	return nil
}

// planText prints a whole plan for people.
func planText(w io.Writer, plan *actions.Plan) error {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(ui.Sanitize(fmt.Sprintf(format, args...)) + "\n") }
	line("%s", plan.Title)
	for _, m := range plan.Moves {
		line("  %s on %s: %s → %s", m.Service.Name, m.Host, releaseWords(m.From), releaseWords(m.To))
	}
	for _, r := range plan.Risks {
		line("  risk: %s", r)
	}
	line("preflights")
	for _, c := range plan.Checks {
		line("  %s %-4s %s: %s", checkMark(c.State), c.State, c.Name, c.Detail)
		for _, l := range c.Diff {
			line("            %s", l)
		}
	}
	line("steps")
	for i, s := range plan.Steps {
		where := s.Host
		if where == "" {
			where = "here"
		}
		line("  %d. %s (%s)", i+1, s.Name, where)
		line("     %s", strings.Join(s.Argv, " "))
		if s.Into != nil {
			line("     | %s (%s)", strings.Join(s.Into.Argv, " "), cmp.Or(s.Into.Host, "here"))
		}
	}
	if plan.Undo != nil {
		line("undo: %s", plan.Undo.Words())
	}
	if ok, reason := plan.Runnable(); !ok {
		line("cannot be run: %s", reason)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func releaseWords(r fleet.Release) string {
	if r.Tag != "" && r.Digest != "" {
		return r.Tag + " (" + fleet.ShortDigest(r.Digest) + ")"
	}
	return r.Version()
}

func checkMark(s actions.CheckState) string {
	switch s {
	case actions.CheckOK:
		return "✓"
	case actions.CheckWarn:
		return "▲"
	case actions.CheckFail:
		return "✖"
	default:
		return "?"
	}
}
