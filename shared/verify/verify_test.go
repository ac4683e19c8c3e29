package verify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/shared/verify"
)

const leaseTTL = 12 * time.Minute

var (
	ctx    = context.Background()
	source = object.Bucket{Backend: object.AWS, Name: "a"}
	dest   = object.Bucket{Backend: object.AWS, Name: "b"}
	from   = object.Ref{Bucket: source, Key: "k"}
	to     = object.Ref{Bucket: dest, Key: "k"}
)

// stage is one key on two sides, a rule between them, and a clock.
type stage struct {
	t       *testing.T
	clock   time.Time
	slept   time.Duration
	objects *storetest.Objects
	ledger  *storetest.Ledger
	rules   *rule.Set
	// meanwhile happens while somebody waits.
	meanwhile func()
	store     verify.Objects
	transfers verify.Transfers
	noted     []run.Partial
	resume    run.Partial
}

func newStage(t *testing.T, traits storetest.Traits, edit ...func(*rule.Rule)) *stage {
	s := &stage{t: t, clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), ledger: &storetest.Ledger{}}
	s.objects = storetest.NewObjects(func() time.Time { return s.clock })
	s.objects.AddBucket(source, traits)
	s.objects.AddBucket(dest, traits)
	s.store = s.objects
	s.catalog(storetest.Mirror("a", "b", edit...))
	return s
}

