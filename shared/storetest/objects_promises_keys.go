package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"bucket-replicator/shared/object"
)

// OddKeys are keys that S3 allows and that careless encoding breaks, by what is
// odd about them.
func OddKeys() map[string]string {
	return map[string]string{
		"blank, plus and percent": "a b+c%2F%20.txt",
		"non-ASCII":               "ü/日本/🙂.bin",
		"a double slash":          "x//y",
		"query characters":        "=?&#.txt",
		"1,024 bytes":             strings.Repeat("long/", 204) + "key!",
		"quotes and brackets":     `<&'">{}[]|^~\` + "`",
		"a control character":     "a\x01b",
	}
}

func keyPromises() []promise {
	odd := OddKeys()
	var all []promise
	for _, what := range []string{"blank, plus and percent", "non-ASCII", "a double slash", "query characters", "1,024 bytes", "quotes and brackets", "a control character"} {
		all = append(all, promise{name: "a key with " + what + " travels", try: func(t *trial) error { return t.travels(odd[what], "body") }})
	}
	return append(all, promise{name: "an empty object travels", try: func(t *trial) error { return t.travels("empty", "") }})
}

// travels puts, copies, lists, overwrites and deletes under one key. A
// neighbour with a key that careless decoding would take for it stays.
func (t *trial) travels(key, body string) error {
	from, to := t.ref(true, key), t.ref(false, key)
	s := t.put(from, Text(body))
	t.want(s.Size == int64(len(body)), "the source is %+v", s)
	first := t.copy(object.Copy{From: from, To: to, SourceETag: s.ETag})
	t.holds(to, body)
	t.want(t.head(to).ETag == first.Dest.ETag, "the replica is %+v", t.head(to))
	s = t.put(from, Text(body+"2"))
	again := t.copy(object.Copy{From: from, To: to, SourceETag: s.ETag, DestETag: first.Dest.ETag})
	t.holds(to, body+"2")
	page := t.list(to.Bucket, "", "", 10)
	t.want(slices.Equal(page, []string{key}), "the listing is %q", page)
	if t.err == nil {
		t.note("delete", t.h.Store.Delete(t.ctx, to, again.Dest.ETag))
	}
	t.want(t.head(to).Presence == object.Absent, "the replica is still there")
	return t.err
}

// list walks all pages, and checks that they hold what limit allows and move on.
func (t *trial) list(b object.Bucket, prefix, after string, limit int) []string {
	var keys []string
	for more := true; more && t.err == nil; {
		var page []object.Listed
		var err error
		page, more, err = t.h.Store.List(t.ctx, b, prefix, after, limit)
		t.note("list", err)
		t.want(len(page) <= limit, "a page of %d has %d entries", limit, len(page))
		t.want(len(page) > 0 || !more, "an empty page says there is more")
		for _, l := range page {
			t.want(l.Key > after, "%q is listed after %q", l.Key, after)
			after = l.Key
			keys = append(keys, l.Key)
		}
	}
	return keys
}

func (t *trial) putAll(b object.Bucket, keys []string) {
	for _, key := range keys {
		if t.err == nil {
			t.note("put "+key, t.h.People.Put(object.Ref{Bucket: b, Key: key}, Text("x")))
		}
	}
}

