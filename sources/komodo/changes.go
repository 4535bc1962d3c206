package komodo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/fleet"
)

// Bounds of what is told of the past.
const (
	maxChanges = 100
	maxLookups = 10 // updates asked for their services in one observation
	maxTouched = 500
)

// systemUsers are the operators that are no person.
func systemUsers(operator string) (string, bool) {
	names := []string{"System", "Procedure", "Action", "Git Webhook", "Auto Redeploy", "Resource Sync", "Stack Wizard", "Build Manager", "Repo Manager"}
	rest, ok := strings.CutPrefix(operator, strings.Repeat("0", 23))
	if !ok || len(rest) != 1 || rest[0] < '0' || int(rest[0]-'0') >= len(names) {
		return "", false
	}
	return "Komodo " + names[rest[0]-'0'], true
}

// changes are what was done in the environment through Komodo.
func (s *Source) changes(ctx context.Context, v *view) ([]fleet.Change, error) {
	var out []fleet.Change
	asked := 0
	for _, u := range v.updates.Updates {
		kind, ok := kindOf(u)
		name, host, here := s.targetOf(u.Target, v)
		if !ok || !here || len(out) >= maxChanges {
			continue
		}
		services, known := s.touchedBy(u)
		if !known && asked < maxLookups {
			asked++
			var err error
			if services, err = s.lookup(ctx, u.ID); err != nil {
				return nil, err
			}
		}
		what := line(u.Operation) + " " + name
		if !u.Success {
			what += " failed"
		}
		c := fleet.Change{Kind: kind, At: millis(u.StartTS), Who: who(u), What: what, Source: s.id}
		if len(services) == 0 {
			c.Subject = fleet.Subject{Environment: s.deps.Environment}
			out = append(out, c)
		}
		for _, svc := range services {
			c.Subject = fleet.Subject{Environment: s.deps.Environment, Host: host, Service: svc}
			out = append(out, c)
		}
	}
	return out, nil
}

func who(u updateItem) string {
	if name, ok := systemUsers(u.Operator); ok {
		return name
	}
	return line(orElse(u.Username, u.Operator))
}

// kindOf says what sort of change an update was; ok is false for one that changed nothing, or is not over.
func kindOf(u updateItem) (fleet.ChangeKind, bool) {
	if u.Status != complete || millis(u.StartTS).IsZero() {
		return "", false
	}
	switch op := strings.TrimSuffix(u.Operation, "Service"); op {
	case "DeployStack", "Deploy":
		return fleet.ChangeDeploy, true
	case "RestartStack", "StartStack", "StopStack", "PauseStack", "UnpauseStack", "DestroyStack", "RestartDeployment", "StopDeployment", "StartDeployment":
		return fleet.ChangeRestart, true
	case "RunSync":
		return fleet.ChangeConfig, true
	default:
		return "", false
	}
}

// targetOf names what an update was about, when that is in the environment.
func (s *Source) targetOf(t target, v *view) (name, host string, here bool) {
	switch t.Type {
	case "Stack":
		st, ok := v.stack(t.ID)
		return line(st.Name), st.host, ok && st.env == s.deps.Environment
	case "ResourceSync":
		for _, y := range v.syncs {
			if string(y.ID) == t.ID {
				return line(y.Name), "", s.environment(s.cfg.Syncs, y.Name, y.Tags, v.tags) == s.deps.Environment
			}
		}
	}
	return "", "", false
}

// touchedBy gives the services of an update, when that is known or can be known without asking: only updates
// of single services say in their logs which.
func (s *Source) touchedBy(u updateItem) (services []string, known bool) {
	if !strings.HasSuffix(u.Operation, "Service") {
		return nil, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	services, known = s.touched[u.ID]
	return services, known
}

func (s *Source) lookup(ctx context.Context, which id) ([]string, error) {
	var u update
	err := s.client.read(ctx, "GetUpdate", map[string]any{"id": string(which)}, &u)
	if err != nil && !missing(err) {
		return nil, fmt.Errorf("update %s: %w", line(string(which)), err)
	}
	services := servicesIn(u.Logs)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.touched) >= maxTouched {
		s.touched = map[id][]string{}
	}
	s.touched[which] = services
	return services, nil
}

// servicesIn reads the stage that says for which services something was asked.
func servicesIn(logs []logEntry) []string {
	const said = "service/s "
	for _, l := range logs {
		if l.Stage != "Service/s" {
			continue
		}
		_, names, ok := strings.Cut(strip(l.Stdout), said)
		if !ok {
			continue
		}
		var out []string
		for name := range strings.SplitSeq(names, ",") {
			if name = line(name); name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
		return out
	}
	return nil
}