func (s *stage) catalog(rules ...rule.Rule) {
	s.ledger.SetCatalog(storetest.Deployed(s.clock, []string{"a", "b"}, rules...))
	stored, err := s.ledger.Catalog(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.rules, err = rule.Compile(stored); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) pass(d time.Duration) { s.clock = s.clock.Add(d) }

// replicate brings the destination up to date, as an event would.
func (s *stage) replicate() {
	s.t.Helper()
	r := replicate.New(s.objects, s.ledger, s.ledger, func() time.Time { return s.clock }, leaseTTL)
	change := object.Change{Ref: from, Kind: object.Due}
	if _, err := r.Replicate(ctx, []replicate.Work{{Change: change, Message: "m", Delivery: 1, Patient: true}}); err != nil {
		s.t.Fatal(err)
	}
}

// listed is what a listing has of an address now.
func (s *stage) listed(at object.Ref) object.State {
	if found, ok := s.objects.Get(at); ok {
		return found.State
	}
	return object.State{Presence: object.Absent}
}

func (s *stage) check(mode run.Mode) verify.Check {
	a := s.rules.Rule("a-b")
	return verify.Check{
		Verifier: &verify.Verifier{
			Objects: s.store, Ledger: s.ledger, Transfers: s.transfers, ByParts: 100, Now: func() time.Time { return s.clock }, LeaseTTL: leaseTTL,
			Sleep: func(ctx context.Context, d time.Duration) error {
				s.slept += d
				s.pass(d)
				if s.meanwhile != nil {
					s.meanwhile()
				}
				return ctx.Err()
			},
		},
		Rules: s.rules, Revision: s.revision(), Rule: a, Mode: mode, Slots: make(chan struct{}, 4),
		Resume: func(string) run.Partial { return s.resume },
		Note:   func(p run.Partial) { s.noted = append(s.noted, p) },
	}
}

func (s *stage) revision() int64 {
	_, revision, err := s.ledger.Read(ctx, nil, true)
	if err != nil {
		s.t.Fatal(err)
	}
	return revision
}

func (s *stage) sighting() replicate.Sighting {
	return replicate.Sighting{
		Match: s.rules.MatchOf(s.rules.Rule("a-b"), from.Key), Source: from, From: s.listed(from), To: s.listed(to),
	}
}

// verify compares the one key.
func (s *stage) verify(mode run.Mode) verify.Result {
	s.t.Helper()
	results, err := s.check(mode).Settle(ctx, []replicate.Sighting{s.sighting()})
	if err != nil {
		s.t.Fatal(err)
	}
	return results[0]
}

func (s *stage) wants(about string, got verify.Result, class run.Class, reason string, words ...string) {
	s.t.Helper()
	if got.Class != class || got.Reason != reason || got.Key != to.Key || got.Why == "" {
		s.t.Errorf("%s: %+v, want %s, %s", about, got, class, reason)
	}
	for _, word := range words {
		if !strings.Contains(got.Why, word) {
			s.t.Errorf("%s: %q does not say %q", about, got.Why, word)
		}
	}
}

var full = storetest.Content{
	Body: []byte("content"), ContentType: "text/plain", Metadata: map[string]string{"owner": "me"},
	Tags: map[string]string{"t": "1"}, Summed: true,
}

func with(edit func(*storetest.Content)) storetest.Content {
	c := full
	edit(&c)
	return c
}

// What is there in each situation, and what each mode makes of it.
func TestWhatIsMadeOfAKey(t *testing.T) {
	old := func(s *stage) { s.pass(time.Hour) }
	copied := func(s *stage) {
		s.objects.Put(from, full)
		old(s)
		s.replicate()
		old(s)
	}
	type want struct {
		class  run.Class
		reason string
	}
	all := func(class run.Class, reason string) map[run.Mode]want {
		return map[run.Mode]want{run.Metadata: {class, reason}, run.Checksum: {class, reason}, run.Bytes: {class, reason}}
	}
	for situation, c := range map[string]struct {
		traits  storetest.Traits
		edit    func(*rule.Rule)
		prepare func(*stage)
		want    map[run.Mode]want
		kept    bool
		damaged bool // only a run that compares makes it good
		says    string
	}{
		"a copy of ours": {
			prepare: copied,
			want: map[run.Mode]want{
				run.Metadata: {run.Matched, "provenance"}, run.Checksum: {run.Matched, "checksum"}, run.Bytes: {run.Matched, "bytes"},
			},
		},
		"a copy of ours whose tags prove nothing": {
			traits: storetest.Traits{FreshETags: true}, prepare: copied,
			want: map[run.Mode]want{
				run.Metadata: {run.Matched, "provenance"}, run.Checksum: {run.Matched, "checksum"}, run.Bytes: {run.Matched, "bytes"},
			},
		},
		"the same, written by somebody else": {
			prepare: func(s *stage) { s.objects.Put(from, full); s.objects.Put(to, full); old(s) },
			want: map[run.Mode]want{
				run.Metadata: {run.Matched, "etag"}, run.Checksum: {run.Matched, "checksum"}, run.Bytes: {run.Matched, "bytes"},
			},
		},
		"the same, by somebody else, with tags that prove nothing": {
			traits: storetest.Traits{FreshETags: true},
			prepare: func(s *stage) {
				bare := with(func(c *storetest.Content) { c.Summed = false })
				s.objects.Put(from, bare)
				s.objects.Put(to, bare)
				old(s)
			},
			want: map[run.Mode]want{
				run.Metadata: {run.Unverifiable, "etags_prove_nothing"}, run.Checksum: {run.Unverifiable, "no_common_checksum"}, run.Bytes: {run.Matched, "bytes"},
			},
		},
		"the same, uploaded in parts on one side": {
			prepare: func(s *stage) {
				s.objects.Put(from, with(func(c *storetest.Content) { c.Multipart = true }))
				s.objects.Put(to, full)
				old(s)
			},
			want: map[run.Mode]want{
				run.Metadata: {run.Unverifiable, "etags_prove_nothing"}, run.Checksum: {run.Unverifiable, "no_common_checksum"}, run.Bytes: {run.Matched, "bytes"},
			},
		},
		"a flipped byte of equal length and time, tag and checksum": {
			prepare: func(s *stage) { copied(s); s.objects.Rot(to, []byte("contenT")) },
			want: map[run.Mode]want{
				run.Metadata: {run.Matched, "provenance"}, run.Checksum: {run.Matched, "checksum"}, run.Bytes: {run.Mismatch, "bytes"},
			},
			damaged: true, says: "offset 6",
		},
		"the same, under a rule that overwrites nothing": {
			edit:    func(r *rule.Rule) { r.Conflict = rule.SkipIfDestExists },
			prepare: func(s *stage) { copied(s); s.objects.Rot(to, []byte("contenT")) },
			want:    map[run.Mode]want{run.Bytes: {run.Mismatch, "bytes"}},
			kept:    true, says: "delete it at the destination",
		},
		"metadata and content type lost, though nobody wrote": {
			prepare: func(s *stage) { copied(s); s.objects.Strip(to) },
			want:    all(run.Mismatch, "metadata"), damaged: true, says: "owner",
		},
		"the same, and the source is archived by now": {
			prepare: func(s *stage) { copied(s); s.objects.Strip(to); s.objects.Archive(from) },
			want: map[run.Mode]want{
				run.Metadata: {run.Mismatch, "metadata"}, run.Checksum: {run.Mismatch, "metadata"}, run.Bytes: {run.Unverifiable, "archived"},
			},
			kept: true, says: "once it is restored",
		},
		"tags that the destination does not keep": {
			prepare: func(s *stage) { s.objects.AddBucket(dest, storetest.Traits{NoTags: true}); copied(s) },
			want:    all(run.Mismatch, "tags"), kept: true, says: "did not take",
		},
		"lost tags and metadata": {
			prepare: func(s *stage) { copied(s); s.objects.Strip(to); s.objects.PutTags(to, nil) },
			want:    all(run.Mismatch, "metadata"), damaged: true,
		},
		"a flipped byte, written by somebody": {
			edit: func(r *rule.Rule) { r.Conflict = rule.SourceWins },
			prepare: func(s *stage) {
				copied(s)
				s.objects.Put(to, with(func(c *storetest.Content) { c.Body = []byte("contenT") }))
				old(s)
			},
			want: map[run.Mode]want{
				run.Metadata: {run.Mismatch, "etag"}, run.Checksum: {run.Mismatch, "checksum"}, run.Bytes: {run.Mismatch, "bytes"},
			},
			says: "not written by this rule",
		},
		"the same change, under a rule that lets the newer one win": {
			prepare: func(s *stage) {
				copied(s)
				s.objects.Put(to, with(func(c *storetest.Content) { c.Body = []byte("contenT") }))
				old(s)
			},
			want: all(run.Unverifiable, "dest_newer"),
		},
		"the same change, under a rule that overwrites nothing": {
			edit: func(r *rule.Rule) { r.Conflict = rule.SkipIfDestExists },
			prepare: func(s *stage) {
				copied(s)
				s.objects.Put(to, with(func(c *storetest.Content) { c.Body = []byte("contenT") }))
				old(s)
			},
			want: all(run.Unverifiable, "dest_exists"),
		},
		"truncated": {
			edit: func(r *rule.Rule) { r.Conflict = rule.SourceWins },
			prepare: func(s *stage) {
				copied(s)
				s.objects.Put(to, with(func(c *storetest.Content) { c.Body = []byte("conten") }))
				old(s)
			},
			want: all(run.Mismatch, "size"), says: "7 bytes, the destination 6",
		},
		"lost metadata": {
			prepare: func(s *stage) {
				copied(s)
				s.objects.Put(to, with(func(c *storetest.Content) { c.Metadata = nil }))
				old(s)
			},
			want: all(run.Mismatch, "metadata"), kept: true, says: "owner",
		},
		"another content type": {
			prepare: func(s *stage) {
				copied(s)
				s.objects.Put(to, with(func(c *storetest.Content) { c.ContentType = "" }))
				old(s)
			},
			want: all(run.Mismatch, "headers"), kept: true, says: "Content-Type",
		},
		"lost tags": {
			prepare: func(s *stage) { copied(s); s.objects.PutTags(to, nil) },
			want:    all(run.Mismatch, "tags"), damaged: true, says: "differ: t",
		},
		"other tags": {
			edit:    func(r *rule.Rule) { r.Conflict = rule.SourceWins },
			prepare: func(s *stage) { copied(s); s.objects.PutTags(to, map[string]string{"t": "2"}) },
			want:    all(run.Mismatch, "tags"), damaged: true, says: "differ: t",
		},
		"other tags, which may be the newer ones": {
			prepare: func(s *stage) { copied(s); s.objects.PutTags(to, map[string]string{"t": "2"}) },
			want:    all(run.Unverifiable, "tags_differ"),
		},
		"no tags, where the rule gives none": {
			edit: func(r *rule.Rule) { r.ReplicateTags = false }, prepare: copied,
			want: map[run.Mode]want{
				run.Metadata: {run.Matched, "provenance"}, run.Checksum: {run.Matched, "checksum"}, run.Bytes: {run.Matched, "bytes"},
			},
		},
		"a source that was written again": {
			prepare: func(s *stage) {
				copied(s)
				s.objects.Put(from, with(func(c *storetest.Content) { c.Body = []byte("changed") }))
				old(s)
			},
			want: map[run.Mode]want{
				run.Metadata: {run.Mismatch, "etag"}, run.Checksum: {run.Mismatch, "checksum"}, run.Bytes: {run.Mismatch, "bytes"},
			},
			says: "written again",
		},
		"missing": {
			prepare: func(s *stage) { s.objects.Put(from, full); old(s) },
			want:    all(run.MissingOnDest, "missing"),
		},
		"missing, and older than the rule": {
			edit: func(r *rule.Rule) { r.ExistingObjects = false },
			prepare: func(s *stage) {
				s.pass(-time.Hour)
				s.objects.Put(from, full)
				s.pass(2 * time.Hour)
			},
			want: all(run.NotCovered, "existing"),
		},
		"missing, and archived": {
			prepare: func(s *stage) { s.objects.Put(from, full); s.objects.Archive(from); old(s) },
			want:    all(run.Unverifiable, "archived"),
		},
		"missing, and without the tag that the rule wants": {
			edit:    func(r *rule.Rule) { r.Tags = map[string]string{"t": "2"} },
			prepare: func(s *stage) { s.objects.Put(from, full); old(s) },
			want:    all(run.NotCovered, "excluded"),
		},
		"archived after it was copied": {
			prepare: func(s *stage) { copied(s); s.objects.Archive(from) },
			want: map[run.Mode]want{
				run.Metadata: {run.Matched, "provenance"}, run.Checksum: {run.Matched, "checksum"}, run.Bytes: {run.Unverifiable, "archived"},
			},
		},
		"an extra key of somebody else": {
			prepare: func(s *stage) { s.objects.Put(to, full); old(s) },
			want:    all(run.OrphanOnDest, "not_ours"), kept: true,
		},
		"a replica whose source is gone": {
			edit:    func(r *rule.Rule) { r.ReplicateDeletes = true },
			prepare: func(s *stage) { copied(s); s.objects.Remove(from, object.ByRequest) },
			want:    all(run.OrphanOnDest, "removed"), says: "a run deletes it",
		},
		"a replica whose source is gone, under a rule that keeps it": {
			prepare: func(s *stage) { copied(s); s.objects.Remove(from, object.ByRequest) },
			want:    all(run.OrphanOnDest, "deletes_off"), kept: true,
		},
		"an extra key of a size that the rule does not take": {
			edit:    func(r *rule.Rule) { r.MaxSize = 3 },
			prepare: func(s *stage) { s.objects.Put(to, full); old(s) },
			want:    all(run.NotCovered, "excluded"),
		},
		"an empty object": {
			prepare: func(s *stage) {
				s.objects.Put(from, storetest.Text(""))
				old(s)
				s.replicate()
				old(s)
			},
			want: map[run.Mode]want{
				run.Metadata: {run.Matched, "provenance"}, run.Checksum: {run.Matched, "etag"}, run.Bytes: {run.Matched, "bytes"},
			},
		},
	} {
		for mode, want := range c.want {
			var edits []func(*rule.Rule)
			if c.edit != nil {
				edits = append(edits, c.edit)
			}
			s := newStage(t, c.traits, edits...)
			c.prepare(s)
			before := s.objects.Fingerprint()
			got := s.verify(mode)
			s.wants(situation+", by "+string(mode), got, want.class, want.reason)
			if want.class.Differs() {
				s.wants(situation+", by "+string(mode), got, want.class, want.reason, c.says)
				if got.Kept != c.kept || got.Damaged != c.damaged {
					t.Errorf("%s, by %s: kept is %t, damaged is %t", situation, mode, got.Kept, got.Damaged)
				}
			}
			if s.objects.Fingerprint() != before {
				t.Errorf("%s, by %s: something was written", situation, mode)
			}
		}
	}
}

func TestAKeyOfAnotherRuleIsNotCovered(t *testing.T) {
	s := newStage(t, storetest.Traits{})
	other := rule.DefaultRule()
	other.Name, other.Source.Bucket, other.Destination.Bucket = "b-a", "b", "a"
	s.catalog(s.rules.Rule("a-b").Rule, other)
	s.objects.Put(to, full) // waits for the rule that leads back
	s.pass(time.Hour)
	s.wants("a fresh object of the other side", s.verify(run.Metadata), run.NotCovered, "opposite_rule")
}

func TestWhatIsYoungIsLookedAtAgain(t *testing.T) {
	s := newStage(t, storetest.Traits{})
	s.objects.Put(from, full)
	s.pass(10 * time.Second)
	s.meanwhile = s.replicate
	s.wants("copied meanwhile", s.verify(run.Metadata), run.Matched, "provenance")
	if s.slept != 20*time.Second {
		t.Errorf("waited %s", s.slept)
	}

	s = newStage(t, storetest.Traits{})
	s.objects.Put(from, full)
	s.wants("not copied in half a minute", s.verify(run.Metadata), run.MissingOnDest, "missing")

	s = newStage(t, storetest.Traits{})
	s.objects.Put(from, full)
	s.meanwhile = func() { s.objects.Put(from, with(func(c *storetest.Content) { c.Body = []byte("again") })) }
	s.wants("written again meanwhile", s.verify(run.Metadata), run.Unverifiable, "busy", "no such object")

	s = newStage(t, storetest.Traits{})
	s.objects.Put(from, full)
	s.pass(time.Hour)
	lease := object.Provenance{Pending: object.Pending{Holder: "somebody", Since: s.clock, Origin: object.Origin{Ref: from}}}
	if _, err := s.ledger.Put(ctx, to, lease); err != nil {
		t.Fatal(err)
	}
	s.wants("somebody is at it", s.verify(run.Metadata), run.Unverifiable, "busy")
	if s.slept == 0 {
		t.Error("nobody waited")
	}

	s = newStage(t, storetest.Traits{})
	s.objects.Put(from, full)
	s.pass(time.Hour)
	s.wants("old", s.verify(run.Metadata), run.MissingOnDest, "missing")
	if s.slept != 0 {
		t.Errorf("waited %s for what is old", s.slept)
	}
}

// transfers are those under way, by their destination.
type transfers map[object.Ref]object.Transfer

func (t transfers) Transfer(_ context.Context, to object.Ref) (object.Transfer, error) {
	if t == nil {
		return object.Transfer{}, &object.Error{Class: object.Permanent, Op: "read", Code: "Denied", Err: errors.New("by the test")}
	}
	return t[to], nil
}

func TestWhatIsCopiedByPartsIsNotMissing(t *testing.T) {
	for name, c := range map[string]struct {
		size      int64
		transfers transfers
		class     run.Class
		reason    string
	}{
		"under way":            {100, transfers{to: {ID: "t"}}, run.Unverifiable, "transferring"},
		"none is":              {100, transfers{}, run.MissingOnDest, "missing"},
		"too small to be":      {99, transfers{to: {ID: "t"}}, run.MissingOnDest, "missing"},
		"nobody can say":       {100, nil, run.Unverifiable, "error"},
		"too small to be told": {99, nil, run.MissingOnDest, "missing"},
	} {
		s := newStage(t, storetest.Traits{})
		s.transfers = c.transfers
		s.objects.Put(from, storetest.Content{Size: c.size})
		s.pass(time.Hour)
		s.wants(name, s.verify(run.Metadata), c.class, c.reason)
	}
}

func TestWhatItCosts(t *testing.T) {
	for mode, want := range map[run.Mode]map[string]int{
		run.Metadata: {"objects.describe": 2, "objects.tagging": 2},
		run.Checksum: {"objects.describe": 2, "objects.tagging": 2},
		run.Bytes:    {"objects.describe": 2, "objects.tagging": 2, "objects.read": 2},
	} {
		s := newStage(t, storetest.Traits{})
		s.objects.Put(from, full)
		s.replicate()
		s.pass(time.Hour)
		s.objects.ResetCounts()
		check, seen := s.check(mode), s.sighting()
		reads := s.ledger.Counts()["ledger.read"]
		if _, err := check.Settle(ctx, []replicate.Sighting{seen}); err != nil {
			t.Fatal(err)
		}
		got := s.objects.Counts()
		for op, n := range got {
			if want[op] != n {
				t.Errorf("by %s: %v, want %v", mode, got, want)
			}
		}
		if len(got) != len(want) || s.ledger.Counts()["ledger.read"] != reads+1 {
			t.Errorf("by %s: %v, want %v; %v", mode, got, want, s.ledger.Counts())
		}
	}
}

// breaking reads from a store whose every answer breaks off after so many bytes.
type breaking struct {
	verify.Objects
	after int64
	reads int
}

func (b *breaking) Read(ctx context.Context, at object.Ref, etag string, offset, n int64) (io.ReadCloser, error) {
	b.reads++
	whole, err := b.Objects.Read(ctx, at, etag, offset, n)
	if err != nil || n <= b.after {
		return whole, err
	}
	return io.NopCloser(io.MultiReader(io.LimitReader(whole, b.after), broken{})), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) {
	return 0, &object.Error{Class: object.Retryable, Op: "read", Code: "NoAnswer", Err: errors.New("the connection broke")}
}

func TestReadingGoesOnWhereItBroke(t *testing.T) {
	s := newStage(t, storetest.Traits{})
	body := []byte(strings.Repeat("0123456789", 100_000))
	s.objects.Put(from, storetest.Content{Body: body})
	s.replicate()
	s.pass(time.Hour)
	store := &breaking{Objects: s.objects, after: 300_000}
	s.store = store
	got := s.verify(run.Bytes)
	s.wants("breaks off", got, run.Matched, "bytes")
	if got.Bytes != int64(len(body)) || store.reads != 8 {
		t.Errorf("%d bytes in %d reads", got.Bytes, store.reads)
	}
	s.store = &breaking{Objects: s.objects}
	got = s.verify(run.Bytes)
	s.wants("never answers", got, run.Unverifiable, "error", "NoAnswer")
}

func TestALargeObjectIsComparedByPiecesAndResumed(t *testing.T) {
	const size = 200 << 20
	s := newStage(t, storetest.Traits{})
	s.objects.Put(from, storetest.Content{Size: size})
	s.replicate()
	s.pass(time.Hour)
	got := s.verify(run.Bytes)
	s.wants("at once", got, run.Matched, "bytes")
	if got.Bytes != size || len(s.noted) != 4 || s.noted[2].Done != 3*64<<20 || s.noted[3].Done != size {
		t.Fatalf("%d bytes compared, noted %+v", got.Bytes, s.noted)
	}
	s.resume = s.noted[1]
	s.objects.ResetCounts()
	got = s.verify(run.Bytes)
	s.wants("from the middle", got, run.Matched, "bytes")
	if n := s.objects.Counts()["objects.read"]; got.Bytes != size || n != 4 {
		t.Errorf("%d bytes, %d reads", got.Bytes, n)
	}
	// What was noted of another content counts for nothing.
	s.resume.Dest = "another"
	s.objects.ResetCounts()
	s.verify(run.Bytes)
	if n := s.objects.Counts()["objects.read"]; n != 8 {
		t.Errorf("%d reads", n)
	}
}

func TestWhatKeepsChangingIsNotComparedForEver(t *testing.T) {
	s := newStage(t, storetest.Traits{})
	s.objects.Put(from, full)
	s.replicate()
	s.pass(time.Hour)
	reads := 0
	s.objects.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "objects.read" && c.Ref == from {
			reads++
			s.objects.Put(from, storetest.Content{Body: []byte(fmt.Sprintf("text %02d", reads))})
		}
		return storetest.None, nil
	}
	s.wants("changes at each read", s.verify(run.Bytes), run.Unverifiable, "changed")
	if reads > 6 {
		t.Errorf("read %d times", reads)
	}
}

