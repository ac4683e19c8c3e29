package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

// verified is a verification of the rule in good weather.
func (w *world) verified(mode run.Mode, percent int64) run.Run {
	w.t.Helper()
	v, err := w.runs.Verify(context.Background(), w.rule(), mode, percent)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.finishOf(v.Rule, v.ID)
}

// pair is a world with so many objects, all of them replicated long ago.
func pair(t testing.TB, n int, edit ...func(*rule.Rule)) *world {
	r := storetest.Mirror("a", "b")
	r.BatchSize = 3
	for _, e := range edit {
		e(&r)
	}
	w := newWorld(t, rand.New(rand.NewPCG(1, 1)), storetest.Traits{}, r)
	for i := range n {
		w.does(func() {
			w.objects.Put(object.Ref{Bucket: source, Key: fmt.Sprintf("k%02d", i)}, storetest.Content{
				Body: []byte(fmt.Sprint("text ", i)), ContentType: "text/plain", Metadata: map[string]string{"n": fmt.Sprint(i)},
				Tags: map[string]string{"t": "1"}, Summed: true,
			})
		})
	}
	w.sweep()
	w.pass(24 * time.Hour)
	return w
}

// writes are the requests that change a bucket or the ledger.
func writes(w *world) map[string]int {
	counts := map[string]int{}
	for op, n := range w.objects.Counts() {
		if op == "objects.copy" || op == "objects.delete" {
			counts[op] = n
		}
	}
	for op, n := range w.ledger.Counts() {
		if op != "ledger.read" && op != "catalog.read" {
			counts[op] = n
		}
	}
	return counts
}

func TestACleanPairHasNoDifferencesAndNoWrites(t *testing.T) {
	for _, mode := range run.Modes {
		w := pair(t, 25)
		before, ledger, counts := w.objects.Fingerprint(), w.ledger.Fingerprint(), writes(w)
		healed := w.store.Counts()["runs.heal"]
		v := w.verified(mode, 0)
		if v.State != run.Succeeded || v.Scanned != 25 || v.Of(run.Matched) != 25 || v.Differences() != 0 || v.Of(run.Unverifiable) != 0 {
			t.Errorf("by %s: %+v", mode, v)
		}
		if w.objects.Fingerprint() != before || w.ledger.Fingerprint() != ledger || !maps.Equal(writes(w), counts) ||
			w.store.Counts()["runs.heal"] != healed {
			t.Errorf("by %s: it wrote: %v, before %v", mode, writes(w), counts)
		}
	}
}

// Every kind of damage is found, and nothing else, and nothing is repaired.
func TestEachKindOfDamageIsFound(t *testing.T) {
	w := pair(t, 25, func(r *rule.Rule) { r.Conflict = rule.SourceWins })
	at := func(n int) object.Ref { return object.Ref{Bucket: dest, Key: fmt.Sprintf("k%02d", n)} }
	edit := func(n int, change func(*storetest.Content)) {
		found, _ := w.objects.Get(at(n))
		change(&found.Content)
		w.does(func() { w.objects.Put(at(n), found.Content) })
	}
	w.objects.Rot(at(3), []byte("texT 3"))
	w.remove(dest, "k05")
	w.put(dest, "extra", "x")
	edit(7, func(c *storetest.Content) { c.Body = c.Body[:4] })
	edit(9, func(c *storetest.Content) { c.Metadata = nil })
	edit(11, func(c *storetest.Content) { c.Body = []byte("texT 11") })
	w.objects.PutTags(at(13), nil)
	w.pass(time.Hour)
	before := w.objects.Fingerprint()
	counts := writes(w)

	v := w.verified(run.Bytes, 0)
	want := map[string]string{
		"k03": "mismatch bytes", "k05": "missing_on_dest missing", "extra": "orphan_on_dest not_ours", "k07": "mismatch size",
		"k09": "mismatch metadata", "k11": "mismatch bytes", "k13": "mismatch tags",
	}
	got := map[string]string{}
	for _, f := range v.Findings {
		if f.Class != run.Matched {
			got[f.Key] = string(f.Class) + " " + f.Reason
		}
	}
	if !maps.Equal(got, want) || v.Differences() != 7 || v.Of(run.Matched) != 19 || v.Scanned != 26 {
		t.Errorf("found %v, want %v: %+v", got, want, v)
	}
	if w.objects.Fingerprint() != before || !maps.Equal(writes(w), counts) {
		t.Error("it repaired something")
	}
	// The run that it offers does what it said, and leaves the rest.
	if v.Damaged() != 2 || v.Kept() != 2 { // k03 and k13; k09 and extra are somebody else's
		t.Errorf("%+v", v)
	}
	w.compared(run.Bytes)
	w.pass(time.Hour)
	if again := w.verified(run.Bytes, 0); again.Differences() != v.Kept() {
		t.Errorf("after the run: %+v", again)
	}
}

