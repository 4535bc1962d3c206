package ui

import (
	"context"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
)

func TestNewsStandBelowTheHeaderUntilEsc(t *testing.T) {
	ch := make(chan []string, 2)
	m := newModel(context.Background(), Options{Record: Record{News: ch}, Environment: "prod"})
	defer m.life.end()
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
	ch <- []string{"redeploy ai on prod ended without an outcome", "second \x1b[31mline"}
	m.Update(m.life.waitNews(ch)())
	shown := m.View().Content
	for _, want := range []string{"redeploy ai on prod ended without an outcome", "second", "esc clears"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	if strings.Contains(shown, "second \x1b[31mline") {
		t.Error("a control character reached the terminal")
	}
	ch <- []string{"ai runs 0.4.1 now"}
	m.Update(m.life.waitNews(ch)())
	if shown = m.View().Content; !strings.Contains(shown, "ai runs 0.4.1 now") || strings.Contains(shown, "second") {
		t.Errorf("newer news do not take the place of older ones:\n%s", shown)
	}
	m.Update(tea.KeyPressMsg{Code: tea.KeyEscape})
	if strings.Contains(m.View().Content, "ai runs 0.4.1 now") {
		t.Error("Esc does not clear the news")
	}
	close(ch)
	if msg := m.life.waitNews(ch)(); msg != nil {
		t.Errorf("after the last news: %v", msg)
	}
}
