package ui

import (
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// backupRows is how many jobs of a service have a line; the rest are counted.
const backupRows = 3

// backupLines is one line for each backup job of the service: how old, how large, verified, drilled, due.
func backupLines(jobs []fleet.BackupJob, now time.Time, w int) []line {
	var out []line
	for i := range jobs {
		if i == backupRows {
			out = append(out, labelled(tokDim, "", ln(sp(tokFaint, "and "+itoa(len(jobs)-i)+" more"))))
			break
		}
		label, text := "", backupLine(&jobs[i], now)
		if i == 0 {
			label = "backup"
		}
		if len(jobs) > 1 {
			text = append(ln(sp(tokDim, jobs[i].Name+"  ")), text...)
		}
		out = append(out, labelled(tokDim, label, text).truncate(w))
	}
	return out
}

func backupLine(j *fleet.BackupJob, now time.Time) line {
	tok := tokText
	if len(j.Reasons(now)) > 0 {
		tok = tokWarn
	}
	last, ok := j.LastGood()
	if !ok {
		never := ln(sp(tok, "never, to "+j.Destination))
		if j.Stale {
			never = never.put(tokFaint, " · as of "+since(now, j.Seen)+" ago")
		}
		return never
	}
	out := ln(sp(tok, age(now.Sub(last.Started))+" old"), sp(tokText, ", "+size(float64(last.Size))+", "+string(last.State)))
	switch {
	case j.Stale:
		out = out.put(tokFaint, " · as of "+since(now, j.Seen)+" ago")
	case !j.Due().IsZero() && j.Due().After(now):
		out = out.put(tokFaint, " · next in "+age(j.Due().Sub(now)))
	case !j.Due().IsZero():
		out = out.put(tokWarn, " · due "+age(now.Sub(j.Due()))+" ago")
	}
	if d := j.Drill; d != nil {
		word := "drill "
		if !d.Good {
			word = "drill failed "
		}
		out = out.put(tokDim, " · "+word+age(now.Sub(d.At))+" ago")
	}
	return out.put(tokFaint, " · "+j.Destination)
}

// backupSegment is in the header when a job that is no service's own has a reason: no row says it.
func backupSegment(snap *fleet.Snapshot) []segment {
	for i := range snap.Backups {
		j := &snap.Backups[i]
		if _, ok := snap.Find(fleet.ServiceKey{Environment: snap.Environment, Name: j.Subject.Service}); ok {
			continue
		}
		for _, r := range j.Reasons(snap.At) {
			if r.Severity < fleet.SeverityWarning {
				continue
			}
			return []segment{{[]line{ln(bold(tokWarn, "▲ "+j.Name+": "+r.Text)), ln(bold(tokWarn, "▲ backup "+j.Name)), ln(bold(tokWarn, "▲ backup"))}, 7}}
		}
	}
	return nil
}
