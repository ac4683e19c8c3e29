package replicate_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

var ctx = context.Background()

// wantResults compares the outcomes since the last call.
func (s *stage) wantResults(want ...string) {
	s.t.Helper()
	if got := s.results(); !slices.Equal(got, want) {
		s.t.Errorf("outcomes %q, want %q", got, want)
	}
}

func (s *stage) wantText(bucket, key, want string) {
	s.t.Helper()
	if got := s.text(bucket, key); got != want {
		s.t.Errorf("%s/%s holds %q, want %q", bucket, key, got, want)
	}
}

func TestUndecodableMessageEndsInTheDLQAsItCame(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	const garbage = `{"detail-type": "Object Created", "source": "aws.s3", "detail": {`
	s.queue.Send(garbage)
	s.put("a", "k", "1")
	s.run()
	s.wantText("b", "k", "1")
	dead := s.queue.Dead()
	if len(dead) != 1 || dead[0].Body != garbage {
		t.Fatalf("dead-letter queue: %+v", dead)
	}
	if n := strings.Count(s.metrics.String(), `"MessagesUndecodable"`); n == 0 {
		t.Error("it was not counted")
	}
}

func TestUnknownEventTypeIsCountedAndDropped(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	s.queue.Send(`{"version":"0","id":"1","detail-type":"Object Folded","source":"aws.s3","account":"1","time":"2026-01-01T00:00:00Z","region":"r","resources":[],"detail":{"bucket":{"name":"a"},"object":{"key":"k"}}}`)
	s.run()
	if len(s.queue.Dead()) != 0 || s.queue.Len() != 0 {
		t.Error("it was not finished")
	}
	if !strings.Contains(s.metrics.String(), `"EventsDropped":1`) {
		t.Errorf("it was not counted: %s", s.metrics.String())
	}
}

func TestRuleThatDoesNotParseLosesNothing(t *testing.T) {
	broken := storetest.Mirror("a", "b", func(r *rule.Rule) { r.ExcludeGlobs = []string{"["} })
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	good := storetest.Deployed(time.Time{}, []string{"a", "b", "c"}, storetest.Mirror("a", "b"))
	s.ledger.SetCatalog(storetest.Deployed(time.Time{}, []string{"a", "b", "c"}, broken))
	s.put("a", "k", "1")
	s.invoke(s.queue.Receive(10)...)
	s.wantText("b", "k", "-")
	if !strings.Contains(s.log.String(), `rule \"a-b\"`) {
		t.Errorf("the log does not name the rule: %s", s.log.String())
	}
	s.ledger.SetCatalog(good)
	s.run()
	s.wantText("b", "k", "1")
}

func TestPermanentFailuresAreRecordedAndFinished(t *testing.T) {
	denied := &object.Error{Class: object.Permanent, Op: "copy", Code: "AccessDenied", Err: errors.New("not authorized")}
	for name, c := range map[string]struct {
		rule rule.Rule
		deny bool
		want string
		wait time.Duration // to the retry; 0: there is none
	}{
		"the destination bucket does not exist": {storetest.Mirror("a", "missing"), false, "NoSuchBucket", time.Hour},
		"access is denied":                      {storetest.Mirror("a", "b"), true, "AccessDenied", time.Hour},
		"the destination key is too long": {
			storetest.Mirror("a", "b", func(r *rule.Rule) { r.Destination.Prefix = strings.Repeat("p", 1024) }), false, "KeyTooLongError", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, storetest.Traits{}, c.rule)
			s.objects.Hook = func(call storetest.Call) (storetest.Fault, error) {
				if c.deny && call.Op == "objects.copy" {
					return storetest.FailBefore, denied
				}
				return storetest.None, nil
			}
			s.put("a", "k", "1")
			s.run()
			s.wantResults("failed " + c.want)
			var retryAt time.Time
			if c.wait > 0 {
				retryAt = s.clock.Add(c.wait)
			}
			got := s.ledger.AllFailures()
			if len(got) != 1 || got[0].Code != c.want || got[0].Source != s.at("a", "k") || !got[0].RetryAt.Equal(retryAt) ||
				got[0].Advice == "" || got[0].Message == "" {
				t.Errorf("recorded %+v, want one %s to be retried at %s", got, c.want, retryAt)
			}
			if len(s.queue.Dead()) != 0 {
				t.Errorf("%d dead letters", len(s.queue.Dead()))
			}
		})
	}
}

