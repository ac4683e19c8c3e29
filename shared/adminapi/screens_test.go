package adminapi_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// asked is what a look at a part of the page asks the tables for.
func (w *world) asked(line string) map[string]int {
	w.t.Helper()
	before := maps.Clone(w.store.Counts())
	maps.Copy(before, w.ledger.Counts())
	maps.Copy(before, w.large.Counts())
	w.look(line).wants(http.StatusOK, "")
	got := map[string]int{}
	for _, counts := range []map[string]int{w.store.Counts(), w.ledger.Counts(), w.large.Counts()} {
		for op, n := range counts {
			if n -= before[op]; n > 0 {
				got[op] = n
			}
		}
	}
	return got
}

// busy has many rules, of which one runs, and many runs, failures and hours of
// that.
func busy(t *testing.T) *world {
	w := newWorld(t)
	w.catalog(func(c *rule.Catalog) {
		like := c.Rules[1]
		for i := range 40 {
			like.Rule.Name = fmt.Sprintf("more-%d", i)
			like.Rule.Source.Prefix, like.Rule.Destination.Prefix = like.Rule.Name+"/", like.Rule.Name+"/"
			c.Rules = append(c.Rules, like)
		}
	})
	for i := range 60 {
		w.start("a")
		w.finish("a", run.Totals{Scanned: int64(i)})
	}
	for i := range 500 {
		w.must(w.ledger.Fail(context.Background(), object.Failure{Rule: "a", Source: object.Ref{Bucket: from, Key: fmt.Sprint("a/", i)}, OccurredAt: w.clock()}))
	}
	for hour := range 24 {
		w.count("a", hour, time.Second)
	}
	for i := range 700 {
		w.transfer(object.Transfer{Rule: "a", Run: int64(i%61 + 1), Size: 1 << 30, PartSize: 1 << 26}, fmt.Sprint("a/large/", i))
	}
	for i := range 20 {
		w.start(fmt.Sprintf("more-%d", i))
	}
	w.tickets.Take()
	w.start("a")
	return w
}

// Each part of the page takes at most two requests, however much there is, where
// the function saw it before. The rules are read anew when they change, and the
// sums over large objects every ten seconds.
func TestEachScreenTakesAtMostTwoRequests(t *testing.T) {
	w := busy(t)
	for screen, want := range map[string]map[string]int{
		"GET /jobs":                     {"runs.overview": 1},
		"GET /jobs/a":                   {"runs.overview": 1, "runs.shards": 1},
		"GET /jobs/b":                   {"runs.overview": 1},
		"GET /jobs/a/runs":              {"runs.list": 1, "runs.shards": 1},
		"GET /jobs/a/runs?limit=100":    {"runs.list": 1, "runs.shards": 1},
		"GET /jobs/a/failures?limit=10": {"ledger.failurePage": 1},
		"GET /jobs/a/transfers":         {"transfers.page": 1},
		"GET /jobs/b/transfers":         {"transfers.page": 1},
		"GET /jobs/a/hours":             {"ledger.hours": 1},
		"GET /rules":                    {"runs.overview": 1},
		"GET /rules/a":                  {"runs.overview": 1},
		// One for all rules that concern the object, and one for each of them.
		"GET /objects?bucket=from&key=a/x":    {"ledger.read": 1, "ledger.failure": 1},
		"GET /objects?bucket=from&key=none/x": {"ledger.read": 1},
	} {
		w.asked(screen)
		if got := w.asked(screen); !maps.Equal(got, want) {
			t.Errorf("%s asks for %v, want %v", screen, got, want)
		}
	}
}

func TestSumsOverLargeObjectsAreReadEveryTenSeconds(t *testing.T) {
	w := busy(t)
	w.asked("GET /jobs/a")
	for i := range 30 {
		w.wait(time.Second)
		want := map[string]int{"runs.overview": 1, "runs.shards": 1}
		if i%10 == 9 {
			want["transfers.silent"] = 1
		}
		if got := w.asked("GET /jobs/a"); !maps.Equal(got, want) {
			t.Errorf("after %d s: %v, want %v", i+1, got, want)
		}
	}
}

// What changed since this function looked last is read once more.
func TestWhatChangedIsSeenAtOnce(t *testing.T) {
	w := busy(t)
	w.asked("GET /jobs")
	w.finish("a", run.Totals{Scanned: 7})
	w.start("b")
	w.claim()
	if got, want := w.asked("GET /jobs"), map[string]int{"runs.overview": 2}; !maps.Equal(got, want) {
		t.Errorf("after a run began: %v, want %v", got, want)
	}
	if row := w.look("GET /jobs/b").Body; !strings.Contains(row, "Run 1 compares and copies; 0 keys scanned so far.") {
		t.Errorf("the row of the run: %s", row)
	}
	if html := w.look("GET /jobs").Body; !strings.Contains(html, "Run 61 saw every key: 7 keys") || !strings.Contains(html, "Run 1 compares and copies.<") {
		t.Errorf("the list: %s", html)
	}
	w.must(w.ledger.SetPaused(context.Background(), "a", true))
	if got, want := w.asked("GET /jobs/a"), map[string]int{"runs.overview": 2, "catalog.read": 1}; !maps.Equal(got, want) {
		t.Errorf("after the rules changed: %v, want %v", got, want)
	}
	if row := w.look("GET /jobs/a").Body; !strings.Contains(row, "Resume") {
		t.Errorf("the pause is not seen: %s", row)
	}
	w.catalog(func(c *rule.Catalog) { c.Rules = append(c.Rules[:0:0], c.Rules[1:]...) })
	w.ask("GET /jobs/a").wants(http.StatusNotFound, "JobNotFound")
	w.ask("GET /jobs/a/runs").wants(http.StatusNotFound, "JobNotFound")
}

// The records of a rule that somebody else removed are there for a moment more.
func TestARuleThatWasThereAMomentAgo(t *testing.T) {
	w := newWorld(t)
	w.ask("GET /jobs/a/failures").wants(http.StatusOK, "")
	w.catalog(func(c *rule.Catalog) { c.Rules = append(c.Rules[:0:0], c.Rules[1:]...) })
	w.ask("GET /jobs/a/failures").wants(http.StatusOK, "")
	w.wait(time.Minute)
	w.ask("GET /jobs/a/failures").wants(http.StatusNotFound, "JobNotFound")
	w.ask("GET /jobs/b/failures").wants(http.StatusOK, "")
}
