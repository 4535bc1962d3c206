package loki

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// The part of LogQL that is read here: stream selectors, line filters, json and logfmt, label filters, ranges that
// count, aggregations of them, and their multiples. Tests hold that it answers as Loki's own engine does; that one is not linked, since
// its packages would cost every start of the program 20 ms.

// logExpr chooses lines.
type logExpr struct {
	text     string // as it was written
	matchers []*labels.Matcher
	stages   []stage
}

// stage is one step of a pipeline; false drops the line.
type stage func(*entry) bool

// metricExpr is a number over time: a range, or an aggregation of another.
type metricExpr struct {
	op      string // "count_over_time", or "sum"
	logs    *logExpr
	window  time.Duration
	inner   *metricExpr
	by      []string
	without bool
	grouped bool
	factor  float64 // what the values are multiplied by; 0 for nothing
}

// rangeOf is the range under all aggregations.
func (m *metricExpr) rangeOf() *metricExpr {
	for m.inner != nil {
		m = m.inner
	}
	return m
}

type parser struct {
	text string
	rest string
}

// parse reads a query: one of the two is set.
func parse(text string) (logs *logExpr, metric *metricExpr, err error) {
	p := &parser{text: text, rest: text}
	if p.peek("{") {
		logs, err = p.logs()
	} else {
		metric, err = p.multiple()
	}
	if err == nil && p.skip() != "" {
		err = fmt.Errorf("unexpected %q", p.rest)
	}
	if err != nil {
		at := len(text) - len(p.rest) + 1
		return nil, nil, fmt.Errorf("parse error at line 1, col %d: syntax error: %w", at, err)
	}
	return logs, metric, nil
}

func parseLogs(text string) (*logExpr, error) {
	logs, _, err := parse(text)
	if err == nil && logs == nil {
		err = errors.New("only log selector is supported")
	}
	return logs, err
}

func (p *parser) skip() string {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	return p.rest
}

func (p *parser) peek(token string) bool { return strings.HasPrefix(p.skip(), token) }

func (p *parser) take(token string) bool {
	if !p.peek(token) {
		return false
	}
	p.rest = p.rest[len(token):]
	return true
}

func (p *parser) want(token string) error {
	if !p.take(token) {
		return fmt.Errorf("unexpected %.20q, expecting %s", p.rest, token)
	}
	return nil
}

func (p *parser) word() string {
	n := 0
	for p.skip(); n < len(p.rest); n++ {
		c := p.rest[n]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (n == 0 || c < '0' || c > '9') {
			break
		}
	}
	word := p.rest[:n]
	p.rest = p.rest[n:]
	return word
}

func (p *parser) quoted() (string, error) {
	raw, err := strconv.QuotedPrefix(p.skip())
	if err != nil {
		return "", fmt.Errorf("unexpected %.20q, expecting STRING", p.rest)
	}
	p.rest = p.rest[len(raw):]
	return strconv.Unquote(raw) //nolint:wrapcheck // never: it was found to be quoted
}

func (p *parser) matcher(name string) (*labels.Matcher, error) {
	for _, op := range []labels.MatchType{labels.MatchRegexp, labels.MatchNotRegexp, labels.MatchNotEqual, labels.MatchEqual} {
		if p.take(op.String()) {
			value, err := p.quoted()
			if err != nil {
				return nil, err
			}
			return labels.NewMatcher(op, name, value) //nolint:wrapcheck // of a regular expression
		}
	}
	return nil, fmt.Errorf("unexpected %.20q, expecting a comparison", p.rest)
}

func (p *parser) logs() (*logExpr, error) {
	begin := len(p.text) - len(p.skip())
	if err := p.want("{"); err != nil {
		return nil, err
	}
	out := &logExpr{}
	for !p.take("}") {
		m, err := p.matcher(p.word())
		if err != nil {
			return nil, err
		}
		out.matchers = append(out.matchers, m)
		if !p.take(",") && !p.peek("}") {
			return nil, fmt.Errorf("unexpected %.20q, expecting }", p.rest)
		}
	}
	if !slices.ContainsFunc(out.matchers, func(m *labels.Matcher) bool { return !m.Matches("") }) {
		return nil, errors.New(`queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~".*" does not meet this requirement, but app=~".+" will`)
	}
	for p.peek("|") || p.peek("!=") || p.peek("!~") {
		s, err := p.stage()
		if err != nil {
			return nil, err
		}
		out.stages = append(out.stages, s)
	}
	out.text = strings.TrimSpace(p.text[begin : len(p.text)-len(p.rest)])
	return out, nil
}

