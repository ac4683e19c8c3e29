package adminapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

// calls are all that was asked of the stores.
func (w *world) calls() map[string]int {
	all := w.objects.Counts()
	maps.Copy(all, w.ledger.Counts())
	maps.Copy(all, w.store.Counts())
	return all
}

// A plan of a draft is what the plan is once the draft is made, and writes
// nothing anywhere.
func TestAPlanOfADraftIsThatOfTheRuleItBecomes(t *testing.T) {
	reads := []string{"objects.head", "objects.tagging", "objects.list", "ledger.read", "catalog.read", "runs.overview"}
	planned := map[string]int64{}
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 0))
		w := newWorld(t)
		w.catalog(func(c *rule.Catalog) { c.Rules[0].Rule.ReplicateDeletes = true })
		request, match := "PUT /rules/mine", ""
		if random.IntN(2) == 0 { // in place of what there is
			w.with(request, mine).wants(201, "")
			match = `If-Match: *`
		}
		for range 30 {
			key := fmt.Sprintf("a/x/%d.%s", random.IntN(12), []string{"txt", "tmp"}[random.IntN(2)])
			switch random.IntN(5) {
			case 0:
				w.put(to, key, fmt.Sprint(random.IntN(2)))
			case 1:
				w.objects.Remove(object.Ref{Bucket: from, Key: key}, object.ByRequest)
			case 2:
				if match != "" {
					w.replicateBy(key, 2)
				}
			default:
				w.put(from, key, fmt.Sprint(random.IntN(2)))
			}
			w.wait(time.Second)
		}
		for i := range 6 {
			if key := fmt.Sprintf("a/x/gone-%d", i); match != "" {
				w.put(from, key, "x")
				w.replicateBy(key, 2)
				w.objects.Remove(object.Ref{Bucket: from, Key: key}, object.ByRequest)
			}
		}
		draft := rule.DefaultRule()
		draft.Source, draft.Destination = rule.Side{Bucket: "from", Prefix: "a/x/"}, rule.Side{Bucket: "to", Prefix: "a/x/"}
		draft.Priority, draft.ReplicateDeletes = 1, random.IntN(2) == 0
		draft.ExistingObjects = random.IntN(4) > 0
		draft.MaxSize = int64(random.IntN(2))
		draft.Conflict = []rule.Conflict{rule.NewerWins, rule.SourceWins, rule.SkipIfDestExists}[random.IntN(3)]
		if random.IntN(2) == 0 {
			draft.ExcludeGlobs = []string{"**/*.tmp"}
		}
		text, err := json.Marshal(draft)
		w.must(err)
		headers := []string{"X-Nothing: 1"}
		if random.IntN(2) == 0 {
			headers = []string{inYAML} // JSON is YAML
		}

		before := w.calls()
		got := w.with("POST /jobs/mine/plan", string(text), headers...).wants(200, "").Body
		for op, n := range w.calls() {
			if n != before[op] && !slices.Contains(reads, op) {
				t.Errorf("seed %d: %d calls of %s", seed, n-before[op], op)
			}
		}
		w.with(request, string(text), append(headers, match)...)
		if want := w.ask("POST /jobs/mine/plan").wants(200, "").Body; got != want {
			t.Fatalf("seed %d: draft %s\nplanned %swant    %s", seed, text, got, want)
		}
		var plan struct {
			Copy, Delete, Skip struct{ Objects int64 }
		}
		w.must(json.Unmarshal([]byte(got), &plan))
		planned["copies"] += plan.Copy.Objects
		planned["deletes"] += plan.Delete.Objects
		planned["skips"] += plan.Skip.Objects
	}
	for what, n := range planned {
		if n < 20 {
			t.Errorf("%d %s prove little", n, what)
		}
	}
}

func TestADraftIsWhatPutWouldTake(t *testing.T) {
	deletes := strings.TrimSuffix(mine, "}") + `,"replicate_deletes":true}`
	elsewhere := strings.ReplaceAll(mine, "a/x/", "f/")
	of := func(name, text string) string { return strings.Replace(text, "{", `{"name":"`+name+`",`, 1) }
	for situation, test := range map[string]struct {
		request, body string
		status        int
		code          string
	}{
		"of a rule that is not there":          {"POST /jobs/mine/plan", mine, 200, ""},
		"none, of a rule that is not there":    {"POST /jobs/mine/plan", "", 404, "JobNotFound"},
		"none, in braces":                      {"POST /jobs/mine/plan", " { } ", 400, "InvalidRule"},
		"empty braces are none":                {"POST /jobs/a/plan", "{}", 200, ""},
		"with a mistake":                       {"POST /jobs/mine/plan", strings.Replace(mine, "priority", "prority", 1), 400, "InvalidRule"},
		"of another name":                      {"POST /jobs/mine/plan", of("yours", mine), 400, "InvalidRule"},
		"that no deployed rule covers":         {"POST /jobs/mine/plan", elsewhere, 422, "NotCovered"},
		"that deletes where none deployed may": {"POST /jobs/mine/plan", deletes, 422, "NotCovered"},
		"of a deployed rule":                   {"POST /jobs/replication:a/plan", strings.ReplaceAll(mine, "a/x/", "a/"), 200, ""},
		"of a deployed rule, that is to delete": {"POST /jobs/a/plan",
			strings.ReplaceAll(deletes, "a/x/", "a/"), 200, ""},
		"of a deployed rule, where nobody may look": {"POST /jobs/a/plan", elsewhere, 422, "NotCovered"},
		"too long": {"POST /jobs/mine/plan", mine + strings.Repeat(" x", 1<<15), 400, "InvalidRequest"},
	} {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			w.with(test.request, test.body).wants(test.status, test.code)
			if n := w.ledger.Counts()["catalog.put"]; n > 0 {
				t.Error("a rule is written")
			}
		})
	}
	w := newWorld(t)
	w.with("POST /jobs/mine/plan", minePart+"interval: 1s\n", inYAML).wants(400, "InvalidRule")
	w.with("POST /jobs/mine/plan", minePart, inYAML).wants(200, "")
	w.ask("GET /rules/mine").wants(404, "RuleNotFound")
}

func TestAPlanOfADraftGoesOnWithTheSameDraft(t *testing.T) {
	w := newWorld(t)
	for i := range 150 {
		w.put(from, fmt.Sprintf("a/x/%03d", i), "x")
	}
	w.ledger.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "ledger.read" {
			w.wait(15 * time.Second)
		}
		return storetest.None, nil
	}
	begun := w.with("POST /jobs/mine/plan", mine).wants(200, "").json()
	on := "POST /jobs/mine/plan?cursor=" + begun["cursor"].(string)
	w.with(on, strings.Replace(mine, `"priority":1`, `"priority":2`, 1)).wants(409, "RulesChanged")
	done := w.with(on, minePart, inYAML).wants(200, "").json() // the same in other words
	if done["complete"] != true || done["copy"].(map[string]any)["objects"] != 150.0 {
		t.Errorf("%v", done)
	}
	w.with("PUT /rules/mine", mine).wants(201, "")
	w.ask(on).wants(409, "RulesChanged")
}
