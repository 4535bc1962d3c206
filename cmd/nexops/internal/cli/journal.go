package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/schema"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/ui"
)

func (a *App) journalCommand(_ *flags) *cobra.Command {
	var output, plan string
	var limit int
	var since time.Duration
	cmd := &cobra.Command{
		Use: "journal", Short: "Print what was done from this console", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			format, err := parseFormat(output)
			if err != nil {
				return err
			}
			return a.journal(format, actions.Query{Plan: plan, Limit: limit}, since)
		},
	}
	outputFlag(cmd, &output)
	cmd.Flags().IntVarP(&limit, "limit", "n", 200, "the newest so many lines; with -o json or yaml the newest so many entries, each step and line of output being one")
	cmd.Flags().StringVar(&plan, "plan", "", "only of the plan with this id, its output included")
	cmd.Flags().DurationVar(&since, "since", 0, "only of that long, e.g. 24h")
	cmd.AddCommand(a.showCommand(), a.exportCommand(), &cobra.Command{
		Use: "verify", Short: "Check the chain of hashes over the whole journal", Args: cobra.NoArgs,
		Long: "Check the chain of hashes over the whole journal.\n\nExit codes: 0 whole; 1 broken, and where.",
		RunE: func(*cobra.Command, []string) error {
			j, err := a.openJournal()
			if err != nil {
				return err
			}
			if err := j.Verify(); err != nil {
				return &ExitError{Code: 1, Err: err}
			}
			_, _ = fmt.Fprintln(a.Stdout, j.Dir()+": whole")
			return nil
		},
	})
	return cmd
}

func (a *App) openJournal() (*actions.Journal, error) {
	if err := a.place().Own(); err != nil {
		return nil, &ExitError{Code: ExitConfig, Err: err}
	}
	j, err := actions.OpenJournal(a.place().State() + "/journal")
	if err != nil {
		return nil, &ExitError{Code: 1, Err: err}
	}
	return j, nil
}

func (a *App) journal(format schema.Format, q actions.Query, since time.Duration) error {
	j, err := a.openJournal()
	if err != nil {
		return err
	}
	if since > 0 {
		q.Since = a.Now().Add(-since)
	}
	if format == schema.FormatTable { // what is printed is what counts
		q.Keep = func(e *actions.Entry) bool { return entryText(*e, q.Plan != "") != "" }
	}
	entries, err := j.Read(q)
	if err != nil {
		return &ExitError{Code: 1, Err: err}
	}
	if format != schema.FormatTable {
		if err := schema.Write(a.Stdout, format, schema.MakeJournal(entries)); err != nil {
			return &ExitError{Code: 1, Err: err}
		}
		return a.tellUnfinished(j, q.Plan)
	}
	a.printEntries(entries, q.Plan != "")
	return a.tellUnfinished(j, q.Plan)
}

// printEntries prints a line an entry; outputs as well where that is asked for.
func (a *App) printEntries(entries []actions.Entry, outputs bool) {
	for _, e := range entries {
		if text := entryText(e, outputs); text != "" {
			_, _ = fmt.Fprintln(a.Stdout, ui.Sanitize(text))
		}
	}
}

// tellUnfinished prints the actions that began and whose end is not on record, of one plan or of all.
func (a *App) tellUnfinished(j *actions.Journal, plan string) error {
	list, err := j.Unfinished(a.Now())
	if err != nil {
		return &ExitError{Code: 1, Err: err}
	}
	for _, u := range list {
		if plan == "" || u.Plan == plan {
			_, _ = fmt.Fprintln(a.Stderr, "nexops: "+ui.Sanitize(u.Words()))
		}
	}
	return nil
}

// entryText is one line about an entry; outputs only where one plan was asked for.
func entryText(e actions.Entry, outputs bool) string {
	at := e.At.UTC().Format("2006-01-02 15:04:05Z ")
	switch {
	case e.Kind == actions.EntryPlan && e.Record != nil:
		why := ""
		if e.Record.Why != "" {
			why = ": " + e.Record.Why
		}
		return fmt.Sprintf("%s%s  %s  by %s%s", at, e.Plan, e.Record.Title, e.Record.Who, why)
	case e.Kind == actions.EntryOutcome && e.Outcome != nil:
		return strings.TrimRight(fmt.Sprintf("%s%s  %s  %s", at, e.Plan, e.Outcome.Outcome, strings.Join(e.Outcome.Reasons, "; ")), " ")
	case e.Kind == actions.EntryRefused:
		return fmt.Sprintf("%s%s  refused  %s", at, e.Plan, e.Text)
	case e.Kind == actions.EntryNote:
		return at + e.Text
	case outputs && e.Event != nil:
		return fmt.Sprintf("%s%s  %s %s%s", at, e.Plan, e.Event.Kind, e.Event.Text, e.Event.Err)
	default:
		return ""
	}
}

// recentEntries are the newest lines about one service, newest first.
func recentEntries(j *actions.Journal, key fleet.ServiceKey, most int) ([]string, error) {
	entries, err := j.Read(actions.Query{Limit: 2000})
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	mine := map[string]bool{}
	var out []string
	for _, e := range entries {
		if r := e.Record; r != nil && r.Environment == key.Environment && slices.Contains(r.Services, key.Name) {
			mine[e.Plan] = true
		}
		if text := entryText(e, false); mine[e.Plan] && text != "" {
			out = append(out, text)
		}
	}
	slices.Reverse(out)
	return out[:min(len(out), most)], nil
}
