package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// LedgerFixture is an empty ledger and what a test needs around it.
type LedgerFixture struct {
	Ledger interface {
		Read(ctx context.Context, at []object.Ref, consistent bool) (map[object.Ref]object.Provenance, int64, error)
		Put(ctx context.Context, at object.Ref, p object.Provenance) (int64, error)
		Forget(ctx context.Context, at object.Ref, revision int64) error
		Fail(ctx context.Context, f object.Failure) error
		Failure(ctx context.Context, ruleName string, source object.Ref) (object.Failure, bool, error)
		Failures(ctx context.Context, ruleName string, limit int) ([]object.Failure, error)
		FailurePage(ctx context.Context, ruleName string, after object.FailurePlace, limit int) ([]object.Failure, error)
		Due(ctx context.Context, ruleName string, now time.Time, limit int) ([]object.Failure, error)
		Postpone(ctx context.Context, f object.Failure, to time.Time) error
		Healed(ctx context.Context, ruleName string, source object.Ref) error
		Heal(ctx context.Context, ruleName string, before time.Time, damaged bool) error
		Trim(ctx context.Context, ruleName string, keep int) (int, error)
		CountDeletes(ctx context.Context, ruleName string, hour time.Time, n int) (int64, error)
		CountHour(ctx context.Context, ruleName string, h object.Hour) error
		Hours(ctx context.Context, ruleName string, from time.Time) ([]object.Hour, error)
		Capabilities(ctx context.Context) (map[object.Endpoint]object.Capabilities, error)
		Observe(ctx context.Context, at object.Endpoint, what object.Capability, seen object.Seen) error
		Catalog(ctx context.Context) (rule.Catalog, error)
		Deploy(ctx context.Context, c rule.Config, now time.Time) error
		SetPaused(ctx context.Context, name string, paused bool) error
		PutRule(ctx context.Context, r rule.Rule, seen, catalog int64, now time.Time) (int64, error)
		RemoveRule(ctx context.Context, name string, seen, catalog int64) error
	}
	// LoseNextAnswer lets the next request take effect and loses its answer.
	LoseNextAnswer func()
	// AddAPIRule stores a rule as the API does.
	AddAPIRule func(t *testing.T, r rule.Rule)
}

