package storetest

import (
	"context"
	"maps"
	"reflect"
	"testing"
	"time"

	"bucket-replicator/shared/object"
)

// Capabilities answers what backends were seen to keep.
func (l *Ledger) Capabilities(ctx context.Context) (map[object.Endpoint]object.Capabilities, error) {
	all := map[object.Endpoint]object.Capabilities{}
	err := l.call(ctx, "ledger.capabilities", object.Ref{}, func() error {
		for at, seen := range l.capabilities {
			all[at] = maps.Clone(seen)
		}
		return nil
	})
	return all, err
}

// Observe remembers what a backend was seen to keep.
func (l *Ledger) Observe(ctx context.Context, at object.Endpoint, what object.Capability, seen object.Seen) error {
	return l.call(ctx, "ledger.observe", object.Ref{}, func() error {
		if l.capabilities == nil {
			l.capabilities = map[object.Endpoint]object.Capabilities{}
		}
		if l.capabilities[at] == nil {
			l.capabilities[at] = object.Capabilities{}
		}
		l.capabilities[at][what] = seen
		return nil
	})
}

func whatBackendsKeepIsRemembered(t *testing.T, f LedgerFixture) {
	want := map[object.Endpoint]object.Capabilities{}
	observe := func(at object.Endpoint, what object.Capability, kept bool, when time.Time) {
		t.Helper()
		if err := f.Ledger.Observe(t.Context(), at, what, object.Seen{Kept: kept, At: when}); err != nil {
			t.Fatal(err)
		}
		if want[at] == nil {
			want[at] = object.Capabilities{}
		}
		want[at][what] = object.Seen{Kept: kept, At: when}
		if got, err := f.Ledger.Capabilities(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, %v\nwant %v", got, err, want)
		}
	}
	if got, err := f.Ledger.Capabilities(t.Context()); err != nil || len(got) > 0 {
		t.Errorf("an empty ledger answers %v, %v", got, err)
	}
	hq := object.Endpoint{Backend: "hq", URL: "https://minio.example:9000"}
	moved := object.Endpoint{Backend: "hq", URL: "https://new.example"}
	for i, what := range object.CapabilityList {
		observe(hq, what, i%2 == 0, day.Add(time.Duration(i)*time.Minute))
	}
	observe(moved, object.Tags, false, day)
	observe(moved, object.Tags, true, day.Add(time.Hour)) // another server since
	observe(hq, object.CopyConditions, false, day.Add(time.Hour))
	observe(object.Endpoint{Backend: "aws"}, object.Versions, true, day)
	if failures, err := f.Ledger.Failures(t.Context(), "hq", 10); err != nil || len(failures) > 0 {
		t.Errorf("they are taken for failures: %v, %v", failures, err)
	}
}
