package adminapi_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"
)

// transfer stores a transfer of a key, which began now unless it says when.
func (w *world) transfer(tr object.Transfer, key string) {
	w.t.Helper()
	tr.ID, tr.From, tr.To = "t-"+key, object.Ref{Bucket: from, Key: key}, object.Ref{Bucket: to, Key: key}
	if tr.BegunAt.IsZero() {
		tr.BegunAt = w.clock()
	}
	if tr.AliveUntil.IsZero() {
		tr.AliveUntil = w.clock().Add(time.Minute)
	}
	_, err := w.large.PutTransfer(context.Background(), object.Transfer{}, tr)
	w.must(err)
}

// moving has three large objects under way for the rule a, one for b.
func (w *world) moving() {
	ago := func(d time.Duration) time.Time { return w.clock().Add(-d) }
	open := object.Upload{ID: "u"}
	w.transfer(object.Transfer{
		Rule: "a", Run: 7, Size: 10e9, PartSize: 3e9, Upload: open, BegunAt: ago(10 * time.Minute), ProgressAt: ago(3 * time.Second),
		Counted: object.Counted{At: ago(9 * time.Second), Parts: 1, Bytes: 4e9},
	}, "a/<b>")
	w.transfer(object.Transfer{
		Rule: "a", Run: 7, Size: 10e9, PartSize: 3e9, Upload: open, BegunAt: ago(20 * time.Minute), AliveUntil: ago(10 * time.Minute), Tries: 2, LastError: "SlowDown",
		Counted: object.Counted{At: ago(12 * time.Minute), Parts: 2, Bytes: 5e9},
	}, "a/stuck")
	w.transfer(object.Transfer{Rule: "a", Size: 10e9, PartSize: 3e9}, "a/new\xff")
	w.transfer(object.Transfer{Rule: "b", Size: 1e9, PartSize: 1e9}, "b/one")
}

func TestLargeObjectsAreListed(t *testing.T) {
	w := newWorld(t)
	w.moving()
	want := `{"transfers":[` +
		`{"source":{"bucket":"aws/from","key":"a/stuck"},"destination":{"bucket":"aws/to","key":"a/stuck"},"run_id":7,` +
		`"begun_at":"2026-04-01T11:40:00Z","parts":4,"parts_done":2,"bytes":10000000000,"bytes_copied":5000000000,"counted_at":"2026-04-01T11:48:00Z","last_progress_at":null,` +
		`"status":"stalled","detail":"No part was done since a worker met SlowDown.","last_error":"SlowDown","tries":2,"will_retry_at":"2026-04-01T11:50:30Z"},` +
		`{"source":{"bucket":"aws/from","key":"a/<b>"},"destination":{"bucket":"aws/to","key":"a/<b>"},"run_id":7,` +
		`"begun_at":"2026-04-01T11:50:00Z","parts":4,"parts_done":1,"bytes":10000000000,"bytes_copied":4000000000,"counted_at":"2026-04-01T11:59:51Z","last_progress_at":"2026-04-01T11:59:57Z",` +
		`"status":"copying","detail":"Workers copy its parts.","last_error":null,"tries":0,"will_retry_at":null},` +
		`{"source":{"bucket":"aws/from","key":"a/new\ufffd","key_base64":"YS9uZXf/"},"destination":{"bucket":"aws/to","key":"a/new\ufffd","key_base64":"YS9uZXf/"},"run_id":null,` +
		`"begun_at":"2026-04-01T12:00:00Z","parts":4,"parts_done":0,"bytes":10000000000,"bytes_copied":0,"counted_at":null,"last_progress_at":null,` +
		`"status":"queued","detail":"It waits for its first worker.","last_error":null,"tries":0,"will_retry_at":null}],"next_cursor":null}` + "\n"
	if got := w.ask("GET /jobs/a/transfers").wants(http.StatusOK, "").Body; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := w.ask("GET /jobs/c/transfers").wants(http.StatusOK, "").Body; got != `{"transfers":[],"next_cursor":null}`+"\n" {
		t.Errorf("of none: %s", got)
	}
	w.ask("GET /jobs/x/transfers").wants(http.StatusNotFound, "JobNotFound")
}

func TestLargeObjectsPageByPage(t *testing.T) {
	w := newWorld(t)
	for i := range 25 {
		w.transfer(object.Transfer{Rule: "a", Size: 1e9, PartSize: 1e8, BegunAt: w.clock().Add(time.Duration(i/3) * time.Minute)}, fmt.Sprintf("a/%02d\xff/", i))
	}
	var keys []string
	for line := "GET /jobs/a/transfers?limit=10"; line != ""; {
		page := w.ask(line).wants(http.StatusOK, "").json()
		for _, one := range page["transfers"].([]any) {
			keys = append(keys, one.(map[string]any)["source"].(map[string]any)["key"].(string))
		}
		if line = ""; page["next_cursor"] != nil {
			line = "GET /jobs/a/transfers?limit=10&cursor=" + page["next_cursor"].(string)
		}
	}
	if len(keys) != 25 {
		t.Fatalf("%d keys", len(keys))
	}
	for i, key := range keys {
		if want := fmt.Sprintf("a/%02d\ufffd/", i); key != want {
			t.Errorf("%d is %q, want %q", i, key, want)
		}
	}
	for _, cursor := range []string{"", "x", "MTIz", "MTIzL2F3cy90by8", "eC9hd3MvdG8vaw", "MS8vdG8vaw"} { // 123, 123/aws/to/, x/aws/to/k, 1//to/k
		w.ask("GET /jobs/a/transfers?cursor="+cursor).wants(http.StatusBadRequest, "InvalidRequest")
	}
	for _, limit := range []string{"0", "101", "x"} {
		w.ask("GET /jobs/a/transfers?limit="+limit).wants(http.StatusBadRequest, "InvalidRequest")
	}
}

