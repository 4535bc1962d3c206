package cli

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/remote"
)

// maxExport bounds how many entries one export has.
const maxExport = 1_000_000

// exportFlags choose entries.
type exportFlags struct {
	since, until         string
	service, env, planID string
	output               string
}

func (a *App) exportCommand() *cobra.Command {
	var e exportFlags
	cmd := &cobra.Command{
		Use: "export", Short: "Write a part of the journal as JSON lines or CSV", Args: cobra.NoArgs,
		Long: `Write a part of the journal as JSON lines or CSV, oldest first.

JSON lines are those of the journal itself, with their hashes. --since and --until take a time
(2026-11-21T03:00:00Z), a day (2026-11-21, in UTC) or how long ago (36h).

Exit codes: 0 written, also when there is nothing; 1 it could not be read; 64 wrong usage.`,
		RunE: func(*cobra.Command, []string) error { return a.export(e) },
	}
	cmd.Flags().StringVar(&e.since, "since", "", "from then on")
	cmd.Flags().StringVar(&e.until, "until", "", "before that")
	cmd.Flags().StringVar(&e.service, "service", "", "only what was done to this service")
	cmd.Flags().StringVar(&e.env, "in", "", "only what was done in this environment")
	cmd.Flags().StringVar(&e.planID, "plan", "", "only of the plan with this id")
	cmd.Flags().StringVarP(&e.output, "output", "o", "jsonl", "jsonl or csv")
	return cmd
}

func (a *App) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show PLAN", Short: "Print all that is on record of one plan, its output included", Args: exactArgs(1, "a PLAN"),
		Long: "Print all that is on record of one plan, its output included.\n\nExit codes: 0 printed; 1 there is no such plan, or it could not be read.",
		RunE: func(_ *cobra.Command, args []string) error {
			j, err := a.openJournal()
			if err != nil {
				return err
			}
			entries, err := j.Read(actions.Query{Plan: args[0], Limit: maxExport})
			if err == nil && len(entries) == 0 {
				err = fmt.Errorf("no plan %q on record", remote.Clean(args[0]))
			}
			if err != nil {
				return &ExitError{Code: 1, Err: err}
			}
			a.printEntries(entries, true)
			return a.tellUnfinished(j, args[0])
		},
	}
}

// moment reads a time, a day, or how long ago.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, &ExitError{Code: ExitUsage, Err: fmt.Errorf("--%s: %q is neither a time (2026-11-21T03:00:00Z), a day (2026-11-21) nor how long ago (36h)", flag, remote.Clean(text))}
}

func (a *App) export(e exportFlags) error {
	write := writeLines
	switch e.output {
	case "jsonl":
	case "csv":
		write = writeCSV
	default:
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("--output: %q is none: jsonl or csv", remote.Clean(e.output))}
	}
	since, err := moment("since", e.since, a.Now())
	if err != nil {
		return err
	}
	until, err := moment("until", e.until, a.Now())
	if err != nil {
		return err
	}
	j, err := a.openJournal()
	if err != nil {
		return err
	}
	// What a plan was is known from its begin, which may be before the range.
	entries, err := j.Read(actions.Query{Plan: e.planID, Limit: maxExport})
	if err == nil {
		err = write(a.Stdout, e.choose(entries, since, until))
	}
	if err == nil && len(entries) == maxExport {
		err = fmt.Errorf("only the newest %d entries were read, and what is older is not among them: the files of the journal have it all", maxExport)
	}
	if err != nil {
		return &ExitError{Code: 1, Err: err}
	}
	return nil
}

// exported is an entry with what its plan was.
type exported struct {
	actions.Entry
	plan *actions.PlanRecord
}

// choose leaves the entries that were asked for.
func (e exportFlags) choose(entries []actions.Entry, since, until time.Time) []exported {
	plans := map[string]*actions.PlanRecord{}
	var out []exported
	for _, entry := range entries {
		if entry.Record != nil {
			plans[entry.Plan] = entry.Record
		}
		plan := plans[entry.Plan]
		switch {
		case entry.At.Before(since), !until.IsZero() && !entry.At.Before(until):
		case e.service != "" && (plan == nil || !slices.Contains(plan.Services, e.service)):
		case e.env != "" && (plan == nil || plan.Environment != e.env):
		default:
			out = append(out, exported{entry, plan})
		}
	}
	return out
}

// writeLines writes entries as they are in the journal.
func writeLines(w io.Writer, list []exported) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	for _, e := range list {
		if err := enc.Encode(e.Entry); err != nil {
			return fmt.Errorf("write entry %d: %w", e.Seq, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// csvHeader names the columns.
var csvHeader = []string{"seq", "at", "kind", "plan", "environment", "services", "action", "title", "who", "why", "confirm", "rollback_of", "event", "step", "host", "text", "error", "outcome", "reasons", "sha256"}

// writeCSV writes one row an entry.
func writeCSV(w io.Writer, list []exported) error {
	out := csv.NewWriter(w)
	_ = out.Write(csvHeader) // Error tells
	for _, e := range list {
		_ = out.Write(e.row())
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func (e exported) row() []string {
	cells := map[string]string{
		"seq": fmt.Sprint(e.Seq), "at": e.At.UTC().Format(time.RFC3339Nano), "kind": string(e.Kind), "plan": e.Plan,
		"text": e.Text, "rollback_of": e.RollbackOf, "sha256": e.SHA256,
	}
	if p := e.plan; p != nil {
		cells["environment"], cells["services"], cells["action"], cells["title"] = p.Environment, strings.Join(p.Services, " "), p.Action, p.Title
		cells["who"], cells["why"], cells["confirm"] = p.Who, p.Why, string(p.Confirm)
	}
	if ev := e.Event; ev != nil {
		cells["event"], cells["text"], cells["error"] = string(ev.Kind), ev.Text, ev.Err
		if e.plan != nil && ev.Step >= 0 && ev.Step < len(e.plan.Steps) {
			cells["step"], cells["host"] = e.plan.Steps[ev.Step].Name, e.plan.Steps[ev.Step].Host
		}
	}
	if o := e.Outcome; o != nil {
		cells["outcome"], cells["reasons"] = string(o.Outcome), strings.Join(o.Reasons, "; ")
	}
	row := make([]string, len(csvHeader))
	for i, name := range csvHeader {
		row[i] = cell(cells[name])
	}
	return row
}

// cell makes a text harmless for the spreadsheet it is opened in: nothing that begins like a formula stays one.
func cell(text string) string {
	text = remote.Clean(text)
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
