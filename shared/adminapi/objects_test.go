package adminapi_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

func (w *world) put(at object.Bucket, key, text string) {
	w.objects.Put(object.Ref{Bucket: at, Key: key}, storetest.Text(text))
}

// replicate is the event of a source object.
func (w *world) replicate(key string) {
	w.t.Helper()
	w.replicateBy(key, 1)
}

// replicateBy is the same where so many rules concern it.
func (w *world) replicateBy(key string, rules int) {
	w.t.Helper()
	outcomes, err := w.handler.Inspect.Replicator.Replicate(context.Background(), []replicate.Work{{
		Change: object.Change{Ref: object.Ref{Bucket: from, Key: key}, Kind: object.Due, Time: w.clock()}, Message: "m", Delivery: 1,
	}})
	w.must(err)
	if len(outcomes[0]) != rules || outcomes[0][0].Err != nil {
		w.t.Fatalf("outcomes %+v", outcomes)
	}
}

func TestAnObjectHasAllItsFields(t *testing.T) {
	w := newWorld(t)
	w.put(from, "a/x", "hello")
	const pending = `{"bucket":"aws/from","key":"a/x","rules":[{"rule":"a","role":"source","status":"PENDING","next":"copy","reason":"missing",` +
		`"detail":"The destination has no such object.","source":{"bucket":"aws/from","key":"a/x"},"destination":{"bucket":"aws/to","key":"a/x"},` +
		`"error":null,"will_retry_at":null,"lost":[],"origin":{"bucket":"aws/from","key":"a/x","last_modified":"2026-04-01T12:00:00Z","chain":[]},"transfer":null}]}` + "\n"
	if got := w.ask("GET /objects?bucket=from&key=a/x").wants(200, "").Body; got != pending {
		t.Errorf("got  %swant %s", got, pending)
	}
	w.must(w.ledger.Fail(context.Background(), object.Failure{
		Rule: "a", Source: object.Ref{Bucket: from, Key: "a/x"}, OccurredAt: w.clock(), RetryAt: w.clock().Add(time.Hour),
		Code: "AccessDenied", Message: "no", Advice: "Allow it.",
	}))
	failed := w.ask("GET /objects?bucket=from&key=a/x&wait=20s").wants(200, "").json()["rules"].([]any)[0].(map[string]any)
	const failure = "map[advice:Allow it. attempts:1 code:AccessDenied message:no occurred_at:2026-04-01T12:00:00Z]"
	if failed["status"] != "FAILED" || fmt.Sprint(failed["error"]) != failure || failed["will_retry_at"] != "2026-04-01T13:00:00Z" {
		t.Errorf("failed is %v", failed)
	}
	w.replicate("a/x")
	const replica = `{"bucket":"aws/to","key":"a/x","rules":[{"rule":"a","role":"destination","status":"REPLICA","next":"skip","reason":"in_sync",` +
		`"detail":"The destination holds our copy of this very object.","source":{"bucket":"aws/from","key":"a/x"},"destination":{"bucket":"aws/to","key":"a/x"},` +
		`"error":null,"will_retry_at":null,"lost":[],"origin":{"bucket":"aws/from","key":"a/x","last_modified":"2026-04-01T12:00:00Z","chain":["aws/from"]},"transfer":null}]}` + "\n"
	if got := w.ask("GET /objects?bucket=to&key=a/x").Body; got != replica {
		t.Errorf("got  %swant %s", got, replica)
	}
}

func TestAnObjectThatIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.put(from, "a/x", "hello")
	begun := w.clock()
	w.sleep = func() {
		if w.clock().Sub(begun) >= 5*time.Second {
			w.sleep = nil
			w.replicate("a/x")
		}
	}
	for _, at := range []string{"from", "to"} {
		got := w.ask("GET /objects?bucket="+at+"&key=a/x&wait=20s").wants(200, "").json()["rules"].([]any)[0].(map[string]any)
		if got["reason"] != "in_sync" {
			t.Errorf("in %s: %v", at, got)
		}
	}
	if waited := w.clock().Sub(begun); waited > 7*time.Second {
		t.Errorf("waited %v for what was there after 5 s", waited)
	}
	begun = w.clock()
	w.put(from, "a/y", "hello")
	got := w.ask("GET /objects?bucket=from&key=a/y&wait=3s").wants(200, "").json()["rules"].([]any)[0].(map[string]any)
	if waited := w.clock().Sub(begun); got["status"] != "PENDING" || waited != 3*time.Second {
		t.Errorf("after %v: %v", waited, got)
	}
}

func TestAKeyOfAnyBytes(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"a/x y+z%2F", "a/日本", "a/\xff", "a//", "a/\x00\n"} {
		w.put(from, key, "hello")
		got := w.ask("GET /objects?bucket=from&key="+url.QueryEscape(key)).wants(200, "").json()
		if n := len(got["rules"].([]any)); n != 1 {
			t.Errorf("%q: %d rules", key, n)
		}
		if odd := key == "a/\xff"; (got["key"] == key) == odd || odd != (got["key_base64"] == "YS//") {
			t.Errorf("%q is answered as %v", key, got)
		}
	}
}

func TestAPlanHasAllItsFields(t *testing.T) {
	w := newWorld(t)
	w.catalog(func(c *rule.Catalog) { c.Rules[0].Rule.ReplicateDeletes = true })
	w.put(from, "a/gone", "x")
	w.replicate("a/gone")
	w.objects.Remove(object.Ref{Bucket: from, Key: "a/gone"}, object.ByRequest)
	w.put(from, "a/x", "hello")
	w.put(from, "a/y/", "")
	w.put(from, "a/same", "x")
	w.put(to, "a/same", "x")
	const want = `{"rule":"a","complete":true,"cursor":null,"objects_scanned":4,` +
		`"copy":{"objects":1,"bytes":5,"by_reason":{"missing":1},"keys":[{"source_key":"a/x","dest_key":"a/x","reason":"missing","bytes":5}]},` +
		`"delete":{"objects":1,"held":false,"keys":[{"source_key":"a/gone","dest_key":"a/gone","reason":"removed"}]},` +
		`"skip":{"objects":2,"by_reason":{"excluded":1,"in_sync":1},"keys":[{"source_key":"a/y/","dest_key":"a/y/","reason":"excluded"}]},` +
		`"fail":{"objects":0,"keys":[]}}` + "\n"
	if got := w.ask("POST /jobs/a/plan").wants(200, "").Body; got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	if lines := w.lines("audit"); len(lines) > 0 {
		t.Errorf("what changes nothing is audited: %v", lines)
	}
}

func TestAPlanGoesOnFromItsCursor(t *testing.T) {
	w := newWorld(t)
	for i := range 250 {
		w.put(from, fmt.Sprintf("a/%03d", i), "x")
	}
	w.ledger.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "ledger.read" {
			w.wait(15 * time.Second)
		}
		return storetest.None, nil
	}
	request := "POST /jobs/a/plan"
	for _, want := range []float64{99, 198, 250} {
		got := w.ask(request).wants(200, "").json()
		copies, held := got["copy"].(map[string]any), got["delete"].(map[string]any)["held"]
		if copies["objects"] != want || got["complete"] != (want == 250) || (held == nil) == (want == 250) {
			t.Fatalf("want %v copies: %v", want, got)
		}
		if want < 250 {
			request = "POST /jobs/a/plan?cursor=" + got["cursor"].(string)
		}
	}
	w.ask(request[:len("POST /jobs/")]+"b"+request[len("POST /jobs/a"):]).wants(409, "RulesChanged")
	w.catalog(func(c *rule.Catalog) { c.Rules[0].Rule.Priority = 3 })
	w.ask(request).wants(409, "RulesChanged")
}
