package adminapi_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

// verified leaves the rule with a verification that found some differences.
func (w *world) verified(name string) {
	w.t.Helper()
	w.ask("POST /jobs/"+name+"/verify?mode=bytes").wants(http.StatusAccepted, "")
	shard := w.claim()
	w.wait(time.Minute)
	shard.Scanned, shard.Bytes = 8, 70
	for _, f := range []run.Finding{
		{Key: name + "/missing", Grade: run.Grade{Class: run.MissingOnDest, Reason: "missing"}, Why: "the destination has no such object"},
		{Key: name + "/<b>", Grade: run.Grade{Class: run.Mismatch, Reason: "size"}, Why: "the source has 7 bytes, the destination 6"},
		{Key: name + "/\xff", Grade: run.Grade{Class: run.Mismatch, Reason: "tags", Damaged: true}, Why: "object tags differ: t"},
		{Key: name + "/rotten", Grade: run.Grade{Class: run.Mismatch, Reason: "bytes", Damaged: true}, Why: "the bytes differ"},
		{Key: name + "/theirs", Grade: run.Grade{Class: run.Mismatch, Reason: "headers", Kept: true}, Why: "content headers differ: Content-Type"},
		{Key: name + "/k", Grade: run.Grade{Class: run.Unverifiable, Reason: "archived"}, Why: "archived"},
		{Key: name + "/l", Grade: run.Grade{Class: run.Matched, Reason: "bytes"}, Why: "every byte is equal"},
		{Key: name + "/m", Grade: run.Grade{Class: run.NotCovered, Reason: "excluded"}},
	} {
		shard.Find(f)
	}
	_, err := w.runs.End(context.Background(), w.rule(name), shard)
	w.must(err)
}

func TestAVerificationSaysWhatItFound(t *testing.T) {
	w := newWorld(t)
	w.verified("a")
	got := w.ask("GET /jobs/a/verify").wants(200, "").json()
	for field, want := range map[string]any{
		"verification_id": 1.0, "mode": "bytes", "sample_percent": nil, "status": "succeeded", "verdict": "differs", "objects_scanned": 8.0,
		"objects_expected": 8.0, "bytes_compared": 70.0, "error": nil,
		"detail": "Verification 1 saw every key: 8 keys seen, of which 1 match and 5 differ (1 missing, 0 orphaned, 4 mismatched); 1 could not be verified.",
	} {
		if got[field] != want {
			t.Errorf("%s is %v, want %v", field, got[field], want)
		}
	}
	counts := got["counts"].(map[string]any)
	for class, want := range map[run.Class]float64{
		run.Matched: 1, run.MissingOnDest: 1, run.OrphanOnDest: 0, run.Mismatch: 4, run.Unverifiable: 1, run.NotCovered: 1,
	} {
		if counts[string(class)] != want {
			t.Errorf("%v, want %v %s", counts, want, class)
		}
	}
	if n := got["by_reason"].(map[string]any)["mismatch"].(map[string]any)["size"]; n != 1.0 {
		t.Errorf("by reason: %v", got["by_reason"])
	}
	samples := got["samples"].([]any)
	first, third := samples[6].(map[string]any), samples[2].(map[string]any)
	if len(samples) != 7 || third["damaged"] != true || first["class"] != "matched" || third["dest_key_base64"] != "YS//" || third["why"] != "object tags differ: t" {
		t.Errorf("samples %v", samples)
	}
	repair := got["repair"].(map[string]any)
	if repair["method"] != "POST" || repair["path"] != "/jobs/a/run-now?compare=bytes" || repair["objects"] != 4.0 || repair["left"] != 1.0 ||
		repair["detail"] != "A run that compares by bytes, as this did, repairs 4 objects. It takes the source to be right: it copies what is missing or differs, "+
			"brings up to date what was damaged (2), and deletes orphans where the rule says so."+
			" It leaves 1 as they are: the samples say why, and what to do." {
		t.Errorf("repair %v", repair)
	}
	// What it offers is a route, and the rule's own job is untouched by all this.
	if begun := w.ask("POST "+repair["path"].(string)).wants(202, "").json(); begun["compare"] != "bytes" || begun["existing"] != false {
		t.Errorf("the run is %v", begun)
	}
}

