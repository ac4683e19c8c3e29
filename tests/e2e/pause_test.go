package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAPauseIsHonouredAtOnceAndSurvivesADeploy(t *testing.T) {
	s := deployed(t)
	const rule = "pausable"
	s.put(t, at{"scans", "live/before"}, text("x"))
	s.told(t, rule, at{"scans", "live/before"}, "copied missing") // so that the function has the rules at hand

	if err := s.Ledger.SetPaused(t.Context(), rule, true); err != nil {
		t.Fatal(err)
	}
	s.put(t, at{"scans", "live/paused"}, text("x"))
	s.told(t, rule, at{"scans", "live/paused"}, "skipped paused")
	s.put(t, at{"scans", "old/others go on"}, text("x"))
	s.told(t, "reroot", at{"scans", "old/others go on"}, "copied missing")

	s.update(t, "interval: 24h", "interval: 12h", "name: retired", "name: successor")
	catalog, err := s.Ledger.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, r := range catalog.Rules {
		names[r.Rule.Name] = true
		if r.Rule.Name != rule {
			continue
		}
		if time.Duration(r.Rule.Interval) != 12*time.Hour {
			t.Errorf("the update did not reach the rule: its interval is %v", r.Rule.Interval)
		}
		if !r.Paused {
			t.Error("the update ended the pause")
		}
	}
	if !names[rule] || names["retired"] || !names["successor"] {
		t.Errorf("the rules are %v", names)
	}
	s.put(t, at{"scans", "live/still paused"}, text("x"))
	s.told(t, rule, at{"scans", "live/still paused"}, "skipped paused")

	if err := s.Ledger.SetPaused(t.Context(), rule, false); err != nil {
		t.Fatal(err)
	}
	s.put(t, at{"scans", "live/resumed"}, text("x"))
	s.told(t, rule, at{"scans", "live/resumed"}, "copied missing")
	s.holds(t, at{"library", "live/resumed"}, text("x"))
	s.isAbsent(t, at{"library", "live/paused"})
}

// update deploys the configuration again, with changes: old and new texts by
// turns.
func (s *stage) update(t *testing.T, changes ...string) {
	t.Helper()
	config, err := os.ReadFile("replication.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for change := range slices.Chunk(changes, 2) {
		if strings.Count(string(config), change[0]) != 1 {
			t.Fatalf("replication.yaml does not have %q once", change[0])
		}
	}
	file := filepath.Join(t.TempDir(), "replication.yaml")
	if err := os.WriteFile(file, []byte(strings.NewReplacer(changes...).Replace(string(config))), 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := s.Cloud.Deploy(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if again.Outputs["RulesTable"] != s.Stack.Outputs["RulesTable"] {
		t.Fatal("the update made another rules table")
	}
}
