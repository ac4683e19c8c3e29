package storetest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"bucket-replicator/shared/object"
)

// ObjectStore is what the suite calls: replicate.Objects, verify.Objects, uploads
// by parts, and listing.
type ObjectStore interface {
	Head(ctx context.Context, at object.Ref, withTags bool) (object.State, error)
	Copy(ctx context.Context, c object.Copy) (object.Copied, error)
	Retag(ctx context.Context, r object.Retag) error
	Delete(ctx context.Context, at object.Ref, etag string) error
	List(ctx context.Context, b object.Bucket, prefix, after string, limit int) ([]object.Listed, bool, error)
	Describe(ctx context.Context, at object.Ref, withTags, withSums bool) (object.Detail, error)
	Read(ctx context.Context, at object.Ref, etag string, offset, n int64) (io.ReadCloser, error)
	Begin(ctx context.Context, c object.Copy) (object.Upload, error)
	CopyPart(ctx context.Context, p object.Part) (object.PartCopied, error)
	Complete(ctx context.Context, c object.Completion) (object.Copied, error)
	Abort(ctx context.Context, u object.Upload) error
	Uploads(ctx context.Context, at object.Ref) ([]object.Begun, error)
}

// People is what people do to the buckets behind a store, by other means than
// the store's.
type People interface {
	Put(at object.Ref, c Content) error
	Remove(at object.Ref) error
	// Leave puts an object of which the server's own replication then leaves a
	// replica under the same key of another bucket, both versioned.
	Leave(to object.Bucket, from object.Ref, c Content) error
	// Get is the current version, false where there is none.
	Get(at object.Ref) (Found, bool, error)
	// Versions counts versions and delete markers.
	Versions(at object.Ref) (objects, markers int, err error)
}

// ObjectsHarness is a store under test and what is around it.
type ObjectsHarness struct {
	Store  ObjectStore
	People People
	// NewBucket makes an empty bucket, of which only Versioned and ObjectLock
	// are asked.
	NewBucket func(Traits) (object.Bucket, error)
	// Elsewhere names the same bucket as one on another endpoint, so that what
	// is copied from it has to go through the store; nil where there is none.
	Elsewhere func(object.Bucket) object.Bucket
	// NewReplica makes every second bucket of a scene, where replicas go; nil:
	// as NewBucket does.
	NewReplica func(Traits) (object.Bucket, error)
	// Denied is a store without any right; nil where the server checks none.
	Denied ObjectStore
	// ConditionsOnly tries only the promises about conditions on the
	// destination.
	ConditionsOnly bool
	// CopiesOnly tries only the promises about copies.
	CopiesOnly bool
	// Deviations are the promises that are not kept, by their names. Each is
	// tried all the same: one that is kept after all fails the test.
	Deviations map[string]Deviation
}

// Deviation is a promise that a server does not keep.
type Deviation struct {
	Why string
	// Sometimes: it is kept now and then, as where a race is lost.
	Sometimes bool
}

// ObjectPromises are the names of the promises, in the order of the suite.
func ObjectPromises() []string {
	var names []string
	for _, p := range objectPromises() {
		names = append(names, p.name)
	}
	return names
}

// TestObjects tries the promises, each as a subtest of its name, and reports
// which were kept. One that was kept against a deviation is reported as not.
func TestObjects(t *testing.T, h ObjectsHarness) map[string]bool {
	kept := map[string]bool{}
	known := map[string]bool{}
	for _, p := range objectPromises() {
		if h.ConditionsOnly && !p.condition || h.CopiesOnly && !p.copies() {
			continue
		}
		known[p.name] = true
		t.Run(p.name, func(t *testing.T) {
			scene := &trial{ctx: t.Context(), h: h}
			err := p.try(scene)
			kept[p.name] = err == nil
			deviation, expected := h.Deviations[p.name]
			switch {
			case scene.broken:
				t.Error(err)
			case err != nil && expected:
				t.Logf("not kept, as expected (%s): %v", deviation.Why, err)
			case err != nil:
				t.Error(err)
			case expected && !deviation.Sometimes:
				t.Errorf("kept after all: remove the deviation %q", deviation.Why)
			case expected:
				kept[p.name] = false
			}
		})
	}
	for name := range h.Deviations {
		if !known[name] {
			t.Errorf("a deviation names the unknown promise %q", name)
		}
	}
	return kept
}

// promise is one statement about a store. It answers what was not as promised,
// and an error about the surroundings alike.
type promise struct {
	name string
	try  func(*trial) error
	// condition: about a condition on the destination.
	condition bool
}