// What a large object waits for, in a word.
func TestWhatALargeObjectWaitsFor(t *testing.T) {
	now := newWorld(t).clock()
	open, alive := object.Upload{ID: "u"}, now.Add(time.Minute)
	for situation, test := range map[string]struct {
		tr     object.Transfer
		paused bool
		status string
		retry  any
	}{
		"nobody began it":                {object.Transfer{}, false, "queued", nil},
		"nobody begins it":               {object.Transfer{AliveUntil: now.Add(-31 * time.Second)}, false, "stalled", "2026-04-01T11:59:59Z"},
		"workers copy":                   {object.Transfer{Upload: open}, false, "copying", nil},
		"workers copy, and meet errors":  {object.Transfer{Upload: open, LastError: "SlowDown"}, false, "copying", nil},
		"they are late":                  {object.Transfer{Upload: open, AliveUntil: now.Add(-30 * time.Second)}, false, "copying", nil},
		"they fell silent":               {object.Transfer{Upload: open, AliveUntil: now.Add(-31 * time.Second)}, false, "stalled", "2026-04-01T11:59:59Z"},
		"others were invited":            {object.Transfer{Upload: open, Tries: 1, AliveUntil: alive}, false, "stalled", "2026-04-01T12:01:30Z"},
		"limits hold it back":            {object.Transfer{Upload: open, Tries: 1, Held: true, AliveUntil: alive}, false, "held", "2026-04-01T12:01:30Z"},
		"somebody paused the rule":       {object.Transfer{Upload: open, Held: true}, true, "paused", nil},
		"all parts are there":            {object.Transfer{Upload: open, Counted: object.Counted{At: now, Parts: 2, Bytes: 20}}, false, "completing", nil},
		"stored by an older version":     {object.Transfer{Upload: open}, false, "copying", nil},
		"all parts are there, and alone": {object.Transfer{Upload: open, AliveUntil: now.Add(-time.Hour), Counted: object.Counted{At: now, Parts: 2, Bytes: 20}}, false, "stalled", "2026-04-01T11:00:30Z"},
	} {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			test.tr.Rule, test.tr.Size, test.tr.PartSize = "a", 20, 10
			w.transfer(test.tr, "a/k")
			w.must(w.ledger.SetPaused(context.Background(), "a", test.paused))
			got := w.ask("GET /jobs/a/transfers").wants(http.StatusOK, "").json()["transfers"].([]any)[0].(map[string]any)
			if got["status"] != test.status || got["will_retry_at"] != test.retry || got["detail"] == "" {
				t.Errorf("%v", got)
			}
		})
	}
}

// Jobs and runs sum up what is under way, and a run what it found.
func TestLargeObjectsAreSummedUp(t *testing.T) {
	w := newWorld(t)
	for range 8 {
		w.start("a")
		w.finish("a", run.Totals{Scanned: 3, Skipped: map[string]int64{"transferring": 2}})
	}
	w.moving()
	sum := func(objects, stalled, bytes, copied int, counted string) string {
		return fmt.Sprintf(`map[bytes:%v bytes_copied:%v complete:true counted_at:%s objects:%d stalled:%d]`, float64(bytes), float64(copied), counted, objects, stalled)
	}
	job := w.ask("GET /jobs/a").wants(http.StatusOK, "").json()
	if got, want := fmt.Sprint(job["large_objects"]), sum(3, 1, 30e9, 9e9, "2026-04-01T11:48:00Z"); got != want {
		t.Errorf("the job: %s, want %s", got, want)
	}
	want := "Run 8 saw every key: 3 keys, 0 objects copied, 0 deleted. It left 2 large objects to be copied by parts." +
		" 3 large objects are being copied by parts: 30% of 30.0 GB, 1 stalled. GET /jobs/a/transfers says how far each is."
	if job["detail"] != want {
		t.Errorf("detail is %s, want %s", job["detail"], want)
	}
	for i, name := range rules {
		got := w.ask("GET /jobs").wants(http.StatusOK, "").json()["jobs"].([]any)[i].(map[string]any)["large_objects"]
		if some := got != nil; some != (name == "a" || name == "b") {
			t.Errorf("%s has %v", name, got)
		}
	}
	for i, one := range w.ask("GET /jobs/a/runs").wants(http.StatusOK, "").json()["runs"].([]any) {
		want := "<nil>"
		if i == 1 {
			want = sum(2, 1, 20e9, 9e9, "2026-04-01T11:48:00Z")
		}
		if got := fmt.Sprint(one.(map[string]any)["large_objects"]); got != want {
			t.Errorf("run %d: %s, want %s", 8-i, got, want)
		}
	}
}

// Where there are more than can be summed up at once, it is said.
func TestTooManyLargeObjectsToSumUp(t *testing.T) {
	w := newWorld(t)
	for i := range 501 {
		w.transfer(object.Transfer{Rule: "a", Size: 1, PartSize: 1, Upload: object.Upload{ID: "u"}}, fmt.Sprint("a/", i))
	}
	for name, objects := range map[string]float64{"a": 500, "b": 0} {
		got := w.ask("GET /jobs/"+name).wants(http.StatusOK, "").json()["large_objects"].(map[string]any)
		if got["objects"] != objects || got["complete"] != false {
			t.Errorf("%s: %v", name, got)
		}
	}
}
