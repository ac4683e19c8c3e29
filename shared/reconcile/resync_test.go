package reconcile_test

import (
	"fmt"
	"testing"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

// resync looks at every object.
func (w *world) resync() run.Run {
	r, ticket := w.start(true)
	if err := w.worker(1000).Work(w.t.Context(), ticket, "w"); err != nil {
		w.t.Fatal(err)
	}
	return w.ended(r.ID)
}

func (w *world) at(b object.Bucket, key string) object.Ref { return object.Ref{Bucket: b, Key: key} }

// tags are those of a replica.
func (w *world) tags(key string) string {
	found, _ := w.objects.Get(w.at(dest, key))
	return fmt.Sprint(found.Tags)
}

func TestAResyncFindsTagsThatNoEventToldOf(t *testing.T) {
	for conflict, theirs := range map[rule.Conflict]string{rule.NewerWins: "map[whose:theirs]", rule.SourceWins: "map[whose:ours]"} {
		t.Run(string(conflict), func(t *testing.T) {
			w := calm(t, storetest.Traits{Versioned: true}, func(r *rule.Rule) { r.Conflict = conflict })
			for _, key := range []string{"bare", "equal", "tagged"} {
				w.put(source, key, "x")
			}
			w.sweep()
			ours := map[string]string{"whose": "ours"}
			for _, key := range []string{"bare", "equal", "tagged"} {
				w.objects.PutTags(w.at(source, key), ours)
			}
			w.objects.PutTags(w.at(dest, "equal"), ours)
			w.objects.PutTags(w.at(dest, "tagged"), map[string]string{"whose": "theirs"})
			if r := w.sweep(); r.Skipped[string(decide.InSync)] != 3 {
				t.Errorf("a plain sweep, which looks at no tags: %+v", r)
			}
			w.objects.ResetCounts()
			r := w.resync()
			if w.tags("bare") != "map[whose:ours]" || w.tags("tagged") != theirs {
				t.Errorf("the tags are %s and %s", w.tags("bare"), w.tags("tagged"))
			}
			retagged := w.objects.Counts()["objects.retag"]
			if r.Copied != 0 || int64(retagged) != r.Skipped[string(decide.TagsOnly)] || r.Skipped[string(decide.TagsDiffer)] != int64(2-retagged) {
				t.Errorf("%d taggings, %+v", retagged, r)
			}
			w.objects.ResetCounts()
			if w.resync(); w.objects.Counts()["objects.retag"] != 0 {
				t.Error("it does not settle")
			}
		})
	}
}

func TestAResyncFollowsRetentionAndLegalHolds(t *testing.T) {
	w := calm(t, storetest.Traits{Versioned: true, ObjectLock: true}, func(r *rule.Rule) { r.ReplicateObjectLock = true })
	for _, key := range []string{"held", "kept for longer", "over", "untouched"} {
		w.put(source, key, "x")
	}
	w.sweep()
	later := w.now().Add(100 * time.Hour)
	held, longer := object.Lock{LegalHold: true}, object.Lock{Mode: "COMPLIANCE", Until: later.Add(time.Hour)}
	w.objects.Retain(w.at(source, "held"), held)
	w.objects.Retain(w.at(source, "kept for longer"), object.Lock{Mode: "COMPLIANCE", Until: later})
	w.objects.Retain(w.at(dest, "kept for longer"), longer)
	w.objects.Retain(w.at(source, "over"), object.Lock{Mode: "GOVERNANCE", Until: w.now()})
	if r := w.resync(); r.Copied != 1 || r.Skipped[string(decide.InSync)] != 3 {
		t.Errorf("%+v", r)
	}
	for key, want := range map[string]object.Lock{"held": held, "kept for longer": longer, "over": {}, "untouched": {}} {
		if found, _ := w.objects.Get(w.at(dest, key)); found.Lock != want {
			t.Errorf("%s: the replica's lock is %+v, want %+v", key, found.Lock, want)
		}
	}
	if r := w.resync(); r.Copied != 0 {
		t.Errorf("it does not settle: %+v", r)
	}
}
