package storetest_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

var at = object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "b"}, Key: "k"}

func TestTheFakeLedgerKeepsTheLedgersPromises(t *testing.T) {
	storetest.TestLedger(t, func(*testing.T) storetest.LedgerFixture {
		l := &storetest.Ledger{}
		return storetest.LedgerFixture{
			Ledger: l,
			LoseNextAnswer: func() {
				l.Hook = func(storetest.Call) (storetest.Fault, error) {
					l.Hook = nil
					return storetest.ApplyThenFail, &object.Error{Code: "ConnectionReset"}
				}
			},
			AddAPIRule: func(t *testing.T, r rule.Rule) {
				c, err := l.Catalog(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				c.Rules = append(c.Rules, rule.Stored{Rule: r, Revision: 1})
				l.SetCatalog(c)
			},
		}
	})
}

func TestAStaleReadAnswersWhatWasThereBefore(t *testing.T) {
	l := &storetest.Ledger{Stale: func(ref object.Ref) bool { return ref == at }}
	read := func(consistent bool) int64 {
		found, _, err := l.Read(t.Context(), []object.Ref{at}, consistent)
		if err != nil {
			t.Fatal(err)
		}
		return found[at].Revision
	}
	put := func(p object.Provenance) int64 {
		revision, err := l.Put(t.Context(), at, p)
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	first := put(object.Provenance{Rule: "r"})
	if stale, now := read(false), read(true); stale != 0 || now != first {
		t.Errorf("after the first write: stale %d, consistent %d", stale, now)
	}
	second := put(object.Provenance{Rule: "r", Revision: first})
	if stale, now := read(false), read(true); stale != first || now != second {
		t.Errorf("after the second write: stale %d, consistent %d", stale, now)
	}
	if err := l.Forget(t.Context(), at, second); err != nil {
		t.Fatal(err)
	}
	if stale, now := read(false), read(true); stale != second || now != 0 {
		t.Errorf("after forgetting: stale %d, consistent %d", stale, now)
	}
}

func TestTheHookDecidesTheFateOfACall(t *testing.T) {
	lost := errors.New("lost")
	var calls []storetest.Call
	fault := storetest.FailBefore
	l := &storetest.Ledger{Hook: func(c storetest.Call) (storetest.Fault, error) {
		calls = append(calls, c)
		return fault, lost
	}}
	if _, err := l.Put(t.Context(), at, object.Provenance{Rule: "r"}); err != lost || l.Item(at).Revision != 0 {
		t.Errorf("failed before: %v, item %+v", err, l.Item(at))
	}
	fault = storetest.ApplyThenFail
	if _, err := l.Put(t.Context(), at, object.Provenance{Rule: "r"}); err != lost || l.Item(at).Revision == 0 {
		t.Errorf("applied, then failed: %v, item %+v", err, l.Item(at))
	}
	fault = storetest.None
	first := l.Item(at).Revision
	if _, err := l.Put(t.Context(), at, object.Provenance{Rule: "r", Revision: first}); err != nil || l.Item(at).Revision != first+1 {
		t.Errorf("no fault: %v, item %+v", err, l.Item(at))
	}
	put := storetest.Call{Op: "ledger.put", Ref: at}
	if !slices.Equal(calls, []storetest.Call{put, put, put}) || l.Counts()["ledger.put"] != 3 {
		t.Errorf("calls %v, counts %v", calls, l.Counts())
	}
}

func TestFingerprintsTellStatesApart(t *testing.T) {
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	seen := map[string]int{}
	for i, p := range []object.Provenance{
		{}, {Rule: "r"}, {Rule: "s"}, {Rule: "r", Expired: true},
		{Rule: "r", Dest: object.Dest{ETag: "e"}}, {Rule: "r", Source: object.Source{ETag: "e"}},
		{Rule: "r", Dest: object.Dest{LastModified: day}}, {Pending: object.Pending{Holder: "h"}},
		{Rule: "r", Origin: object.Origin{Chain: []object.Bucket{at.Bucket}}},
	} {
		l := &storetest.Ledger{}
		if i > 0 {
			if _, err := l.Put(t.Context(), at, p); err != nil {
				t.Fatal(err)
			}
		}
		if other, twice := seen[l.Fingerprint()]; twice {
			t.Errorf("states %d and %d look alike: %s", other, i, l.Fingerprint())
		}
		seen[l.Fingerprint()] = i
	}
}
