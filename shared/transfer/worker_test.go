package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	samples "bucket-replicator/events"
	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/shared/transfer"
)

func TestALargeObjectIsCopiedByParts(t *testing.T) {
	for name, traits := range map[string]storetest.Traits{
		"unversioned": {}, "versioned": {Versioned: true}, "tags that are no MD5": {FreshETags: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, traits)
			c := body("1", 10)
			c.Metadata, c.Tags = map[string]string{"author": "nobody"}, map[string]string{"team": "storage"}
			w.put(c)
			w.settle()
			w.inStep()
			got, _ := w.objects.Get(dest)
			if !maps.Equal(got.Metadata, c.Metadata) || !maps.Equal(got.Tags, c.Tags) || got.ContentType != c.ContentType {
				t.Errorf("the replica is %+v", got)
			}
			if w.copied() != 10 {
				t.Errorf("%d parts were copied", w.copied())
			}
			p := w.ledger.Item(dest)
			if want, _ := w.objects.Get(source); p.Source.VersionID != want.State.VersionID || p.Source.RequestID == "" || p.Origin.Ref != source {
				t.Errorf("recorded %+v", p)
			}
			// A second event of the same change is a duplicate.
			w.objects.ResetCounts()
			found, _ := w.objects.Get(source)
			o := w.look(object.Change{Ref: source, Kind: object.Created, ETag: found.State.ETag, Time: p.Source.LastModified, RequestID: p.Source.RequestID})
			if o.Result != replicate.Skipped || o.Reason != decide.InSync || len(w.objects.Counts()) > 0 {
				t.Errorf("%+v, %v", o, w.objects.Counts())
			}
		})
	}
}

// look is the event function at one change, and its outcome.
func (w *world) look(c object.Change) replicate.Outcome {
	w.t.Helper()
	outcomes, err := w.replicator().Replicate(context.Background(), []replicate.Work{{Change: c, Message: "event", Delivery: 1}})
	if err != nil || len(outcomes[0]) != 1 {
		w.t.Fatalf("%+v, %v", outcomes, err)
	}
	return outcomes[0][0]
}

// Requests are the bill.
func TestWhatATransferCosts(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.workers = 1
	w.put(body("1", 10))
	w.settle()
	w.inStep()
	want := map[string]int{
		"objects.head":    6, // two before it begins, two before it is completed, and two with their tags after
		"objects.tagging": 2,
		"objects.begin":   1, "objects.part": 10, "objects.complete": 1,
	}
	if got := w.objects.Counts(); !maps.Equal(got, want) {
		t.Errorf("objects: %v, want %v", got, want)
	}
	want = map[string]int{
		"transfers.read": 2, "transfers.put": 3, "transfers.parts": 2, "transfers.claim": 11, "transfers.finish": 10,
		"transfers.touch": 2, "transfers.remove": 1,
	}
	if got := w.store.Counts(); !maps.Equal(got, want) {
		t.Errorf("transfers: %v, want %v", got, want)
	}
	if got := w.ledger.Counts(); got["ledger.put"] != 1 || got["ledger.count"] != 1 {
		t.Errorf("ledger: %v", got)
	}
}

