package ui

import (
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// changesView is what changed, newest first, then what the journal holds.
func changesView(s subject, journal []string, w int) []line {
	var out []line
	if len(s.service.Changes) == 0 {
		out = append(out, ln(sp(tokDim, "no change of "+s.service.Key.Name+" is known")))
	}
	who := 0
	for i := range s.service.Changes {
		who = max(who, min(textWidth(s.service.Changes[i].Who), 16))
	}
	for i := range s.service.Changes {
		out = append(out, changeLine(s, &s.service.Changes[i], who).truncate(w))
	}
	if other := elsewhereLines(s, w, elsewhereMany); len(other) > 0 {
		out = append(append(out, nil), other...)
	}
	if len(journal) > 0 {
		out = append(out, nil, ln(sp(tokDim, "journal")))
		for _, e := range journal {
			out = append(out, plain(e).truncate(w))
		}
	}
	return out
}

func changeLine(s subject, c *fleet.Change, who int) line {
	layout := "15:04:05"
	if s.now.Sub(c.At) > 20*time.Hour {
		layout = "Jan 02 15:04"
	}
	out := ln(sp(tokFaint, s.o.clock(c.At, layout))).pad(13)
	out = append(out, ln(sp(tokDim, since(s.now, c.At))).right(5)...)
	out = out.put(tokText, "  ")
	tok := tokDim
	if c.Kind == fleet.ChangeDeploy || c.Kind == fleet.ChangeAction {
		tok = tokAccent
	}
	if s.service.Suspect != nil && s.service.Suspect.Change.At.Equal(c.At) && s.service.Suspect.Change.Kind == c.Kind {
		tok = tokCrit
	}
	out = append(out, ln(sp(tok, string(c.Kind))).pad(9)...)
	out = out.put(tokText, "  ")
	if who > 0 {
		out = append(out, ln(sp(tokDim, c.Who)).pad(who)...)
		out = out.put(tokText, "  ")
	}
	if tok == tokCrit {
		out = out.add(bold(tokCrit, "suspect  "))
	}
	return out.put(tokText, changeText(c))
}

// changeText is the change in words; a source that gave none is helped out.
func changeText(c *fleet.Change) string {
	if c.What != "" {
		return c.What
	}
	return lastChange(c)
}