// failed is a stage where a copy of a/k to b failed and was recorded.
func failed(t *testing.T, traits storetest.Traits, rules ...rule.Rule) *stage {
	t.Helper()
	s := newStage(t, traits, rules...)
	s.objects.Hook = func(call storetest.Call) (storetest.Fault, error) {
		if call.Op == "objects.copy" {
			return storetest.FailBefore, &object.Error{Class: object.Permanent, Op: "copy", Code: "AccessDenied", Err: errors.New("not authorized")}
		}
		return storetest.None, nil
	}
	s.put("a", "k", "1")
	s.run()
	s.objects.Hook = nil
	if got := s.ledger.AllFailures(); len(got) != 1 || got[0].Attempts != 1 {
		t.Fatalf("recorded %+v", got)
	}
	s.results()
	s.bill()
	return s
}

func TestARetryThatComesToAGoodEndHealsTheFailure(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(*stage)
		want      string
		left      int // failures
	}{
		"whatever was in the way is gone": {func(*stage) {}, "copied missing", 0},
		"it was copied by hand": {func(s *stage) {
			s.put("b", "k", "1")
			s.clock = s.clock.Add(visibility)
		}, "skipped identical", 0},
		"the source is gone too": {func(s *stage) { s.lose = true; s.remove("a", "k") }, "skipped gone", 0},
		"it went to the archive": {func(s *stage) { s.lose = true; s.objects.Archive(s.at("a", "k")) }, "parked archived", 0},
		"the rule is paused meanwhile": {func(s *stage) {
			if err := s.ledger.SetPaused(ctx, "a-b", true); err != nil {
				t.Fatal(err)
			}
		}, "skipped paused", 1},
		"it fails again": {func(s *stage) {
			s.objects.Hook = func(call storetest.Call) (storetest.Fault, error) {
				return storetest.FailBefore, &object.Error{Class: object.Permanent, Op: "head", Code: "KMS.DisabledException", Err: errors.New("disabled")}
			}
		}, "failed KMS.DisabledException", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := failed(t, storetest.Traits{}, storetest.Mirror("a", "b", followDeletes))
			c.meanwhile(s)
			s.queue.Send(event.Retry(object.Failure{Rule: "a-b", Source: s.at("a", "k")}, s.clock))
			s.run()
			s.wantResults(c.want)
			if got := s.ledger.AllFailures(); len(got) != c.left || c.left > 0 && strings.HasPrefix(c.want, "failed") && got[0].Attempts != 2 {
				t.Errorf("recorded after the retry: %+v", got)
			}
			if s.queue.Len() != 0 || len(s.queue.Dead()) != 0 {
				t.Error("the message was not finished")
			}
		})
	}
}

func TestADeleteThatFailedIsMadeAndHealedByItsRetry(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b", followDeletes))
	s.put("a", "k", "1")
	s.run()
	s.objects.Hook = func(call storetest.Call) (storetest.Fault, error) {
		if call.Op == "objects.delete" {
			return storetest.FailBefore, &object.Error{Class: object.Permanent, Op: "delete", Code: "AccessDenied", Err: errors.New("not authorized")}
		}
		return storetest.None, nil
	}
	s.remove("a", "k")
	s.run()
	s.objects.Hook = nil
	s.queue.Send(event.Retry(object.Failure{Rule: "a-b", Source: s.at("a", "k")}, s.clock))
	s.run()
	s.wantResults("copied missing", "failed AccessDenied", "deleted removed")
	s.wantText("b", "k", "-")
	if got := s.ledger.AllFailures(); len(got) != 0 {
		t.Errorf("recorded after the retry: %+v", got)
	}
}

