package prometheus

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/nexgate-hq/nexops/sources"
)

// The labels that the default queries answer with, whatever names the estate uses.
const (
	labelService     = "nexops_service"
	labelEnvironment = "nexops_environment"
	labelHost        = "nexops_host"
	labelContainer   = "nexops_container"
	labelOrigin      = "nexops_origin" // originProcess where cAdvisor knows no service of the name
	labelTarget      = "nexops_target" // inside a query only

	originProcess = "process"
)

// firstOf takes the first part that is not empty of values joined by ";".
const firstOf = `;*([^;]*).*`

// builder writes PromQL that finds the service, the environment and the host of a
// series inside the query, so that Prometheus itself adds up what belongs together and
// two worlds of names can be joined by "or" without counting a service twice.
type builder struct {
	labels      sources.Labels
	environment string
	alone       bool     // there is no other environment
	hosts       []string // of the environment
	window      string
}

func newBuilder(cfg *Config, deps sources.Deps) *builder {
	return &builder{
		labels: cfg.Labels, environment: deps.Environment, alone: len(deps.Environments) <= 1,
		hosts: deps.Hosts, window: model.Duration(time.Duration(cfg.Window)).String(),
	}
}

// dialect says where one family of metrics keeps the name of its service.
type dialect struct {
	b       *builder
	service []string // labels, the first present wins
	strip   string   // regular expression whose first group is the name
	target  bool     // without a service, the probed address stands for it
	byName  bool     // without a service, keep the container's name and host
	match   []string // matchers of every selector
	keep    []string // labels that the answer keeps
}

// application is for what services say of themselves.
func (b *builder) application() dialect {
	return dialect{b: b, service: b.labels.Service}
}

// container is for cAdvisor: its job label is its own, not the container's.
func (b *builder) container() dialect {
	return dialect{b: b, service: without(b.labels.Service, "job"), match: []string{b.anyContainer()}, byName: true}
}

// anyContainer leaves the control groups out that are no containers.
func (b *builder) anyContainer() string {
	if len(b.labels.Container) == 0 {
		return `id!="/"`
	}
	return b.labels.Container[0] + `!=""`
}

// traefik is for Traefik's view of the services behind it: "web@docker" is web. Where the
// scrape sets a service label of its own, Prometheus renames Traefik's.
func (b *builder) traefik() dialect {
	return dialect{
		b: b, service: []string{"exported_service", "service"}, strip: `([^@]*)(?:@.*)?`,
		match: []string{`service!~".*@internal"`, `exported_service!~".*@internal"`},
	}
}

// probed is for the blackbox exporter: its job label is its own; without a label for
// the service the first part of the probed address stands for it, unless it is a number.
func (b *builder) probed() dialect {
	return dialect{b: b, service: without(b.labels.Service, "job"), target: true, keep: []string{"instance"}}
}

func without(list []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })
}

// selector leaves out at the source what the first environment label says is another's.
func (b *builder) selector(metric string, match []string) string {
	if len(b.labels.Environment) > 0 {
		m := b.labels.Environment[0] + "=~" + strconv.Quote(regexp.QuoteMeta(b.environment)+"|")
		match = append([]string{m}, match...)
	}
	return metric + "{" + strings.Join(match, ",") + "}"
}

func (b *builder) rate(metric string, match []string) string {
	return "rate(" + b.selector(metric, match) + "[" + b.window + "])"
}

// last looks back no further than the window: cAdvisor stamps its samples itself, so
// a removed container would linger five minutes beside the one that replaced it.
func (b *builder) last(metric string, match []string) string {
	return "last_over_time(" + b.selector(metric, match) + "[" + b.window + "])"
}

// group aggregates expr by service and environment: first by the labels as they are,
// which makes few series of many, then by the names found in them.
func (d dialect) group(op, expr string) string {
	b := d.b
	raw := slices.Concat(d.service, b.labels.Environment, b.labels.Host, d.keep)
	final := []string{labelEnvironment, labelService}
	if d.byName {
		raw = append(raw, b.labels.Container...)
		final = append(final, labelHost, labelContainer)
	}
	final = append(final, d.keep...)
	slices.Sort(raw)
	raw = slices.Compact(raw)
	named := d.name(b.place(op + " by (" + strings.Join(raw, ",") + ") (" + expr + ")"))
	return op + " by (" + strings.Join(final, ",") + ") (" + named + ")"
}

// place finds the host and the environment.
func (b *builder) place(expr string) string {
	expr = first(expr, labelHost, b.labels.Host)
	value := strings.ReplaceAll(b.environment, "$", "$$")
	switch {
	case b.alone:
		expr = replace(expr, labelEnvironment, value, "", "")
	case len(b.hosts) > 0 && len(b.labels.Host) > 0:
		quoted := make([]string, len(b.hosts))
		for i, h := range b.hosts {
			quoted[i] = regexp.QuoteMeta(h)
		}
		expr = replace(expr, labelEnvironment, value, labelHost, strings.Join(quoted, "|"))
	}
	return first(expr, labelEnvironment, append(slices.Clone(b.labels.Environment), labelEnvironment))
}

// name finds the service, or the container of a series that names none.
func (d dialect) name(expr string) string {
	if d.target {
		expr = join(expr, labelTarget, append(slices.Clone(d.service), "instance"))
	}
	expr = first(expr, labelService, d.service)
	if d.strip != "" {
		expr = replace(expr, labelService, "$1", labelService, d.strip)
	}
	if d.target {
		host := `;{` + strconv.Itoa(len(d.service)) + `}(?:[a-z]+://)?([a-zA-Z][^.:/;]*).*`
		expr = replace(expr, labelService, "$1", labelTarget, host)
	}
	if d.byName {
		expr = first(expr, labelContainer, d.b.labels.Container)
		expr = replace(expr, labelContainer, "", labelService, ".+")
		expr = replace(expr, labelHost, "", labelService, ".+")
	}
	return expr
}

// first sets a label to the first of others that is there.
func first(expr, to string, from []string) string {
	if len(from) == 0 {
		return expr
	}
	return replace(join(expr, to, from), to, "$1", to, firstOf)
}

func join(expr, to string, from []string) string {
	quoted := make([]string, len(from))
	for i, f := range from {
		quoted[i] = strconv.Quote(f)
	}
	return "label_join(" + expr + ", " + strconv.Quote(to) + `, ";", ` + strings.Join(quoted, ", ") + ")"
}

func replace(expr, to, value, from, pattern string) string {
	return "label_replace(" + expr + ", " + strconv.Quote(to) + ", " + strconv.Quote(value) + ", " +
		strconv.Quote(from) + ", " + strconv.Quote(pattern) + ")"
}
