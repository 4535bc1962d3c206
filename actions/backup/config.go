// Package backup makes, verifies and thins out the backups of an estate, and
// proves by a restore drill that they can be restored.
package backup

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
)

// The kinds of job.
const (
	KindPostgres = "postgres" // pg_dump, custom format
	KindFiles    = "files"    // tar of folders and files
	KindS3       = "s3"       // objects copied from one bucket to another
	KindVault    = "vault"    // a raft snapshot by Vault's API
	KindCommand  = "command"  // what a program writes to its output
)

// Config is [actions.backup].
type Config struct {
	// Stores are the places that keep backups.
	Stores map[string]*store.Config `toml:"stores"`
	Jobs   map[string]*Job          `toml:"jobs"`
	Keep   Keep                     `toml:"keep"`
	// Zone is where the days, weeks and months of keep begin and end.
	Zone string `toml:"zone"`
	// FloorMiB is how much room a folder always keeps: a backup that would go below it is stopped.
	FloorMiB int             `toml:"floor_mib"`
	Timeout  remote.Duration `toml:"timeout"` // of one whole stream
	MaxAge   remote.Duration `toml:"max_age"` // no plan on older facts
}

// Keep says how many backups of each sort stay.
type Keep struct {
	Daily   int `toml:"daily"`
	Weekly  int `toml:"weekly"`
	Monthly int `toml:"monthly"`
}

// Job is one [actions.backup.jobs.NAME].
type Job struct {
	Schedule
	Kind        string    `toml:"kind"`
	Service     string    `toml:"service"`     // default: the environment as a whole
	Environment string    `toml:"environment"` // default: that of host
	Host        string    `toml:"host"`        // where it runs; without one, on this machine
	To          string    `toml:"to"`          // one of the stores
	Folder      string    `toml:"folder"`      // below it
	Postgres    *Postgres `toml:"postgres"`
	Files       *Files    `toml:"files"`
	S3          *S3       `toml:"s3"`
	Vault       *Vault    `toml:"vault"`
	Command     *Command  `toml:"command"`
}

// Schedule is when the backups of a job are expected. nexops shows it; cron or a timer keeps it.
type Schedule struct {
	Every      remote.Duration `toml:"every"`
	Grace      remote.Duration `toml:"grace"`       // how late one may be; default: an eighth of every
	DrillEvery remote.Duration `toml:"drill_every"` // how often a restore drill is expected; default: never
}

// Postgres says which database is dumped.
type Postgres struct {
	Container string        `toml:"container"` // on the host; default: the service's one postgres container; "-": on the host itself
	User      string        `toml:"user"`
	Database  string        `toml:"database"`
	DSN       string        `toml:"dsn"`      // instead of user and database; never with a password in it
	Password  remote.Secret `toml:"password"` // where the server asks for one
	Bin       string        `toml:"bin"`      // the folder of pg_dump, where it is not in the path
}

// Files says what is put into the archive.
type Files struct {
	Paths   []string `toml:"paths"`
	Exclude []string `toml:"exclude"` // tar's patterns
}

// S3 says which bucket is copied.
type S3 struct {
	From   string `toml:"from"`   // one of the stores
	Folder string `toml:"folder"` // below it
}

// Vault says where Vault is.
type Vault struct {
	URL    string        `toml:"url"`
	Via    string        `toml:"via"` // the host that reaches it
	Token  remote.Secret `toml:"token"`
	CAFile string        `toml:"ca_file"`
	// PlainHTTP lets the token go over http to another machine than the one that asks: whoever is on the way reads it.
	PlainHTTP bool `toml:"plain_http"`
}

// Command is a program whose output is the backup.
type Command struct {
	Argv []string `toml:"argv"`
	Ext  string   `toml:"ext"` // of the file's name: "sql.gz"
	// Check reads the backup, and ends with code 0 when it is whole.
	Check []string `toml:"check"`
}