// What was to be repaired, and could not be, is repaired by its retry: once, and
// only while it is the object that was damaged.
func TestARetryRepairs(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(*stage)
		want      string
	}{
		"it is as it was":              {func(*stage) {}, "copied damaged"},
		"another repair was quicker":   {func(s *stage) { s.put("a", "k", "2"); s.run() }, "skipped in_sync"},
		"somebody wrote it meanwhile":  {func(s *stage) { s.put("b", "k", "theirs") }, "skipped dest_newer"},
		"the source was removed since": {func(s *stage) { s.lose = true; s.remove("a", "k") }, "skipped deletes_off"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
			s.put("a", "k", "1")
			s.run()
			s.objects.Rot(s.at("b", "k"), []byte("!"))
			there, _ := s.objects.Get(s.at("b", "k"))
			due := object.Failure{Rule: "a-b", Source: s.at("a", "k"), Damaged: object.DestOf(there.State)}
			if err := s.ledger.Fail(t.Context(), due); err != nil {
				t.Fatal(err)
			}
			c.meanwhile(s)
			s.queue.Send(event.Retry(due, s.clock))
			s.run()
			outcomes := s.results()
			if got := outcomes[len(outcomes)-1]; got != c.want {
				t.Errorf("the retry ended %q, want %q", got, c.want)
			}
			if got := s.ledger.AllFailures(); len(got) != 0 {
				t.Errorf("recorded after the retry: %+v", got)
			}
			if c.want == "copied damaged" {
				s.wantText("b", "k", "1")
			}
		})
	}
}

func TestARetryCostsALookAndOneMoreWrite(t *testing.T) {
	s := failed(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	s.metrics.Reset()
	s.queue.Send(event.Retry(object.Failure{Rule: "a-b", Source: s.at("a", "k")}, s.clock))
	s.run()
	if got, want := s.bill(), "map[ledger.count:1 ledger.healed:1 ledger.put:1 ledger.read:2 objects.copy:1 objects.head:2 objects.tagging:1]"; got != want {
		t.Errorf("requests %s, want %s", got, want)
	}
	if strings.Contains(s.metrics.String(), "ReplicationLatency") {
		t.Error("it was taken for quick: its message is younger than the object")
	}
}

func TestARetryThatCannotBeHealedComesBack(t *testing.T) {
	for name, c := range map[string]struct {
		times int // that healing fails
		tries int
		left  int // failures
	}{
		"once":       {1, 2, 0},
		"every time": {maxReceives, maxReceives, 1}, // what is recorded stays due
	} {
		t.Run(name, func(t *testing.T) {
			s := failed(t, storetest.Traits{}, storetest.Mirror("a", "b"))
			times := c.times
			s.ledger.Hook = func(call storetest.Call) (storetest.Fault, error) {
				if call.Op == "ledger.healed" && times > 0 {
					times--
					return storetest.FailBefore, errors.New("throttled")
				}
				return storetest.None, nil
			}
			s.queue.Send(event.Retry(object.Failure{Rule: "a-b", Source: s.at("a", "k")}, s.clock))
			s.run()
			want := append([]string{"copied missing"}, slices.Repeat([]string{"skipped in_sync"}, c.tries-1)...)
			s.wantResults(want...)
			if got := s.ledger.AllFailures(); len(got) != c.left {
				t.Errorf("recorded after the retry: %+v", got)
			}
			if len(s.queue.Dead()) != 0 {
				t.Error("the retry is a dead letter, though the next one will come")
			}
		})
	}
}

func TestAForbiddenLookIsNotAbsence(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b", followDeletes))
	s.put("a", "k", "1")
	s.run()
	s.results()
	s.objects.Hook = func(call storetest.Call) (storetest.Fault, error) {
		if call.Op == "objects.head" && call.Ref.Bucket.Name == "a" {
			return storetest.FailBefore, &object.Error{Class: object.Permanent, Op: "head", Code: "AccessDenied", Err: errors.New("403")}
		}
		return storetest.None, nil
	}
	s.remove("a", "k")
	s.run()
	s.wantResults("failed AccessDenied")
	s.wantText("b", "k", "1")
}

func TestTransientErrorsComeBackLaterAndLaterAndAreRecordedAtLast(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	s.objects.Hook = func(call storetest.Call) (storetest.Fault, error) {
		return storetest.FailBefore, &object.Error{Class: object.Retryable, Op: "copy", Code: "SlowDown", Err: errors.New("503")}
	}
	s.put("a", "k", "1")
	var waits []time.Duration
	for s.queue.Len() > 0 {
		s.invoke(s.queue.Receive(1)...)
		if next, any := s.queue.Next(); any {
			waits = append(waits, next.Sub(s.clock))
			s.clock = next
		}
	}
	if !slices.IsSorted(waits) || len(waits) != maxReceives-1 || waits[0] != waits[1]/2 {
		t.Errorf("waits between deliveries: %v", waits)
	}
	s.wantResults("retried SlowDown", "retried SlowDown", "retried SlowDown", "retried SlowDown", "failed SlowDown")
	f := s.ledger.AllFailures()
	if len(f) != 1 || !f[0].RetryAt.Equal(s.clock.Add(15*time.Minute)) || len(s.queue.Dead()) != 0 {
		t.Errorf("failures %+v, dead letters %d", f, len(s.queue.Dead()))
	}
}

func TestAFailureThatCannotBeRecordedIsNotFinished(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "missing"))
	s.ledger.Hook = func(call storetest.Call) (storetest.Fault, error) {
		if call.Op == "ledger.fail" {
			return storetest.FailBefore, errors.New("throttled")
		}
		return storetest.None, nil
	}
	s.put("a", "k", "1")
	s.run()
	if len(s.queue.Dead()) != 1 {
		t.Errorf("%d dead letters, want the message", len(s.queue.Dead()))
	}
}

