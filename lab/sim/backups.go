package sim

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nexgate-hq/nexops/lab/sim/internal/machine"
)

// backupsFolder is where ops keeps the backups of prod.
const backupsFolder = "/srv/backups"

// backupsTail is their part of the console's config.
const backupsTail = `
[[sources]]
kind = "backups"
poll = "10s"

[actions.backup]
floor_mib = 512

[actions.backup.stores.ops]
host = "ops"
path = "` + backupsFolder + `"

[actions.backup.jobs.file-thunder-db]
kind        = "postgres"
environment = "prod"
service     = "file-thunder"
host        = "prod-2"
to          = "ops"
every       = "24h"
drill_every = "720h"
[actions.backup.jobs.file-thunder-db.postgres]
database = "file_thunder"

[actions.backup.jobs.nexgate-db]
kind        = "postgres"
environment = "prod"
service     = "postgres"
host        = "prod-1"
to          = "ops"
every       = "24h"
drill_every = "720h"
[actions.backup.jobs.nexgate-db.postgres]
database = "nexgate"
`

// pastBackups are the jobs with the age of their newest backup and of their last drill. That of file-thunder was not made last night.
func pastBackups() []pastJob {
	return []pastJob{
		{name: "file-thunder-db", database: "file_thunder", newest: 31 * time.Hour, drill: 12 * 24 * time.Hour, count: 9},
		{name: "nexgate-db", database: "nexgate", newest: 4 * time.Hour, drill: 19 * 24 * time.Hour, count: 9},
	}
}

type pastJob struct {
	name, database string
	newest, drill  time.Duration
	count          int
}

// stamp is the time in the name of a backup.
const stamp = "20060102T150405Z"

// makeBackups puts last week's backups where cron has left them, each with its record.
func (e *Estate) makeBackups(now time.Time) error {
	folder := filepath.Join(e.dir, "hosts", "ops", backupsFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("sim: backups: %w", err)
	}
	var errs []error
	put := func(name string, at time.Time, content []byte) {
		path := filepath.Join(folder, name)
		errs = append(errs, os.WriteFile(path, content, 0o600), os.Chtimes(path, at, at))
	}
	record := func(name string, at time.Time, fields map[string]any) {
		b, err := json.MarshalIndent(fields, "", "  ")
		errs = append(errs, err)
		put(name, at, b)
	}
	for _, j := range pastBackups() {
		for i := range j.count {
			at := now.Add(-j.newest - time.Duration(i)*24*time.Hour).UTC().Truncate(time.Second)
			dump := machine.Dump(j.database, at, 1_300_000-i*4_000)
			base := j.name + "-" + at.Format(stamp)
			put(base+".dump", at, dump)
			record(base+".json", at, map[string]any{
				"v": 1, "job": j.name, "kind": "postgres", "file": base + ".dump", "started": at, "ended": at.Add(41 * time.Second), "size": len(dump),
				"sha256": fmt.Sprintf("%x", sha256.Sum256(dump)), "verified": "pg_restore lists 96 entries", "error": "",
				"versions": "server 16.4, pg_dump 16.4", "by": "cron@ops",
			})
		}
		at := now.Add(-j.drill).UTC().Truncate(time.Second)
		record(j.name+"-"+at.Format(stamp)+".drill.json", at, map[string]any{
			"v": 1, "job": j.name, "file": "", "started": at, "seconds": 12.4, "tables": 14, "rows": 47_930, "good": true, "error": "", "by": "mira@ops",
		})
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sim: backups: %w", err)
	}
	return nil
}
