package storetest_test

import (
	"errors"
	"slices"
	"testing"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

var (
	_ run.Store = (*storetest.Runs)(nil)
	_ run.Queue = (*storetest.Tickets)(nil)
)

func TestTheFakeStoreOfRunsKeepsTheStoresPromises(t *testing.T) {
	storetest.TestRuns(t, func(*testing.T) storetest.RunsFixture {
		l := &storetest.Ledger{}
		r := &storetest.Runs{Ledger: l}
		return storetest.RunsFixture{
			Runs: r, Ledger: l,
			LoseNextAnswer: func() {
				r.Hook = func(storetest.Call) (storetest.Fault, error) {
					r.Hook = nil
					return storetest.ApplyThenFail, &object.Error{Code: "ConnectionReset"}
				}
			},
		}
	})
}

func TestTheHookDecidesTheFateOfWhatIsDoneToRuns(t *testing.T) {
	lost := errors.New("lost")
	var calls []storetest.Call
	fault := storetest.FailBefore
	r := &storetest.Runs{Hook: func(c storetest.Call) (storetest.Fault, error) {
		calls = append(calls, c)
		return fault, lost
	}}
	s := run.Shard{Rule: "mirror", Run: 3, ID: "1.2", Phase: run.Copying}
	begin := func() error {
		return r.Begin(t.Context(), run.Job{}, run.Job{Rule: "mirror", LastRun: 3}, run.Run{Rule: "mirror", ID: 3}, s)
	}
	if err := begin(); err != lost {
		t.Errorf("failed before: %v", err)
	}
	fault = storetest.ApplyThenFail
	if err := begin(); err != lost {
		t.Errorf("applied, then failed: %v", err)
	}
	fault = storetest.None
	if err := r.Save(t.Context(), s); err != nil {
		t.Errorf("it took effect, but: %v", err)
	}
	want := []storetest.Call{
		{Op: "runs.begin", Ref: object.Ref{Key: "mirror/3"}}, {Op: "runs.begin", Ref: object.Ref{Key: "mirror/3"}},
		{Op: "runs.save", Ref: object.Ref{Key: "mirror/3/1.2"}},
	}
	if !slices.Equal(calls, want) || r.Counts()["runs.begin"] != 2 {
		t.Errorf("calls %v, counts %v", calls, r.Counts())
	}
}

func TestTicketsAreKeptUntilTheyAreTaken(t *testing.T) {
	lost := errors.New("lost")
	fault := storetest.None
	q := &storetest.Tickets{Hook: func(c storetest.Call) (storetest.Fault, error) {
		if c.Op != "tickets.send" {
			t.Errorf("called %q", c.Op)
		}
		return fault, lost
	}}
	one, two, three := run.Ticket{Shard: "1"}, run.Ticket{Shard: "2"}, run.Ticket{Shard: "3"}
	if err := q.Send(t.Context(), []run.Ticket{one, two}); err != nil {
		t.Error(err)
	}
	fault = storetest.FailBefore
	if err := q.Send(t.Context(), []run.Ticket{one}); err != lost {
		t.Errorf("failed before: %v", err)
	}
	fault = storetest.ApplyThenFail
	if err := q.Send(t.Context(), []run.Ticket{three}); err != lost {
		t.Errorf("applied, then failed: %v", err)
	}
	if got := q.Take(); !slices.Equal(got, []run.Ticket{one, two, three}) {
		t.Errorf("took %v", got)
	}
	if got := q.Take(); len(got) > 0 {
		t.Errorf("took twice: %v", got)
	}
}