func TestAnArchivedObjectWaitsForItsRestore(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	s.put("a", "k", "1")
	s.objects.Archive(s.at("a", "k"))
	s.run()
	s.wantResults("parked archived")
	s.wantText("b", "k", "-")
	s.objects.Restore(s.at("a", "k"))
	s.run()
	s.wantResults("copied missing")
	s.wantText("b", "k", "1")
}

func TestPauseIsHonouredByTheNextMessage(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	s.put("a", "k", "1")
	s.run()
	s.results()
	if err := s.ledger.SetPaused(ctx, "a-b", true); err != nil {
		t.Fatal(err)
	}
	s.put("a", "k", "2")
	s.run()
	s.wantResults("skipped paused")
	s.wantText("b", "k", "1")
	if err := s.ledger.SetPaused(ctx, "a-b", false); err != nil {
		t.Fatal(err)
	}
	s.put("a", "k", "3")
	s.run()
	s.wantText("b", "k", "3")
}

func TestRulesThatAreMadeAnewAreRead(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	s.ledger.SetCatalog(storetest.Deployed(time.Time{}, []string{"a", "b", "c"}, storetest.Mirror("a", "b")))
	s.put("a", "k", "1")
	s.run()
	// The tables are made again: their revisions begin anew, below the known.
	*s.ledger = storetest.Ledger{}
	s.ledger.SetCatalog(storetest.Deployed(time.Time{}, []string{"a", "b", "c"}, storetest.Mirror("a", "c")))
	s.put("a", "k", "2")
	s.run()
	s.wantText("b", "k", "1")
	s.wantText("c", "k", "2")
}

func TestACopyIsRecordedAlsoWhenTimeIsUp(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	s.put("a", "k", "1")
	short, cancel := context.WithCancel(ctx)
	s.objects.Hook = func(call storetest.Call) (storetest.Fault, error) {
		if call.Op == "objects.copy" {
			cancel() // while the copy is under way
		}
		return storetest.None, nil
	}
	if _, err := s.handler.Handle(short, batch(s.queue.Receive(1)...)); err != nil {
		t.Fatal(err)
	}
	s.wantText("b", "k", "1")
	if !s.ledger.Item(s.at("b", "k")).Landed() {
		t.Error("the copy was not recorded")
	}
}