// What is told of a transfer is what was so when it was counted, again and again,
// whoever of its workers meets an error, and for one query of its parts in 15
// seconds, however many workers there are.
func TestProgressIsToldAsItWas(t *testing.T) {
	for _, workers := range []int{1, 4} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			w := newWorld(t, storetest.Traits{})
			w.workers = workers
			w.put(body("1", 40))
			copies, told, last := 0, 0, object.Counted{}
			w.fated(func(c storetest.Call) (storetest.Fault, error) {
				switch c.Op {
				case "objects.part":
					for _, tr := range w.store.Left() {
						done := transfer.Count(tr, w.store.AllParts(tr), w.now())
						n, rounds := tr.Counted, 2*15*time.Second*time.Duration(workers) // here one works at a time
						late := w.now().Sub(tr.BegunAt) > rounds+15*time.Second && w.now().Sub(n.At) > rounds
						if n.At.Before(last.At) || n.Parts < last.Parts || n.Parts > done.Parts || n.Bytes > done.Bytes || late {
							t.Errorf("after %+v comes %+v, where %+v is done", last, n, done)
						}
						last = tr.Counted
					}
					w.pass(5 * time.Second)
					if copies++; copies%10 == 0 {
						return storetest.ApplyThenFail, errInjected // so that it ends, and somebody takes its ticket anew
					}
				case "objects.complete":
					for _, tr := range w.store.Left() {
						told = tr.Counted.Parts
						if tr.Counted.Bytes != tr.Size || tr.ProgressAt.IsZero() {
							t.Errorf("before its completion: %+v", tr)
						}
					}
				}
				return storetest.None, nil
			})
			w.settle()
			w.inStep()
			if told != 40 || last.Parts == 0 {
				t.Errorf("before its completion %d parts are told as done, and %+v before", told, last)
			}
			// A worker asks as it begins, too, and as it finds nothing left.
			did := w.store.Counts()
			if most := copies*5/15 + 2*did["transfers.read"]; did["transfers.parts"] > most {
				t.Errorf("%d queries of the parts in %d s, want %d at most", did["transfers.parts"], copies*5, most)
			}
		})
	}
}

func TestASmallObjectIsNone(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.put(storetest.Text("small"))
	if w.inStep(); len(w.store.Counts()) > 0 {
		t.Errorf("%v", w.store.Counts())
	}
}

func TestManyWorkersShareTheParts(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.workers = 8
	w.put(body("1", 40))
	first := w.tickets.take()
	if len(first) != 1 {
		t.Fatalf("%d were invited first", len(first))
	}
	w.together(first)
	w.inStep()
	if w.copied() != 40 || w.objects.Counts()["objects.complete"] != 1 {
		t.Errorf("%v", w.objects.Counts())
	}
}

// together works on messages and all that they lead to at the same time.
func (w *world) together(messages []message) {
	var group sync.WaitGroup
	for len(messages) > 0 {
		for _, m := range messages {
			group.Go(func() { w.work(m) })
		}
		done := make(chan struct{})
		go func() { group.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Millisecond):
		}
		messages = w.tickets.take()
	}
	group.Wait()
	if more := w.tickets.take(); len(more) > 0 {
		w.together(more)
	}
}

func TestEachWhoIsInvitedHasASeatOfHisOwn(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", 40))
	first := w.tickets.take()
	w.work(first[0])
	seats := map[int]bool{}
	for _, m := range append(first, w.tickets.take()...) {
		ticket, err := transfer.Decode(m.body)
		if err != nil {
			t.Fatal(err)
		}
		seats[ticket.Seat] = true
	}
	if len(seats) != w.workers || !seats[0] || !seats[w.workers-1] {
		t.Errorf("seats %v for %d workers", seats, w.workers)
	}
}

func TestASecondEventOfTheSameContentBeginsNothing(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", 10))
	found, _ := w.objects.Get(source)
	o := w.look(object.Change{Ref: source, Kind: object.Created, ETag: found.State.ETag, Size: found.State.Size, Time: w.now()})
	if o.Result != replicate.Skipped || o.Reason != decide.Transferring {
		t.Errorf("%+v", o)
	}
	if n := len(w.tickets.messages); n != 1 {
		t.Errorf("%d tickets", n)
	}
	w.settle()
	w.inStep()
	if w.copied() != 10 {
		t.Errorf("%d parts were copied", w.copied())
	}
}

// at has what happens before the nth call of an operation.
func (w *world) at(op string, nth int, happens func()) {
	calls := 0
	w.fated(func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == op {
			if calls++; calls == nth {
				w.fated(nil)
				happens()
			}
		}
		return storetest.None, nil
	})
}

