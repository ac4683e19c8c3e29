package storetest

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"bucket-replicator/shared/object"
)

// Objects is a fake of the object stores on both sides: several buckets on
// several backends, in memory. It keeps versions and delete markers, enforces
// every condition as AWS documents it, counts requests, and tells of each
// write as S3's events do. Everything it answers follows from the calls and
// the clock, so a history can be replayed.
//
// Head, Copy, Retag, Delete, List, Describe and Read, and the uploads by parts in
// objects_upload.go, are what the code under test calls. The methods
// in person.go are what people do to the buckets meanwhile; they are neither
// counted nor hooked.
type Objects struct {
	// Hook is asked before every call of the code under test.
	Hook Hook
	// OnWrite is told of every change, ours and people's alike, after it
	// took effect and before the call returns, outside the fake's lock.
	OnWrite func(object.Change)

	now func() time.Time

	mu      sync.Mutex
	buckets map[object.Bucket]*bucket
	uploads map[string]*upload // by id
	serial  int                // of writes: makes version ids, sequencers and request ids
	counts  map[Call]int
	told    []object.Change // waits for the lock to be free
}

// Traits is how a bucket behaves.
type Traits struct {
	// Versioned keeps versions and puts delete markers.
	Versioned bool
	// ObjectLock: versions can be retained and held; such a bucket is Versioned.
	ObjectLock bool
	// NoTags keeps no object tags, as some backends do.
	NoTags bool
	// FreshETags gives every write a tag of its own, as SSE-KMS does; else
	// the tag is the content's MD5.
	FreshETags bool
	// BareEvents leaves version, sequencer and request out of the events, as
	// emulators do.
	BareEvents bool
}

type bucket struct {
	Traits
	objects map[string][]*version // by key, the current version last, never empty
}

// version is immutable, except for tags, archive state and storage class, which
// S3 lets change in place; those are replaced, with the version, not edited.
type version struct {
	Content
	id       string // empty on an unversioned bucket
	marker   bool
	etag     string
	modified time.Time
	restored bool
	owner    bool // bucket-owner-full-control
	sums     map[object.Sum]string
	replica  bool // another replication wrote it
}

// maxCopy is the largest object that one CopyObject takes.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
const maxCopy = 5 << 30

// NewObjects is a fake without buckets. Its times are now's, in whole seconds,
// as S3's are.
func NewObjects(now func() time.Time) *Objects {
	return &Objects{now: now, buckets: map[object.Bucket]*bucket{}, counts: map[Call]int{}}
}

// AddBucket makes an empty bucket.
func (o *Objects) AddBucket(b object.Bucket, t Traits) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buckets[b] = &bucket{Traits: t, objects: map[string][]*version{}}
}

// Head looks at the current version.
func (o *Objects) Head(ctx context.Context, at object.Ref, withTags bool) (object.State, error) {
	var found object.State
	err := o.request(ctx, "objects.head", at, func() error {
		b, err := o.bucket(at.Bucket)
		if err != nil {
			return err
		}
		found = b.current(at.Key).state()
		if found.Presence == object.Present {
			found.Lock = b.current(at.Key).Lock.At(o.now())
		}
		if withTags && found.Presence == object.Present {
			o.count("objects.tagging", at.Bucket)
			found.Tags = maps.Clone(b.current(at.Key).Tags)
			if found.Tags == nil {
				found.Tags = map[string]string{}
			}
		}
		return nil
	})
	if err != nil {
		return object.State{}, classed("head", at, err)
	}
	return found, nil
}

// Copy copies the current version of c.From under both conditions.
func (o *Objects) Copy(ctx context.Context, c object.Copy) (object.Copied, error) {
	var copied object.Copied
	err := o.request(ctx, "objects.copy", c.To, func() error {
		from, err := o.bucket(c.From.Bucket)
		if err != nil {
			return err
		}
		to, err := o.bucket(c.To.Bucket)
		if err != nil {
			return err
		}
		source := from.current(c.From.Key)
		switch {
		case !source.present():
			return refusal(object.Premise, "NoSuchKey", "the source is gone")
		case source.etag != c.SourceETag:
			return refusal(object.Premise, "PreconditionFailed", "the source's tag is "+source.etag)
		case source.archived():
			return refusal(object.Premise, "InvalidObjectState", "the source is archived")
		case source.size() > maxCopy:
			return refusal(object.Permanent, "TooLargeForOneCopy", "over 5 GiB")
		case c.From == c.To && c.StorageClass == "" && c.SSE == "":
			return refusal(object.Permanent, "InvalidRequest", "a copy onto itself changes nothing")
		}
		if err := to.current(c.To.Key).holds(c.DestETag); err != nil {
			return err
		}
		replica := version{Content: source.carried(c, o.now()), owner: c.OwnerOverride}
		replica.Multipart = false // what is copied in one piece gets the tag of one piece
		if err := to.locks(replica.Lock); err != nil {
			return err
		}
		if to.NoTags && len(replica.Tags) > 0 {
			replica.Tags, copied.Lost = nil, []string{object.LostTags}
		}
		dest := o.write(to, c.To, replica)
		copied.Dest = object.Dest{ETag: dest.etag, LastModified: dest.modified, VersionID: dest.id}
		copied.SourceVersionID = source.id
		return nil
	})
	if err != nil {
		return object.Copied{}, classed("copy", c.To, err)
	}
	return copied, nil
}