// compared is a run that compares, in good weather.
func (w *world) compared(mode run.Mode) run.Run {
	w.t.Helper()
	r, err := w.runs.Start(context.Background(), w.rule(), run.ByRunNow, run.Asked{Compare: mode})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.finish(r.ID)
}

// What a run by a mode makes good is what a verification by that mode finds, and
// nothing that is not the rule's own replica of this very source.
func TestARunThatComparesRepairsWhatIsDamaged(t *testing.T) {
	at := func(n int) object.Ref { return object.Ref{Bucket: dest, Key: fmt.Sprintf("k%02d", n)} }
	for mode, copies := range map[run.Mode]int64{"": 0, run.Metadata: 1, run.Checksum: 1, run.Bytes: 2} {
		w := pair(t, 25)
		found, _ := w.objects.Get(at(9))
		found.Metadata = nil
		w.does(func() { w.objects.Put(at(9), found.Content) }) // by somebody, so it is theirs
		w.objects.Rot(at(3), []byte("texT 3"))
		w.objects.Rot(at(9), []byte("texT 9"))
		w.objects.Strip(at(7))
		w.objects.PutTags(at(13), nil)
		w.objects.PutTags(at(15), map[string]string{"t": "theirs"})
		w.pass(time.Hour)

		r := w.compared(mode)
		retags := min(1, copies)
		if r.State != run.Succeeded || r.Scanned != 25 || r.Copied != copies || r.Skipped["tags_only"] != retags || r.SkippedSum() != 25-copies || r.Compare != mode {
			t.Errorf("by %q: %+v", mode, r)
		}
		w.pass(time.Hour)
		if v := w.verified(run.Bytes, 0); mode == run.Bytes && (v.Of(run.Mismatch) != 1 || v.Kept() != 1 || v.Of(run.Unverifiable) != 1) {
			t.Errorf("by %q, it left %+v", mode, v)
		}
		for key, want := range map[int]bool{3: mode == run.Bytes, 7: mode != "", 9: false} {
			now, _ := w.objects.Get(at(key))
			source, _ := w.objects.Get(object.Ref{Bucket: source, Key: at(key).Key})
			if same := bytes.Equal(now.Body, source.Body) && maps.Equal(now.Metadata, source.Metadata); same != want {
				t.Errorf("by %q, %s is the same: %t", mode, at(key).Key, same)
			}
		}
		if now, _ := w.objects.Get(at(15)); now.Tags["t"] != "theirs" {
			t.Errorf("by %q, it took a person's tags away", mode)
		}
		// Another one finds nothing to do.
		if again := w.compared(mode); again.Copied != 0 || again.Skipped["tags_only"] != 0 || again.SkippedSum() != 25 {
			t.Errorf("by %q, again: %+v", mode, again)
		}
	}
}

// What could not be repaired stays on the list until it is, whatever runs come by
// that do not compare.
func TestARepairThatFailedStaysOnTheList(t *testing.T) {
	w := pair(t, 5)
	w.objects.Rot(object.Ref{Bucket: dest, Key: "k03"}, []byte("texT 3"))
	there, _ := w.objects.Get(object.Ref{Bucket: dest, Key: "k03"})
	w.pass(time.Hour)
	w.fate = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "objects.copy" {
			return storetest.FailBefore, &object.Error{Class: object.Permanent, Op: "copy", Ref: c.Ref, Code: "AccessDenied", Err: errors.New("denied")}
		}
		return storetest.None, nil
	}
	if r := w.compared(run.Bytes); r.State != run.CompletedWithErrors || r.Errors != 1 {
		t.Errorf("%+v", r)
	}
	w.fate = nil
	for _, step := range []struct {
		mode run.Mode
		left int
	}{{"", 1}, {run.Bytes, 0}} {
		w.pass(time.Hour)
		if r := w.compared(step.mode); r.State != run.Succeeded || int(r.Copied) != 1-step.left {
			t.Errorf("by %q: %+v", step.mode, r)
		}
		failures, err := w.ledger.Failures(t.Context(), "a-b", 0)
		if err != nil || len(failures) != step.left {
			t.Errorf("by %q: %d failures are on the list, %v", step.mode, len(failures), err)
		}
		for _, f := range failures {
			if !f.Damaged.Is(there.State) {
				t.Errorf("it does not say what is damaged: %+v", f)
			}
		}
	}
}

