package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nexgate-hq/nexops/actions"
)

func usageOf(s actions.Spec) string {
	if s.Scope == actions.ScopeEnvironment {
		if arg, ok := subjectOf(s); ok {
			return s.Name + " [" + strings.ToUpper(arg.Name) + "]"
		}
		return s.Name
	}
	return s.Name + " SERVICE..."
}

func phraseOf(s actions.Spec) string {
	if s.Scope == actions.ScopeEnvironment {
		return s.Name + "@prod"
	}
	return "ai@prod"
}

// subjectOf is the one argument that an action on the environment cannot do without: it may be
// said without its flag, as a service is.
func subjectOf(s actions.Spec) (actions.Arg, bool) {
	var found []actions.Arg
	for _, arg := range s.Args {
		if arg.Required {
			found = append(found, arg)
		}
	}
	if s.Scope != actions.ScopeEnvironment || len(found) != 1 {
		return actions.Arg{}, false
	}
	return found[0], true
}

func targetArgs(s actions.Spec) cobra.PositionalArgs {
	if arg, ok := subjectOf(s); ok {
		return func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &ExitError{Code: ExitUsage, Err: fmt.Errorf("%s wants one %s", s.Name, strings.ToUpper(arg.Name))}
			}
			return nil
		}
	}
	if s.Scope == actions.ScopeEnvironment {
		return exactArgs(0, "no argument")
	}
	return someArgs("one SERVICE, or several")
}
