package s3store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
)

// memory remembers, and counts.
type memory struct {
	all            map[object.Endpoint]object.Capabilities
	reads, written int
	fails          bool
}

func (m *memory) Capabilities(context.Context) (map[object.Endpoint]object.Capabilities, error) {
	m.reads++
	if m.fails {
		return nil, errors.New("no")
	}
	return m.all, nil
}

func (m *memory) Observe(_ context.Context, at object.Endpoint, what object.Capability, seen object.Seen) error {
	m.written++
	if m.fails {
		return errors.New("no")
	}
	if m.all == nil {
		m.all = map[object.Endpoint]object.Capabilities{}
	}
	if m.all[at] == nil {
		m.all[at] = object.Capabilities{}
	}
	m.all[at][what] = seen
	return nil
}

// learner is a store that knows nothing of its two servers.
type learner struct {
	*s3store.Store
	from, to *tiny
	memory   *memory
	clock    time.Time
	hold     time.Duration
	urls     [2]string
}

func newLearner(t *testing.T, from, to *tiny, m *memory) *learner {
	t.Helper()
	source, dest := httptest.NewServer(from), httptest.NewServer(to)
	t.Cleanup(source.Close)
	t.Cleanup(dest.Close)
	l := &learner{from: from, to: to, memory: m, urls: [2]string{source.URL, dest.URL}, hold: time.Nanosecond, clock: time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)}
	l.restart()
	return l
}

// restart is another process.
func (l *learner) restart() {
	l.Store = s3store.New(plainConfig(), s3store.Options{
		Backends: func() []rule.Backend {
			return []rule.Backend{
				{Name: "one", Endpoint: l.urls[0], PathStyle: true},
				{Name: "two", Endpoint: l.urls[1], PathStyle: true},
			}
		},
		Memory: l.memory,
		Hold:   l.hold,
		Now:    func() time.Time { return l.clock },
	})
}

func (l *learner) knows(what object.Capability) (kept, known bool) {
	seen, ok := l.memory.all[object.Endpoint{Backend: "two", URL: l.urls[1]}][what]
	return seen.Kept, ok
}

// writesOf are the three ways to write, each from a state that is as expected.
// A copy by the server is from one key of it to another.
var writesOf = map[object.Capability]func(t *testing.T, l *learner, overwrite bool) error{
	object.PutConditions: func(t *testing.T, l *learner, overwrite bool) error {
		l.from.put(poem)
		return l.write(t, across(l.from, ""), overwrite)
	},
	object.CopyConditions: func(t *testing.T, l *learner, overwrite bool) error {
		l.from.put(poem)
		l.to.other = l.from.kept
		c := across(l.from, "")
		c.From = object.Ref{Bucket: inTwo.Bucket, Key: "other"}
		return l.write(t, c, overwrite)
	},
	object.DeleteConditions: func(t *testing.T, l *learner, _ bool) error {
		l.to.put("replica")
		return l.Delete(t.Context(), inTwo, l.to.kept.etag)
	},
}

func (l *learner) write(t *testing.T, c object.Copy, overwrite bool) error {
	l.to.kept = nil
	if overwrite {
		l.to.put("former replica")
		c.DestETag = l.to.kept.etag
	}
	c.Tags = false
	l.to.writes = 0
	_, err := l.Copy(t.Context(), c)
	return err
}