// Where the listings show all that differs, the run that is offered is a plain one.
func TestAPlainRunIsOfferedWhereThatSuffices(t *testing.T) {
	w := newWorld(t)
	w.ask("POST /jobs/a/verify?mode=bytes").wants(http.StatusAccepted, "")
	shard := w.claim()
	shard.Find(run.Finding{Key: "k", Grade: run.Grade{Class: run.MissingOnDest, Reason: "missing"}})
	shard.Find(run.Finding{Key: "l", Grade: run.Grade{Class: run.Mismatch, Reason: "bytes"}})
	_, err := w.runs.End(context.Background(), w.rule("a"), shard)
	w.must(err)
	repair := w.ask("GET /jobs/a/verify").wants(200, "").json()["repair"].(map[string]any)
	if repair["path"] != "/jobs/a/run-now" || repair["objects"] != 2.0 || repair["left"] != 0.0 {
		t.Errorf("repair %v", repair)
	}
}

func TestTheVerdict(t *testing.T) {
	find := func(class run.Class) func(*run.Shard) {
		return func(s *run.Shard) { s.Find(run.Finding{Grade: run.Grade{Class: class, Reason: "r"}}) }
	}
	for name, c := range map[string]struct {
		found func(*run.Shard)
		want  string
	}{
		"all match":            {find(run.Matched), "clean"},
		"nothing covered":      {find(run.NotCovered), "clean"},
		"one cannot be proved": {find(run.Unverifiable), "unproven"},
		"one is missing":       {find(run.MissingOnDest), "differs"},
		"not all were seen":    {func(s *run.Shard) { s.Error = "denied" }, "incomplete"},
	} {
		w := newWorld(t)
		w.ask("POST /jobs/a/verify").wants(202, "")
		if got := w.ask("GET /jobs/a/verify").json()["verdict"]; got != "pending" {
			t.Errorf("under way: %v", got)
		}
		shard := w.claim()
		c.found(&shard)
		_, err := w.runs.End(context.Background(), w.rule("a"), shard)
		w.must(err)
		if got := w.ask("GET /jobs/a/verify").wants(200, "").json(); got["verdict"] != c.want || (got["repair"] != nil) != (c.want == "differs") {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := newWorld(t).ask("GET /jobs/a/verify").wants(200, "").json(); got["verdict"] != "never_verified" || got["status"] != nil {
		t.Errorf("never: %v", got)
	}
}

func TestAVerificationAndARunGoOnSideBySide(t *testing.T) {
	w := newWorld(t)
	w.start("a")
	w.ask("POST /jobs/a/verify?mode=checksum&sample=10").wants(202, "")
	w.ask("POST /jobs/a/verify").wants(409, "RunActive")
	if got := w.ask("GET /jobs/a/verify").json(); got["sample_percent"] != 10.0 || got["mode"] != "checksum" {
		t.Errorf("%v", got)
	}
	if got := w.ask("GET /jobs/a/runs").wants(200, "").json()["runs"].([]any); len(got) != 1 {
		t.Errorf("runs %v", got)
	}
	w.ask("POST /jobs/a/kill").wants(202, "")
	if got := w.ask("POST /jobs/a/verify/cancel").wants(202, "").json(); got["status"] != "cancelled" || got["verdict"] != "incomplete" {
		t.Errorf("%v", got)
	}
	w.ask("POST /jobs/a/verify/cancel").wants(409, "RunNotActive")
}

// A look costs a query of one item, and one of the shards while it is under way.
func TestALookAtAVerificationIsCheap(t *testing.T) {
	w := newWorld(t)
	w.ask("POST /jobs/a/verify").wants(202, "")
	before := w.store.Counts()
	w.ask("GET /jobs/a/verify").wants(200, "")
	after := w.store.Counts()
	for op, n := range after {
		if want := map[string]int{"runs.list": 1, "runs.shards": 1}[op]; n-before[op] != want {
			t.Errorf("%s: %d calls", op, n-before[op])
		}
	}
}

func TestAVerificationWhoseTicketIsLostGoesOnByItself(t *testing.T) {
	w := newWorld(t)
	w.tickets.Hook = failHook(storetest.FailBefore, "tickets.send")
	w.ask("POST /jobs/a/verify").wants(202, "")
}
