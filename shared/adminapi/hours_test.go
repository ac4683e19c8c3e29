package adminapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/object"
)

func TestEveryHourOfTheLastDayIsTold(t *testing.T) {
	w := newWorld(t)
	w.wait(25*time.Minute + time.Second)
	begin := w.now.Truncate(time.Hour)
	count := func(rule string, ago int, h object.Hour) {
		h.Begin = begin.Add(-time.Duration(ago) * time.Hour)
		w.must(w.ledger.CountHour(context.Background(), rule, h))
	}
	now := object.Hour{Copied: 3, Bytes: 15, Deleted: 2, Failed: 1}
	for _, lag := range []time.Duration{700 * time.Millisecond, 800 * time.Millisecond, 3 * time.Second} {
		now.Lag.Observe(lag)
	}
	slow := object.Hour{Copied: 1}
	slow.Lag.Observe(3 * time.Hour)
	count("a", 0, now)
	count("a", 23, slow)
	count("a", 24, object.Hour{Copied: 100}) // too long ago
	count("a", -1, object.Hour{Copied: 100}) // of a clock that is ahead
	count("b", 5, object.Hour{Deleted: 7})

	var body struct {
		Rule        string
		Approximate bool
		Hours       []json.RawMessage
	}
	w.must(json.Unmarshal([]byte(w.ask("GET /jobs/replication:a/hours").wants(200, "").Body), &body))
	if body.Rule != "a" || !body.Approximate || len(body.Hours) != 24 {
		t.Fatalf("%+v", body)
	}
	for i, got := range body.Hours {
		want := `"objects_copied":0,"bytes_copied":0,"objects_deleted":0,"failures":0,"lag":null}`
		switch i {
		case 0:
			want = `"objects_copied":1,"bytes_copied":0,"objects_deleted":0,"failures":0,"lag":{"objects":1,"mean_ms":10800000,"p50_ms":null,"p99_ms":null,"max_ms":null}}`
		case 23:
			want = `"objects_copied":3,"bytes_copied":15,"objects_deleted":2,"failures":1,"lag":{"objects":3,"mean_ms":1500,"p50_ms":1000,"p99_ms":5000,"max_ms":5000}}`
		}
		want = fmt.Sprintf(`{"begins_at":%q,`, begin.Add(time.Duration(i-23)*time.Hour).Format(time.RFC3339)) + want
		if string(got) != want {
			t.Errorf("hour %d: %s\nwant %s", i, got, want)
		}
	}
	if got := w.ask("GET /jobs/b/hours").Body; strings.Count(got, "begins_at") != 24 || strings.Count(got, `"objects_deleted":7`) != 1 {
		t.Errorf("of another rule: %s", got)
	}
	w.ask("GET /jobs/x/hours").wants(404, "JobNotFound")
}
