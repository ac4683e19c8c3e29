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
		Catalog(ctx context.Context) (rule.Catalog, error)
		Deploy(ctx context.Context, c rule.Config, now time.Time) error
		SetPaused(ctx context.Context, name string, paused bool) error
	}
	// LoseNextAnswer lets the next request take effect and loses its answer.
	LoseNextAnswer func()
	// Failures lists what is recorded, in any order.
	Failures func(t *testing.T) []object.Failure
	// AddAPIRule stores a rule as the API does.
	AddAPIRule func(t *testing.T, r rule.Rule)
}

// TestLedger is what the ledger promises. Every subtest gets a ledger of its
// own from open.
func TestLedger(t *testing.T, open func(t *testing.T) LedgerFixture) {
	for name, test := range map[string]func(*testing.T, LedgerFixture){
		"every field comes back":                              everyFieldComesBack,
		"a write drops what the new content lacks":            aWriteDropsWhatTheNewContentLacks,
		"any key is an address of its own":                    anyKeyIsAnAddressOfItsOwn,
		"put replaces the revision it names or an older fact": putConditions,
		"put that is repeated after a lost answer":            putRepeatedAfterALostAnswer,
		"of fifty racing first writers one wins":              fiftyRacingFirstWriters,
		"of fifty racing successors one wins":                 fiftyRacingSuccessors,
		"forget removes the revision it names":                forgetConditions,
		"forget that is repeated after a lost answer":         forgetRepeatedAfterALostAnswer,
		"a batch of many addresses":                           aBatchOfManyAddresses,
		"a read that may be stale answers some revision":      aReadThatMayBeStale,
		"a failure counts its attempts":                       aFailureCountsItsAttempts,
		"an empty ledger":                                     anEmptyLedger,
		"a catalog comes back as deployed":                    aCatalogComesBackAsDeployed,
		"deploying the same again writes nothing":             deployingTheSameAgain,
		"deploy keeps pause and creation time":                deployKeepsPauseAndCreationTime,
		"deploy leaves the rules of the API alone":            deployLeavesAPIRulesAlone,
		"deploy of more rules than a transaction holds":       deployOfManyRules,
		"pause raises the revision that readers see":          pauseRaisesTheRevision,
		"pausing a rule that does not exist":                  pausingARuleThatDoesNotExist,
		"pauses that race a deploy all last":                  pausesThatRaceADeploy,
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
		Expired: true,
	}
}

