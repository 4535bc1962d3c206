package main

import (
	"os"
	"testing"

	"github.com/nexgate-hq/nexops/cmd/nexops/internal/config"
)

// TestExampleConfigLoads holds the promise that the example is complete and always loads.
func TestExampleConfigLoads(t *testing.T) {
	const path = "../../config.example.toml"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, text, kinds().Config())
	if err != nil {
		t.Fatalf("the example has mistakes:\n%v", err)
	}
	used := map[string]bool{}
	for _, s := range cfg.Sources {
		used[s.Kind] = true
	}
	for _, k := range kinds().Sources {
		if !used[k.Name] {
			t.Errorf("the example does not show a %s source", k.Name)
		}
	}
}