// Whatever fails, nothing is said that is not so.
func TestAnErrorIsNoAbsence(t *testing.T) {
	for _, class := range []object.Class{object.Retryable, object.Permanent, object.Premise} {
		for _, op := range []string{"objects.describe", "objects.read"} {
			for _, side := range []object.Bucket{source, dest} {
				s := newStage(t, storetest.Traits{})
				s.objects.Put(from, full)
				s.replicate()
				s.pass(time.Hour)
				seen := s.sighting()
				s.objects.Hook = func(c storetest.Call) (storetest.Fault, error) {
					if c.Op == op && c.Ref.Bucket == side {
						return storetest.FailBefore, &object.Error{Class: class, Op: op, Code: "Denied", Err: errors.New("by the test")}
					}
					return storetest.None, nil
				}
				results, err := s.check(run.Bytes).Settle(ctx, []replicate.Sighting{seen})
				if err != nil || results[0].Class != run.Unverifiable {
					t.Errorf("class %d, %s at %s: %+v, %v", class, op, side, results, err)
				}
			}
		}
	}
}

func TestRulesThatChangedAreSaid(t *testing.T) {
	s := newStage(t, storetest.Traits{})
	check := s.check(run.Metadata)
	check.Revision++
	if _, err := check.Settle(ctx, []replicate.Sighting{s.sighting()}); !errors.Is(err, replicate.ErrRulesChanged) {
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.check(run.Metadata).Settle(ended, []replicate.Sighting{s.sighting()}); err == nil {
		t.Error("a context that ended makes no error")
	}
}