func TestWhatAServerKeepsIsLearntFromTheWritesThatAreToBeMade(t *testing.T) {
	for name, c := range map[string]struct {
		careless, deaf bool
		overwrite      bool
		kept           bool
		asked          map[object.Capability][]string // first and then
		then           map[object.Capability][]string
	}{
		"a server that keeps conditions, over an object": {
			overwrite: true, kept: true,
			asked: map[object.Capability][]string{
				object.PutConditions:    {"HEAD", "PUT", "PUT", "PUT", "HEAD"},
				object.CopyConditions:   {"HEAD", "PUT", "PUT", "PUT", "HEAD"},
				object.DeleteConditions: {"HEAD", "DELETE", "DELETE"},
			},
			then: map[object.Capability][]string{
				object.PutConditions: {"PUT", "HEAD"}, object.CopyConditions: {"PUT"}, object.DeleteConditions: {"DELETE"},
			},
		},
		"one that keeps them, where nothing is": {
			kept: true,
			asked: map[object.Capability][]string{
				object.PutConditions:    {"HEAD", "HEAD bucket", "PUT", "PUT", "PUT", "HEAD"},
				object.CopyConditions:   {"HEAD", "HEAD bucket", "PUT", "PUT", "PUT", "PUT", "HEAD"},
				object.DeleteConditions: {"HEAD", "DELETE", "DELETE"},
			},
			then: map[object.Capability][]string{
				object.PutConditions: {"PUT", "HEAD"}, object.CopyConditions: {"PUT"}, object.DeleteConditions: {"DELETE"},
			},
		},
		"one that ignores them": {
			careless: true, overwrite: true,
			asked: map[object.Capability][]string{
				object.PutConditions: {"HEAD", "PUT", "HEAD"}, object.CopyConditions: {"HEAD", "PUT", "HEAD"}, object.DeleteConditions: {"HEAD", "DELETE"},
			},
			then: map[object.Capability][]string{
				object.PutConditions: {"HEAD", "PUT", "HEAD"}, object.CopyConditions: {"HEAD", "PUT", "HEAD"}, object.DeleteConditions: {"HEAD", "DELETE"},
			},
		},
		"one that refuses to hear of them": {
			deaf: true, overwrite: true,
			asked: map[object.Capability][]string{
				object.PutConditions: {"HEAD", "PUT", "PUT", "HEAD"}, object.CopyConditions: {"HEAD", "PUT", "PUT", "HEAD"}, object.DeleteConditions: {"HEAD", "DELETE", "DELETE"},
			},
			then: map[object.Capability][]string{
				object.PutConditions: {"HEAD", "PUT", "HEAD"}, object.CopyConditions: {"HEAD", "PUT", "HEAD"}, object.DeleteConditions: {"HEAD", "DELETE"},
			},
		},
	} {
		for what, write := range writesOf {
			t.Run(name+", "+string(what), func(t *testing.T) {
				server := &tiny{careless: c.careless, deaf: c.deaf}
				l := newLearner(t, &tiny{}, server, &memory{})
				if err := write(t, l, c.overwrite); err != nil {
					t.Fatal(err)
				}
				if kept, known := l.knows(what); !known || kept != c.kept {
					t.Errorf("known %t, kept %t; want %t", known, kept, c.kept)
				}
				if got := server.requests(); !slices.Equal(got, c.asked[what]) {
					t.Errorf("sent %q, want %q", got, c.asked[what])
				}
				most := 1
				if what == object.CopyConditions && c.kept && !c.overwrite {
					most = 2 // one by which it is seen that the one before was refused for its condition
				}
				if what != object.DeleteConditions && (server.is() != poem || server.writes > most) {
					t.Errorf("%d writes took effect; there are %d bytes", server.writes, len(server.is()))
				}
				server.asked = nil
				l.restart() // the next process knows
				if err := write(t, l, c.overwrite); err != nil {
					t.Fatal(err)
				}
				if got := server.requests(); !slices.Equal(got, c.then[what]) {
					t.Errorf("then sent %q, want %q", got, c.then[what])
				}
			})
		}
	}
}

func TestALargeObjectIsNotSentTwiceToLearn(t *testing.T) {
	l := newLearner(t, &tiny{}, &tiny{}, &memory{})
	l.from.put(strings.Repeat("x", 8<<20+1))
	c := across(l.from, "")
	c.Tags = false
	if _, err := l.Copy(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got, want := l.to.requests(), []string{"HEAD", "HEAD bucket", "PUT", "HEAD"}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	if _, known := l.knows(object.PutConditions); known {
		t.Error("something was learnt without a try")
	}
}

// hastily refuses the writes whose condition does not hold when it has had so many
// bytes of the body, and hangs up: where more is on its way, the connection is
// reset, and the answer lost that was not read before.
func hastily(t *testing.T, s *tiny, after int64) {
	s.act = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
		if r.Method != http.MethodPut || (match == "" || s.kept != nil && match == `"`+s.kept.etag+`"`) && (none == "" || s.kept == nil) {
			return false
		}
		connection, sent, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return true
		}
		defer connection.Close()
		if _, err := io.CopyN(io.Discard, sent, after); err != nil {
			t.Error(err)
		}
		fmt.Fprint(connection, "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n")
		return true
	}
}

func TestATryIsReadToItsAnswer(t *testing.T) {
	for name, overwrite := range map[string]bool{"over an object": true, "where nothing is": false} {
		t.Run(name, func(t *testing.T) {
			l := newLearner(t, &tiny{}, &tiny{}, &memory{})
			l.hold = 20 * time.Second
			l.restart()
			hastily(t, l.to, 257<<10)
			large(t, l, overwrite)
			if kept, known := l.knows(object.PutConditions); !known || !kept {
				t.Errorf("known %t, kept %t", known, kept)
			}
		})
	}
}

