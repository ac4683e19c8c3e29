package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"bucket-replicator/shared/object"
)

var (
	plain     = object.Bucket{Backend: object.AWS, Name: "plain"}
	versioned = object.Bucket{Backend: object.AWS, Name: "versioned"}
)

func at(b object.Bucket, key string) object.Ref { return object.Ref{Bucket: b, Key: key} }

// twoBuckets is a fake whose clock ticks 1.5 seconds with every reading.
func twoBuckets() *Objects {
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o := NewObjects(func() time.Time { clock = clock.Add(1500 * time.Millisecond); return clock })
	o.AddBucket(plain, Traits{})
	o.AddBucket(versioned, Traits{Versioned: true})
	return o
}

func TestEveryWriteIsToldInOrder(t *testing.T) {
	o := twoBuckets()
	var told []object.Change
	o.OnWrite = func(c object.Change) { told = append(told, c) }

	put := o.Put(at(versioned, "k"), Text("one"))
	o.PutTags(at(versioned, "k"), map[string]string{"a": "b"})
	if _, err := o.Copy(t.Context(), object.Copy{From: at(versioned, "k"), To: at(plain, "k"), SourceETag: put.ETag}); err != nil {
		t.Fatal(err)
	}
	if err := o.Delete(t.Context(), at(plain, "k"), put.ETag); err != nil {
		t.Fatal(err)
	}
	marker := o.Remove(at(versioned, "k"), object.ByLifecycle)
	o.RemoveVersion(at(versioned, "k"), marker.VersionID)
	o.Archive(at(versioned, "k"))
	o.Restore(at(versioned, "k"))
	o.Remove(at(plain, "nothing"), object.ByRequest)

	want := []struct {
		kind    object.Kind
		bucket  object.Bucket
		cause   object.Cause
		version string
	}{
		{object.Created, versioned, object.ByRequest, put.VersionID},
		{object.Retagged, versioned, object.ByRequest, put.VersionID},
		{object.Created, plain, object.ByRequest, ""},
		{object.Deleted, plain, object.ByRequest, ""},
		{object.MarkerCreated, versioned, object.ByLifecycle, marker.VersionID},
		{object.Deleted, versioned, object.ByRequest, marker.VersionID},
		{object.Irrelevant, versioned, object.ByRequest, put.VersionID},
		{object.Restored, versioned, object.ByRequest, put.VersionID},
	}
	if len(told) != len(want) {
		t.Fatalf("%d events, want %d: %+v", len(told), len(want), told)
	}
	for i, w := range want {
		c := told[i]
		if c.Kind != w.kind || c.Ref.Bucket != w.bucket || c.Cause != w.cause || c.VersionID != w.version {
			t.Errorf("event %d is %+v, want %+v", i, c, w)
		}
		if i > 0 && (!object.Newer(c.Sequencer, told[i-1].Sequencer) || c.RequestID == told[i-1].RequestID) {
			t.Errorf("event %d does not follow event %d: %+v, %+v", i, i-1, c, told[i-1])
		}
		if c.Time.Nanosecond() != 0 {
			t.Errorf("event %d has a time of %v", i, c.Time)
		}
	}
}

func TestABareBucketTellsLittle(t *testing.T) {
	o := twoBuckets()
	bare := object.Bucket{Backend: "emulator", Name: "bare"}
	o.AddBucket(bare, Traits{Versioned: true, BareEvents: true})
	var told object.Change
	o.OnWrite = func(c object.Change) { told = c }
	o.Put(at(bare, "k"), Text("x"))
	if told.Kind != object.Created || told.ETag == "" || told.VersionID+told.Sequencer+told.RequestID != "" {
		t.Errorf("told %+v", told)
	}
}

func TestTheHookDecidesWhatBecomesOfACall(t *testing.T) {
	lost := errors.New("connection reset")
	for _, c := range []struct {
		fault Fault
		lands bool
	}{{None, true}, {FailBefore, false}, {ApplyThenFail, true}} {
		o := twoBuckets()
		state := o.Put(at(plain, "k"), Text("x"))
		o.Hook = func(call Call) (Fault, error) {
			if call != (Call{Op: "objects.copy", Ref: at(versioned, "k")}) {
				t.Errorf("hook called with %+v", call)
			}
			return c.fault, lost
		}
		_, err := o.Copy(t.Context(), object.Copy{From: at(plain, "k"), To: at(versioned, "k"), SourceETag: state.ETag})
		if _, landed := o.Get(at(versioned, "k")); landed != c.lands {
			t.Errorf("fault %d: landed %t, want %t", c.fault, landed, c.lands)
		}
		if (c.fault == None) != (err == nil) {
			t.Errorf("fault %d: error %v", c.fault, err)
		}
		if err != nil && (!errors.Is(err, lost) || object.ClassOf(err) != object.Retryable) {
			t.Errorf("fault %d: error %v, want a retryable %v", c.fault, err, lost)
		}
		if n := o.Counts(versioned)["objects.copy"]; n != 1 {
			t.Errorf("fault %d: %d copies counted", c.fault, n)
		}
	}
}

