package prometheus

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// refuses reports whether the server is well but does not take this one query.
func refuses(err error) bool {
	var e *v1.Error
	return errors.As(err, &e) && (e.Type == v1.ErrBadData || e.Type == v1.ErrExec)
}

// refusal says which metric is missing, why, and where to mend it.
func (q query) refusal(err error) string {
	where := "left out"
	if q.custom {
		where = "mend queries." + string(q.name)
	}
	return fmt.Sprintf("%s: %s; %s", q.name, err, where)
}

var statusIn = regexp.MustCompile(`^(?:client|server) error: (\d{3})$`)

// explain puts an error of the client into words that say what to do next.
func explain(err error) error {
	var e *v1.Error
	if !errors.As(err, &e) {
		return sources.Cause(err)
	}
	if m := statusIn.FindStringSubmatch(e.Msg); m != nil {
		status, _ := strconv.Atoi(m[1])
		return &sources.HTTPError{Status: status, Body: remote.Clean(e.Detail)}
	}
	message := remote.Clean(e.Msg)
	switch {
	case e.Type == v1.ErrBadResponse && strings.Contains(e.Msg, "bad response code"):
		return fmt.Errorf("%s; check url: is it the server itself, with its path prefix?", message)
	case e.Type == v1.ErrBadResponse:
		return fmt.Errorf("the answer is not Prometheus' JSON (%s); check url, or what stands before the server", message)
	case e.Type == v1.ErrTimeout:
		return fmt.Errorf("the server gave up: %s", message)
	default:
		return errors.New(message)
	}
}
