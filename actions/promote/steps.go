package promote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/remote"
)

func (p *planner) steps() []actions.Step {
	steps := []actions.Step{{
		Name: "push", Argv: p.target.PushArgv(p.commit, p.base), Mutates: true,
		Do: func(ctx context.Context, out func(stream, line string)) error {
			return p.target.Push(ctx, p.commit, p.base, out)
		},
	}}
	g := p.a.cfg.GitHub
	switch {
	case p.a.cfg.Way == WayPush:
	case !g.Token.IsZero():
		steps = append(steps, actions.Step{
			Name: "open pull request", Mutates: true,
			Argv: []string{"POST", g.pulls(), "base=" + p.repo.Branch, "head=" + p.target.Branch, "title=" + p.title()},
			Do:   p.pullRequest,
		})
	case g.Repository != "":
		link := fmt.Sprintf("%s/%s/compare/%s...%s?expand=1", strings.TrimSuffix(g.Web, "/"), g.Repository, escaped(p.repo.Branch), escaped(p.target.Branch))
		steps = append(steps, actions.Step{
			Name: "where to open the pull request", Argv: []string{link},
			Do: func(_ context.Context, out func(stream, line string)) error {
				out(actions.StreamNexops, "open the pull request at "+link)
				return nil
			},
		})
	}
	return steps
}

// undo takes a push straight to the branch back by another commit. A branch of its own is closed by who opened it.
func (p *planner) undo() *actions.Intent {
	if p.target == nil || p.target != p.repo {
		return nil
	}
	return &actions.Intent{Action: Name, Targets: p.intent.Targets, Args: map[string]string{ArgRevert: p.commit}}
}

// escaped is a branch in a path: its slashes stay.
func escaped(branch string) string { return strings.ReplaceAll(url.PathEscape(branch), "%2F", "/") }

func (g GitHub) pulls() string {
	return strings.TrimSuffix(g.API, "/") + "/repos/" + g.Repository + "/pulls"
}

func (p *planner) title() string {
	return fmt.Sprintf("%s: promote %s to %s", p.svc.Key.Name, p.to.Tag, p.a.cfg.To)
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// pullRequest opens the pull request. It is sent once: whether it arrived is not known when no answer comes.
func (p *planner) pullRequest(ctx context.Context, out func(stream, line string)) error {
	g := p.a.cfg.GitHub
	token, err := p.a.deps.Secret(ctx, g.Token)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	body, err := json.Marshal(map[string]string{"title": p.title(), "head": p.target.Branch, "base": p.repo.Branch, "body": p.message()})
	if err != nil {
		return fmt.Errorf("github: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.pulls(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("github: %w", err)
	}
	req.GetBody = nil // or the transport would send it again on a new connection
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.a.deps.Client.Do(req)
	if err != nil {
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			return fmt.Errorf("github: cannot be reached, the branch %s is pushed: %w", p.target.Branch, err)
		}
		return fmt.Errorf("github: no answer, look whether the pull request of %s is there: %w: %w", p.target.Branch, err, actions.ErrUnknown)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	var said struct {
		URL     string `json:"html_url"`
		Message string `json:"message"`
		Errors  []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	jerr := json.Unmarshal(answer, &said)
	if resp.StatusCode == http.StatusCreated && err == nil && jerr == nil {
		out(actions.StreamNexops, "pull request "+remote.Clean(said.URL))
		return nil
	}
	if resp.StatusCode == http.StatusCreated {
		out(actions.StreamNexops, "the pull request is made; github's answer could not be read")
		return nil
	}
	words := remote.Clean(said.Message)
	for _, e := range said.Errors {
		words += ": " + remote.Clean(e.Message)
	}
	return fmt.Errorf("github: %s %s; the branch %s is pushed: open the pull request by hand", resp.Status, words, p.target.Branch)
}

// verify reads the branch again: what it holds is what came of it.
func (p *planner) verify(ctx context.Context, _ actions.World, out func(line string)) (actions.Outcome, []string) {
	if ctx.Err() != nil {
		return actions.OutcomeCancelled, []string{"cancelled before the infra repo was read again"}
	}
	head, err := p.target.Fetch(ctx)
	if err != nil {
		return actions.OutcomeUnknown, []string{"pushed, but the infra repo cannot be read again: " + err.Error()}
	}
	there, err := p.target.Contains(ctx, p.commit, head)
	switch {
	case err != nil:
		return actions.OutcomeUnknown, []string{"pushed, but the infra repo cannot be read again: " + err.Error()}
	case !there:
		return actions.OutcomeFailed, []string{fmt.Sprintf("%s does not have the commit %.7s: somebody has taken it back: %s", p.target.Branch, p.commit, p.target.Tell(ctx, head))}
	}
	out(fmt.Sprintf("%s has %s", p.target.Branch, p.target.Tell(ctx, p.commit)))
	return actions.OutcomeGood, nil
}
