package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/object"
)

// failureOf is what happened to a source key.
func failureOf(ruleName, key string, at time.Time) object.Failure {
	return object.Failure{
		Rule: ruleName, Source: object.Ref{Bucket: object.Bucket{Backend: "aws", Name: "src"}, Key: key}, Dest: replica,
		OccurredAt: at, Code: "AccessDenied", Message: "denied", Advice: "allow it",
	}
}

func keysOf(failures []object.Failure) []string {
	var keys []string
	for _, f := range failures {
		keys = append(keys, f.Source.Key)
	}
	return keys
}

func mustFail(t *testing.T, f LedgerFixture, failures ...object.Failure) {
	t.Helper()
	for _, failure := range failures {
		if err := f.Ledger.Fail(t.Context(), failure); err != nil {
			t.Fatal(err)
		}
	}
}

// wantFailures wants a rule's failures of these keys, newest first.
func wantFailures(t *testing.T, f LedgerFixture, ruleName string, keys ...string) {
	t.Helper()
	all, err := f.Ledger.Failures(t.Context(), ruleName, 0)
	if got := keysOf(all); err != nil || !slices.Equal(got, keys) {
		t.Errorf("rule %s has failures of %q, %v; want %q", ruleName, got, err, keys)
	}
}

func aFailureCountsItsAttempts(t *testing.T, f LedgerFixture) {
	first := failureOf("mirror", strings.Repeat("日", 341), day)
	first.Run, first.RetryAt = 3, day.Add(time.Hour)
	first.Damaged = object.Dest{ETag: "e", LastModified: day, VersionID: "v"}
	second := first
	second.Damaged = object.Dest{}
	second.OccurredAt, second.Run, second.RetryAt = day.Add(time.Minute), 0, time.Time{}
	second.Code, second.Message, second.Advice = "KMS.DisabledException", "the key is disabled", "enable it"
	other := first
	other.Rule = "second"
	odd := first
	odd.Source.Key, odd.Dest.Key = "not utf-8 \xff", "not utf-8 \xfe"
	mustFail(t, f, first, first, second, other, odd)
	second.Attempts, other.Attempts, odd.Attempts = 3, 1, 1
	everyFieldIsSet(t, reflect.ValueOf(odd), "Failure")
	for ruleName, want := range map[string][]object.Failure{"mirror": {second, odd}, "second": {other}, "third": nil} {
		got, err := f.Ledger.Failures(t.Context(), ruleName, 0)
		if err != nil || len(got) != len(want) {
			t.Errorf("rule %s: %d failures, %v; want %d", ruleName, len(got), err, len(want))
			continue
		}
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("rule %s:\n got %+v\nwant %+v", ruleName, got[i], want[i])
			}
		}
	}
}

func oneFailureIsFoundByItsSource(t *testing.T, f LedgerFixture) {
	want := failureOf("mirror", "not utf-8 \xff", day)
	want.Run, want.RetryAt = 3, day.Add(time.Hour)
	mustFail(t, f, failureOf("mirror", "other", day), failureOf("second", "only there", day), want)
	want.Attempts = 1
	got, ok, err := f.Ledger.Failure(t.Context(), "mirror", want.Source)
	if err != nil || !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v, %t, %v\nwant %+v", got, ok, err, want)
	}
	if got, ok, err := f.Ledger.Failure(t.Context(), "mirror", failureOf("second", "only there", day).Source); err != nil || ok {
		t.Errorf("where nothing failed: %+v, %t, %v", got, ok, err)
	}
}

func failuresAreListedFromTheNewest(t *testing.T, f LedgerFixture) {
	var want []string
	for i := range 12 {
		key := fmt.Sprint("key ", i)
		mustFail(t, f, failureOf("mirror", key, day.Add(time.Duration(i)*time.Millisecond)), failureOf("second", key, day))
		want = slices.Insert(want, 0, key)
	}
	mustFail(t, f, failureOf("mirror", "key 3", day.Add(time.Hour))) // again
	want = slices.DeleteFunc(want, func(key string) bool { return key == "key 3" })
	want = slices.Insert(want, 0, "key 3")
	wantFailures(t, f, "mirror", want...)
	for limit, n := range map[int]int{1: 1, 5: 5, 12: 12, 100: 12} {
		got, err := f.Ledger.Failures(t.Context(), "mirror", limit)
		if err != nil || !slices.Equal(keysOf(got), want[:n]) {
			t.Errorf("at most %d: %q, %v", limit, keysOf(got), err)
		}
	}
	all, err := f.Ledger.Failures(t.Context(), "second", 0)
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.Ledger.Failures(t.Context(), "second", 3)
	if err != nil || !slices.Equal(keysOf(again), keysOf(all)[:3]) {
		t.Errorf("failures of one moment are in no lasting order: %q, %q, %v", keysOf(all), keysOf(again), err)
	}
}