func TestWhatMovesOnMidWay(t *testing.T) {
	r := storetest.Mirror("a", "b")
	r.ReplicateDeletes = true
	for name, c := range map[string]struct {
		happens func(w *world)
		check   func(w *world)
		late    string // before this call it comes too late
	}{
		"the source is overwritten by a large one": {
			func(w *world) { w.objects.Put(source, body("2", 12)) }, (*world).inStep, "",
		},
		"the source is overwritten by a small one": {
			func(w *world) { w.objects.Put(source, storetest.Text("small")) }, (*world).inStep, "",
		},
		"the source is tagged": {
			func(w *world) { w.objects.PutTags(source, map[string]string{"class": "gold"}) },
			func(w *world) {
				w.inStep()
				if got, _ := w.objects.Get(dest); got.Tags["class"] != "gold" {
					w.t.Errorf("tags %v", got.Tags)
				}
			},
			"",
		},
		"the source is written again with other metadata": {
			func(w *world) {
				c := body("1", 10)
				c.Metadata = map[string]string{"second": "time"}
				w.objects.Put(source, c)
			},
			func(w *world) {
				w.inStep()
				if got, _ := w.objects.Get(dest); got.Metadata["second"] != "time" {
					w.t.Errorf("metadata %v", got.Metadata)
				}
			},
			"",
		},
		"the source is deleted": {
			func(w *world) { w.objects.Remove(source, object.ByRequest) },
			func(w *world) {
				if got, ok := w.objects.Get(dest); ok {
					w.t.Errorf("the destination holds %q", got.Body)
				}
				w.clean()
			},
			"",
		},
		"the destination is written by somebody": {
			func(w *world) { w.objects.Put(dest, storetest.Text("somebody's")) },
			func(w *world) {
				if got, _ := w.objects.Get(dest); string(got.Body) != "somebody's" {
					w.t.Errorf("the destination holds %q", got.Body)
				}
				w.clean()
			},
			"",
		},
		"the rule goes": {
			func(w *world) { w.deploy() },
			func(w *world) {
				if _, ok := w.objects.Get(dest); ok {
					w.t.Error("it was copied all the same")
				}
				w.clean()
			},
			"objects.complete",
		},
		"the upload is aborted by a lifecycle rule": {
			func(w *world) {
				for _, u := range w.objects.LeftUploads() {
					_ = w.objects.Abort(context.Background(), object.Upload{To: dest, ID: u.ID})
				}
			},
			func(w *world) {
				w.retry("NoSuchUpload")
				w.inStep()
			},
			"",
		},
	} {
		for _, when := range []struct {
			op  string
			nth int
		}{{"objects.begin", 1}, {"objects.part", 1}, {"objects.part", 5}, {"objects.part", 10}, {"objects.complete", 1}} {
			if c.late == when.op {
				continue
			}
			t.Run(name+", before "+when.op, func(t *testing.T) {
				w := newWorld(t, storetest.Traits{}, r)
				w.put(body("1", 10))
				w.at(when.op, when.nth, func() { c.happens(w) })
				w.settle()
				c.check(w)
			})
		}
	}
}

func TestNewerContentTakesThePlaceOfWhatIsUnderWay(t *testing.T) {
	for name, happens := range map[string]func(*world){
		"while nobody works": func(w *world) {
			w.fated(func(c storetest.Call) (storetest.Fault, error) {
				if c.Op == "objects.part" && w.copied() > 3 {
					return storetest.FailBefore, errInjected
				}
				return storetest.None, nil
			})
			w.turn()
			w.fated(nil)
			w.tickets.take() // lost
			w.put(body("2", 12))
		},
		"while a part is copied": func(w *world) {
			w.at("objects.part", 5, func() { w.put(body("2", 12)) })
			w.turn()
		},
		"while another worker begins the upload": func(w *world) {
			w.at("objects.begin", 1, func() { w.put(body("2", 12)) })
			w.turn()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storetest.Traits{})
			w.put(body("1", 10))
			happens(w)
			if left := w.store.Left(); len(left) != 1 || left[0].Size != 117 {
				t.Fatalf("under way: %+v", left)
			}
			w.settle()
			w.inStep()
		})
	}
}

// TestAChangeDuringTheCompletionIsNotMissed has its event lost, too.
func TestAChangeDuringTheCompletionIsNotMissed(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", 10))
	w.at("objects.complete", 1, func() {
		w.objects.Put(source, storetest.Text("newer"))
		w.changes = nil
	})
	w.settle()
	w.inStep()
}