// A run that compares goes on after any worker's death, repairs all, and counts
// nothing twice.
func TestWhereverAWorkerDiesARepairIsExact(t *testing.T) {
	const n = 9
	for _, late := range []bool{false, true} {
		for nth := 1; ; nth++ {
			w := pair(t, n)
			for _, key := range []string{"k02", "k03", "k08"} {
				w.objects.Rot(object.Ref{Bucket: dest, Key: key}, []byte("texT "+key[2:]))
			}
			w.pass(time.Hour)
			copies := w.objects.Counts(dest)["objects.copy"]
			died := w.dyingAt(nth, late)
			r, err := w.runs.Start(context.Background(), w.rule(), run.ByRunNow, run.Asked{Compare: run.Bytes})
			if err != nil {
				t.Fatal(err)
			}
			alive := w.untilOneDies(died)
			end := w.finish(r.ID)
			if !maps.Equal(w.texts(source), w.texts(dest)) {
				t.Fatalf("at call %d, after it took effect: %t: not all is repaired", nth, late)
			}
			copies = w.objects.Counts(dest)["objects.copy"] - copies
			// A copy that landed and was not recorded is nobody's, and counts as
			// skipped; one that failed is made again.
			if end.State != run.Succeeded || end.Scanned != n || end.Copied+end.SkippedSum() != n || end.Copied > 3 || end.Copied < 2 || copies > 4 {
				t.Fatalf("at call %d, after it took effect: %t: %d copies, %+v", nth, late, copies, end)
			}
			if alive {
				if nth < 30 || end.Copied != 3 || copies != 3 {
					t.Fatalf("only %d calls, %d copies: %+v", nth, copies, end)
				}
				break
			}
		}
	}
}

func TestASampleComparesAShareAndAllThatIsMissing(t *testing.T) {
	w := pair(t, 200)
	w.remove(dest, "k05")
	w.pass(time.Hour)
	seen := map[int64]bool{}
	for range 3 {
		v := w.verified(run.Metadata, 25)
		matched, left := v.Of(run.Matched), v.Of(run.NotCovered)
		if v.Scanned != 200 || matched < 20 || matched > 80 || matched+left != 199 || v.Of(run.MissingOnDest) != 1 {
			t.Errorf("%+v", v)
		}
		seen[matched] = true
	}
	if len(seen) == 1 {
		t.Error("the same share each time")
	}
}

// A verification goes on after any worker's death, and counts nothing twice.
func TestWhereverAWorkerDiesAVerificationIsExact(t *testing.T) {
	const n = 9
	set := func() *world {
		w := pair(t, n)
		w.objects.Rot(object.Ref{Bucket: dest, Key: "k03"}, []byte("texT 3"))
		w.remove(dest, "k05")
		w.put(dest, "k051", "x")
		w.pass(time.Hour)
		return w
	}
	for _, late := range []bool{false, true} {
		for nth := 1; ; nth++ {
			w := set()
			counts, before := writes(w), w.objects.Fingerprint()
			died := w.dyingAt(nth, late)
			v, err := w.runs.Verify(context.Background(), w.rule(), run.Bytes, 0)
			if err != nil {
				t.Fatal(err)
			}
			alive := w.untilOneDies(died)
			end := w.finishOf(v.Rule, v.ID)
			total := int64(0)
			for _, found := range end.Found {
				total += found
			}
			// The byte that differs is at offset 3 of its text.
			if end.State != run.Succeeded || end.Scanned != n+1 || total != n+1 || end.Of(run.Matched) != n-2 ||
				end.Of(run.Mismatch) != 1 || end.Of(run.MissingOnDest) != 1 || end.Of(run.OrphanOnDest) != 1 || end.Bytes != (n-2)*6+3 {
				t.Fatalf("at call %d, after it took effect: %t: %+v", nth, late, end)
			}
			if !maps.Equal(writes(w), counts) || w.objects.Fingerprint() != before {
				t.Fatalf("at call %d: it wrote", nth)
			}
			if alive {
				if nth < 30 {
					t.Fatalf("only %d calls", nth)
				}
				break
			}
		}
	}
}

