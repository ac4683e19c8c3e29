package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// sampleConfig has two rules; the first has a value in every field.
func sampleConfig() rule.Config {
	full := rule.Rule{
		Name: "full", Enabled: true,
		Source:      rule.Side{Bucket: "src", Prefix: "ü/日本/"},
		Destination: rule.Side{Bucket: "dst", Prefix: "a b+c%2F/"},
		Interval:    rule.Duration(24 * time.Hour), BatchSize: 100, ReplicateDeletes: true, Conflict: rule.NewerWins,
		IncludeGlobs: []string{"**/*.bin"}, ExcludeGlobs: []string{".deltaglider/**"},
		Priority: 3, ExistingObjects: true, DeleteMarkers: true, ReplicateLifecycleDeletes: true,
		MaxDeletes: rule.MaxDeletes{Count: 1000, Percent: 10}, Tags: map[string]string{"team": "<&>"},
		MinSize: 1, MaxSize: 1 << 40, StorageClass: "GLACIER_IR",
		SSE: rule.SSE{Mode: "aws:kms", KMSKey: "alias/k", BucketKey: true}, OwnerOverride: true, ReplicateTags: true,
		ReplicateObjectLock: true, ReplicateWebsiteRedirects: true,
		Limits:        rule.Limits{Concurrency: 4, BytesPerSecond: 1 << 30, Window: "22:00-06:00", OutsideWindow: "nothing"},
		LatencyTarget: rule.Duration(90 * time.Second),
	}
	return rule.Config{Storage: rule.Storage{
		Backends: []rule.Backend{{Name: "hq", Endpoint: "https://minio.example:9000", Region: "us-east-1", PathStyle: true, CredentialsSecret: "arn:aws:secretsmanager:s"}},
		Buckets:  map[string]rule.Bucket{"src": {}, "dst": {Backend: "hq", Name: "releases", Versioned: true, RequesterPays: true}},
		Replication: rule.Replication{
			Enabled: true, TickInterval: rule.Duration(time.Minute), MaxFailuresRetained: 100,
			Rules: []rule.Rule{full, sampleRule("plain")},
		},
	}}
}

func sampleRule(name string) rule.Rule {
	return rule.Rule{
		Name: name, Enabled: true, Source: rule.Side{Bucket: "src"}, Destination: rule.Side{Bucket: "dst"},
		Interval: rule.Duration(time.Hour), BatchSize: 100, Conflict: rule.SourceWins, ExistingObjects: true,
	}
}

func anEmptyLedger(t *testing.T, f LedgerFixture) {
	if c := catalog(t, f); c.Revision != 0 || len(c.Rules) != 0 {
		t.Errorf("a catalog that nobody deployed: %+v", c)
	}
	if _, revision, err := f.Ledger.Read(t.Context(), nil, false); err != nil || revision != 0 {
		t.Errorf("read of nothing: revision %d, %v", revision, err)
	}
}

