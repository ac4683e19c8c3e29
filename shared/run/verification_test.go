package run_test

import (
	"testing"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"
)

func TestAVerificationIsAJobOfItsOwn(t *testing.T) {
	s := newStage(t)
	replicates, err := s.runs.Start(ctx, s.rule, run.BySchedule, run.Asked{})
	if err != nil {
		t.Fatal(err)
	}
	before := s.job()
	s.rule.Paused = true
	verifies, err := s.runs.Verify(ctx, s.rule, run.Checksum, 5)
	if err != nil {
		t.Fatal(err)
	}
	if verifies.ID != 1 || verifies.Mode != run.Checksum || verifies.Percent != 5 || !verifies.Verifies() || replicates.Verifies() {
		t.Errorf("%+v", verifies)
	}
	if run.RuleOf(verifies.Rule) != "r" || run.RuleOf("r") != "r" || verifies.Rule == "r" {
		t.Errorf("kept as %q", verifies.Rule)
	}
	if s.job() != before {
		t.Errorf("the rule's own job became %+v", s.job())
	}
	if _, err := s.runs.Verify(ctx, s.rule, run.Bytes, 0); object.CodeOf(err) != run.CodeActive {
		t.Errorf("a second one: %v", err)
	}
	stored, err := s.store.Run(ctx, verifies.Rule, 1)
	if err != nil || stored.Mode != run.Checksum {
		t.Errorf("%+v, %v", stored, err)
	}
	tickets := s.tickets.Take()
	if len(tickets) != 2 || tickets[1] != (run.Ticket{Rule: verifies.Rule, Run: 1, Shard: "1", Phase: run.Copying}) {
		t.Errorf("tickets %+v", tickets)
	}
}

func TestAVerificationEndsWithWhatItFound(t *testing.T) {
	for name, c := range map[string]struct {
		shardError string
		want       run.State
	}{
		"every key seen": {"", run.Succeeded},
		"some were not":  {"listing denied", run.Failed},
	} {
		s := newStage(t)
		begun, err := s.runs.Verify(ctx, s.rule, run.Metadata, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, shard, err := s.runs.Claim(ctx, s.tickets.Take()[0], "w")
		if err != nil {
			t.Fatal(err)
		}
		shard.Scanned = 2
		shard.Find(run.Finding{Key: "a", Grade: run.Grade{Class: run.Mismatch, Reason: "size"}})
		shard.Find(run.Finding{Key: "b", Grade: run.Grade{Class: run.OrphanOnDest, Reason: "not_ours", Kept: true}})
		shard.Error = c.shardError
		end, err := s.runs.End(ctx, s.rule, shard)
		if err != nil {
			t.Fatal(err)
		}
		if end.State != c.want || end.Differences() != 2 || end.Kept() != 1 || end.Of(run.Mismatch) != 1 || len(end.Findings) != 2 {
			t.Errorf("%s: %+v", name, end)
		}
		jobs, err := s.store.Jobs(ctx, []string{begun.Rule})
		if err != nil {
			t.Fatal(err)
		}
		if j := jobs[begun.Rule]; j.ActiveRun != 0 || j.Retry || !j.NextDue.IsZero() {
			t.Errorf("%s: the job is %+v", name, j)
		}
		if n := s.store.Counts()["runs.heal"]; n != 0 {
			t.Errorf("%s: failures were healed, which nobody tried again", name)
		}
	}
}

func TestFindingsAddUp(t *testing.T) {
	var a, b run.Totals
	for range run.MaxFindings + 3 {
		a.Find(run.Finding{Key: "a", Grade: run.Grade{Class: run.Matched, Reason: "etag"}})
		b.Find(run.Finding{Key: "b", Grade: run.Grade{Class: run.Matched, Reason: "bytes"}})
	}
	b.Find(run.Finding{Key: "c", Grade: run.Grade{Class: run.Mismatch, Reason: "tags"}})
	b.Find(run.Finding{Key: "d", Grade: run.Grade{Class: run.NotCovered, Reason: "excluded"}})
	sum := a.Add(b)
	if sum.Of(run.Matched) != 2*(run.MaxFindings+3) || sum.Of(run.NotCovered) != 1 || sum.Differences() != 1 || len(sum.Findings) != run.MaxFindings+1 {
		t.Errorf("%+v", sum)
	}
	sum.Find(run.Finding{Grade: run.Grade{Class: run.Mismatch, Reason: "tags"}})
	sum.Findings[0].Key = "changed"
	if a.Findings[0].Key != "a" || b.Of(run.Mismatch) != 1 || a.Of(run.Mismatch) != 0 {
		t.Errorf("the operands are %+v and %+v", a, b)
	}
}