// Delete removes the current version, or hides it behind a marker, if its tag
// is etag.
func (o *Objects) Delete(ctx context.Context, at object.Ref, etag string) error {
	return classed("delete", at, o.request(ctx, "objects.delete", at, func() error {
		b, err := o.bucket(at.Bucket)
		if err != nil {
			return err
		}
		if etag == "" {
			return refusal(object.Permanent, "InvalidRequest", "a delete needs a tag")
		}
		if err := b.current(at.Key).holds(etag); err != nil {
			return err
		}
		o.remove(b, at, object.ByRequest)
		return nil
	}))
}

// Retag replaces the tags of a version. Where the bucket has none it cannot be
// told which object is meant: the tags go to what is there.
func (o *Objects) Retag(ctx context.Context, r object.Retag) error {
	return classed("retag", r.At, o.request(ctx, "objects.retag", r.At, func() error {
		b, err := o.bucket(r.At.Bucket)
		if err != nil {
			return err
		}
		if b.NoTags {
			return refusal(object.Permanent, "NotImplemented", "the bucket keeps no tags")
		}
		i := slices.IndexFunc(b.objects[r.At.Key], func(v *version) bool { return v.present() && v.id == r.VersionID })
		if i < 0 {
			return refusal(object.Premise, "NoSuchVersion", "there is no such version")
		}
		v := o.change(b, r.At, i, object.Retagged, func(v *version) { v.Tags = maps.Clone(r.Tags) })
		if v.etag != r.ETag || !v.modified.Equal(r.LastModified) {
			return refusal(object.Premise, "PreconditionFailed", "the tags went to another object")
		}
		return nil
	}))
}

// List lists up to limit objects whose keys begin with prefix and come after
// after, in the order of the keys' bytes, and whether there are more.
func (o *Objects) List(ctx context.Context, at object.Bucket, prefix, after string, limit int) (page []object.Listed, more bool, err error) {
	ref := object.Ref{Bucket: at, Key: prefix}
	err = o.request(ctx, "objects.list", ref, func() error {
		b, err := o.bucket(at)
		if err != nil {
			return err
		}
		if limit < 1 || limit > 1000 {
			return refusal(object.Permanent, "InvalidArgument", fmt.Sprintf("a limit of %d is not within 1 to 1000", limit))
		}
		for _, key := range slices.Sorted(maps.Keys(b.objects)) {
			v := b.current(key)
			if !strings.HasPrefix(key, prefix) || key <= after || !v.present() {
				continue
			}
			if len(page) == limit {
				more = true
				break
			}
			s := v.state()
			s.VersionID, s.Checksum, s.Replica = "", "", false
			page = append(page, object.Listed{Key: key, State: s})
		}
		return nil
	})
	if err != nil {
		return nil, false, classed("list", ref, err)
	}
	return page, more, nil
}

// Counts says how many requests were made since the start or ResetCounts, by
// the operations that Call names, and "objects.tagging" for the tags fetched
// by a Head. Failed requests count: they are billed too. With buckets, only
// requests to these; a copy is a request to its destination.
func (o *Objects) Counts(buckets ...object.Bucket) map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	sum := map[string]int{}
	for c, n := range o.counts {
		if len(buckets) == 0 || slices.Contains(buckets, c.Ref.Bucket) {
			sum[c.Op] += n
		}
	}
	return sum
}

// ResetCounts starts counting anew.
func (o *Objects) ResetCounts() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.counts)
}

// request runs one operation as the hook says. The changes that it made are
// told once the lock is free.
func (o *Objects) request(ctx context.Context, op string, at object.Ref, apply func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.mu.Lock()
	o.count(op, at.Bucket)
	o.mu.Unlock()
	return o.Hook.run(Call{Op: op, Ref: at}, func() error {
		var err error
		o.locked(func() { err = apply() })
		return err
	})
}