// DefaultConfig is what an empty [actions.backup] means.
func DefaultConfig() Config {
	return Config{
		Keep: Keep{Daily: 7, Weekly: 4, Monthly: 12}, Zone: "UTC", FloorMiB: 1024,
		Timeout: remote.Duration(12 * time.Hour), MaxAge: remote.Duration(time.Minute),
	}
}

// HostNames are the hosts the config names.
func (c *Config) HostNames() []string {
	var out []string
	for _, name := range sortedKeys(c.Stores) {
		out = append(out, c.Stores[name].HostNames()...)
	}
	for _, name := range sortedKeys(c.Jobs) {
		j := c.Jobs[name]
		if j.Host != "" {
			out = append(out, j.Host)
		}
		if j.Vault != nil && j.Vault.Via != "" {
			out = append(out, j.Vault.Via)
		}
	}
	return out
}

// BackupSpots are the places of the jobs, for whoever shows what they hold.
func (c *Config) BackupSpots() []store.Spot {
	var out []store.Spot
	for _, name := range sortedKeys(c.Jobs) {
		j := c.Jobs[name]
		to := c.Stores[j.To]
		if to == nil {
			continue
		}
		out = append(out, store.Spot{
			Job: fleet.BackupJob{
				Name: name, Subject: fleet.Subject{Environment: j.Environment, Service: j.Service}, Kind: j.Kind,
				Every: j.Every.Std(), Grace: j.Grace.Std(), DrillEvery: j.DrillEvery.Std(),
			},
			Store: j.To, Place: *to, Folder: j.Folder, Host: j.Host,
		})
	}
	return out
}