// TestLedger is what the ledger promises. Every subtest gets a ledger of its
// own from open.
func TestLedger(t *testing.T, open func(t *testing.T) LedgerFixture) {
	for name, test := range map[string]func(*testing.T, LedgerFixture){
		"every field comes back":                         everyFieldComesBack,
		"a write drops what the new content lacks":       aWriteDropsWhatTheNewContentLacks,
		"any key is an address of its own":               anyKeyIsAnAddressOfItsOwn,
		"put replaces the revision it names":             putConditions,
		"a revision never comes back":                    aRevisionNeverComesBack,
		"put that is repeated after a lost answer":       putRepeatedAfterALostAnswer,
		"of fifty racing first writers one wins":         fiftyRacingFirstWriters,
		"of fifty racing successors one wins":            fiftyRacingSuccessors,
		"forget removes the revision it names":           forgetConditions,
		"forget that is repeated after a lost answer":    forgetRepeatedAfterALostAnswer,
		"a batch of many addresses":                      aBatchOfManyAddresses,
		"a read that may be stale answers some revision": aReadThatMayBeStale,
		"a failure counts its attempts":                  aFailureCountsItsAttempts,
		"one failure is found by its source":             oneFailureIsFoundByItsSource,
		"failures are listed from the newest":            failuresAreListedFromTheNewest,
		"failures are listed page by page":               failuresAreListedPageByPage,
		"failures are due from the oldest":               failuresAreDueFromTheOldest,
		"postpone wants the failure as it was seen":      postponeConditions,
		"of twenty who postpone one does":                racingPostpones,
		"what replicated is no failure":                  whatReplicatedIsNoFailure,
		"heal removes what is older":                     healRemovesWhatIsOlder,
		"trim keeps the newest":                          trimKeepsTheNewest,
		"deletes add up by rule and hour":                deletesAddUp,
		"what was done adds up by rule and hour":         hoursAddUp,
		"what backends keep is remembered":               whatBackendsKeepIsRemembered,
		"an empty ledger":                                anEmptyLedger,
		"a catalog comes back as deployed":               aCatalogComesBackAsDeployed,
		"deploying the same again writes nothing":        deployingTheSameAgain,
		"deploy keeps pause and creation time":           deployKeepsPauseAndCreationTime,
		"deploy leaves the rules of the API alone":       deployLeavesAPIRulesAlone,
		"deploy keeps the buckets of the API's rules":    deployKeepsTheBucketsOfAPIRules,
		"deploy of more rules than a transaction holds":  deployOfManyRules,
		"rules of the API are made, changed and removed": rulesOfTheAPI,
		"of twenty who make a rule at once one does":     racingMakersOfRules,
		"pause raises the revision that readers see":     pauseRaisesTheRevision,
		"pausing a rule that does not exist":             pausingARuleThatDoesNotExist,
		"pauses that race a deploy all last":             pausesThatRaceADeploy,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

var (
	replica = object.Ref{Bucket: object.Bucket{Backend: "minio-hq", Name: "releases"}, Key: "dr/a b+c%2F%20.txt"}
	day     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// fact is a landed write with a value in every field but the lease's.
func fact(etag string, at time.Time) object.Provenance {
	return object.Provenance{
		Rule: "mirror",
		Source: object.Source{
			ETag: "s" + etag, LastModified: at.Add(-time.Second), VersionID: "sv", Sequencer: "0A1B", RequestID: "R1",
		},
		Dest: object.Dest{ETag: etag, LastModified: at, VersionID: "dv"},
		Origin: object.Origin{
			Ref:          object.Ref{Bucket: object.Bucket{Backend: "aws", Name: "origin"}, Key: "a b+c%2F%20.txt"},
			LastModified: at.Add(-time.Hour),
			Chain:        []object.Bucket{{Backend: "aws", Name: "origin"}, {Backend: "aws-dr", Name: "via"}},
		},
		Run:     7,
		Adopted: true,
		Lost:    []string{"checksum", object.LostTags},
		Expired: true,
	}
}

// lease is a pending write by holder and nothing else.
func lease(holder string) object.Provenance {
	return object.Provenance{Pending: object.Pending{
		Holder: holder, Since: day.Add(1500 * time.Millisecond), Began: day.Add(500 * time.Millisecond), ETag: "pending-etag",
		Origin: object.Origin{
			Ref:          object.Ref{Bucket: object.Bucket{Backend: "aws", Name: "origin"}, Key: replica.Key},
			LastModified: day.Add(-time.Minute),
			Chain:        []object.Bucket{{Backend: "aws", Name: "origin"}},
		},
	}}
}

func everyFieldComesBack(t *testing.T, f LedgerFixture) {
	all := fact("e1", day)
	all.Pending = lease("h1").Pending
	everyFieldIsSet(t, reflect.ValueOf(all), "Provenance")
	noTimes := fact("e1", time.Time{})
	noTimes.Source.LastModified, noTimes.Origin.LastModified = time.Time{}, time.Time{}
	same := fact("e1", day)
	same.Origin.Ref.Key = replica.Key
	for name, p := range map[string]object.Provenance{
		"all": all, "fact": fact("e1", day), "lease": lease("h1"), "no times": noTimes, "origin of the same key": same,
	} {
		at := replica
		at.Key += name
		wantItem(t, f, at, mustPut(t, f, at, p))
	}
}

// everyFieldIsSet fails where a field was added to a type and not to the sample.
func everyFieldIsSet(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	if v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]() {
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Revision" {
				everyFieldIsSet(t, v.Field(i), path+"."+name)
			}
		}
	} else if v.IsZero() {
		t.Errorf("the sample has nothing in %s", path)
	}
}