// An event that told of the tags found the transfer under way, and is gone.
func TestTagsThatChangedUnderWayAreNotMissed(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", 10))
	w.at("objects.complete", 1, func() {
		w.objects.PutTags(source, map[string]string{"class": "gold"})
		w.changes = nil
	})
	w.settle()
	w.inStep()
	if got, _ := w.objects.Get(dest); got.Tags["class"] != "gold" {
		t.Errorf("tags %v", got.Tags)
	}
	if got := w.objects.Counts()["objects.retag"]; got != 1 {
		t.Errorf("%d taggings", got)
	}
}

func TestNobodyElsesUploadIsAborted(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	theirs := w.objects.StartUpload(dest)
	w.put(body("1", 10))
	// Two workers die after they began an upload.
	for range 2 {
		w.fated(func(c storetest.Call) (storetest.Fault, error) {
			if c.Op == "objects.begin" {
				w.fated(func(storetest.Call) (storetest.Fault, error) { return storetest.FailBefore, errInjected })
				return storetest.ApplyThenFail, errInjected
			}
			return storetest.None, nil
		})
		w.turn()
		w.fated(nil)
		w.pass(10 * time.Second)
	}
	second := w.objects.StartUpload(dest)
	w.settle()
	var left []string
	for _, u := range w.objects.LeftUploads() {
		left = append(left, u.ID)
	}
	if !slices.Equal(left, []string{theirs, second}) {
		t.Errorf("left %v, want %v", left, []string{theirs, second})
	}
	if got, ok := w.objects.Get(dest); !ok || len(got.Body) == 0 {
		t.Error("it was not copied")
	}
}

// A person may put the same bytes by the same cut between two attempts to complete
// ours: that has the tag that our replica would have.
func TestSomebodysUploadOfTheSameBytesIsNotTakenForOurs(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", 10))
	w.fated(func(c storetest.Call) (storetest.Fault, error) {
		if c.Op != "objects.complete" {
			return storetest.None, nil
		}
		w.fated(nil)
		w.uploadByHand(dest, body("1", 10))
		return storetest.FailBefore, errInjected
	})
	w.settle()
	if got, _ := w.objects.Get(dest); len(got.Body) == 0 || !got.Multipart {
		t.Fatalf("the destination holds %+v", got)
	}
	if p := w.ledger.Item(dest); p.Rule != "" || p.Dest.ETag != "" || p.Pending.Holder != "" {
		t.Errorf("it is taken for ours: %+v", p)
	}
	w.clean()
}

// uploadByHand is a person's upload by parts, of the size that transfers have.
func (w *world) uploadByHand(to object.Ref, c storetest.Content) {
	w.t.Helper()
	ctx := context.Background()
	from := object.Ref{Bucket: to.Bucket, Key: "by hand"}
	etag := w.objects.Put(from, c).ETag
	upload, err := w.objects.Begin(ctx, object.Copy{From: from, To: to, SourceETag: etag})
	if err != nil {
		w.t.Fatal(err)
	}
	whole := object.Completion{Copy: object.Copy{To: to}, Upload: upload, Size: int64(len(c.Body))}
	for first := 0; first < len(c.Body); first += partSize {
		part, err := w.objects.CopyPart(ctx, object.Part{
			From: from, SourceETag: etag, Upload: upload, Number: first/partSize + 1,
			First: int64(first), Last: int64(min(first+partSize, len(c.Body))) - 1,
		})
		if err != nil {
			w.t.Fatal(err)
		}
		whole.Parts = append(whole.Parts, part)
	}
	if _, err := w.objects.Complete(ctx, whole); err != nil {
		w.t.Fatal(err)
	}
}