// lease is a pending write by holder and nothing else.
func lease(holder string) object.Provenance {
	return object.Provenance{Pending: object.Pending{
		Holder: holder, Since: day.Add(1500 * time.Millisecond), ETag: "pending-etag",
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
		mustPut(t, f, at, p, 1)
		p.Revision = 1
		wantItem(t, f, at, p)
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
	mustPut(t, f, replica, all, 1)
	bare := object.Provenance{Revision: 1, Rule: "mirror", Dest: object.Dest{ETag: "e2"}}
	mustPut(t, f, replica, bare, 2)
	bare.Revision = 2
	wantItem(t, f, replica, bare)
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
		mustPut(t, f, at[i], p, 1)
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
	later, earlier := day.Add(time.Second), day.Add(-time.Second)
	at := func(p object.Provenance, revision int64) object.Provenance { p.Revision = revision; return p }
	bare := object.Provenance{Rule: "mirror", Dest: object.Dest{ETag: "bare"}}
	for name, c := range map[string]struct {
		stored []object.Provenance // one after the other, so their number is the revision
		put    object.Provenance
		want   int64 // 0: Premise
	}{
		"nothing, as expected":                     {nil, at(fact("e", day), 0), 1},
		"nothing, where a revision was expected":   {nil, at(fact("e", day), 1), 0},
		"the revision that was read":               {[]object.Provenance{fact("e1", day)}, at(fact("e2", day), 1), 2},
		"the revision, with an earlier write":      {[]object.Provenance{fact("e1", day)}, at(fact("e2", earlier), 1), 2},
		"the revision, with a lease":               {[]object.Provenance{fact("e1", day)}, at(lease("h"), 1), 2},
		"an item where none was expected":          {[]object.Provenance{fact("e1", day)}, at(fact("e2", day), 0), 0},
		"none expected, but the fact is older":     {[]object.Provenance{fact("e1", day)}, at(fact("e2", later), 0), 2},
		"a stale revision, the fact as old":        {[]object.Provenance{fact("e1", day), fact("e2", day)}, at(fact("e3", day), 1), 0},
		"a stale revision, the fact older":         {[]object.Provenance{fact("e1", day), fact("e2", day)}, at(fact("e3", later), 1), 3},
		"a stale revision, the fact newer":         {[]object.Provenance{fact("e1", day), fact("e2", day)}, at(fact("e3", earlier), 1), 0},
		"a stale revision, older by a millisecond": {[]object.Provenance{fact("e1", day), fact("e2", day)}, at(fact("e3", day.Add(time.Millisecond)), 1), 3},
		"a stale revision, a lease over a fact":    {[]object.Provenance{fact("e1", day), fact("e2", day)}, at(lease("h"), 1), 0},
		"a stale revision, a fact without a time":  {[]object.Provenance{bare, bare}, at(fact("e3", later), 1), 0},
		"a stale revision, a write without a time": {[]object.Provenance{fact("e1", day), fact("e2", day)}, at(bare, 1), 0},
		"another's lease":                          {[]object.Provenance{lease("h1")}, at(fact("e1", day), 0), 0},
		"a revision from the future":               {[]object.Provenance{fact("e1", day)}, at(fact("e2", day), 2), 0},
	} {
		ref := object.Ref{Bucket: replica.Bucket, Key: name}
		var last object.Provenance
		for i, p := range c.stored {
			p.Revision = int64(i)
			mustPut(t, f, ref, p, int64(i+1))
			last = at(p, int64(i+1))
		}
		got, err := f.Ledger.Put(t.Context(), ref, c.put)
		if c.want == 0 {
			wantClass(t, name, err, object.Premise)
			wantItem(t, f, ref, last)
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: revision %d, %v; want %d", name, got, err, c.want)
			continue
		}
		wantItem(t, f, ref, at(c.put, c.want))
	}
}

func putRepeatedAfterALostAnswer(t *testing.T, f LedgerFixture) {
	for i, p := range []object.Provenance{lease("h1"), fact("e1", day), fact("e2", day.Add(time.Second))} {
		p.Revision = int64(i)
		f.LoseNextAnswer()
		revision, err := f.Ledger.Put(t.Context(), replica, p)
		if err != nil {
			wantClass(t, "a lost answer", err, object.Retryable)
			revision, err = f.Ledger.Put(t.Context(), replica, p)
		}
		if err != nil || revision != int64(i+1) {
			t.Fatalf("write %d repeated: revision %d, %v", i, revision, err)
		}
		p.Revision = revision
		wantItem(t, f, replica, p)
	}
}

func fiftyRacingFirstWriters(t *testing.T, f LedgerFixture) { oneOfFiftyWins(t, f, 0) }

func fiftyRacingSuccessors(t *testing.T, f LedgerFixture) {
	mustPut(t, f, replica, fact("e1", day), 1)
	oneOfFiftyWins(t, f, 1)
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
	if len(winners) != 1 || winners[0].Revision != revision+1 {
		t.Fatalf("winners: %+v", winners)
	}
	wantItem(t, f, replica, winners[0])
}

func forgetConditions(t *testing.T, f LedgerFixture) {
	if err := f.Ledger.Forget(t.Context(), replica, 1); err != nil {
		t.Errorf("forgetting what is not there: %v", err)
	}
	mustPut(t, f, replica, fact("e1", day), 1)
	p := fact("e2", day)
	p.Revision = 1
	mustPut(t, f, replica, p, 2)
	for _, revision := range []int64{0, 1, 3} {
		wantClass(t, fmt.Sprint("revision ", revision), f.Ledger.Forget(t.Context(), replica, revision), object.Premise)
	}
	p.Revision = 2
	wantItem(t, f, replica, p)
	if err := f.Ledger.Forget(t.Context(), replica, 2); err != nil {
		t.Fatal(err)
	}
	wantItem(t, f, replica, object.Provenance{})
	mustPut(t, f, replica, fact("e3", day.Add(-time.Hour)), 1)
}

func forgetRepeatedAfterALostAnswer(t *testing.T, f LedgerFixture) {
	mustPut(t, f, replica, fact("e1", day), 1)
	f.LoseNextAnswer()
	err := f.Ledger.Forget(t.Context(), replica, 1)
	if err != nil {
		wantClass(t, "a lost answer", err, object.Retryable)
		err = f.Ledger.Forget(t.Context(), replica, 1)
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
			p := fact(fmt.Sprint(i), day)
			mustPut(t, f, ref, p, 1)
			p.Revision = 1
			want[ref] = p
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
	first, second := fact("e1", day), fact("e2", day)
	mustPut(t, f, replica, first, 1)
	second.Revision = 1
	mustPut(t, f, replica, second, 2)
	first.Revision, second.Revision = 1, 2
	found, _, err := f.Ledger.Read(t.Context(), []object.Ref{replica}, false)
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := found[replica]; ok && !reflect.DeepEqual(p, first) && !reflect.DeepEqual(p, second) {
		t.Errorf("got %+v, which was never there", p)
	}
}

func aFailureCountsItsAttempts(t *testing.T, f LedgerFixture) {
	source := object.Ref{Bucket: object.Bucket{Backend: "aws", Name: "src"}, Key: strings.Repeat("日", 341)}
	first := object.Failure{
		Rule: "mirror", Source: source, Dest: replica, OccurredAt: day,
		Code: "AccessDenied", Message: "denied", Advice: "allow it", RetryAt: day.Add(time.Hour),
	}
	second := object.Failure{
		Rule: "mirror", Source: source, Dest: replica, OccurredAt: day.Add(time.Minute),
		Code: "KMS.DisabledException", Message: "the key is disabled", Advice: "enable it",
	}
	other := first
	other.Rule = "second"
	odd := first
	odd.Source.Key, odd.Dest.Key = "not utf-8 \xff", "not utf-8 \xfe"
	for _, failure := range []object.Failure{first, first, second, other, odd} {
		if err := f.Ledger.Fail(t.Context(), failure); err != nil {
			t.Fatal(err)
		}
	}
	second.Attempts, other.Attempts, odd.Attempts = 3, 1, 1
	got := f.Failures(t)
	if len(got) != 3 {
		t.Errorf("%d failures, want 3", len(got))
	}
	for _, want := range []object.Failure{second, other, odd} {
		if !containsEqual(got, want) {
			t.Errorf("missing %+v in %+v", want, got)
		}
	}
}

func containsEqual(all []object.Failure, want object.Failure) bool {
	for _, f := range all {
		if reflect.DeepEqual(f, want) {
			return true
		}
	}
	return false
}

func mustPut(t *testing.T, f LedgerFixture, at object.Ref, p object.Provenance, want int64) {
	t.Helper()
	if got, err := f.Ledger.Put(t.Context(), at, p); err != nil || got != want {
		t.Fatalf("put %q: revision %d, %v; want %d", at, got, err, want)
	}
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
