package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"
)

var (
	day    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	shard  = run.Shard{Rule: "mirror", Run: 3, ID: "1.2", Phase: run.Copying, Fence: 4, SentAt: day}
	ticket = run.Ticket{Rule: "mirror", Run: 3, Shard: "1.2", Phase: run.Deleting}
	done   = answer{status: 200, body: "{}"}
)

// stored is shard 1.2 of run 3 as an item, with these attributes besides.
func stored(attributes string) string {
	return `{"rule":{"S":"mirror"},"item":{"S":"shard#00000000000000000003#1.2"},` + attributes + `}`
}

func conditionFailed(item string) answer {
	a := refused(400, "ConditionalCheckFailedException")
	a.body = strings.TrimSuffix(a.body, "}") + `,"Item":` + item + `}`
	return a
}

func ops(f *table) []string {
	var all []string
	for _, r := range f.asked {
		all = append(all, r.Op)
	}
	return all
}

// Requests are the bill: a shard is saved every few seconds of a run.
func TestEachStepOfARunIsOneRequest(t *testing.T) {
	of := run.Run{Rule: "mirror", ID: 3, State: run.Running, Phase: run.Copying, Open: 1}
	ended := of
	ended.State = run.Succeeded
	job := run.Job{Rule: "mirror", LastRun: 3, ActiveRun: 3}
	failure := object.Failure{Rule: "mirror", Source: at, OccurredAt: day, RetryAt: day}
	item := answer{status: 200, body: `{"Attributes":` + stored(`"p":{"N":"1"},"f":{"N":"5"}`) + `}`}
	none := answer{status: 200, body: `{"Items":[]}`}
	for name, c := range map[string]struct {
		op     string
		answer answer
		do     func(s run.Store) error
	}{
		"jobs": {"BatchGetItem", done, func(s run.Store) error { _, err := s.Jobs(t.Context(), []string{"mirror", "second"}); return err }},
		"overview": {"BatchGetItem", done, func(s run.Store) error {
			_, err := s.(*ledger.Ledger).Overview(t.Context(), []string{"mirror", "second"}, map[string]int64{"mirror": 3})
			return err
		}},
		"set": {"TransactWriteItems", done, func(s run.Store) error { return s.SetJob(t.Context(), job, job) }},
		"begin": {"TransactWriteItems", done, func(s run.Store) error {
			return s.Begin(t.Context(), run.Job{Rule: "mirror"}, job, of, shard)
		}},
		"runs":   {"Query", none, func(s run.Store) error { _, err := s.Runs(t.Context(), "mirror", 0, 10); return err }},
		"shards": {"Query", none, func(s run.Store) error { _, err := s.Shards(t.Context(), "mirror", 3); return err }},
		"turn":   {"TransactWriteItems", done, func(s run.Store) error { return s.Turn(t.Context(), of, ended, job) }},
		"claim":  {"UpdateItem", item, func(s run.Store) error { _, err := s.Claim(t.Context(), ticket, "w", day, day); return err }},
		"save":   {"PutItem", done, func(s run.Store) error { return s.Save(t.Context(), shard) }},
		"share":  {"TransactWriteItems", done, func(s run.Store) error { return s.Share(t.Context(), shard, make([]run.Shard, run.MaxChildren)) }},
		"end":    {"TransactWriteItems", done, func(s run.Store) error { return s.End(t.Context(), shard) }},
		"resent": {"TransactWriteItems", done, func(s run.Store) error { return s.Resent(t.Context(), shard, day) }},
		"heal":   {"Query", none, func(s run.Store) error { return s.Heal(t.Context(), "mirror", day, false) }},
	} {
		l, f := open(t, c.answer)
		if err := c.do(l); err != nil || !slices.Equal(ops(f), []string{c.op}) {
			t.Errorf("%s: %q, %v", name, ops(f), err)
		}
	}
	l, f := open(t, done, none, done)
	if err := l.Postpone(t.Context(), failure, day); err != nil {
		t.Error(err)
	}
	if _, err := l.Due(t.Context(), "mirror", day, 10); err != nil {
		t.Error(err)
	}
	if err := l.Healed(t.Context(), "mirror", at); err != nil {
		t.Error(err)
	}
	if want := []string{"TransactWriteItems", "Query", "DeleteItem"}; !slices.Equal(ops(f), want) {
		t.Errorf("failures: %q", ops(f))
	}
}

func TestAShardThatAnotherClaimOpensMeanwhile(t *testing.T) {
	ended := conditionFailed(stored(`"p":{"N":"1"},"f":{"N":"4"},"e":{"BOOL":true}`))
	opened := conditionFailed(stored(`"p":{"N":"2"},"f":{"N":"5"},"o":{"S":"other"}`))
	ours := answer{status: 200, body: `{"Attributes":` + stored(`"p":{"N":"2"},"f":{"N":"6"},"o":{"S":"w"}`) + `}`}
	l, f := open(t, ended, opened, opened)
	if _, err := l.Claim(t.Context(), ticket, "w", day, day.Add(time.Minute)); object.ClassOf(err) != object.Premise || len(f.asked) != 3 {
		t.Errorf("another's: %d requests, %v", len(f.asked), err)
	}
	// It was this very claim, whose answer was lost.
	l, _ = open(t, ended, opened, ours)
	if s, err := l.Claim(t.Context(), ticket, "w", day, day.Add(time.Minute)); err != nil || s.Owner != "w" || s.Fence != 6 {
		t.Errorf("one's own: %+v, %v", s, err)
	}
}

func TestATransactionThatAlwaysMeetsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answers []answer
		for range 13 {
			answers = append(answers, cancelled("None", "TransactionConflict"))
		}
		l, _ := open(t, answers...)
		err := l.End(t.Context(), shard)
		if object.ClassOf(err) != object.Retryable || object.CodeOf(err) != "TransactionCanceledException" {
			t.Errorf("got %v", err)
		}
	})
}

func TestAFailureThatOccursAgainWhileItIsRemovedStays(t *testing.T) {
	item := func(n int) string {
		return fmt.Sprintf(`{"rule":{"S":"mirror"},"item":{"S":"failure#%d"},"source_key":{"S":"%d"},"occurred_at":{"N":"%d"}}`, n, n, n)
	}
	list := answer{status: 200, body: `{"Items":[` + item(1) + `,` + item(2) + `]}`}
	again := conditionFailed(item(9))
	l, _ := open(t, list, again)
	if n, err := l.Trim(t.Context(), "mirror", 1); n != 0 || err != nil {
		t.Errorf("trimmed %d, %v", n, err)
	}
	l, _ = open(t, list, again)
	if err := l.Heal(t.Context(), "mirror", time.UnixMilli(2), false); err != nil {
		t.Errorf("healed: %v", err)
	}
	l, _ = open(t, list, refused(400, "AccessDeniedException"))
	if n, err := l.Trim(t.Context(), "mirror", 1); n != 0 || object.ClassOf(err) != object.Permanent {
		t.Errorf("trimmed %d without the right to, %v", n, err)
	}
}

func TestWhatFailsNamesTheShard(t *testing.T) {
	l, _ := open(t, refused(400, "ConditionalCheckFailedException"))
	err := l.Save(t.Context(), shard)
	if want := "save dynamodb/runs/mirror/shard#00000000000000000003#1.2: ConditionalCheckFailedException"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