func aWriteDropsWhatTheNewContentLacks(t *testing.T, f LedgerFixture) {
	all := fact("e1", day)
	all.Pending = lease("h1").Pending
	bare := object.Provenance{Rule: "mirror", Dest: object.Dest{ETag: "e2"}}
	bare.Revision = mustPut(t, f, replica, all).Revision
	wantItem(t, f, replica, mustPut(t, f, replica, bare))
}

func anyKeyIsAnAddressOfItsOwn(t *testing.T, f LedgerFixture) {
	keys := []string{
		"a", "A", "a ", " a", "a/", "/a", "x//y", "=?&#.txt", "a b+c%2F%20.txt", "ü/日本/🙂.bin", "tab\tnewline\n",
		"nul\x00", "u\u0308", "ü", strings.Repeat("k", 1024), strings.Repeat("日", 341), "'\"\\{}", ":name#name",
		"not utf-8 \xff", "not utf-8 \xfe", "not utf-8 \uFFFD", strings.Repeat("\xff", 1024),
	}
	at := make([]object.Ref, len(keys))
	for i, key := range keys {
		at[i] = object.Ref{Bucket: replica.Bucket, Key: key}
		p := fact(fmt.Sprint(i), day)
		p.Origin.Ref.Key = keys[(i+1)%len(keys)]
		mustPut(t, f, at[i], p)
	}
	found, _, err := f.Ledger.Read(t.Context(), at, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, ref := range at {
		if p := found[ref]; p.Dest.ETag != fmt.Sprint(i) || p.Origin.Ref.Key != keys[(i+1)%len(keys)] {
			t.Errorf("key %q: got the item with tag %q and origin %q", ref.Key, p.Dest.ETag, p.Origin.Ref.Key)
		}
	}
}

func putConditions(t *testing.T, f LedgerFixture) {
	later := day.Add(time.Second)
	for name, c := range map[string]struct {
		stored []object.Provenance // one after the other
		put    object.Provenance
		behind int64 // how much older than what is stored the revision is that it names
		none   bool  // it expects that there is no item
		want   bool
	}{
		"nothing, as expected":                    {put: fact("e", day), none: true, want: true},
		"nothing, where a revision was expected":  {put: fact("e", day), behind: -1},
		"the revision that was read":              {stored: []object.Provenance{fact("e1", day)}, put: fact("e2", later), want: true},
		"the revision, with an earlier write":     {stored: []object.Provenance{fact("e1", later)}, put: fact("e2", day), want: true},
		"the revision, with a lease":              {stored: []object.Provenance{fact("e1", day)}, put: lease("h"), want: true},
		"an item where none was expected":         {stored: []object.Provenance{fact("e1", day)}, put: fact("e2", later), none: true},
		"a stale revision, with a later write":    {stored: []object.Provenance{fact("e1", day), fact("e2", day)}, put: fact("e3", later), behind: 1},
		"a stale revision, with an earlier write": {stored: []object.Provenance{fact("e1", day), fact("e2", later)}, put: fact("e3", day), behind: 1},
		"a stale revision, with a lease":          {stored: []object.Provenance{fact("e1", day), fact("e2", day)}, put: lease("h"), behind: 1},
		"long stale, with the content it has":     {stored: []object.Provenance{fact("e1", day), fact("e2", day), fact("e3", day)}, put: fact("e3", day), behind: 2},
		"another's lease":                         {stored: []object.Provenance{lease("h1")}, put: fact("e1", day), none: true},
		"a revision from the future":              {stored: []object.Provenance{fact("e1", day)}, put: fact("e2", later), behind: -1},
	} {
		ref := object.Ref{Bucket: replica.Bucket, Key: name}
		var last object.Provenance
		for _, p := range c.stored {
			p.Revision = last.Revision
			last = mustPut(t, f, ref, p)
		}
		if !c.none {
			c.put.Revision = last.Revision - c.behind
		}
		if c.want {
			wantItem(t, f, ref, mustPut(t, f, ref, c.put))
			continue
		}
		_, err := f.Ledger.Put(t.Context(), ref, c.put)
		wantClass(t, name, err, object.Premise)
		wantItem(t, f, ref, last)
	}
}

// Who has read an item that was forgotten since must not take the next one at
// the address for it.
func aRevisionNeverComesBack(t *testing.T, f LedgerFixture) {
	seen := map[int64]bool{}
	for life := range 5 {
		p := lease(fmt.Sprint("holder ", life))
		for range 3 {
			p = mustPut(t, f, replica, p)
			p.Pending.ETag += "+"
			if seen[p.Revision] {
				t.Fatalf("revision %d came back", p.Revision)
			}
			seen[p.Revision] = true
		}
		for revision := range seen {
			if revision == p.Revision {
				continue
			}
			wantClass(t, "forget", f.Ledger.Forget(t.Context(), replica, revision), object.Premise)
			_, err := f.Ledger.Put(t.Context(), replica, object.Provenance{Revision: revision, Rule: "late"})
			wantClass(t, "put", err, object.Premise)
		}
		if err := f.Ledger.Forget(t.Context(), replica, p.Revision); err != nil {
			t.Fatal(err)
		}
	}
}

func putRepeatedAfterALostAnswer(t *testing.T, f LedgerFixture) {
	var revision int64
	for _, p := range []object.Provenance{lease("h1"), fact("e1", day), fact("e2", day.Add(time.Second))} {
		p.Revision = revision
		f.LoseNextAnswer()
		got, err := f.Ledger.Put(t.Context(), replica, p)
		if err != nil {
			wantClass(t, "a lost answer", err, object.Retryable)
			got, err = f.Ledger.Put(t.Context(), replica, p)
		}
		if err != nil || revision != 0 && got != revision+1 {
			t.Fatalf("a write over revision %d, repeated: revision %d, %v", revision, got, err)
		}
		revision, p.Revision = got, got
		wantItem(t, f, replica, p)
	}
}

func fiftyRacingFirstWriters(t *testing.T, f LedgerFixture) { oneOfFiftyWins(t, f, 0) }

func fiftyRacingSuccessors(t *testing.T, f LedgerFixture) {
	oneOfFiftyWins(t, f, mustPut(t, f, replica, fact("e1", day)).Revision)
}

// oneOfFiftyWins lets fifty take the lease on the same revision at once.
func oneOfFiftyWins(t *testing.T, f LedgerFixture, revision int64) {
	var mu sync.Mutex
	var winners []object.Provenance
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			p := lease(fmt.Sprint("holder ", i))
			p.Revision = revision
			got, err := f.Ledger.Put(t.Context(), replica, p)
			if err != nil {
				wantClass(t, p.Pending.Holder, err, object.Premise)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			p.Revision = got
			winners = append(winners, p)
		})
	}
	wg.Wait()
	if len(winners) != 1 || revision != 0 && winners[0].Revision != revision+1 {
		t.Fatalf("winners: %+v", winners)
	}
	wantItem(t, f, replica, winners[0])
}