func failuresAreListedPageByPage(t *testing.T, f LedgerFixture) {
	for i := range 23 { // three of a moment
		mustFail(t, f, failureOf("mirror", fmt.Sprint("key ", i), day.Add(time.Duration(i/3)*time.Second)), failureOf("second", fmt.Sprint("key ", i), day))
	}
	pages := func(limit int, between func()) []object.Failure {
		var all []object.Failure
		for place := (object.FailurePlace{}); ; between() {
			page, err := f.Ledger.FailurePage(t.Context(), "mirror", place, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				return all
			}
			if len(page) > limit {
				t.Fatalf("a page of %d has %d", limit, len(page))
			}
			all = append(all, page...)
			place = page[len(page)-1].Place()
		}
	}
	for _, limit := range []int{1, 2, 5, 23, 100} {
		all := pages(limit, func() {})
		if !slices.IsSortedFunc(all, func(a, b object.Failure) int { return b.OccurredAt.Compare(a.OccurredAt) }) {
			t.Errorf("pages of %d are not from the newest: %q", limit, keysOf(all))
		}
		keys := keysOf(all)
		slices.Sort(keys)
		if len(slices.Compact(keys)) != 23 || len(all) != 23 {
			t.Errorf("pages of %d have %q", limit, keysOf(all))
		}
	}
	// What comes last on a page is gone, or occurs again, before the next is
	// asked for: nothing else is left out, or told twice.
	first := true
	all := pages(5, func() {
		if first {
			newest := pages(5, func() {})
			if err := f.Ledger.Healed(t.Context(), "mirror", newest[4].Source); err != nil {
				t.Fatal(err)
			}
		} else {
			mustFail(t, f, failureOf("mirror", "key 5", day.Add(time.Hour)))
		}
		first = false
	})
	keys := keysOf(all)
	slices.Sort(keys)
	if keys = slices.Compact(keys); len(keys) < 22 || len(all) > 23 {
		t.Errorf("%d of %d were told", len(keys), len(all))
	}
}

func failuresAreDueFromTheOldest(t *testing.T, f LedgerFixture) {
	now := day.Add(time.Hour)
	due := func(key string, at time.Time) object.Failure {
		f := failureOf("mirror", key, day)
		f.RetryAt = at
		return f
	}
	other := due("another rule's", day)
	other.Rule = "second"
	mustFail(t, f,
		due("now", now), due("long ago", day.Add(-time.Hour)), due("soon", now.Add(time.Millisecond)), due("just", now.Add(-time.Millisecond)),
		due("never", time.Time{}), due("no more", day), due("no more", time.Time{}), other)
	for limit, want := range map[int][]string{
		0: {"long ago", "just", "now"}, 2: {"long ago", "just"}, 10: {"long ago", "just", "now"},
	} {
		got, err := f.Ledger.Due(t.Context(), "mirror", now, limit)
		if err != nil || !slices.Equal(keysOf(got), want) {
			t.Errorf("at most %d are due: %q, %v; want %q", limit, keysOf(got), err, want)
		}
	}
	got, err := f.Ledger.Due(t.Context(), "mirror", now, 1)
	want := due("long ago", day.Add(-time.Hour))
	want.Attempts = 1
	if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("due is %+v, %v; want %+v", got, err, want)
	}
	if got, err := f.Ledger.Due(t.Context(), "third", now, 0); err != nil || len(got) > 0 {
		t.Errorf("due of a rule without failures: %+v, %v", got, err)
	}
}