func TestAKeyThatWouldBeTooLongFailsOnlyWhereItWouldBeCopied(t *testing.T) {
	long := func(r *rule.Rule) { r.Destination.Prefix = strings.Repeat("p", 1024) }
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b", long))
	s.put("a", ".deltaglider/x", "1")
	s.run()
	s.wantResults("skipped excluded")
	s.put("a", "k", "1")
	s.remove("a", "k")
	s.run()
	s.wantResults("failed KeyTooLongError", "skipped gone")
}

func TestAPanicFailsItsRecordAlone(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	s.objects.Hook = func(call storetest.Call) (storetest.Fault, error) {
		if call.Ref.Key == "bad" {
			panic("a defect")
		}
		return storetest.None, nil
	}
	for _, key := range []string{"good 1", "bad", "good 2"} {
		s.put("a", key, "1")
	}
	s.run()
	s.wantText("b", "good 1", "1")
	s.wantText("b", "good 2", "1")
	if dead := s.queue.Dead(); len(dead) != 1 || !strings.Contains(dead[0].Body, `"bad"`) {
		t.Errorf("dead letters: %+v", dead)
	}
	if !strings.Contains(s.log.String(), "handler_test.go") {
		t.Error("the log does not say where it panicked")
	}
}

func TestTheRestIsGivenBackBeforeTheDeadline(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	for _, key := range []string{"1", "2", "3"} {
		s.put("a", key, "x")
	}
	// A deadline that leaves nothing but the time to give the batch back.
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	response, err := s.handler.Handle(short, batch(s.queue.Receive(10)...))
	if err != nil || len(response.BatchItemFailures) != 3 {
		t.Fatalf("given back: %+v, %v", response.BatchItemFailures, err)
	}
	s.run()
	for _, key := range []string{"1", "2", "3"} {
		s.wantText("b", key, "x")
	}
}

func TestOneMessageWithManyRecordsIsFinishedAsAWhole(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	s.lose = true
	s.put("a", "a b", "1")
	s.put("a", "ü", "2")
	s.queue.Send(`{"Records":[
		{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"r","eventTime":"2026-01-01T00:00:00.000Z","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"a"},"object":{"key":"a+b","size":1,"eTag":"c4ca4238a0b923820dcc509a6f75849b"}}},
		{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"r","eventTime":"2026-01-01T00:00:01.000Z","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"a"},"object":{"key":"%C3%BC","size":1,"eTag":"c81e728d9d4c2f636f067f89cc14862c"}}}]}`)
	s.run()
	s.wantText("b", "a b", "1")
	s.wantText("b", "ü", "2")
}

func TestTwoChangesOfOneObjectInOneBatch(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b", followDeletes))
	s.put("a", "k", "1")
	s.put("a", "k", "2")
	s.remove("a", "k")
	s.put("a", "k", "3")
	s.invoke(s.queue.Receive(10)...)
	s.wantText("b", "k", "3")
	s.remove("a", "k")
	s.run()
	s.wantText("b", "k", "-")
}

func TestOnAVersionedPairOfBucketsNoOldVersionComesBack(t *testing.T) {
	s := newStage(t, storetest.Traits{Versioned: true}, storetest.Mirror("a", "b", followDeletes))
	s.put("a", "k", "1")
	s.remove("a", "k")
	got := s.queue.Receive(10)
	slices.Reverse(got) // the delete's event first
	for _, m := range got {
		s.invoke(m)
	}
	s.run()
	s.wantText("b", "k", "-")
	if n := len(s.objects.Versions(s.at("b", "k"))); n != 0 {
		t.Errorf("%d versions came to the destination", n)
	}
}

func TestADeleteOnAVersionedDestinationPutsOneMarker(t *testing.T) {
	s := newStage(t, storetest.Traits{Versioned: true}, storetest.Mirror("a", "b", followDeletes))
	s.put("a", "k", "1")
	s.run()
	s.remove("a", "k")
	removed := s.told[len(s.told)-1]
	s.run()
	for range 2 {
		s.queue.Send(body(removed))
		s.run()
	}
	versions := s.objects.Versions(s.at("b", "k"))
	if len(versions) != 2 || s.text("b", "k") != "-" {
		t.Errorf("versions at the destination: %+v", versions)
	}
}

