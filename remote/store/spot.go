package store

import "github.com/nexgate-hq/nexops/fleet"

// Spot is where the backups of one job are, for whoever shows or restores them.
type Spot struct {
	Job     fleet.BackupJob // without what the place holds
	Store   string          // name of the place
	Place   Config
	Folder  string // below it
	Host    string // the host that is backed up; "" is none
	Pattern string // of the names; "" is nexops' own
	Zone    string // of the times in the names; "" is UTC
}