func postponeConditions(t *testing.T, f LedgerFixture) {
	to := day.Add(time.Hour)
	seen := failureOf("mirror", "k", day)
	seen.RetryAt = day.Add(time.Minute)
	wantClass(t, "none", f.Ledger.Postpone(t.Context(), seen, to), object.Premise)
	never := seen
	never.RetryAt = time.Time{}
	wantClass(t, "none, never tried again", f.Ledger.Postpone(t.Context(), never, to), object.Premise)
	wantFailures(t, f, "mirror")

	mustFail(t, f, seen)
	for name, change := range map[string]func(f *object.Failure){
		"occurred since":    func(f *object.Failure) { f.OccurredAt = day.Add(-time.Second) },
		"postponed since":   func(f *object.Failure) { f.RetryAt = day },
		"never tried again": func(f *object.Failure) { f.RetryAt = time.Time{} },
		"another rule's":    func(f *object.Failure) { f.Rule = "second" },
	} {
		other := seen
		change(&other)
		wantClass(t, name, f.Ledger.Postpone(t.Context(), other, to), object.Premise)
	}
	other := seen
	other.Code, other.Attempts = "NotWritten", 9
	if err := f.Ledger.Postpone(t.Context(), other, to); err != nil {
		t.Fatal(err)
	}
	wantClass(t, "again", f.Ledger.Postpone(t.Context(), seen, to), object.Premise)
	seen.RetryAt, seen.Attempts = to, 1
	if got, err := f.Ledger.Failures(t.Context(), "mirror", 0); err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], seen) {
		t.Errorf("postponed to %+v, %v; want %+v", got, err, seen)
	}
	if got, err := f.Ledger.Due(t.Context(), "mirror", to.Add(-time.Millisecond), 0); err != nil || len(got) > 0 {
		t.Errorf("due before its time: %+v, %v", got, err)
	}
	if got, err := f.Ledger.Due(t.Context(), "mirror", to, 0); err != nil || len(got) != 1 {
		t.Errorf("not due: %+v, %v", got, err)
	}
	f.LoseNextAnswer()
	if err := f.Ledger.Postpone(t.Context(), seen, to.Add(time.Hour)); err != nil {
		wantClass(t, "a lost answer", err, object.Retryable)
	}
	if got, err := f.Ledger.Failures(t.Context(), "mirror", 0); err != nil || len(got) != 1 || !got[0].RetryAt.Equal(to.Add(time.Hour)) {
		t.Errorf("postponed, the answer lost: %+v, %v", got, err)
	}
}

func racingPostpones(t *testing.T, f LedgerFixture) {
	seen := failureOf("mirror", "k", day)
	seen.RetryAt = day
	mustFail(t, f, seen)
	race(t, func(int) error { return f.Ledger.Postpone(t.Context(), seen, day.Add(time.Hour)) })
}

func whatReplicatedIsNoFailure(t *testing.T, f LedgerFixture) {
	odd := failureOf("mirror", "not utf-8 \xff", day)
	mustFail(t, f, failureOf("mirror", "a", day), odd, failureOf("second", "a", day))
	for range 2 {
		for _, failure := range []object.Failure{failureOf("mirror", "a", day), odd} {
			if err := f.Ledger.Healed(t.Context(), "mirror", failure.Source); err != nil {
				t.Fatal(err)
			}
		}
	}
	wantFailures(t, f, "mirror")
	wantFailures(t, f, "second", "a")
	mustFail(t, f, failureOf("mirror", "a", day))
	if got, err := f.Ledger.Failures(t.Context(), "mirror", 0); err != nil || len(got) != 1 || got[0].Attempts != 1 {
		t.Errorf("failed anew: %+v, %v", got, err)
	}
}

func healRemovesWhatIsOlder(t *testing.T, f LedgerFixture) {
	for i := range 40 {
		mustFail(t, f, failureOf("mirror", fmt.Sprint(i), day.Add(-time.Duration(i+1)*time.Millisecond)))
	}
	mustFail(t, f, failureOf("mirror", "then", day), failureOf("mirror", "after", day.Add(time.Millisecond)), failureOf("second", "before", day.Add(-time.Hour)))
	damaged := failureOf("mirror", "damaged", day.Add(-time.Hour))
	damaged.Damaged = object.Dest{ETag: "e", LastModified: day, VersionID: "v"}
	mustFail(t, f, damaged)
	if err := f.Ledger.Heal(t.Context(), "mirror", day, false); err != nil {
		t.Fatal(err)
	}
	wantFailures(t, f, "mirror", "after", "then", "damaged")
	if got, _, err := f.Ledger.Failure(t.Context(), "mirror", damaged.Source); err != nil || got.Damaged != damaged.Damaged {
		t.Errorf("read %+v, %v", got, err)
	}
	if err := f.Ledger.Heal(t.Context(), "mirror", day, true); err != nil {
		t.Fatal(err)
	}
	wantFailures(t, f, "mirror", "after", "then")
	wantFailures(t, f, "second", "before")
}