func TestRemovingTheCurrentVersionBringsTheFormerOneBack(t *testing.T) {
	o := twoBuckets()
	first := o.Put(at(versioned, "k"), Text("one"))
	second := o.Put(at(versioned, "k"), Text("two"))
	o.RemoveVersion(at(versioned, "k"), second.VersionID)
	if got, _ := o.Head(t.Context(), at(versioned, "k"), false); got.VersionID != first.VersionID {
		t.Errorf("current is %+v, want the first version", got)
	}
	o.RemoveVersion(at(versioned, "k"), first.VersionID)
	if got, _ := o.Head(t.Context(), at(versioned, "k"), false); got.Presence != object.Absent {
		t.Errorf("current is %+v, want none", got)
	}
}

func TestOpaqueTags(t *testing.T) {
	o := twoBuckets()
	kms := object.Bucket{Backend: object.AWS, Name: "kms"}
	o.AddBucket(kms, Traits{FreshETags: true})
	if a, b := o.Put(at(kms, "k"), Text("x")), o.Put(at(kms, "k"), Text("x")); a.ETag == b.ETag {
		t.Errorf("two writes under KMS have the tag %s", a.ETag)
	}
	large := o.Put(at(plain, "k"), Content{Body: []byte("x"), Multipart: true})
	copied, err := o.Copy(t.Context(), object.Copy{From: at(plain, "k"), To: at(plain, "l"), SourceETag: large.ETag})
	if err != nil || copied.Dest.ETag == large.ETag {
		t.Errorf("the copy of an upload in parts has the tag %s: %v", copied.Dest.ETag, err)
	}
}

func TestFingerprintTellsStatesApartAndForgetsHistory(t *testing.T) {
	frozen := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	fresh := func() *Objects {
		o := NewObjects(func() time.Time { return frozen })
		o.AddBucket(plain, Traits{})
		o.AddBucket(versioned, Traits{Versioned: true})
		return o
	}
	seen := map[uint64]string{fresh().Fingerprint(): "empty"}
	for name, do := range map[string]func(*Objects){
		"a put":          func(o *Objects) { o.Put(at(plain, "k"), Text("x")) },
		"another key":    func(o *Objects) { o.Put(at(plain, "l"), Text("x")) },
		"another bucket": func(o *Objects) { o.Put(at(versioned, "k"), Text("x")) },
		"another body":   func(o *Objects) { o.Put(at(plain, "k"), Text("y")) },
		"tags": func(o *Objects) {
			o.Put(at(plain, "k"), Text("x"))
			o.PutTags(at(plain, "k"), map[string]string{"a": "b"})
		},
		"other metadata": func(o *Objects) {
			o.Put(at(plain, "k"), Content{Body: []byte("x"), Metadata: map[string]string{"a": "b"}})
		},
		"an archived one": func(o *Objects) { o.Put(at(plain, "k"), Text("x")); o.Archive(at(plain, "k")) },
		"a restored one": func(o *Objects) {
			o.Put(at(plain, "k"), Text("x"))
			o.Archive(at(plain, "k"))
			o.Restore(at(plain, "k"))
		},
		"a marker":         func(o *Objects) { o.Remove(at(versioned, "k"), object.ByRequest) },
		"a second version": func(o *Objects) { o.Put(at(versioned, "k"), Text("x")); o.Put(at(versioned, "k"), Text("x")) },
		"a hidden version": func(o *Objects) { o.Put(at(versioned, "k"), Text("x")); o.Remove(at(versioned, "k"), object.ByRequest) },
		"an hour later one": func(o *Objects) {
			o.now = func() time.Time { return frozen.Add(time.Hour) }
			o.Put(at(plain, "k"), Text("x"))
		},
	} {
		o := fresh()
		do(o)
		if other, dup := seen[o.Fingerprint()]; dup {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[o.Fingerprint()] = name
	}
	once, twice := fresh(), fresh()
	once.Put(at(plain, "k"), Text("x"))
	twice.Put(at(plain, "k"), Text("y"))
	twice.Put(at(plain, "k"), Text("x"))
	if once.Fingerprint() != twice.Fingerprint() {
		t.Error("the same state reached by another way has another fingerprint")
	}
}

func TestKeysAndVersionsAreThePersonsView(t *testing.T) {
	o := twoBuckets()
	o.Put(at(versioned, "b"), Text("1"))
	o.Put(at(versioned, "a"), Text("2"))
	o.Remove(at(versioned, "b"), object.ByRequest)
	if got := o.Keys(versioned); !slices.Equal(got, []string{"a"}) {
		t.Errorf("keys %q", got)
	}
	all := o.Versions(at(versioned, "b"))
	if len(all) != 2 || all[0].State.Presence != object.Hidden || string(all[1].Body) != "1" {
		t.Errorf("versions %+v", all)
	}
}

func BenchmarkNewObjects(b *testing.B) {
	now := func() time.Time { return time.Time{} }
	for b.Loop() {
		o := NewObjects(now)
		o.AddBucket(plain, Traits{})
		o.AddBucket(versioned, Traits{Versioned: true})
		o.Put(at(plain, "k"), Text("x"))
		o.Fingerprint()
	}
}

func TestTheFakeKeepsEveryPromise(t *testing.T) {
	TestObjects(t, FakeObjects(NewObjects(time.Now)))
}
