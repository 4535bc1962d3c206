package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// databases are those that somebody made in the machine's PostgreSQL containers, by container.
type databases struct {
	mu   sync.Mutex
	made map[string][]string
}

func (d *databases) change(container, name string, there bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made == nil {
		d.made = map[string][]string{}
	}
	d.made[container] = slices.DeleteFunc(d.made[container], func(n string) bool { return n == name })
	if there {
		d.made[container] = append(d.made[container], name)
	}
}

func (d *databases) beginning(container, prefix string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, n := range d.made[container] {
		if strings.HasPrefix(n, prefix) {
			out = append(out, n)
		}
	}
	sort.Strings(out)
	return out
}

// dumpMagic begins every dump in the custom format.
const dumpMagic = "PGDMP"

// Dump is what pg_dump writes of a database at some time: about so many bytes, and the same again for the same time.
func Dump(database string, at time.Time, size int) []byte {
	out := []byte(dumpMagic)
	seed := sha256.Sum256([]byte(database + at.UTC().Format(time.RFC3339)))
	for i := 0; len(out) < size; i++ {
		block := sha256.Sum256(binary.BigEndian.AppendUint64(seed[:], uint64(i)))
		out = append(out, block[:]...)
	}
	return out
}

// The figures of every simulated database.
const (
	dumpSize      = 1_300_000
	databaseBytes = 5_400_000
	tables        = 14
	rows          = 48_210
	entries       = 96
)

// isPostgres reports whether a container holds PostgreSQL's programs, and the program is one of them.
func (in *inside) isPostgres(program string) bool {
	return strings.HasPrefix(in.k.Image.Repo, "postgres") && slices.Contains([]string{"pg_dump", "pg_restore", "psql", "createdb", "dropdb", "df"}, program)
}

// postgres are the programs that a backup and a drill need.
func (in *inside) postgres(ctx context.Context, argv []string) int {
	version, _, _ := strings.Cut(in.k.Image.Tag, "-")
	last := argv[len(argv)-1]
	switch argv[0] {
	case "pg_dump":
		if last == "--version" {
			in.say("pg_dump (PostgreSQL) %s", version)
			return 0
		}
		if !in.c.pause(ctx, in.c.m.Pace) {
			return 1
		}
		_, _ = in.out.Write(Dump(argument(argv, "--dbname"), in.c.m.World.Now(), dumpSize))
		return 0
	case "pg_restore":
		return in.restore(ctx, slices.Contains(argv, "--list"))
	case "createdb":
		name := argv[len(argv)-1]
		in.c.m.databases.change(in.k.Name, name, true)
		return 0
	case "dropdb":
		in.c.m.databases.change(in.k.Name, last, false)
		return 0
	case "df":
		return in.c.room()
	}
	return in.query(version, last)
}

func argument(argv []string, flag string) string {
	if i := slices.Index(argv, flag); i >= 0 && i+1 < len(argv) {
		return argv[i+1]
	}
	return ""
}

func (in *inside) restore(ctx context.Context, list bool) int {
	head := make([]byte, len(dumpMagic))
	if _, err := io.ReadFull(in.c.stdin, head); err != nil || !bytes.Equal(head, []byte(dumpMagic)) {
		_, _ = fmt.Fprintln(in.err, "pg_restore: error: input file does not appear to be a valid archive")
		return 1
	}
	if _, err := io.Copy(io.Discard, in.c.stdin); err != nil {
		return 1
	}
	if !list {
		if !in.c.pause(ctx, 2*in.c.m.Pace) {
			return 1
		}
		return 0
	}
	in.say(";\n; Archive created by pg_dump\n;")
	for i := range entries {
		in.say("%d; 1259 %d TABLE public table_%d postgres", i+1, 16384+i, i)
	}
	return 0
}

// query answers the few questions that are asked.
func (in *inside) query(version, sql string) int {
	switch {
	case strings.Contains(sql, "server_version_num"):
		major, minor, _ := strings.Cut(version, ".")
		a, _ := strconv.Atoi(major)
		b, _ := strconv.Atoi(minor)
		in.say("%d %d", a*10000+b, databaseBytes)
	case strings.Contains(sql, "data_directory"):
		in.say("/var/lib/postgresql/data")
	case strings.Contains(sql, "FROM pg_database"):
		if _, rest, ok := strings.Cut(sql, "'"); ok {
			prefix, _, _ := strings.Cut(rest, "'")
			for _, name := range in.c.m.databases.beginning(in.k.Name, prefix) {
				in.say("%s", name)
			}
		}
	case strings.Contains(sql, "count(*)"):
		in.say("%d %d", tables, rows)
	default:
		_, _ = fmt.Fprintln(in.err, "ERROR:  this database is a simulated one")
		return 1
	}
	return 0
}