func aCatalogComesBackAsDeployed(t *testing.T, f LedgerFixture) {
	config := sampleConfig()
	everyFieldIsSet(t, reflect.ValueOf(config.Storage.Replication.Rules[0]), "Rule")
	deploy(t, f, config, day)
	storage := config.Storage
	storage.Replication.Rules = nil
	want := rule.Catalog{Revision: 1, Storage: storage}
	for _, r := range config.Storage.Replication.Rules {
		want.Rules = append(want.Rules, rule.Stored{Rule: r, Revision: 1, Deployed: true, CreatedAt: day})
	}
	if got := catalog(t, f); !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func deployingTheSameAgain(t *testing.T, f LedgerFixture) {
	deploy(t, f, sampleConfig(), day)
	before := catalog(t, f)
	deploy(t, f, sampleConfig(), day.Add(time.Hour))
	if after := catalog(t, f); !reflect.DeepEqual(before, after) {
		t.Errorf("was %+v\nnow %+v", before, after)
	}
}

func deployKeepsPauseAndCreationTime(t *testing.T, f LedgerFixture) {
	config := sampleConfig()
	deploy(t, f, config, day)
	if err := f.Ledger.SetPaused(t.Context(), "full", true); err != nil {
		t.Fatal(err)
	}
	config.Storage.Replication.TickInterval = rule.Duration(2 * time.Minute)
	config.Storage.Replication.Rules[0].Priority = 9
	config.Storage.Replication.Rules[1] = sampleRule("new")
	later := day.Add(time.Hour)
	deploy(t, f, config, later)
	got := catalog(t, f)
	want := []rule.Stored{
		{Rule: config.Storage.Replication.Rules[0], Revision: 2, Deployed: true, CreatedAt: day, Paused: true},
		{Rule: sampleRule("new"), Revision: 1, Deployed: true, CreatedAt: later},
	}
	if !reflect.DeepEqual(got.Rules, want) {
		t.Errorf("rules:\n got %+v\nwant %+v", got.Rules, want)
	}
	if got.Revision != 3 || got.Storage.Replication.TickInterval != config.Storage.Replication.TickInterval {
		t.Errorf("revision %d, tick %s", got.Revision, got.Storage.Replication.TickInterval)
	}
}

func deployLeavesAPIRulesAlone(t *testing.T, f LedgerFixture) {
	deploy(t, f, sampleConfig(), day)
	f.AddAPIRule(t, sampleRule("by-hand"))
	f.AddAPIRule(t, sampleRule("by-hand-too"))
	before := catalog(t, f)
	config := sampleConfig()
	config.Storage.Replication.Rules = append(config.Storage.Replication.Rules, sampleRule("by-hand"), sampleRule("fine"), sampleRule("by-hand-too"))
	err := f.Ledger.Deploy(t.Context(), config, day)
	wantClass(t, "names that the API uses", err, object.Permanent)
	if err == nil || !strings.Contains(err.Error(), `"by-hand"`) || !strings.Contains(err.Error(), `"by-hand-too"`) || strings.Contains(err.Error(), "fine") {
		t.Errorf("the error does not name the two rules: %v", err)
	}
	if after := catalog(t, f); !reflect.DeepEqual(before, after) {
		t.Errorf("a refused deploy changed\n%+v to\n%+v", before, after)
	}
	config.Storage.Replication.Rules = nil
	deploy(t, f, config, day)
	after := catalog(t, f)
	var names []string
	for _, s := range after.Rules {
		names = append(names, s.Rule.Name)
	}
	if !slices.Equal(names, []string{"by-hand", "by-hand-too"}) || after.Revision <= before.Revision {
		t.Errorf("without deployed rules: %q at revision %d, was %d", names, after.Revision, before.Revision)
	}
}

func deployOfManyRules(t *testing.T, f LedgerFixture) {
	config := sampleConfig()
	config.Storage.Replication.Rules = nil
	for i := range 250 {
		config.Storage.Replication.Rules = append(config.Storage.Replication.Rules, sampleRule(fmt.Sprintf("rule-%03d", i)))
	}
	deploy(t, f, config, day)
	before := catalog(t, f)
	if len(before.Rules) != 250 {
		t.Errorf("%d rules", len(before.Rules))
	}
	deploy(t, f, sampleConfig(), day)
	if c := catalog(t, f); len(c.Rules) != 2 || c.Revision <= before.Revision {
		t.Errorf("%d rules at revision %d, was %d", len(c.Rules), c.Revision, before.Revision)
	}
}

func pauseRaisesTheRevision(t *testing.T, f LedgerFixture) {
	deploy(t, f, sampleConfig(), day)
	for _, step := range []struct {
		paused bool
		want   int64
	}{{true, 2}, {true, 2}, {false, 3}, {false, 3}} {
		if err := f.Ledger.SetPaused(t.Context(), "plain", step.paused); err != nil {
			t.Fatal(err)
		}
		// Even a read that may be stale for provenance sees it at once.
		if _, revision, err := f.Ledger.Read(t.Context(), []object.Ref{replica}, false); err != nil || revision != step.want {
			t.Errorf("paused %t: revision %d, %v; want %d", step.paused, revision, err, step.want)
		}
		c := catalog(t, f)
		if c.Revision != step.want || c.Rules[0].Paused || c.Rules[1].Paused != step.paused || c.Rules[1].Revision != 1 {
			t.Errorf("paused %t: %+v", step.paused, c)
		}
	}
}

func pausingARuleThatDoesNotExist(t *testing.T, f LedgerFixture) {
	deploy(t, f, sampleConfig(), day)
	before := catalog(t, f)
	err := f.Ledger.SetPaused(t.Context(), "nobody", true)
	if code := object.CodeOf(err); code != "RuleNotFound" {
		t.Errorf("code %s", code)
	}
	for _, name := range []string{"nobody", "#catalog", "#storage"} {
		wantClass(t, name, f.Ledger.SetPaused(t.Context(), name, true), object.Permanent)
	}
	if after := catalog(t, f); !reflect.DeepEqual(before, after) {
		t.Errorf("was %+v\nnow %+v", before, after)
	}
}

func pausesThatRaceADeploy(t *testing.T, f LedgerFixture) {
	config := sampleConfig()
	config.Storage.Replication.Rules = nil
	const n = 20
	for i := range n {
		config.Storage.Replication.Rules = append(config.Storage.Replication.Rules, sampleRule(fmt.Sprintf("rule-%02d", i)))
	}
	deploy(t, f, config, day)
	for i := range config.Storage.Replication.Rules {
		config.Storage.Replication.Rules[i].Priority = i + 1
	}
	var wg sync.WaitGroup
	errs := make([]error, n+1)
	wg.Go(func() { errs[n] = f.Ledger.Deploy(t.Context(), config, day) })
	for i := range n {
		wg.Go(func() { errs[i] = f.Ledger.SetPaused(t.Context(), fmt.Sprintf("rule-%02d", i), true) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	c := catalog(t, f)
	if c.Revision != n+2 {
		t.Errorf("revision %d after two deploys and %d pauses", c.Revision, n)
	}
	for i, s := range c.Rules {
		if !s.Paused || s.Rule.Priority != i+1 || s.Revision != 2 {
			t.Errorf("rule %s: %+v", s.Rule.Name, s)
		}
	}
}

func deploy(t *testing.T, f LedgerFixture, c rule.Config, now time.Time) {
	t.Helper()
	if err := f.Ledger.Deploy(t.Context(), c, now); err != nil {
		t.Fatal(err)
	}
}

func catalog(t *testing.T, f LedgerFixture) rule.Catalog {
	t.Helper()
	c, err := f.Ledger.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(c.Rules, func(a, b rule.Stored) int { return strings.Compare(a.Rule.Name, b.Rule.Name) })
	return c
}

func rulesOfTheAPI(t *testing.T, f LedgerFixture) {
	deploy(t, f, sampleConfig(), day)
	full := sampleConfig().Storage.Replication.Rules[0]
	full.Name = "by-hand"
	made, err := f.Ledger.PutRule(t.Context(), full, 0, 1, day)
	if err != nil || made != 2 {
		t.Fatalf("made at revision %d, %v", made, err)
	}
	want := rule.Stored{Rule: full, Revision: 2, CreatedAt: day}
	wantRule := func(what string, revision int64) {
		t.Helper()
		c := catalog(t, f)
		if c.Revision != revision || !reflect.DeepEqual(c.Rules[0], want) || len(c.Rules) != 3 {
			t.Errorf("%s: revision %d, want %d;\n got %+v\nwant %+v", what, c.Revision, revision, c.Rules[0], want)
		}
	}
	wantRule("made", 2)
	if err := f.Ledger.SetPaused(t.Context(), "by-hand", true); err != nil {
		t.Fatal(err)
	}
	changed := sampleRule("by-hand")
	if revision, err := f.Ledger.PutRule(t.Context(), changed, 2, 3, day.Add(time.Hour)); err != nil || revision != 4 {
		t.Fatalf("changed at revision %d, %v", revision, err)
	}
	want = rule.Stored{Rule: changed, Revision: 4, CreatedAt: day, Paused: true}
	wantRule("changed", 4)
	for situation, err := range map[string]error{
		"another rule's revision": second(f.Ledger.PutRule(t.Context(), full, 2, 4, day)),
		"an outdated catalog":     second(f.Ledger.PutRule(t.Context(), full, 4, 3, day)),
		"one that is there":       second(f.Ledger.PutRule(t.Context(), full, 0, 4, day)),
		"one that is not there":   second(f.Ledger.PutRule(t.Context(), sampleRule("nobody"), 4, 4, day)),
		"a deployed rule":         second(f.Ledger.PutRule(t.Context(), sampleRule("plain"), 1, 4, day)),

		"remove by another revision":         f.Ledger.RemoveRule(t.Context(), "by-hand", 2, 4),
		"remove from an outdated catalog":    f.Ledger.RemoveRule(t.Context(), "by-hand", 4, 3),
		"remove one that is not there":       f.Ledger.RemoveRule(t.Context(), "nobody", 4, 4),
		"remove a deployed rule":             f.Ledger.RemoveRule(t.Context(), "plain", 1, 4),
		"remove what only looks like a rule": f.Ledger.RemoveRule(t.Context(), "#storage", 4, 4),
	} {
		wantClass(t, situation, err, object.Premise)
	}
	wantRule("after all that was refused", 4)
	if err := f.Ledger.RemoveRule(t.Context(), "by-hand", 4, 4); err != nil {
		t.Fatal(err)
	}
	if c := catalog(t, f); c.Revision != 5 || len(c.Rules) != 2 {
		t.Errorf("after the removal: %+v", c)
	}
	if revision, err := f.Ledger.PutRule(t.Context(), full, 0, 5, day); err != nil || revision != 6 {
		t.Errorf("made anew at revision %d, %v", revision, err)
	}
}

func second(_ int64, err error) error { return err }

func racingMakersOfRules(t *testing.T, f LedgerFixture) {
	deploy(t, f, sampleConfig(), day)
	const n = 20
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { _, errs[i] = f.Ledger.PutRule(t.Context(), sampleRule(fmt.Sprint("rule-", i)), 0, 1, day) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantClass(t, "the others", err, object.Premise)
		}
	}
	if c := catalog(t, f); won != 1 || len(c.Rules) != 3 || c.Revision != 2 {
		t.Errorf("%d of %d won: %d rules at revision %d", won, n, len(c.Rules), c.Revision)
	}
}

func deployKeepsTheBucketsOfAPIRules(t *testing.T, f LedgerFixture) {
	deploy(t, f, sampleConfig(), day)
	f.AddAPIRule(t, sampleRule("by-hand"))
	before := catalog(t, f)
	config := sampleConfig()
	config.Storage.Replication.Rules = nil
	config.Storage.Buckets = map[string]rule.Bucket{"src": {}}
	err := f.Ledger.Deploy(t.Context(), config, day)
	wantClass(t, "without a bucket of the API's rule", err, object.Permanent)
	if object.CodeOf(err) != "BucketInUse" || !strings.Contains(err.Error(), `"by-hand"`) || !strings.Contains(err.Error(), `"dst"`) {
		t.Errorf("the error does not name both: %v", err)
	}
	if after := catalog(t, f); !reflect.DeepEqual(before, after) {
		t.Errorf("a refused deploy changed\n%+v to\n%+v", before, after)
	}
}