func trimKeepsTheNewest(t *testing.T, f LedgerFixture) {
	for i := range 30 {
		mustFail(t, f, failureOf("mirror", fmt.Sprint(i), day.Add(time.Duration(i)*time.Millisecond)))
	}
	mustFail(t, f, failureOf("second", "old", day.Add(-time.Hour)))
	for _, c := range []struct{ keep, removed, left int }{{31, 0, 30}, {30, 0, 30}, {3, 27, 3}, {3, 0, 3}} {
		n, err := f.Ledger.Trim(t.Context(), "mirror", c.keep)
		if err != nil || n != c.removed {
			t.Errorf("removed %d to keep %d, %v; want %d", n, c.keep, err, c.removed)
		}
		if all, err := f.Ledger.Failures(t.Context(), "mirror", 0); err != nil || len(all) != c.left {
			t.Errorf("%d left, %v; want %d", len(all), err, c.left)
		}
	}
	wantFailures(t, f, "mirror", "29", "28", "27")
	if n, err := f.Ledger.Trim(t.Context(), "mirror", 0); err != nil || n != 3 {
		t.Errorf("removed %d to keep none, %v", n, err)
	}
	wantFailures(t, f, "mirror")
	wantFailures(t, f, "second", "old")
}

func deletesAddUp(t *testing.T, f LedgerFixture) {
	count := func(ruleName string, at time.Time, n int) int64 {
		t.Helper()
		sum, err := f.Ledger.CountDeletes(t.Context(), ruleName, at, n)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	elsewhere := day.Add(10 * time.Minute).In(time.FixedZone("elsewhere", 5*3600+1800))
	for _, c := range []struct {
		rule string
		at   time.Time
		n    int
		want int64
	}{
		{"mirror", day, 0, 0},
		{"mirror", day.Add(59 * time.Minute), 3, 3},
		{"mirror", elsewhere, 1000, 1003},
		{"mirror", day.Add(time.Hour), 1, 1},
		{"mirror", day.Add(-time.Nanosecond), 5, 5},
		{"second", day, 2, 2},
		{"mirror", day, 0, 1003},
	} {
		if got := count(c.rule, c.at, c.n); got != c.want {
			t.Errorf("%d more of %s at %v: %d, want %d", c.n, c.rule, c.at, got, c.want)
		}
	}
	var wg sync.WaitGroup
	for range racers {
		wg.Go(func() {
			if _, err := f.Ledger.CountDeletes(t.Context(), "third", day, 2); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := count("third", day, 0); got != 2*racers {
		t.Errorf("%d counted at the same time, want %d", got, 2*racers)
	}
}

// Hours add up beside the deletes, which the limit is measured by and which are
// no hour to be listed.
func hoursAddUp(t *testing.T, f LedgerFixture) {
	wantHours := func(ruleName string, from time.Time, want ...object.Hour) {
		t.Helper()
		got, err := f.Ledger.Hours(t.Context(), ruleName, from)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("hours of %s: %+v, %v\nwant %+v", ruleName, got, err, want)
		}
	}
	count := func(ruleName string, h object.Hour) {
		t.Helper()
		if err := f.Ledger.CountHour(t.Context(), ruleName, h); err != nil {
			t.Fatal(err)
		}
	}
	all := object.Hour{Begin: day, Copied: 1, Bytes: 2, Deleted: 3, Failed: 4}
	for class := range all.Lag.Within {
		all.Lag.Within[class] = int64(class + 1)
	}
	all.Lag.Sum = 90 * time.Minute
	wantHours("mirror", day)
	count("mirror", all)
	wantHours("mirror", day, all)

	if _, err := f.Ledger.CountDeletes(t.Context(), "mirror", day, 7); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Ledger.CountDeletes(t.Context(), "mirror", day.Add(time.Hour), 7); err != nil {
		t.Fatal(err)
	}
	late := object.Hour{Begin: day.Add(59*time.Minute + 59*time.Second).In(time.FixedZone("elsewhere", 5*3600+1800)), Copied: 10}
	late.Lag.Observe(1500 * time.Millisecond)
	count("mirror", late)
	all.Copied += 10
	all.Lag.Sum += 1500 * time.Millisecond
	all.Lag.Within[2]++
	before, next := object.Hour{Begin: day.Add(-time.Hour), Deleted: 1}, object.Hour{Begin: day.Add(2 * time.Hour), Failed: 1}
	count("mirror", next)
	count("mirror", before)
	count("mirro", object.Hour{Begin: day, Copied: 1}) // another rule
	wantHours("mirror", day.Add(-24*time.Hour), before, all, next)
	wantHours("mirror", day.Add(time.Minute), all, next)
	wantHours("mirror", day.Add(time.Hour), next)
	wantHours("mirror", day.Add(3*time.Hour))
	if sum, err := f.Ledger.CountDeletes(t.Context(), "mirror", day, 0); err != nil || sum != 7 {
		t.Errorf("the limit sees %d deletes, %v; want 7", sum, err)
	}

	var wg sync.WaitGroup
	for range racers {
		wg.Go(func() {
			if err := f.Ledger.CountHour(t.Context(), "third", object.Hour{Begin: day, Bytes: 2}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantHours("third", day, object.Hour{Begin: day, Bytes: 2 * racers})
}