func TestWhatAPersonPutIsNeverDeleted(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b", followDeletes))
	s.put("b", "manual", "theirs")
	s.put("a", "manual", "ours")
	s.objects.Put(s.at("b", "manual"), storetest.Text("theirs, again"))
	s.put("a", "replica", "ours")
	s.clock = s.clock.Add(visibility)
	s.run()
	s.remove("a", "manual")
	s.remove("a", "replica")
	s.run()
	s.wantText("b", "manual", "theirs, again")
	s.wantText("b", "replica", "-")
}

func TestALifecycleExpirationIsRemembered(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b", followDeletes))
	s.put("a", "k", "1")
	s.run()
	s.results()
	s.objects.Remove(s.at("a", "k"), object.ByLifecycle)
	s.run()
	s.wantResults("skipped lifecycle")
	// A later look cannot know the cause, and must not delete.
	s.queue.Send(body(object.Change{Ref: s.at("a", "k"), Kind: object.Deleted, Time: s.clock}))
	s.run()
	s.wantResults("skipped lifecycle")
	s.wantText("b", "k", "1")
}

func TestTagsThatChangeArriveOnce(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	s.put("a", "k", "1")
	s.run()
	s.objects.PutTags(s.at("a", "k"), map[string]string{"class": "gold"})
	retagged := s.told[len(s.told)-1]
	s.run()
	s.queue.Send(body(retagged))
	s.results()
	s.run()
	s.wantResults("skipped in_sync")
	found, _ := s.objects.Get(s.at("b", "k"))
	if found.Tags["class"] != "gold" {
		t.Errorf("tags at the destination: %v", found.Tags)
	}
}

func TestTagsThatChangeTakeATaggingCallAndNoCopy(t *testing.T) {
	for name, traits := range map[string]storetest.Traits{"versions": {Versioned: true}, "no versions": {}} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, traits, storetest.Mirror("a", "b"))
			s.put("a", "k", "1")
			s.run()
			before, _ := s.objects.Get(s.at("b", "k"))
			s.metrics.Reset()
			s.bill()
			s.results()
			s.objects.PutTags(s.at("a", "k"), map[string]string{"class": "gold"})
			s.run()
			s.wantResults("retagged tags_only")
			const want = "map[ledger.put:1 ledger.read:2 objects.head:2 objects.retag:1 objects.tagging:2]"
			if got := s.bill(); got != want {
				t.Errorf("requests %s, want %s", got, want)
			}
			after, _ := s.objects.Get(s.at("b", "k"))
			if after.Tags["class"] != "gold" || after.State.VersionID != before.State.VersionID || !after.State.LastModified.Equal(before.State.LastModified) {
				t.Errorf("the replica was %+v, is %+v", before, after)
			}
			if !strings.Contains(s.metrics.String(), "ObjectsRetagged") {
				t.Error("it was not counted")
			}
			// It stays ours: a delete still follows, and an overwrite.
			s.put("a", "k", "2")
			s.run()
			s.wantText("b", "k", "2")
		})
	}
}

func TestTagsFollowAChainAndNeverComeBack(t *testing.T) {
	s := newStage(t, storetest.Traits{Versioned: true}, storetest.Mirror("a", "b"), storetest.Mirror("b", "c"), storetest.Mirror("c", "a"))
	s.put("a", "k", "1")
	s.run()
	s.results()
	s.objects.PutTags(s.at("a", "k"), map[string]string{"class": "gold"})
	s.run()
	s.wantResults("retagged tags_only", "retagged tags_only", "skipped echo")
	for _, b := range []string{"a", "b", "c"} {
		if found, _ := s.objects.Get(s.at(b, "k")); found.Tags["class"] != "gold" {
			t.Errorf("the tags at %s are %v", b, found.Tags)
		}
	}
	// A person's tags on a replica are that person's: no event of the source
	// says otherwise.
	s.objects.PutTags(s.at("c", "k"), map[string]string{"scanned": "clean"})
	s.run()
	s.wantResults("skipped echo")
	if found, _ := s.objects.Get(s.at("c", "k")); found.Tags["scanned"] != "clean" {
		t.Errorf("the tags at c are %v", found.Tags)
	}
}

