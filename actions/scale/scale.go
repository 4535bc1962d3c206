package scale

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Name is the action's name in the config, on the command line and in the journal.
const Name = "scale"

// ArgCount is how many: "3", or "prod-1=3" when the service runs on several hosts.
const ArgCount = "count"

// Deps is what the action may use of the program around it.
type Deps struct {
	Host   func(name string) (remote.Host, error)
	Places compose.Places // how services are found on their hosts
	Now    func() time.Time
	Look   time.Duration // how often it is looked; 0 is the usual
	Verify verify.Config
}

type action struct {
	cfg  Config
	deps Deps
}

var (
	_ actions.Action  = (*action)(nil)
	_ actions.Chooser = (*action)(nil)
)

// New makes the action. It does no I/O.
func New(cfg Config, deps Deps) actions.Action {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &action{cfg: cfg, deps: deps}
}

// Spec describes the action.
func (a *action) Spec() actions.Spec {
	return actions.Spec{
		Name: Name, Key: "C", Title: "scale (count)", Risk: actions.RiskHigh, Quiet: true,
		Help: "Changes how many containers of a service run on a host, as long as its memory allows.",
		Args: []actions.Arg{{Name: ArgCount, Required: true, Help: "how many: 3, or prod-1=3 when it runs on several hosts"}},
	}
}

// Offer says whether there is a service to scale.
func (a *action) Offer(snap *fleet.Snapshot, targets []fleet.Ref) actions.Offer {
	t, _, err := a.deps.Places.FindSeen(snap, targets)
	if err != nil {
		return actions.Offer{Reason: err.Error()}
	}
	return actions.Offer{Enabled: true, Title: "scale " + t.Key.Name}
}

// pool are the containers of a service on a host, the lowest number first.
func pool(svc *fleet.Service, t *compose.Target, host string) []*fleet.Instance {
	var list []*fleet.Instance
	for _, in := range svc.Instances {
		if in.Host == host && t.Pick(in) {
			list = append(list, in)
		}
	}
	slices.SortFunc(list, func(a, b *fleet.Instance) int {
		if d := number(a) - number(b); d != 0 {
			return d
		}
		return a.Life.CreatedAt.Compare(b.Life.CreatedAt)
	})
	return list
}

func number(in *fleet.Instance) int {
	n, _ := strconv.Atoi(in.Labels[compose.LabelNumber])
	return n
}

// memoryOf is what one more container is expected to need: its limit, else what one of them uses.
func memoryOf(svc *fleet.Service, in *fleet.Instance) (bytes int64, what string) {
	if in.Limits.Memory > 0 {
		return in.Limits.Memory, "its limit"
	}
	memory, _ := svc.Metrics.Get(fleet.MetricMemory)
	if v, ok := memory.Series.Last(); ok && v > 0 && len(svc.Instances) > 0 {
		return int64(v) / int64(len(svc.Instances)), "what one uses now"
	}
	return 0, ""
}

// available asks a host for the memory that programs can still get.
func (a *action) available(ctx context.Context, host string) (int64, error) {
	h, err := a.deps.Host(host)
	if err != nil {
		return 0, fmt.Errorf("host %s: %w", host, err)
	}
	ctx, cancel := context.WithTimeout(ctx, compose.AskTimeout)
	defer cancel()
	out, err := compose.Probe{Host: h}.Run(ctx, remote.Command{Argv: []string{"cat", "/proc/meminfo"}})
	if err != nil {
		return 0, err //nolint:wrapcheck // it names the host
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemAvailable:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err == nil && kb >= 0 && kb < 1<<50 {
				return kb << 10, nil
			}
		}
	}
	return 0, fmt.Errorf("%s: /proc/meminfo has no MemAvailable", host)
}

// Choices are one fewer and one more on each host; any number may be typed.
func (a *action) Choices(ctx context.Context, snap *fleet.Snapshot, targets []fleet.Ref) (actions.Choices, error) {
	t, svc, err := a.deps.Places.FindSeen(snap, targets)
	if err != nil {
		return actions.Choices{}, err
	}
	limit := a.cfg.maxOf(t.Key.Name)
	out := actions.Choices{
		Title: "how many of " + t.Key.Name + "?", Arg: ArgCount, Columns: []string{"host", "now", "then", "memory for it", "host has left"},
		Free: fmt.Sprintf("a number from 1 to %d", limit),
	}
	if len(t.Hosts) > 1 {
		out.Free = fmt.Sprintf("HOST=NUMBER, 1 to %d", limit)
	}
	for _, pl := range t.Hosts {
		list := pool(svc, t, pl.Host)
		need, _ := memoryOf(svc, list[0])
		left := "not known"
		if free, err := a.available(ctx, pl.Host); err == nil {
			left = fleet.Bytes(float64(free))
		}
		for _, n := range []int{len(list) + 1, len(list) + 2, len(list) - 1} {
			row := actions.Choice{Value: strconv.Itoa(n), Cells: []string{pl.Host, strconv.Itoa(len(list)), strconv.Itoa(n), more(n-len(list), need), left}}
			if len(t.Hosts) > 1 {
				row.Value = pl.Host + "=" + row.Value
			}
			if n < 1 || n > limit {
				row.Reason = fmt.Sprintf("allowed is 1 to %d", limit)
			}
			out.Rows = append(out.Rows, row)
		}
	}
	return out, nil
}

func more(n int, each int64) string {
	switch {
	case n <= 0:
		return "none"
	case each == 0:
		return "not known"
	default:
		return fmt.Sprintf("%d × %s", n, fleet.Bytes(float64(each)))
	}
}

var countPattern = regexp.MustCompile(`^(?:([A-Za-z0-9._-]+)=)?([0-9]{1,4})$`)

// place reads the argument.
func (a *action) place(t *compose.Target, arg string) (*compose.Place, int, error) {
	m := countPattern.FindStringSubmatch(arg)
	if m == nil {
		return nil, 0, fmt.Errorf("%q is no count: write 3, or %s=3", remote.Clean(arg), t.Hosts[0].Host)
	}
	n, _ := strconv.Atoi(m[2])
	if limit := a.cfg.maxOf(t.Key.Name); n < 1 || n > limit {
		return nil, 0, fmt.Errorf("%d is not allowed: 1 to %d (max and limit in [actions.scale])", n, limit)
	}
	if m[1] == "" && len(t.Hosts) > 1 {
		return nil, 0, fmt.Errorf("it runs on several hosts: write %s=%d", strings.Join(t.HostNames(), fmt.Sprintf("=%d or ", n)), n)
	}
	for _, pl := range t.Hosts {
		if m[1] == "" || pl.Host == m[1] {
			return pl, n, nil
		}
	}
	return nil, 0, fmt.Errorf("it does not run on %s: there is %s", remote.Clean(m[1]), strings.Join(t.HostNames(), ", "))
}