// bruteForce compares two buckets under a rule as plainly as it can be said.
func bruteForce(w *world, conflict rule.Conflict) map[run.Class]int64 {
	classes := map[run.Class]int64{}
	keys := map[string]bool{}
	for _, b := range []object.Bucket{source, dest} {
		for _, key := range w.objects.Keys(b) {
			keys[key] = true
		}
	}
	for key := range keys {
		s, hasSource := w.objects.Get(object.Ref{Bucket: source, Key: key})
		d, hasDest := w.objects.Get(object.Ref{Bucket: dest, Key: key})
		ours := w.ledger.Item(object.Ref{Bucket: dest, Key: key}).Describes(d.State)
		reflects := ours && w.ledger.Item(object.Ref{Bucket: dest, Key: key}).Source.Reflects(s.State)
		dressed := reflect.DeepEqual(s.Metadata, d.Metadata) && s.ContentType == d.ContentType
		class := run.Mismatch
		switch {
		case strings.HasPrefix(key, "x/"):
			class = run.NotCovered
		case !hasSource:
			class = run.OrphanOnDest
		case !hasDest:
			class = run.MissingOnDest
		case bytes.Equal(s.Body, d.Body) && dressed && maps.Equal(s.Tags, d.Tags):
			class = run.Matched
		case conflict == rule.NewerWins && reflects && bytes.Equal(s.Body, d.Body) && dressed && len(d.Tags) > 0:
			class = run.Unverifiable // a person may have tagged it
		case conflict == rule.NewerWins && !ours && s.State.ETag != d.State.ETag && !s.State.LastModified.After(d.State.LastModified):
			class = run.Unverifiable // theirs, and newer
		}
		classes[class]++
	}
	return classes
}