func listPromises() []promise {
	paged := func(keys []string) func(*trial) error {
		return func(t *trial) error {
			b := t.bucket(false)
			t.putAll(b, keys)
			want := slices.Sorted(slices.Values(keys))
			for _, limit := range []int{1, 2, 3, 1000} {
				got := t.list(b, "", "", limit)
				t.want(slices.Equal(got, want), "pages of %d: %q, want %q", limit, got, want)
			}
			for i, key := range want {
				got := t.list(b, "", key, 1000)
				t.want(slices.Equal(got, want[i+1:]), "after %q: %q, want %q", key, got, want[i+1:])
			}
			return t.err
		}
	}
	return []promise{
		{name: "a listing pages through plain keys in the order of bytes", try: paged([]string{
			"Z", "a", "a-b", "a.b", "a0", "a/b", "a/c", "b/", "b/0", "b-", "b~", "aa"})},
		{name: "a listing pages through any key in the order of bytes", try: paged([]string{
			"a b", "a+b", "a%20b", "ü/1", "ü/2", "日本/x", "🙂", "\uffee", "é", "z", "=?&#", "\u007f"})},
		{name: "a listing pages through control characters", try: paged([]string{"a\x01b", "a\nb", "a\tb", "ab"})},
		{name: "a listing knows prefixes as plain strings", try: func(t *trial) error {
			b := t.bucket(false)
			t.putAll(b, []string{"log", "logs-1", "logs-1/a", "logs-1a", "logs-2", "m"})
			for prefix, want := range map[string][]string{
				"logs-1":  {"logs-1", "logs-1/a", "logs-1a"},
				"logs-1/": {"logs-1/a"},
				"log":     {"log", "logs-1", "logs-1/a", "logs-1a", "logs-2"},
				"n":       nil,
			} {
				got := t.list(b, prefix, "", 2)
				t.want(slices.Equal(got, want), "prefix %q: %q, want %q", prefix, got, want)
			}
			got := t.list(b, "logs-1", "logs-1", 1000)
			t.want(slices.Equal(got, []string{"logs-1/a", "logs-1a"}), "prefix and start: %q", got)
			return t.err
		}},
		{name: "a listing leaves hidden objects out", try: func(t *trial) error {
			b := t.bucket(true)
			t.putAll(b, []string{"a", "b", "b", "c", "d"})
			for _, key := range []string{"a", "c"} {
				t.remove(object.Ref{Bucket: b, Key: key})
			}
			got := t.list(b, "", "", 1)
			t.want(slices.Equal(got, []string{"b", "d"}), "the listing is %q", got)
			return t.err
		}},
		{name: "a listing answers what a look does", try: func(t *trial) error {
			at := t.ref(false, "k")
			want := t.put(at, Text("hello"))
			if t.err == nil {
				page, more, err := t.h.Store.List(t.ctx, at.Bucket, "", "", 10)
				t.note("list", err)
				t.want(len(page) == 1 && !more, "the page is %+v", page)
				if t.err == nil {
					got := page[0].State
					t.want(got.Presence == want.Presence && got.ETag == want.ETag && got.Size == want.Size &&
						got.LastModified.Equal(want.LastModified), "the listing has %+v, a look %+v", got, want)
				}
			}
			return t.err
		}},
		{name: "a listing of nothing is empty", try: func(t *trial) error {
			got := t.list(t.bucket(false), "", "", 10)
			t.want(len(got) == 0, "the listing is %q", got)
			return t.err
		}},
	}
}

// rounds of every race: enough that a server without an atomic condition loses
// one with near certainty, and not a proof for the others.
const rounds = 15

func racePromises() []promise {
	copies := func(versioned, exists bool) func(*trial) error {
		return func(t *trial) error {
			calls := [2]object.Copy{t.pair(versioned, Text("first")), {}}
			calls[1] = calls[0]
			calls[1].From.Key = "other"
			calls[1].SourceETag = t.put(calls[1].From, Text("other")).ETag
			for i := range rounds {
				for n := range calls {
					calls[n].To.Key = fmt.Sprintf("round-%d", i)
				}
				if exists {
					calls[0].DestETag = t.put(calls[0].To, Text("old")).ETag
					calls[1].DestETag = calls[0].DestETag
				}
				winner := t.oneWins(
					func() error { _, err := t.h.Store.Copy(t.ctx, calls[0]); return err },
					func() error { _, err := t.h.Store.Copy(t.ctx, calls[1]); return err },
				)
				t.holds(calls[0].To, [2]string{"first", "other"}[winner])
			}
			return t.err
		}
	}
	return []promise{
		{name: "of two copies if-none-match one wins", try: copies(true, false)},
		{name: "of two copies if-none-match one wins (unversioned)", try: copies(false, false)},
		{name: "of two copies if-match one wins", try: copies(true, true)},
		{name: "of two copies if-match one wins (unversioned)", try: copies(false, true)},
		{name: "of two deletes if-match one wins", try: func(t *trial) error {
			at := t.ref(true, "")
			for i := range rounds {
				at.Key = fmt.Sprintf("round-%d", i)
				s := t.put(at, Text("x"))
				remove := func() error { return t.h.Store.Delete(t.ctx, at, s.ETag) }
				t.oneWins(remove, remove)
				t.versions(at, 1, 1)
			}
			return t.err
		}},
		{name: "of a copy and a delete if-match one wins", try: func(t *trial) error {
			c := t.pair(true, Text("new"))
			for i := range rounds {
				c.To.Key = fmt.Sprintf("round-%d", i)
				c.DestETag = t.put(c.To, Text("old")).ETag
				t.oneWins(
					func() error { _, err := t.h.Store.Copy(t.ctx, c); return err },
					func() error { return t.h.Store.Delete(t.ctx, c.To, c.DestETag) },
				)
			}
			return t.err
		}},
	}
}

// oneWins runs both at once, and answers which took effect. The other may be
// told to look again, or to try again.
func (t *trial) oneWins(calls ...func() error) (winner int) {
	if t.err != nil {
		return 0
	}
	errs := make([]error, len(calls))
	start := make(chan struct{})
	var done sync.WaitGroup
	for i, call := range calls {
		done.Go(func() {
			<-start
			errs[i] = call()
		})
	}
	close(start)
	done.Wait()
	won := 0
	for i, err := range errs {
		if err == nil {
			won++
			winner = i
		} else if object.ClassOf(err) == object.Permanent {
			t.note("a racing call", err)
		}
	}
	t.want(won == 1, "%d of %d took effect: %v", won, len(calls), errs)
	return winner
}
