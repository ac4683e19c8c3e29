package queue_test

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/run"
)

var _ run.Queue = queue.Tickets{}

// postbox takes batches as SQS does, and refuses messages with the codes it is
// told, the first request's first.
type postbox struct {
	refuse   []map[string]string // by body
	requests [][]string
	taken    []string
}

func (p *postbox) RoundTrip(r *http.Request) (*http.Response, error) {
	var asked struct {
		Entries []struct{ Id, MessageBody string }
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		return nil, err
	}
	var refused map[string]string
	if len(p.refuse) > 0 {
		refused, p.refuse = p.refuse[0], p.refuse[1:]
	}
	type entry map[string]any
	answer := map[string][]entry{"Successful": {}, "Failed": {}}
	var request []string
	for _, e := range asked.Entries {
		request = append(request, e.MessageBody)
		if code, no := refused[e.MessageBody]; no {
			answer["Failed"] = append(answer["Failed"], entry{"Id": e.Id, "Code": code, "SenderFault": false, "Message": "no"})
			continue
		}
		p.taken = append(p.taken, e.MessageBody)
		answer["Successful"] = append(answer["Successful"], entry{"Id": e.Id, "MessageId": "m", "MD5OfMessageBody": fmt.Sprintf("%x", md5.Sum([]byte(e.MessageBody)))})
	}
	p.requests = append(p.requests, request)
	body, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: 200, Body: io.NopCloser(strings.NewReader(string(body))), Request: r,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
	}, nil
}

func TestMessagesAreSentInTens(t *testing.T) {
	for _, c := range []struct{ messages, requests int }{{0, 0}, {1, 1}, {10, 1}, {11, 2}, {98, 10}} {
		var bodies []string
		for i := range c.messages {
			bodies = append(bodies, fmt.Sprint("body ", i))
		}
		var p postbox
		if err := open(&p).Send(t.Context(), bodies); err != nil || len(p.requests) != c.requests || !slices.Equal(p.taken, bodies) {
			t.Errorf("%d messages: %d requests, sent %q, %v", c.messages, len(p.requests), p.taken, err)
		}
	}
}

func TestWhatABatchLeftOutIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := postbox{refuse: []map[string]string{{"a": "InternalError", "c": "RequestThrottled"}, {"c": "InternalError"}}}
		err := open(&p).Send(t.Context(), []string{"a", "b", "c"})
		want := [][]string{{"a", "b", "c"}, {"a", "c"}, {"c"}}
		if err != nil || !slices.EqualFunc(p.requests, want, slices.Equal) {
			t.Errorf("requests %q, %v; want %q", p.requests, err, want)
		}
	})
}

func TestWhatStaysUnsentIsAnError(t *testing.T) {
	internal, invalid := map[string]string{"a": "InternalError"}, map[string]string{"a": "InvalidMessageContents", "b": "InternalError"}
	for name, c := range map[string]struct {
		refuse   []map[string]string
		class    object.Class
		code     string
		requests int
	}{
		"what may work later":  {[]map[string]string{internal, internal, internal, internal}, object.Retryable, "InternalError", 4},
		"what will never work": {[]map[string]string{invalid}, object.Permanent, "InvalidMessageContents", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := postbox{refuse: c.refuse}
			err := open(&p).Send(t.Context(), []string{"a", "b"})
			var e *object.Error
			if !errors.As(err, &e) || e.Class != c.class || e.Code != c.code || len(p.requests) != c.requests {
				t.Errorf("%s: %d requests, %v", name, len(p.requests), err)
			}
		})
	}
	if err := open(&endpoint{status: 400, code: "QueueDoesNotExist"}).Send(t.Context(), []string{"a"}); object.ClassOf(err) != object.Permanent {
		t.Errorf("no queue: %v", err)
	}
}

func TestSendingGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		p := postbox{refuse: []map[string]string{{"a": "InternalError"}}}
		if err := open(&p).Send(ctx, []string{"a"}); object.CodeOf(err) != "RequestCanceled" || len(p.requests) != 1 {
			t.Errorf("%d requests, %v", len(p.requests), err)
		}
	})
}

func TestATicketTravelsAsItsReaderWantsIt(t *testing.T) {
	tickets := []run.Ticket{
		{Rule: "mirror", Run: 12, Shard: "1", Phase: run.Copying},
		{Rule: "mirror", Run: 12, Shard: "1.7.2", Phase: run.Deleting + 1, Hop: 3},
	}
	var p postbox
	if err := (queue.Tickets{Queue: open(&p)}).Send(t.Context(), tickets); err != nil {
		t.Fatal(err)
	}
	var got []run.Ticket
	for _, body := range p.taken {
		ticket, err := run.Decode(body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, ticket)
	}
	if !slices.Equal(got, tickets) {
		t.Errorf("%q reads as %+v", p.taken, got)
	}
}