func TestATryWithoutAnAnswerStandsInNobodysWay(t *testing.T) {
	for name, overwrite := range map[string]bool{"over an object": true, "where nothing is": false} {
		t.Run(name, func(t *testing.T) {
			l := newLearner(t, &tiny{}, &tiny{}, &memory{})
			hastily(t, l.to, 400_000)
			large(t, l, overwrite)
			if _, known := l.knows(object.PutConditions); known {
				t.Error("something was learnt of a lost answer")
			}
		})
	}
}

// A server that keeps conditions may take a delete marker for an object, and hang
// up on what it refuses for that.
func TestARefusalWhoseAnswerWasLostIsAskedForAgain(t *testing.T) {
	l := newLearner(t, &tiny{}, &tiny{}, &memory{})
	if err := writesOf[object.PutConditions](t, l, false); err != nil {
		t.Fatal(err)
	}
	l.hold = 20 * time.Second
	l.restart()
	hastily(t, l.to, 257<<10)
	refuses := l.to.act
	l.to.act = func(nth int, w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("If-None-Match") != "" && l.to.kept == nil {
			r.Header.Set("If-Match", "the marker's")
		}
		return refuses(nth, w, r)
	}
	l.to.asked = nil
	large(t, l, false)
	want := []string{"PUT", "HEAD", "HEAD bucket", "PUT", "HEAD", "HEAD bucket", "PUT", "HEAD"}
	if got := l.to.requests(); !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	if kept, known := l.knows(object.PutConditions); !known || kept {
		t.Errorf("known %t, kept %t", known, kept)
	}
}

// large brings an object that is far from sent when the first answer comes.
func large(t *testing.T, l *learner, overwrite bool) {
	l.from.put(strings.Repeat("x", 7<<20))
	if err := l.write(t, across(l.from, ""), overwrite); err != nil {
		t.Fatal(err)
	}
	if got := len(l.to.is()); got != 7<<20 {
		t.Errorf("there are %d bytes", got)
	}
}

// A refusal for the sake of the source says nothing about the destination.
func TestARefusalOfAnotherKindTeachesNothing(t *testing.T) {
	server := &tiny{careless: true}
	l := newLearner(t, &tiny{}, server, &memory{})
	l.from.put(poem)
	server.other = &keptObject{body: []byte("changed since"), etag: "another"}
	c := across(l.from, "")
	c.From = object.Ref{Bucket: inTwo.Bucket, Key: "other"}
	_, err := l.Copy(t.Context(), c)
	if err == nil || object.ClassOf(err) != object.Premise {
		t.Errorf("got %v", err)
	}
	if kept, known := l.knows(object.CopyConditions); known {
		t.Errorf("it is believed to keep conditions: %t", kept)
	}
}

func TestWhatSomebodyElseHasIsNeverTriedOut(t *testing.T) {
	for what, server := range map[string]*tiny{"careless": {careless: true}, "honest": {}} {
		t.Run(what, func(t *testing.T) {
			l := newLearner(t, &tiny{}, server, &memory{})
			l.from.put(poem)
			server.put("theirs")
			for _, expected := range []string{"", "another"} {
				c := across(l.from, expected)
				c.Tags = false
				if _, err := l.Copy(t.Context(), c); object.ClassOf(err) != object.Premise || err == nil {
					t.Errorf("got %v", err)
				}
			}
			if err := l.Delete(t.Context(), inTwo, "another"); object.ClassOf(err) != object.Premise || err == nil {
				t.Errorf("got %v", err)
			}
			if server.is() != "theirs" || slices.ContainsFunc(server.requests(), func(r string) bool { return r == "PUT" || r == "DELETE" }) {
				t.Errorf("there is %q after %q", server.is(), server.requests())
			}
		})
	}
}

func TestAnObservationIsBelievedForAWeek(t *testing.T) {
	server := &tiny{careless: true}
	l := newLearner(t, &tiny{}, server, &memory{})
	del := writesOf[object.DeleteConditions]
	for range 3 {
		if err := del(t, l, false); err != nil {
			t.Fatal(err)
		}
	}
	if l.memory.reads != 1 || l.memory.written != 1 {
		t.Errorf("%d reads and %d writes of the memory, want one each", l.memory.reads, l.memory.written)
	}
	server.careless = false // a better server
	l.clock = l.clock.Add(7*24*time.Hour + time.Second)
	if err := del(t, l, false); err != nil {
		t.Fatal(err)
	}
	if kept, _ := l.knows(object.DeleteConditions); !kept {
		t.Error("nobody looked again")
	}
}