// copies reports whether the promise is about a copy: its name says so.
func (p promise) copies() bool {
	return strings.Contains(p.name, "cop") || strings.HasSuffix(p.name, "travels")
}

func objectPromises() []promise {
	all := append(lookPromises(), copyPromises()...)
	all = append(all, propertyPromises()...)
	all = append(all, tagPromises()...)
	all = append(all, keyPromises()...)
	all = append(all, listPromises()...)
	all = append(all, detailPromises()...)
	all = append(all, uploadPromises()...)
	for _, p := range slices.Concat(conditionPromises(), completionPromises(), racePromises()) {
		p.condition = true
		all = append(all, p)
	}
	return all
}

// trial is one try of a promise. Its methods that set the scene remember the
// first error, which the promise returns by done or fail.
type trial struct {
	ctx    context.Context
	h      ObjectsHarness
	err    error
	broken bool // err says nothing about the promise
	made   int  // buckets
}

func (t *trial) bucket(versioned bool) object.Bucket {
	return t.bucketOf(Traits{Versioned: versioned})
}

func (t *trial) bucketOf(traits Traits) object.Bucket {
	if t.err != nil {
		return object.Bucket{}
	}
	make := t.h.NewBucket
	if t.made++; t.made%2 == 0 && t.h.NewReplica != nil {
		make = t.h.NewReplica
	}
	b, err := make(traits)
	t.broken = err != nil
	t.note("make a bucket", err)
	return b
}

// ref is a key in a new bucket.
func (t *trial) ref(versioned bool, key string) object.Ref {
	return object.Ref{Bucket: t.bucket(versioned), Key: key}
}

// put writes as a person, and answers how the store sees it.
func (t *trial) put(at object.Ref, c Content) object.State {
	if t.err == nil {
		t.note("put "+at.String(), t.h.People.Put(at, c))
	}
	return t.head(at)
}

func (t *trial) remove(at object.Ref) {
	if t.err == nil {
		t.note("remove "+at.String(), t.h.People.Remove(at))
	}
}

func (t *trial) head(at object.Ref) object.State {
	if t.err != nil {
		return object.State{}
	}
	s, err := t.h.Store.Head(t.ctx, at, false)
	t.note("scene", err)
	return s
}

func (t *trial) get(at object.Ref) (Found, bool) {
	if t.err != nil {
		return Found{}, false
	}
	f, ok, err := t.h.People.Get(at)
	t.note("get "+at.String(), err)
	return f, ok
}

// holds checks that the object is there with this body.
func (t *trial) holds(at object.Ref, body string) {
	f, ok := t.get(at)
	if t.err == nil && (!ok || string(f.Body) != body) {
		t.err = fmt.Errorf("%s holds %q (there: %t), want %q", at, f.Body, ok, body)
	}
}

func (t *trial) versions(at object.Ref, objects, markers int) {
	if t.err != nil {
		return
	}
	o, m, err := t.h.People.Versions(at)
	t.note("list the versions of "+at.String(), err)
	if t.err == nil && (o != objects || m != markers) {
		t.err = fmt.Errorf("%s has %d versions and %d markers, want %d and %d", at, o, m, objects, markers)
	}
}

// copy is a copy that must succeed.
func (t *trial) copy(c object.Copy) object.Copied {
	if t.err != nil {
		return object.Copied{}
	}
	copied, err := t.h.Store.Copy(t.ctx, c)
	t.note("scene", err)
	return copied
}

// refused checks that err is of the class, and of one of the codes if any are
// given.
func (t *trial) refused(what string, err error, class object.Class, codes ...string) {
	if t.err != nil {
		return
	}
	switch {
	case err == nil:
		t.err = fmt.Errorf("%s: took effect, want an error", what)
	case object.ClassOf(err) != class:
		t.err = fmt.Errorf("%s: class %d, want %d: %w", what, object.ClassOf(err), class, err)
	case len(codes) > 0 && object.CodeOf(err) != codes[0]:
		t.err = fmt.Errorf("%s: code %s, want %s: %w", what, object.CodeOf(err), codes[0], err)
	}
}

// want checks a fact.
func (t *trial) want(fact bool, format string, args ...any) {
	if t.err == nil && !fact {
		t.err = fmt.Errorf(format, args...)
	}
}

func (t *trial) note(what string, err error) {
	if t.err == nil && err != nil {
		t.err = fmt.Errorf("%s: %w", what, err)
	}
}
