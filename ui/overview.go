package ui

import (
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// labelWidth is the room of the words at the left of the overview.
const labelWidth = 12

func labelled(tok token, label string, rest line) line {
	return append(ln(sp(tok, label)).pad(labelWidth), rest...)
}

// overview says what is wrong, why, what can be done, and what runs where.
func overview(s subject, w, h int) []line {
	svc := s.service
	out := reasonLines(svc, s.now, w)
	out = append(out, suspectLines(svc, w)...)
	out = append(out, offerLines(s.offers, w)...)
	out = append(out, nil)
	out = append(out, releaseLines(svc, unseen(s.snap), s.now, w)...)
	if s.snap != nil {
		out = append(out, backupLines(s.snap.BackupsOf(svc.Key), s.now, w)...)
	}
	out = append(out, nil)
	out = append(out, instanceLines(svc, s.now, w)...)
	return append(out, overviewRest(s, w, h-len(out)-1)...)
}

// hanging wraps a text beside its label.
func hanging(tok token, label string, text line, w int) []line {
	var out []line
	for i, l := range text.wrap(max(w-labelWidth, 10)) {
		if i > 0 {
			label = ""
		}
		out = append(out, labelled(tok, label, l))
	}
	return out
}

// suspectLines is the likely cause.
func suspectLines(svc *fleet.Service, w int) []line {
	if svc.Suspect == nil {
		return nil
	}
	return hanging(tokAccent, "suspect", ln(bold(tokText, svc.Suspect.Text)), w)
}

func reasonLines(svc *fleet.Service, now time.Time, w int) []line {
	if len(svc.Reasons) == 0 {
		word, from, _ := stateWord(svc)
		return []line{labelled(tokOK, "● ok", ln(sp(tokDim, word+" "+since(now, from)+", nothing needs attention")))}
	}
	var out []line
	for _, r := range svc.Reasons {
		mark, tok := severityMark(r.Severity)
		text := ln(bold(tok, r.Text))
		if r.Severity <= fleet.SeverityInfo {
			text = ln(sp(tokText, r.Text))
		}
		if !r.Since.IsZero() {
			text = text.put(tokDim, "  since "+since(now, r.Since))
		}
		out = append(out, hanging(tok, mark+" "+r.Severity.String(), text, w)...)
	}
	return out
}

// unseen are the hosts that can not be seen.
func unseen(snap *fleet.Snapshot) string {
	var out []string
	if snap != nil {
		for _, h := range snap.Hosts {
			if !h.Up {
				out = append(out, h.Name)
			}
		}
	}
	return strings.Join(out, ", ")
}

func releaseLines(svc *fleet.Service, blind string, now time.Time, w int) []line {
	r := &svc.Releases
	running, nothing := "running", "nothing runs"
	if blind != "" {
		nothing = "nothing is seen to run, and " + blind + " can not be seen"
	}
	if r.Mixed {
		running = "newest"
	}
	rows := []struct {
		label   string
		release fleet.Release
		absent  string
	}{
		{"desired", r.Desired, "nothing says what should run"},
		{running, r.Running, nothing},
		{"previous", r.Previous, "no earlier good release is known"},
	}
	version, old := 5, 3
	for _, row := range rows {
		version = max(version, min(textWidth(row.release.Version()), 24))
		old = max(old, len(since(now, row.release.At)))
	}
	var out []line
	for _, row := range rows {
		if row.release.IsZero() {
			out = append(out, labelled(tokDim, row.label, ln(sp(tokFaint, row.absent))))
			continue
		}
		tok := tokText
		if row.label != "previous" && drift(r) != "" {
			tok = tokWarn
		}
		out = append(out, labelled(tokDim, row.label, releaseLine(&row.release, tok, version, old, now)).truncate(w))
	}
	return out
}

// releaseLine is the version, the digest, the age, who and what.
func releaseLine(r *fleet.Release, tok token, version, old int, now time.Time) line {
	out := append(ln(bold(tok, r.Version())).pad(version), sp(tokText, "  "))
	digest := none
	switch {
	case r.Digest != "":
		digest = fleet.ShortDigest(r.Digest)
	case r.ImageID != "":
		digest = fleet.ShortDigest(r.ImageID)
	}
	out = append(out, ln(sp(tokDim, digest)).pad(12)...)
	out = append(out.put(tokText, "  "), ln(sp(tokDim, since(now, r.At))).right(old)...)
	for _, part := range []struct {
		tok  token
		text string
	}{{tokDim, short(r.Commit, 7)}, {tokAccent, r.Author}, {tokText, r.Subject}, {tokWarn, r.Note}} {
		if part.text != "" {
			out = out.put(part.tok, "  "+part.text)
		}
	}
	return out
}

// offerLines is what the first action would do, or why it can not, and the keys of the others that
// are possible. Why one of those is not, the help says.
func offerLines(offers []offer, w int) []line {
	var out []line
	var also []line
	for i, o := range offers {
		switch {
		case i == 0 && o.offer.Enabled:
			out = append(out, hanging(tokKey, o.spec.Key, ln(sp(tokText, o.offer.Title)), w)...)
		case i == 0:
			out = append(out, hanging(tokFaint, o.spec.Key, ln(sp(tokFaint, o.spec.Title+": "+o.offer.Reason)), w)...)
		case o.offer.Enabled:
			also = append(also, ln(bold(tokKey, o.spec.Key), sp(tokDim, " "+o.spec.Title)))
		}
	}
	label := "also"
	for _, row := range filled(also, 3, max(w-labelWidth, 10)) {
		out = append(out, labelled(tokDim, label, row))
		label = ""
	}
	return out
}

// filled lays items side by side, as many in a row as fit whole.
func filled(items []line, gap, w int) []line {
	var out []line
	var row line
	for _, it := range items {
		if len(row) > 0 && row.width()+gap+it.width() > w {
			out, row = append(out, row), nil
		}
		if len(row) > 0 {
			row = row.pad(row.width() + gap)
		}
		row = append(row, it...)
	}
	if len(row) > 0 {
		out = append(out, row)
	}
	return out
}

// instanceLines is one row for each instance, by host, and what an unwell one says.
func instanceLines(svc *fleet.Service, now time.Time, w int) []line {
	if len(svc.Instances) == 0 {
		return []line{labelled(tokDim, "instances", ln(sp(tokFaint, "none on any host that can be seen")))}
	}
	host, name, version := 4, 4, 5
	full := true
	for _, in := range svc.Instances {
		full = full && textWidth(in.Name) <= w/4
	}
	called := func(in *fleet.Instance) string {
		if full {
			return in.Name
		}
		return shortName(svc.Key.Name, in.Name) // three names cut off alike tell nothing
	}
	for _, in := range svc.Instances {
		host = max(host, min(textWidth(in.Host), 14))
		name = max(name, min(textWidth(called(in)), max(w/4, 22)))
		version = max(version, min(textWidth(in.Release.Version()), 20))
	}
	var out []line
	for i, in := range svc.Instances {
		label := ""
		if i == 0 {
			label = "instances"
		}
		row := ln(sp(tokDim, in.Host)).pad(host)
		row = append(row.put(tokText, "  "), ln(sp(instanceToken(in.Host+"/"+in.Name), called(in))).pad(name)...)
		row = append(row.put(tokText, "  "), ln(sp(tokText, in.Release.Version())).pad(version)...)
		row = append(row.put(tokText, "  "), instanceState(in, now)...)
		out = append(out, labelled(tokDim, label, row).truncate(w))
		for _, text := range []string{in.HealthOutput, in.Life.Error} {
			if text != "" && (in.Health == fleet.HealthUnhealthy || in.Life.Error == text) {
				out = append(out, labelled(tokDim, "", ln(sp(tokFaint, "└ "), sp(tokWarn, text))).truncate(w))
			}
		}
	}
	return out
}

func instanceState(in *fleet.Instance, now time.Time) line {
	tok := healthToken(in.Health)
	out := ln(sp(tok, string(in.State)))
	if in.Health == fleet.HealthHealthy || in.Health == fleet.HealthUnhealthy || in.Health == fleet.HealthStarting {
		out = out.put(tok, " "+string(in.Health))
	}
	switch {
	case in.State == fleet.StateRunning:
		out = out.put(tokDim, " "+since(now, in.Life.StartedAt))
	case !in.Life.FinishedAt.IsZero():
		out = out.put(tokDim, " "+since(now, in.Life.FinishedAt)).put(tokWarn, "  exit "+itoa(in.Life.ExitCode))
	}
	if in.Life.OOMKilled {
		out = out.put(tokCrit, "  out of memory")
	}
	if in.Life.Restarts > 0 {
		out = out.put(tokWarn, "  "+plural(in.Life.Restarts, "restart"))
	}
	if in.Limits.Memory > 0 {
		out = out.put(tokDim, "  limit "+size(float64(in.Limits.Memory)))
	}
	if in.Limits.CPU > 0 {
		out = out.put(tokDim, "  "+figure(in.Limits.CPU)+" cpu")
	}
	if len(in.Ports) > 0 {
		out = out.put(tokFaint, "  "+strings.Join(in.Ports, " "))
	}
	return out
}