func (o *Objects) count(op string, b object.Bucket) {
	o.counts[Call{Op: op, Ref: object.Ref{Bucket: b}}]++
}

func (o *Objects) bucket(b object.Bucket) (*bucket, error) {
	if found := o.buckets[b]; found != nil {
		return found, nil
	}
	return nil, refusal(object.Permanent, "NoSuchBucket", "there is no such bucket")
}

// locks reports an error where the bucket cannot hold a lock.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
func (b *bucket) locks(l object.Lock) error {
	if l != (object.Lock{}) && !b.ObjectLock {
		return refusal(object.Permanent, "InvalidRequest", "the bucket has no Object Lock")
	}
	return nil
}

// current is the current version, nil where the key never was.
func (b *bucket) current(key string) *version {
	all := b.objects[key]
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// holds checks a condition on the version that a write replaces: etag, or
// empty for "there is no object".
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
func (v *version) holds(etag string) error {
	switch {
	case etag == "" && v.present():
		return refusal(object.Premise, "PreconditionFailed", "there is an object")
	case etag != "" && !v.present():
		return refusal(object.Premise, "NoSuchKey", "there is no object")
	case etag != "" && v.etag != etag:
		return refusal(object.Premise, "PreconditionFailed", "the tag is "+v.etag)
	}
	return nil
}

func (v *version) present() bool { return v != nil && !v.marker }

func (v *version) archived() bool {
	return (v.StorageClass == "GLACIER" || v.StorageClass == "DEEP_ARCHIVE") && !v.restored
}

func (v *version) state() object.State {
	switch {
	case v == nil:
		return object.State{Presence: object.Absent}
	case v.marker:
		return object.State{Presence: object.Hidden, VersionID: v.id, LastModified: v.modified}
	}
	return object.State{
		Presence:     object.Present,
		ETag:         v.etag,
		Size:         v.size(),
		LastModified: v.modified,
		VersionID:    v.id,
		Archived:     v.archived(),
		Replica:      v.replica,
	}
}

// write makes v the current version.
func (o *Objects) write(b *bucket, at object.Ref, v version) *version {
	o.serial++
	if v.modified.IsZero() {
		v.modified = o.now().UTC().Truncate(time.Second)
	}
	if v.etag == "" {
		v.etag = b.tag(v.Content, o.serial)
	}
	v.sums = b.sums(v.Content, v.etag)
	o.push(b, at.Key, &v)
	o.tell(b, at, &v, object.Change{Kind: object.Created, ETag: v.etag, Size: v.size()})
	return &v
}

// remove deletes the current version, or puts a marker.
func (o *Objects) remove(b *bucket, at object.Ref, cause object.Cause) *version {
	o.serial++
	if !b.Versioned {
		delete(b.objects, at.Key)
		o.tell(b, at, nil, object.Change{Kind: object.Deleted, Cause: cause})
		return nil
	}
	marker := &version{marker: true, modified: o.now().UTC().Truncate(time.Second)}
	o.push(b, at.Key, marker)
	o.tell(b, at, marker, object.Change{Kind: object.MarkerCreated, Cause: cause})
	return marker
}

func (o *Objects) push(b *bucket, key string, v *version) {
	if !b.Versioned {
		b.objects[key] = []*version{v}
		return
	}
	v.id = fmt.Sprintf("v%06d", o.serial)
	b.objects[key] = append(b.objects[key], v)
}

// tag is the ETag of a write.
func (b *bucket) tag(c Content, serial int) string {
	sum := md5.New()
	sum.Write(c.Body)
	if c.Size > 0 {
		fmt.Fprintf(sum, "%d", c.Size)
	}
	if b.FreshETags {
		fmt.Fprintf(sum, "#%d", serial)
	}
	tag := hex.EncodeToString(sum.Sum(nil))
	if c.Multipart {
		tag += "-2"
	}
	return tag
}

// refusal is a classified answer that does not know yet which call it is for.
func refusal(class object.Class, code, text string) *object.Error {
	return &object.Error{Class: class, Code: code, Err: errors.New(text)}
}

// classed makes err the *object.Error that callers are promised. What a hook
// made up stays as it is.
func classed(op string, at object.Ref, err error) error {
	if err == nil {
		return nil
	}
	var e *object.Error
	if !errors.As(err, &e) {
		return &object.Error{Class: object.Retryable, Op: op, Ref: at, Code: "Internal", Err: err}
	}
	if e.Op == "" {
		e.Op, e.Ref = op, at
	}
	return err
}