func TestWhatCannotBeCopiedIsAFailureOnce(t *testing.T) {
	denied := &object.Error{Class: object.Permanent, Code: "AccessDenied", Err: errors.New("no")}
	for _, op := range []string{"objects.begin", "objects.part", "objects.complete"} {
		t.Run(op, func(t *testing.T) {
			w := newWorld(t, storetest.Traits{})
			w.put(body("1", 10))
			w.fated(func(c storetest.Call) (storetest.Fault, error) {
				if c.Op == op {
					return storetest.FailBefore, denied
				}
				return storetest.None, nil
			})
			w.settle()
			failures := w.ledger.AllFailures()
			if len(failures) != 1 || failures[0].Code != "AccessDenied" || failures[0].Attempts != 1 || failures[0].Advice == "" || failures[0].RetryAt.IsZero() {
				t.Errorf("failures %+v", failures)
			}
			w.clean()
			// It is tried again, and is well then.
			w.fated(nil)
			w.replicate(object.Change{Ref: source, Kind: object.Due, Time: w.now()}, 1)
			w.settle()
			w.inStep()
			if left := w.ledger.AllFailures(); len(left) > 0 {
				t.Errorf("failures %+v", left)
			}
		})
	}
}

func TestStormsPass(t *testing.T) {
	slow := &object.Error{Class: object.Retryable, Code: "SlowDown", Err: errors.New("slow down")}
	w := newWorld(t, storetest.Traits{})
	calls := 0
	w.fated(func(c storetest.Call) (storetest.Fault, error) {
		if calls++; c.Op == "objects.part" && calls%3 > 0 {
			return storetest.FailBefore, slow
		}
		return storetest.None, nil
	})
	w.put(body("1", 10))
	w.settle()
	w.inStep()
}

func TestWhatDoesNotComeOnIsGivenUp(t *testing.T) {
	slow := &object.Error{Class: object.Retryable, Code: "SlowDown", Err: errors.New("slow down")}
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", 10))
	w.fated(func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "objects.part" {
			return storetest.FailBefore, slow
		}
		return storetest.None, nil
	})
	w.settle()
	failures := w.ledger.AllFailures()
	if len(failures) != 1 || failures[0].Code != "TransferStuck" || failures[0].RetryAt.IsZero() {
		t.Errorf("failures %+v", failures)
	}
	w.clean()
}

// A limit holds the parts back, for longer than a transfer that does not come on
// would be borne with.
func TestALimitHoldsTheParts(t *testing.T) {
	synctest.Test(t, limitHoldsTheParts) // whose timers take no time
}

func limitHoldsTheParts(t *testing.T) {
	r := storetest.Mirror("a", "b")
	r.Limits.BytesPerSecond = 1
	w := newWorld(t, storetest.Traits{}, r)
	w.limits = &storetest.Limits{}
	began := w.now()
	w.put(body("1", 90)) // of ten seconds each
	for range 60 {
		w.turn()
		if took, could := 10*w.copied(), w.now().Sub(began).Seconds(); float64(took) > could+20 {
			t.Fatalf("%d parts are copied after %.0f s", w.copied(), could)
		}
		w.pass(time.Minute)
		w.tick()
	}
	w.settle()
	w.inStep()
	if failures := w.ledger.AllFailures(); len(failures) > 0 {
		t.Errorf("a limit is no failure: %+v", failures)
	}
}

// retry has the failures tried again that there are, which must be of this code.
func (w *world) retry(code string) {
	w.t.Helper()
	for _, f := range w.ledger.AllFailures() {
		if f.Code != code || f.RetryAt.IsZero() {
			w.t.Errorf("failure %+v", f)
		}
		w.replicate(object.Change{Ref: f.Source, Kind: object.Due, Time: w.now()}, 1)
	}
	w.settle()
	if left := w.ledger.AllFailures(); len(left) > 0 {
		w.t.Errorf("failures %+v", left)
	}
}

// A store that never takes the parts that it was given must not have them copied
// over and over.
func TestWhatIsRefusedEveryTimeIsNotBegunOverAndOver(t *testing.T) {
	for _, op := range []string{"objects.part", "objects.complete"} {
		t.Run(op, func(t *testing.T) {
			w := newWorld(t, storetest.Traits{})
			w.put(body("1", 10))
			w.fated(func(c storetest.Call) (storetest.Fault, error) {
				if c.Op == op {
					return storetest.FailBefore, &object.Error{Class: object.Premise, Code: "InvalidPart", Err: errors.New("another one")}
				}
				return storetest.None, nil
			})
			w.settle()
			if n := w.objects.Counts()["objects.begin"]; n != 1 {
				t.Errorf("%d uploads were begun", n)
			}
			w.clean()
			w.fated(nil)
			w.retry("InvalidPart")
			w.inStep()
		})
	}
}

