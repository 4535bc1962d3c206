package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// RecordVersion is the version of the records beside backups.
const RecordVersion = 1

// MaxRecord is how large a record may be.
const MaxRecord = 16 << 10

// Record is what lies beside each backup, as one JSON object.
type Record struct {
	V        int       `json:"v"`
	Job      string    `json:"job"`
	Kind     string    `json:"kind"`
	File     string    `json:"file"` // "" when the run left none, or many
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
	Size     int64     `json:"size"`
	SHA256   string    `json:"sha256"`
	Verified string    `json:"verified"` // how, with figures; "" when it is not
	Error    string    `json:"error"`    // of a failed run
	Versions string    `json:"versions"` // of the programs: "server 15.14, pg_dump 15.14"
	By       string    `json:"by"`       // "ana@laptop"
}

// DrillRecord is what came of one restore drill.
type DrillRecord struct {
	V       int       `json:"v"`
	Job     string    `json:"job"`
	File    string    `json:"file"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Tables  int       `json:"tables"`
	Rows    int64     `json:"rows"`
	Good    bool      `json:"good"`
	Error   string    `json:"error"`
	By      string    `json:"by"`
}

// Encode writes a record or a drill's.
func Encode(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the record: %w", err)
	}
	return append(b, '\n'), nil
}

var errRecord = errors.New("it is no record of a backup")

// DecodeRun reads a record. What it says is foreign: it is bounded and has no control characters.
func DecodeRun(b []byte) (fleet.BackupRun, error) {
	var r Record
	if err := decode(b, &r); err != nil {
		return fleet.BackupRun{}, err
	}
	if r.V != RecordVersion || r.Started.IsZero() || r.Size < 0 {
		return fleet.BackupRun{}, errRecord
	}
	run := fleet.BackupRun{
		File: plainName(r.File), Started: r.Started.UTC(), Ended: r.Ended.UTC(), Size: r.Size, SHA256: remote.CleanTo(r.SHA256, 64),
		State: fleet.BackupUnverified, Detail: remote.Clean(r.Verified), Error: remote.Clean(r.Error),
	}
	switch {
	case r.Error != "":
		run.State = fleet.BackupFailed
	case r.Verified != "":
		run.State = fleet.BackupVerified
	}
	return run, nil
}

// DecodeDrill reads the record of a drill.
func DecodeDrill(b []byte) (fleet.BackupDrill, error) {
	var r DrillRecord
	if err := decode(b, &r); err != nil {
		return fleet.BackupDrill{}, err
	}
	const longest = 30 * 24 * time.Hour
	took := time.Duration(r.Seconds * float64(time.Second))
	if r.V != RecordVersion || r.Started.IsZero() || r.Tables < 0 || r.Rows < 0 || took < 0 || took > longest {
		return fleet.BackupDrill{}, errRecord
	}
	return fleet.BackupDrill{
		At: r.Started.UTC(), Took: took, File: plainName(r.File), Tables: r.Tables, Rows: r.Rows,
		Good: r.Good && r.Error == "", Error: remote.Clean(r.Error),
	}, nil
}

// plainName is a file's name, or nothing where a record says something else.
func plainName(s string) string {
	if strings.ContainsAny(s, "/\x00") || strings.ContainsFunc(s, isControl) || strings.HasPrefix(s, "-") {
		return ""
	}
	return remote.Clean(s)
}

func decode(b []byte, into any) error {
	if len(b) > MaxRecord {
		return errRecord
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(into); err != nil {
		return errRecord // the decoder's own words would repeat what is in it
	}
	return nil
}