// Whatever people did, and wherever workers die, what a verification by bytes
// adds up to is what a plain comparison says.
func TestAVerificationIsAPlainComparison(t *testing.T) {
	for range 60 {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		conflict := rule.SourceWins
		if random.IntN(2) == 0 {
			conflict = rule.NewerWins
		}
		r := storetest.Mirror("a", "b")
		r.Conflict, r.BatchSize, r.ExcludeGlobs = conflict, 1+random.IntN(5), []string{"x/**"}
		w := newWorld(t, random, storetest.Traits{FreshETags: random.IntN(3) == 0, Versioned: random.IntN(2) == 0}, r)
		content := func() storetest.Content {
			c := storetest.Content{Body: []byte(fmt.Sprint("text ", random.IntN(3))), ContentType: "text/plain"}
			if random.IntN(2) == 0 {
				c.Metadata = map[string]string{"m": fmt.Sprint(random.IntN(2))}
			}
			if random.IntN(3) == 0 {
				c.Tags = map[string]string{"t": fmt.Sprint(random.IntN(2))}
			}
			c.Multipart, c.Summed = random.IntN(4) == 0, random.IntN(2) == 0
			return c
		}
		key := func() string { return []string{"", "x/", "y/"}[random.IntN(3)] + fmt.Sprint(random.IntN(20)) }
		for range 30 {
			w.does(func() { w.objects.Put(object.Ref{Bucket: source, Key: key()}, content()) })
		}
		w.sweep()
		for range random.IntN(25) {
			at := object.Ref{Bucket: []object.Bucket{source, dest}[random.IntN(2)], Key: key()}
			w.does(func() {
				_, there := w.objects.Get(at)
				switch kind := random.IntN(4); {
				case kind == 0:
					w.objects.Remove(at, object.ByRequest)
				case kind == 1 && there:
					w.objects.PutTags(at, map[string]string{"t": "9"})
				case kind == 2 && there && at.Bucket == dest:
					w.objects.Rot(at, []byte("texT 0"))
				default:
					w.objects.Put(at, content())
				}
			})
		}
		w.pass(24 * time.Hour)
		want := bruteForce(w, conflict)
		counts, before := writes(w), w.objects.Fingerprint()

		v, err := w.runs.Verify(context.Background(), w.rule(), run.Bytes, 0)
		if err != nil {
			t.Fatal(err)
		}
		w.dyingAt(1+random.IntN(60), random.IntN(2) == 0)
		for _, ticket := range w.tickets.Take() {
			_ = w.worker(1+random.IntN(9)).Work(context.Background(), ticket, "first")
		}
		w.mu.Lock()
		w.fate = nil
		w.mu.Unlock()
		w.pass(leaseTTL)
		end := w.finishOf(v.Rule, v.ID)
		sum := int64(0)
		for _, class := range run.Classes {
			sum += end.Of(class)
			if end.Of(class) != want[class] {
				t.Errorf("seed %d: %d keys are %s, want %d", seed, end.Of(class), class, want[class])
			}
		}
		if sum != end.Scanned || end.State != run.Succeeded || !maps.Equal(writes(w), counts) || w.objects.Fingerprint() != before {
			t.Errorf("seed %d: %+v", seed, end)
		}
		if t.Failed() {
			for _, f := range end.Findings {
				t.Logf("%+v", f)
			}
			t.Fatalf("found %v", end.Found)
		}

		// The run that it offers leaves what it said, and touches nobody else's.
		theirs := map[object.Ref]time.Time{}
		for _, key := range w.objects.Keys(dest) {
			at := object.Ref{Bucket: dest, Key: key}
			if d, ok := w.objects.Get(at); ok && !w.ledger.Item(at).Describes(d.State) {
				theirs[at] = d.State.LastModified
			}
		}
		w.compared(run.Bytes)
		w.pass(24 * time.Hour)
		if again := w.verified(run.Bytes, 0); again.Differences() != end.Kept() || again.Damaged() != 0 {
			t.Fatalf("seed %d: %d are left, %d were to be: %+v", seed, again.Differences(), end.Kept(), again)
		}
		for at, written := range theirs {
			s, _ := w.objects.Get(object.Ref{Bucket: source, Key: at.Key})
			d, ok := w.objects.Get(at)
			won := conflict == rule.SourceWins || s.State.LastModified.After(written)
			if !ok || !d.State.LastModified.Equal(written) && !won {
				t.Fatalf("seed %d: it wrote over %s, which was somebody else's", seed, at)
			}
		}
	}
}

// A worker whose time is up in the middle of a large object saves how far it
// came, and the next one goes on from there.
func TestALargeObjectOutlivesItsWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, pieces = 512 << 20, 8
		w := pair(t, 2)
		w.does(func() { w.objects.Put(object.Ref{Bucket: source, Key: "large"}, storetest.Content{Size: size}) })
		w.sweep()
		w.pass(time.Hour)
		v, err := w.runs.Verify(context.Background(), w.rule(), run.Bytes, 0)
		if err != nil {
			t.Fatal(err)
		}
		w.fate = func(c storetest.Call) (storetest.Fault, error) {
			if c.Op == "objects.read" && c.Ref.Key == "large" {
				time.Sleep(10 * time.Second)
			}
			return storetest.None, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := w.worker(10).Work(ctx, w.tickets.Take()[0], "first"); err != nil {
			t.Fatal(err)
		}
		shards, err := w.store.Shards(context.Background(), v.Rule, v.ID)
		if err != nil || len(shards) != 1 || len(shards[0].Partial) != 1 || shards[0].Partial[0].Done < size/2 {
			t.Fatalf("%+v, %v", shards, err)
		}
		done := shards[0].Partial[0].Done / (size / pieces)
		w.objects.ResetCounts()
		end := w.finishOf(v.Rule, v.ID)
		reads := int64(w.objects.Counts(source)["objects.read"])
		if end.Of(run.Matched) != 3 || end.Bytes < size || reads != pieces-done+2 { // and the two small ones of its segment
			t.Errorf("%d pieces were done, %d are read: %+v", done, reads, end)
		}
		shards, _ = w.store.Shards(context.Background(), v.Rule, v.ID)
		if len(shards[0].Partial) != 0 {
			t.Errorf("still noted: %+v", shards[0].Partial)
		}
	})
}