// Behind those of many other transfers, tickets wait for hours.
func TestTicketsMayWaitForTheirTurn(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", 10))
	for range 10 * 60 {
		w.pass(time.Minute)
		w.tick()
	}
	if n := len(w.tickets.messages); n > 30 {
		t.Errorf("%d tickets wait for one transfer", n)
	}
	w.settle()
	w.inStep()
	if failures := w.ledger.AllFailures(); len(failures) > 0 || w.copied() != 10 {
		t.Errorf("%d parts were copied, failures %+v", w.copied(), failures)
	}
}

func TestWhatCannotBeCompletedIsGivenUp(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", 10))
	w.fated(func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "objects.complete" {
			return storetest.FailBefore, errInjected
		}
		return storetest.None, nil
	})
	w.settle()
	w.clean()
	w.fated(nil)
	w.retry("TransferStuck")
	w.inStep()
}

// The rights on a bucket go with its last rule.
func TestAnUploadThatMayNotBeAbortedHoldsNothingUp(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", 10))
	w.at("objects.part", 3, func() {
		w.deploy()
		w.fated(func(c storetest.Call) (storetest.Fault, error) {
			if c.Op == "objects.abort" {
				return storetest.FailBefore, &object.Error{Class: object.Permanent, Code: "AccessDenied", Err: errors.New("no")}
			}
			return storetest.None, nil
		})
	})
	w.settle()
	if left := w.store.Left(); len(left) > 0 {
		t.Errorf("transfers are left: %+v", left)
	}
}

// Whoever copied a part while the transfer came to its end aborts the upload again,
// first of all: nobody comes back to it.
func TestAPartThatCameTooLateIsNotLeftBehind(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", 10))
	w.at("objects.part", 5, func() {
		left := w.store.Left()
		if err := w.store.RemoveTransfer(context.Background(), left[0]); err != nil {
			t.Error(err)
		}
		w.fated(func(c storetest.Call) (storetest.Fault, error) {
			if c.Op == "objects.head" {
				return storetest.FailBefore, errInjected
			}
			return storetest.None, nil
		})
	})
	w.settle()
	w.clean()
}

// However many transfers of paused rules there are, they do not stand before those
// that are to be brought on.
func TestPausedTransfersAreNotAskedForEveryMinute(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", 10))
	if err := w.ledger.SetPaused(context.Background(), "a-b", true); err != nil {
		t.Fatal(err)
	}
	w.turn()
	before := w.store.Counts()["transfers.put"]
	for range 60 {
		w.pass(time.Minute)
		w.tick()
	}
	if n := w.store.Counts()["transfers.put"] - before; n > 6 {
		t.Errorf("%d writes in an hour", n)
	}
	if left, err := w.store.SilentTransfers(context.Background(), w.now().Add(-time.Minute), 0); err != nil || len(left) > 0 {
		t.Errorf("silent are %+v, %v", left, err)
	}
}

// A part that waits for its rule's limits is not begun when the time is over.
func TestThatAPartMayWaitIsReckonedWith(t *testing.T) {
	r := storetest.Mirror("a", "b")
	r.Limits.Concurrency = 1
	w := newWorld(t, storetest.Traits{}, r)
	w.put(body("1", 10))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // enough for a part that need not wait
	defer cancel()
	worker := w.worker()
	worker.Replicator.Limits = &limit.Limiter{Store: &storetest.Limits{}, Now: time.Now, Holder: "me", Patience: 30 * time.Second}
	first := w.tickets.take()[0]
	ticket, err := transfer.Decode(first.body)
	if err == nil {
		err = worker.Work(ctx, ticket, first.id)
	}
	if err != nil {
		t.Fatal(err)
	}
	hops := 0
	for _, m := range w.tickets.messages {
		if next, err := transfer.Decode(m.body); err == nil {
			hops += next.Hop
		}
	}
	if w.copied() > 0 || hops != 1 {
		t.Errorf("%d parts were copied, and the rest was passed on %d times", w.copied(), hops)
	}
}