func forgetConditions(t *testing.T, f LedgerFixture) {
	if err := f.Ledger.Forget(t.Context(), replica, 1); err != nil {
		t.Errorf("forgetting what is not there: %v", err)
	}
	first := mustPut(t, f, replica, fact("e1", day))
	second := fact("e2", day)
	second.Revision = first.Revision
	second = mustPut(t, f, replica, second)
	for _, revision := range []int64{0, first.Revision, second.Revision + 1} {
		wantClass(t, fmt.Sprint("revision ", revision), f.Ledger.Forget(t.Context(), replica, revision), object.Premise)
	}
	wantItem(t, f, replica, second)
	if err := f.Ledger.Forget(t.Context(), replica, second.Revision); err != nil {
		t.Fatal(err)
	}
	wantItem(t, f, replica, object.Provenance{})
	mustPut(t, f, replica, fact("e3", day.Add(-time.Hour)))
}

func forgetRepeatedAfterALostAnswer(t *testing.T, f LedgerFixture) {
	revision := mustPut(t, f, replica, fact("e1", day)).Revision
	f.LoseNextAnswer()
	err := f.Ledger.Forget(t.Context(), replica, revision)
	if err != nil {
		wantClass(t, "a lost answer", err, object.Retryable)
		err = f.Ledger.Forget(t.Context(), replica, revision)
	}
	if err != nil {
		t.Fatal(err)
	}
	wantItem(t, f, replica, object.Provenance{})
}