var (
	jobName  = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,62}$`)
	extName  = regexp.MustCompile(`^[a-z0-9][a-z0-9.]{0,15}$`)
	argument = regexp.MustCompile(`^[^-\x00-\x20\x7f][^\x00-\x1f\x7f]*$`)
)

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, name := range sortedKeys(c.Stores) {
		for _, err := range c.Stores[name].Validate() {
			add("stores.%s.%w", name, err)
		}
	}
	for _, name := range sortedKeys(c.Jobs) {
		if !jobName.MatchString(name) {
			add("jobs.%s: a job's name is small letters, digits, - _ and .", name)
		}
		for _, err := range c.Jobs[name].validate(c) {
			add("jobs.%s.%w", name, err)
		}
	}
	if c.Keep.Daily < 1 || c.Keep.Weekly < 0 || c.Keep.Monthly < 0 {
		add("keep: daily is 1 or more, weekly and monthly are 0 or more")
	}
	if _, err := time.LoadLocation(c.Zone); err != nil {
		add(`zone: no time zone %q: write one like "Europe/Berlin"`, remote.Clean(c.Zone))
	}
	if c.FloorMiB < 1 {
		add("floor_mib: 1 or more: a full disk stops more than the backup")
	}
	if c.Timeout.Std() < time.Minute || c.MaxAge.Std() < time.Second {
		add("timeout: 1m or more, and max_age 1s or more")
	}
	return errs
}

func (j *Job) validate(c *Config) []error {
	errs := store.CheckFolder("folder", j.Folder)
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	to := c.Stores[j.To]
	if to == nil {
		add("to: no store %q: there is %s", j.To, orNone(sortedKeys(c.Stores)))
	}
	parts := map[string]bool{
		KindPostgres: j.Postgres != nil, KindFiles: j.Files != nil, KindS3: j.S3 != nil, KindVault: j.Vault != nil, KindCommand: j.Command != nil,
	}
	if _, known := parts[j.Kind]; !known {
		add("kind: %q is none: %s", j.Kind, strings.Join(sortedKeys(parts), ", "))
		return errs
	}
	for _, kind := range sortedKeys(parts) {
		if parts[kind] && kind != j.Kind {
			add("%s: the job's kind is %s", kind, j.Kind)
		}
	}
	if !parts[j.Kind] {
		add("kind: %s needs a table of its own, [actions.backup.jobs.NAME.%s]", j.Kind, j.Kind)
		return errs
	}
	switch j.Kind {
	case KindPostgres:
		errs = append(errs, j.Postgres.validate(j)...)
	case KindFiles:
		errs = append(errs, j.Files.validate()...)
	case KindS3:
		if from := c.Stores[j.S3.From]; from == nil || !from.IsBucket() || to != nil && !to.IsBucket() {
			add("s3.from: a bucket is copied to a bucket: name two stores with endpoint and bucket")
		}
		errs = append(errs, store.CheckFolder("s3.folder", j.S3.Folder)...)
	case KindVault:
		errs = append(errs, j.Vault.validate()...)
	case KindCommand:
		errs = append(errs, j.Command.validate()...)
	}
	return errs
}

func (p *Postgres) validate(j *Job) []error {
	var errs []error
	add := func(text string) { errs = append(errs, errors.New(text)) }
	if p.Container != "-" && p.Container != "" && !argument.MatchString(p.Container) {
		add("postgres.container: no name of a container")
	}
	if p.Container == "" && j.Service == "" {
		add(`postgres.container: say which container, or service; "-" is on the host itself`)
	}
	if p.Container != "-" && p.Container != "" && j.Host == "" {
		add("host: say on which host the container is")
	}
	switch {
	case p.DSN != "" && (p.Database != "" || p.User != ""):
		add("postgres.dsn: give either dsn, or user and database")
	case p.DSN != "" && !strings.HasPrefix(p.DSN, "postgres://") && !strings.HasPrefix(p.DSN, "postgresql://"):
		add(`postgres.dsn: must begin with "postgres://"`)
	case p.DSN != "" && dsnPassword(p.DSN):
		add("postgres.dsn: has a password in it: say where it is with password")
	case p.DSN == "" && !argument.MatchString(p.Database):
		add("postgres.database: missing, or no name of a database")
	case p.User != "" && !argument.MatchString(p.User):
		add("postgres.user: no name of a user")
	}
	if p.Bin != "" && (!path.IsAbs(p.Bin) || path.Clean(p.Bin) != p.Bin) {
		add(`postgres.bin: must be an absolute path: "/usr/lib/postgresql/15/bin"`)
	}
	return errs
}

func (v *Vault) validate() []error {
	var errs []error
	u, err := url.Parse(v.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil:
		errs = append(errs, errors.New(`vault.url: must be Vault's address: "https://vault.example.org:8200"`))
	case u.Scheme == "http" && !remote.Loopback(u.Hostname()) && !v.PlainHTTP:
		errs = append(errs, fmt.Errorf("vault.url: the token would go to %s in clear, and whoever reads it on the way can do what it can: use https, "+
			"or an address of 127.0.0.1 with via; plain_http = true allows it all the same", remote.Clean(u.Host)))
	}
	if v.Token == "" {
		errs = append(errs, errors.New("vault.token: missing: say where the token is"))
	}
	return errs
}

func (f *Files) validate() []error {
	var errs []error
	if len(f.Paths) == 0 {
		errs = append(errs, errors.New("files.paths: name at least one"))
	}
	for _, p := range f.Paths {
		if !path.IsAbs(p) || path.Clean(p) != p || p == "/" {
			errs = append(errs, fmt.Errorf("files.paths: %q is no absolute path of a file or folder", remote.Clean(p)))
		}
	}
	return errs
}

func (c *Command) validate() []error {
	var errs []error
	if len(c.Argv) == 0 || !argument.MatchString(c.Argv[0]) {
		errs = append(errs, errors.New("command.argv: the program and its arguments, each a word of its own"))
	}
	if !extName.MatchString(c.Ext) || c.Ext == store.RecordExt || strings.HasSuffix(c.Ext, store.Partial) {
		errs = append(errs, errors.New(`command.ext: the end of the file's name, like "sql.gz"`))
	}
	if len(c.Check) > 0 && !argument.MatchString(c.Check[0]) {
		errs = append(errs, errors.New("command.check: the program and its arguments, each a word of its own"))
	}
	return errs
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return slices.Clip(out)
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none yet"
	}
	return strings.Join(names, ", ")
}
