package backup

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// dsnPassword reports whether a DSN has a password in it.
func dsnPassword(dsn string) bool {
	u, err := url.Parse(dsn)
	if err != nil {
		return true // it cannot be told
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password")
}

// findContainer gives the container of a job's database, by the snapshot alone.
func findContainer(snap *fleet.Snapshot, j *Job) (*fleet.Instance, *fleet.Service, error) {
	var found *fleet.Instance
	var of *fleet.Service
	for i := range snap.Services {
		svc := &snap.Services[i]
		for _, in := range svc.Instances {
			if !isDatabaseOf(j, svc, in) {
				continue
			}
			if found != nil {
				return nil, nil, fmt.Errorf("both %s and %s could be its database: name one with postgres.container", found.Name, in.Name)
			}
			found, of = in, svc
		}
	}
	switch {
	case found == nil && j.Postgres.Container != "":
		return nil, nil, fmt.Errorf("no container %s is seen on %s", j.Postgres.Container, j.Host)
	case found == nil:
		return nil, nil, fmt.Errorf("no postgres container of %s is seen: name one with postgres.container", j.Service)
	case found.State != fleet.StateRunning:
		return nil, nil, fmt.Errorf("%s on %s is %s, not running", found.Name, found.Host, remote.Clean(string(found.State)))
	}
	return found, of, nil
}

func isDatabaseOf(j *Job, svc *fleet.Service, in *fleet.Instance) bool {
	if in.OneOff || j.Host != "" && in.Host != j.Host {
		return false
	}
	if name := j.Postgres.Container; name != "" {
		return in.Name == name
	}
	image := in.Release.Image + ":" + in.Name
	return svc.Key.Name == j.Service && (strings.Contains(image, "postgres") || strings.Contains(image, "postgis") || strings.Contains(image, "timescale"))
}

// login are the flags that every program of PostgreSQL gets. It never asks: nobody is there to answer.
func (p *Postgres) login(database string) []string {
	if p.DSN != "" {
		return []string{"--no-password", "--dbname", dsnOf(p.DSN, database)}
	}
	if database == "" {
		database = p.Database
	}
	return []string{"--no-password", "--username", p.user(), "--dbname", database}
}

func (p *Postgres) user() string {
	if p.User == "" {
		return "postgres"
	}
	return p.User
}

// dsnOf is the DSN of another database on the same server; "" is its own.
func dsnOf(dsn, database string) string {
	u, err := url.Parse(dsn)
	if err != nil || database == "" {
		return dsn
	}
	u.Path = "/" + database
	return u.String()
}

// name is the database for people.
func (p *Postgres) name() string {
	if p.DSN == "" {
		return p.Database
	}
	if u, err := url.Parse(p.DSN); err == nil {
		return strings.TrimPrefix(u.Path, "/")
	}
	return "database"
}

func (p *Postgres) program(name string) string {
	if p.Bin == "" {
		return name
	}
	return p.Bin + "/" + name
}

// psql is a question that has one answer.
func (p *Postgres) psql(database, sql string) []string {
	argv := append([]string{p.program("psql"), "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set", "ON_ERROR_STOP=1"}, p.login(database)...)
	return append(argv, "--command", sql)
}

// dumpPostgres preflights pg_dump, in the custom format.
func (a *action) dumpPostgres(ctx context.Context, j *Job, at *site, p *product) {
	pg := j.Postgres
	p.ext = "dump"
	p.dump = at.call(append([]string{pg.program("pg_dump"), "--format=custom", "--compress=6"}, pg.login("")...), nil)
	list := at.plain().call([]string{pg.program("pg_restore"), "--list"}, nil)
	p.lister = &list
	p.told = func(n int) string { return fmt.Sprintf("pg_restore lists %d entries", n) }
	v, err := readVersions(ctx, pg, at)
	if err != nil {
		p.check(actions.CheckFail, "database", "%s: %v", at, err)
		return
	}
	p.versions, p.expected = v.String(), v.size
	p.check(actions.CheckOK, "database", "%s on %s, %s", pg.name(), at, fleet.Bytes(float64(v.size)))
	if v.client < v.server {
		p.check(actions.CheckFail, "versions", "pg_dump %s is older than the server, %s: it refuses to dump it, or leaves out what it does not know; install the client of the server's version or set postgres.bin",
			v.clientText, v.serverText)
		return
	}
	p.check(actions.CheckOK, "versions", "%s", v)
	p.risks = append(p.risks, "pg_dump holds a snapshot of "+pg.name()+" open and locks its tables against ALTER and DROP while it reads")
}

// plain is the same site for programs that ask for no password.
func (s *site) plain() *site {
	c := *s
	c.secret = nil
	return &c
}

// versions are those of a server and of the programs that speak to it.
type versions struct {
	server, client         int // major
	serverText, clientText string
	size                   int64 // of the database
}

func (v versions) String() string { return "server " + v.serverText + ", pg_dump " + v.clientText }

var pgVersion = regexp.MustCompile(`\(PostgreSQL\) (\d+)(\.\d+)?`)

// readVersions asks server and client which they are.
func readVersions(ctx context.Context, pg *Postgres, at *site) (versions, error) {
	var v versions
	out, err := at.plain().read(ctx, nil, pg.program("pg_dump"), "--version")
	if err != nil {
		return v, err
	}
	m := pgVersion.FindStringSubmatch(out)
	if m == nil {
		return v, fmt.Errorf("pg_dump --version says %q", remote.Clean(out))
	}
	v.client, _ = strconv.Atoi(m[1])
	v.clientText = m[1] + m[2]
	out, err = at.read(ctx, nil, pg.psql("", "SELECT current_setting('server_version_num') || ' ' || pg_database_size(current_database())")...)
	if err != nil {
		return v, err
	}
	num, size, _ := strings.Cut(out, " ")
	n, err := strconv.Atoi(num)
	if err != nil || n < 90000 {
		return v, fmt.Errorf("the server says its version is %q", remote.Clean(num))
	}
	if v.size, err = strconv.ParseInt(size, 10, 64); err != nil || v.size < 0 {
		return v, errors.New("the server does not say how large the database is")
	}
	v.server, v.serverText = n/10000, fmt.Sprintf("%d.%d", n/10000, n%10000)
	if v.server < 10 { // 9.6.24 is 90624
		v.server, v.serverText = n/10000, fmt.Sprintf("%d.%d.%d", n/10000, n/100%100, n%100)
	}
	return v, nil
}