func aBatchOfManyAddresses(t *testing.T, f LedgerFixture) {
	config := sampleConfig()
	if err := f.Ledger.Deploy(t.Context(), config, day); err != nil {
		t.Fatal(err)
	}
	want := map[object.Ref]object.Provenance{}
	var at []object.Ref
	for i := range 250 {
		ref := object.Ref{Bucket: replica.Bucket, Key: fmt.Sprintf("key %03d", i)}
		at = append(at, ref, ref) // every address twice
		if i%5 != 0 {
			want[ref] = mustPut(t, f, ref, fact(fmt.Sprint(i), day))
		}
	}
	for _, n := range []int{0, 1, 98, 99, 100, 150, 199, 250} {
		found, revision, err := f.Ledger.Read(t.Context(), at[:2*n], true)
		if err != nil || revision != 1 {
			t.Fatalf("%d addresses: revision %d, %v", n, revision, err)
		}
		for i := range n {
			p, there := want[at[2*i]]
			if got, ok := found[at[2*i]]; ok != there || !reflect.DeepEqual(got, p) {
				t.Errorf("of %d addresses %s: got %+v, want %+v", n, at[2*i], got, p)
			}
			delete(found, at[2*i])
		}
		if len(found) > 0 {
			t.Errorf("%d addresses: also got %v", n, found)
		}
	}
}

func aReadThatMayBeStale(t *testing.T, f LedgerFixture) {
	first, second := mustPut(t, f, replica, fact("e1", day)), fact("e2", day)
	second.Revision = first.Revision
	second = mustPut(t, f, replica, second)
	found, _, err := f.Ledger.Read(t.Context(), []object.Ref{replica}, false)
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := found[replica]; ok && !reflect.DeepEqual(p, first) && !reflect.DeepEqual(p, second) {
		t.Errorf("got %+v, which was never there", p)
	}
}

// mustPut answers what is stored now: p at its new revision.
func mustPut(t *testing.T, f LedgerFixture, at object.Ref, p object.Provenance) object.Provenance {
	t.Helper()
	got, err := f.Ledger.Put(t.Context(), at, p)
	if err != nil || got < 1 || p.Revision != 0 && got != p.Revision+1 {
		t.Fatalf("put %q over revision %d: revision %d, %v", at, p.Revision, got, err)
	}
	p.Revision = got
	return p
}

// wantItem looks consistently; a want of revision 0 means that there is none.
func wantItem(t *testing.T, f LedgerFixture, at object.Ref, want object.Provenance) {
	t.Helper()
	found, _, err := f.Ledger.Read(t.Context(), []object.Ref{at}, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := found[at]; !reflect.DeepEqual(got, want) {
		t.Errorf("item at %q:\n got %+v\nwant %+v", at, got, want)
	}
}

func wantClass(t *testing.T, name string, err error, want object.Class) {
	t.Helper()
	var e *object.Error
	if !errors.As(err, &e) || e.Class != want {
		t.Errorf("%s: got %v, want an error of class %d", name, err, want)
	}
}