func TestAMemoryThatFailsStopsNothing(t *testing.T) {
	l := newLearner(t, &tiny{}, &tiny{}, &memory{fails: true})
	for range 2 {
		if err := writesOf[object.DeleteConditions](t, l, false); err != nil {
			t.Fatal(err)
		}
	}
	if l.memory.reads != 1 || l.memory.written != 1 {
		t.Errorf("%d reads and %d writes were tried, want one each", l.memory.reads, l.memory.written)
	}
}

// What the destination does not know is left out, and named.
func TestWhatADestinationDoesNotTakeIsNamed(t *testing.T) {
	checksum := []string{"X-Amz-Checksum-Crc64nvme", crcOf(poem), "X-Amz-Checksum-Type", "FULL_OBJECT", "X-Amz-Tagging", "team=storage"}
	for name, c := range map[string]struct {
		refuses []string // headers
		lost    []string
		keeps   map[object.Capability]bool
	}{
		"it takes all":       {nil, nil, map[object.Capability]bool{object.Checksums: true}},
		"no checksums":       {[]string{"X-Amz-Checksum-Crc64nvme"}, []string{"checksum"}, map[object.Capability]bool{object.Checksums: false}},
		"no tags":            {[]string{"X-Amz-Tagging"}, []string{"tags"}, map[object.Capability]bool{object.Tags: false, object.Checksums: true}},
		"neither of the two": {[]string{"X-Amz-Tagging", "X-Amz-Checksum-Crc64nvme"}, []string{"checksum", "tags"}, map[object.Capability]bool{object.Checksums: false, object.Tags: false}},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := &tiny{}, &tiny{}
			from.put(poem, checksum...)
			to.act = func(_ int, w http.ResponseWriter, r *http.Request) bool {
				for _, header := range c.refuses {
					if r.Header.Get(header) != "" {
						refuse(w, 501, "NotImplemented")
						return true
					}
				}
				w.Header().Set("X-Amz-Checksum-Crc64nvme", r.Header.Get("X-Amz-Checksum-Crc64nvme"))
				return false
			}
			l := newLearner(t, from, to, &memory{})
			copied, err := l.Copy(t.Context(), across(from, ""))
			if err != nil || to.is() != poem {
				t.Fatalf("%v; %d bytes came", err, len(to.is()))
			}
			if !slices.Equal(copied.Lost, c.lost) {
				t.Errorf("lost %q, want %q", copied.Lost, c.lost)
			}
			got := map[object.Capability]bool{}
			for _, what := range []object.Capability{object.Checksums, object.Tags} {
				if kept, known := l.knows(what); known {
					got[what] = kept
				}
			}
			if !maps.Equal(got, c.keeps) {
				t.Errorf("learnt %v, want %v", got, c.keeps)
			}
		})
	}
}

// A source that changes while a write is made to learn by it has a copy refused as
// a condition on the destination does. Whoever took that for a lesson would write
// over what is not ours.
func TestASourceThatChangesTeachesNothing(t *testing.T) {
	s := script(t,
		answer{status: 404}, answer{status: 200}, // nothing is there
		failed(412, "PreconditionFailed"),     // nobody's tag
		answer{status: 200, body: copyResult}, // absent
		failed(412, "PreconditionFailed"),     // absent again: for the source
		failed(412, "PreconditionFailed"),     // so this one too
		found("new"),
	)
	address := s.listen()
	store := s3store.New(plainConfig(), s3store.Options{Backends: func() []rule.Backend {
		return []rule.Backend{{Name: "remote", Endpoint: address, PathStyle: true}}
	}})
	c := object.Copy{From: object.Ref{Bucket: remote, Key: "from"}, To: object.Ref{Bucket: remote, Key: "to"}, SourceETag: "old", Tags: true}
	copied, err := store.Copy(t.Context(), c)
	if err != nil || copied.Dest.ETag != "new" {
		t.Errorf("%+v, %v", copied, err)
	}
	for at, known := range store.Capabilities() {
		if seen, ok := known[object.CopyConditions]; ok {
			t.Errorf("of %v it is known that conditions are kept: %t", at, seen.Kept)
		}
	}
}