func (p *parser) stage() (stage, error) {
	for _, op := range []string{"|=", "|~", "!=", "!~"} {
		if p.take(op) {
			text, err := p.quoted()
			if err != nil {
				return nil, err
			}
			return lineFilter(op, text)
		}
	}
	if err := p.want("|"); err != nil {
		return nil, err
	}
	switch name := p.word(); {
	case name == "json" && !p.peek("="):
		return parseJSON, nil
	case name == "logfmt" && !p.peek("="):
		return parseLogfmt, nil
	case name == "":
		return nil, fmt.Errorf("unexpected %.20q", p.rest)
	default:
		return p.labelFilter(name)
	}
}

func lineFilter(op, text string) (stage, error) {
	keep := op[0] == '|'
	if op[1] == '=' {
		return func(e *entry) bool { return strings.Contains(e.text, text) == keep }, nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err //nolint:wrapcheck // says all
	}
	return func(e *entry) bool { return re.MatchString(e.text) == keep }, nil
}

func (p *parser) labelFilter(name string) (stage, error) {
	for _, op := range []string{">=", "<=", "==", ">", "<"} {
		if p.take(op) {
			return p.numberFilter(name, op)
		}
	}
	m, err := p.matcher(name)
	if err != nil {
		return nil, err
	}
	return func(e *entry) bool { return m.Matches(e.label(name)) }, nil
}

func (p *parser) numberFilter(name, op string) (stage, error) {
	bound, err := p.number()
	if err != nil {
		return nil, err
	}
	return func(e *entry) bool {
		v, err := strconv.ParseFloat(e.label(name), 64)
		if err != nil {
			return false
		}
		switch op {
		case ">=":
			return v >= bound
		case "<=":
			return v <= bound
		case ">":
			return v > bound
		case "<":
			return v < bound
		default:
			return v == bound
		}
	}, nil
}

func (p *parser) number() (float64, error) {
	n := strings.IndexFunc(p.skip(), func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != '-' })
	if n < 0 {
		n = len(p.rest)
	}
	v, err := strconv.ParseFloat(p.rest[:n], 64)
	if err != nil {
		return 0, fmt.Errorf("unexpected %.20q, expecting NUMBER", p.rest)
	}
	p.rest = p.rest[n:]
	return v, nil
}

// multiple is a metric, as it is or times or by a number.
func (p *parser) multiple() (*metricExpr, error) {
	out, err := p.metric()
	if err != nil {
		return nil, err
	}
	switch {
	case p.take("*"):
		out.factor, err = p.number()
	case p.take("/"):
		if out.factor, err = p.number(); err == nil {
			out.factor = 1 / out.factor
		}
	}
	return out, err
}

func (p *parser) metric() (*metricExpr, error) {
	out := &metricExpr{op: p.word()}
	switch out.op {
	case "count_over_time", "rate", "bytes_over_time", "bytes_rate":
		return out, p.ranged(out)
	case "sum", "min", "max", "avg", "count":
	default:
		return nil, fmt.Errorf("unexpected %q: the simulated Loki knows only a part of LogQL", cmpOr(out.op, p.rest))
	}
	if err := p.grouping(out); err != nil {
		return nil, err
	}
	if err := p.want("("); err != nil {
		return nil, err
	}
	var err error
	if out.inner, err = p.metric(); err != nil {
		return nil, err
	}
	if err = p.want(")"); err != nil {
		return nil, err
	}
	if out.grouped {
		return out, nil
	}
	return out, p.grouping(out)
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func (p *parser) ranged(out *metricExpr) (err error) {
	if err = p.want("("); err != nil {
		return err
	}
	if out.logs, err = p.logs(); err != nil {
		return err
	}
	if err = p.want("["); err != nil {
		return err
	}
	text, rest, ok := strings.Cut(p.rest, "]")
	window, err := model.ParseDuration(strings.TrimSpace(text))
	if !ok || err != nil || window == 0 {
		return fmt.Errorf("unexpected %.20q, expecting RANGE", p.rest)
	}
	p.rest, out.window = rest, time.Duration(window)
	return p.want(")")
}

func (p *parser) grouping(out *metricExpr) error {
	before := p.rest
	word := p.word()
	if word != "by" && word != "without" {
		p.rest = before
		return nil
	}
	out.grouped, out.without = true, word == "without"
	if err := p.want("("); err != nil {
		return err
	}
	for !p.take(")") {
		name := p.word()
		if name == "" {
			return fmt.Errorf("unexpected %.20q, expecting IDENTIFIER", p.rest)
		}
		out.by = append(out.by, name)
		if !p.take(",") && !p.peek(")") {
			return fmt.Errorf("unexpected %.20q, expecting )", p.rest)
		}
	}
	return nil
}