func TestAPauseHoldsATransfer(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", 10))
	if err := w.ledger.SetPaused(context.Background(), "a-b", true); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		w.turn()
		w.pass(time.Minute)
		w.tick()
	}
	if n := w.objects.Counts()["objects.begin"] + w.copied(); n > 0 {
		t.Errorf("%d requests while it is paused", n)
	}
	if err := w.ledger.SetPaused(context.Background(), "a-b", false); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.inStep()
}

// A resync has objects copied anew whose source is locked for longer by now; large
// ones too, and once.
func TestALockIsFollowedByParts(t *testing.T) {
	r := storetest.Mirror("a", "b")
	r.ReplicateObjectLock = true
	w := newWorld(t, storetest.Traits{Versioned: true, ObjectLock: true}, r)
	w.put(body("1", 10))
	w.settle()
	w.objects.Retain(source, object.Lock{LegalHold: true})
	for range 2 {
		w.sweep(false)
		w.settle()
	}
	w.inStep()
	if got, _ := w.objects.Get(dest); !got.Lock.LegalHold || w.copied() != 20 {
		t.Errorf("the replica's lock is %+v after %d parts", got.Lock, w.copied())
	}
}

// sweep looks at the one object, as a resync does, or a run that found by comparing
// that the replica is damaged.
func (w *world) sweep(damaged bool) {
	w.t.Helper()
	rules, revision, err := w.replicator().Rules(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	from, _ := w.objects.Get(source)
	to, _ := w.objects.Get(dest)
	sweep := replicate.Sweep{
		Replicator: w.replicator(), Rules: rules, Revision: revision, Rule: rules.Rule("a-b"), Run: 1, Holder: "a run", Attempt: 1,
		Suspicious: true, Slots: make(chan struct{}, 1),
	}
	if _, err := sweep.Settle(context.Background(), []replicate.Sighting{{
		Match: rules.MatchOf(sweep.Rule, source.Key), Source: source, From: from.State, To: to.State, Damaged: damaged,
	}}, false); err != nil {
		w.t.Fatal(err)
	}
}

// A large replica that is damaged, which nothing but a comparison shows, is copied
// anew by parts, once, wherever a function dies.
func TestADamagedReplicaIsCopiedAnewByParts(t *testing.T) {
	const parts = 5
	for name, rules := range map[string][]rule.Rule{
		"a mirror": {storetest.Mirror("a", "b")},
		"a pair":   {storetest.Mirror("a", "b"), storetest.Mirror("b", "a")},
	} {
		for _, late := range []bool{false, true} {
			for nth := 1; ; nth++ {
				w := newWorld(t, storetest.Traits{}, rules...)
				w.put(body("1", parts))
				w.settle()
				w.objects.Rot(dest, body("2", parts).Body)
				w.tell()
				w.settle()
				w.pass(time.Hour)
				if got, _ := w.objects.Get(dest); got.Body[0] != '2' {
					t.Fatalf("%s: an event repaired it", name)
				}
				w.sweep(true)
				died := w.dyingAt(nth, late)
				for !died() && w.turn() {
				}
				w.fated(nil)
				alive := !died()
				w.settle()
				w.inStep()
				if failed := w.ledger.AllFailures(); w.copied() > 2*parts+1 || len(w.objects.Versions(source)) != 1 || len(failed) > 0 {
					t.Errorf("%d parts were copied, failures %v", w.copied(), failed)
				}
				if t.Failed() {
					t.Fatalf("%s, at call %d, after it took effect: %t", name, nth, late)
				}
				if alive {
					if nth < 30 || w.copied() != 2*parts {
						t.Fatalf("only %d calls, %d parts", nth, w.copied())
					}
					break
				}
			}
		}
	}
}

// A damaged replica that somebody overwrites while it is copied anew is theirs.
func TestARepairGivesWayToAPerson(t *testing.T) {
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", 5))
	w.settle()
	w.objects.Rot(dest, body("2", 5).Body)
	w.pass(time.Hour)
	w.sweep(true)
	w.turn()
	w.objects.Put(dest, body("1", 5)) // the same bytes, even
	theirs, _ := w.objects.Get(dest)
	w.settle()
	if now, _ := w.objects.Get(dest); !now.State.LastModified.Equal(theirs.State.LastModified) {
		t.Errorf("it was overwritten: %+v", now.State)
	}
	w.clean()
}

// In a pair, the replica of a transfer is no news for the way back.
func TestAReplicaOfPartsIsAnEcho(t *testing.T) {
	w := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b"), storetest.Mirror("b", "a"))
	w.put(body("1", 10))
	w.settle()
	w.inStep()
	if versions := w.objects.Versions(source); len(versions) != 1 || w.objects.Counts()["objects.complete"] != 1 {
		t.Errorf("%v", w.objects.Counts())
	}
}

func TestATicketSaysWhatIsWrongWithIt(t *testing.T) {
	good := transfer.Ticket{To: object.Ref{Bucket: object.Bucket{Backend: "aws", Name: "b"}, Key: "k \xff"}, ID: "t1", Seat: 2, Hop: 3}
	if got, err := transfer.Decode(good.Body()); err != nil || got != good {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "null", "[]", "{}", `{"backend":1}`, "\xff", `{"backend":"b","bucket":"c","key":"aw==","transfer":"t","hop":-1}`, `{"backend":"b","bucket":"c","key":"aw==","transfer":"t","seat":-1}`, `{"backend":"b","bucket":"c","key":"?","transfer":"t"}`} {
		if got, err := transfer.Decode(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestTheSampleTicketsAreRead(t *testing.T) {
	names, err := fs.Glob(samples.FS, "samples/transfer-ticket/*")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d samples, %v", len(names), err)
	}
	for _, name := range names {
		text, err := samples.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := transfer.Decode(string(text))
		if again, _ := transfer.Decode(got.Body()); err != nil || again != got || got.To.Key != "mirror/image.iso" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzATicket(f *testing.F) {
	f.Add("aws", "b", "k", "t")
	f.Fuzz(func(t *testing.T, backend, bucket, key, id string) {
		want := transfer.Ticket{To: object.Ref{Bucket: object.Bucket{Backend: backend, Name: bucket}, Key: key}, ID: id}
		got, err := transfer.Decode(want.Body())
		if err == nil && got.To.Key != key {
			t.Errorf("%+v became %+v", want, got)
		}
	})
}

// S3 gives an object of parts the time of when its upload was begun, which may be
// long before it was completed.
func TestAReplicaThatNobodyRecordedIsAnEchoHoweverLongItTook(t *testing.T) {
	w := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b"), storetest.Mirror("b", "a"))
	w.put(body("1", 10))
	parts := 0
	w.fated(func(c storetest.Call) (storetest.Fault, error) {
		switch c.Op {
		case "objects.part":
			if parts++; parts == 5 {
				w.pass(time.Hour)
			}
		case "objects.complete": // and that is its last
			w.fated(func(storetest.Call) (storetest.Fault, error) { return storetest.FailBefore, errInjected })
			return storetest.ApplyThenFail, errInjected
		}
		return storetest.None, nil
	})
	for _, m := range w.tickets.take() {
		w.work(m)
	}
	w.fated(nil)
	if _, ok := w.objects.Get(dest); !ok {
		t.Fatal("it was not completed")
	}
	if err := w.ledger.SetPaused(context.Background(), "a-b", true); err != nil {
		t.Fatal(err)
	}
	w.pass(2 * leaseTTL) // the lease of whoever died is over
	for range 40 {
		w.turn()
		w.pass(time.Minute)
	}
	if n := w.objects.Counts()["objects.begin"]; n != 1 || len(w.objects.Versions(source)) != 1 {
		t.Errorf("%d uploads were begun", n)
	}
}