func TestAFailedTaggingIsMadeUpFor(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	s.put("a", "k", "1")
	s.run()
	s.results()
	denied := true
	s.objects.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if denied && c.Op == "objects.retag" {
			return storetest.FailBefore, &object.Error{Class: object.Permanent, Op: "retag", Ref: c.Ref, Code: "AccessDenied", Err: errors.New("no")}
		}
		return storetest.None, nil
	}
	s.objects.PutTags(s.at("a", "k"), map[string]string{"class": "gold"})
	s.run()
	s.wantResults("failed AccessDenied")
	if got := s.ledger.AllFailures(); len(got) != 1 {
		t.Fatalf("recorded: %+v", got)
	}
	denied = false
	s.queue.Send(event.Retry(object.Failure{Rule: "a-b", Source: s.at("a", "k")}, s.clock))
	s.run()
	s.wantResults("retagged tags_only")
	if got := s.ledger.AllFailures(); len(got) != 0 {
		t.Errorf("recorded after the retry: %+v", got)
	}
}

func TestWhatABackendCannotKeepIsRecorded(t *testing.T) {
	s := newStage(t, storetest.Traits{NoTags: true}, storetest.Mirror("a", "b"))
	s.objects.Put(s.at("a", "k"), storetest.Content{Body: []byte("1"), Tags: map[string]string{"class": "gold"}})
	s.run()
	if !strings.Contains(s.log.String(), `"lost":["tags"]`) || !strings.Contains(s.metrics.String(), "PropertiesLost") {
		t.Errorf("log %s\nmetrics %s", s.log.String(), s.metrics.String())
	}
	s.wantResults("copied missing")
	if got := s.ledger.Item(s.at("b", "k")).Lost; !slices.Equal(got, []string{object.LostTags}) {
		t.Errorf("the ledger says that %q were lost", got)
	}
	// What it cannot keep is not tried over and over.
	s.objects.PutTags(s.at("a", "k"), map[string]string{"class": "silver"})
	s.run()
	s.wantResults("skipped in_sync")
}

func TestATagFilterAdmitsWhatIsTaggedLater(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b", func(r *rule.Rule) { r.Tags = map[string]string{"class": "gold"} }))
	s.put("a", "k", "1")
	s.run()
	s.wantResults("skipped excluded")
	s.objects.PutTags(s.at("a", "k"), map[string]string{"class": "gold"})
	s.run()
	s.wantResults("copied missing")
}

func TestTheHigherRuleOwnsTheDestination(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "c"), storetest.Mirror("b", "c", func(r *rule.Rule) { r.Priority = 1 }))
	s.put("a", "k", "low")
	s.run()
	s.wantText("c", "k", "low")
	s.put("b", "k", "high")
	s.run()
	s.wantText("c", "k", "high")
	s.put("a", "k", "low again")
	s.results()
	s.run()
	s.wantResults("skipped lower_priority")
	s.wantText("c", "k", "high")
}

func TestAPairSettlesAndTheNewerWriteWins(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"), storetest.Mirror("b", "a"))
	s.put("a", "k", "older")
	s.put("b", "k", "newer")
	s.put("a", "only a", "1")
	s.put("b", "only b", "2")
	s.run()
	for _, b := range []string{"a", "b"} {
		s.wantText(b, "k", "newer")
		s.wantText(b, "only a", "1")
		s.wantText(b, "only b", "2")
	}
	copied := slices.DeleteFunc(s.results(), func(r string) bool { return !strings.HasPrefix(r, "copied") })
	if len(copied) != 3 {
		t.Errorf("copies: %q", copied)
	}
}
