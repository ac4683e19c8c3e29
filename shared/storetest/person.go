package storetest

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"bucket-replicator/shared/object"
)

// Content is what a person puts, and what a reader finds.
type Content struct {
	Body []byte // shared by its copies: do not edit it afterwards
	// Size pretends that the object is this large. 0: as large as Body.
	Size         int64
	ContentType  string
	Metadata     map[string]string
	Tags         map[string]string
	Headers      map[string]string // other content headers, by their names: Cache-Control, ...
	Redirect     string            // of a website's object
	StorageClass string            // empty: STANDARD
	SSE, KMSKey  string
	BucketKey    bool // of the SSE mode aws:kms
	Lock         object.Lock
	Multipart    bool // uploaded in parts: its tag is not an MD5
	Summed       bool // uploaded with a checksum, which is kept
}

// carried is what a replica of c has: what every copy brings, what the rule
// wants brought, and what it says instead of the source.
func (c Content) carried(as object.Copy, now time.Time) Content {
	replica := c
	replica.StorageClass, replica.SSE, replica.KMSKey = as.StorageClass, as.SSE, as.KMSKey
	replica.BucketKey = as.BucketKey && as.SSE == "aws:kms"
	if !as.Tags {
		replica.Tags = nil
	}
	if !as.WebsiteRedirect {
		replica.Redirect = ""
	}
	if !as.ObjectLock {
		replica.Lock = object.Lock{}
	}
	replica.Lock = replica.Lock.At(now) // S3 takes no retention that is over
	return replica
}

func (c Content) size() int64 { return max(c.Size, int64(len(c.Body))) }

// Found is one version, as a test wants to see it.
type Found struct {
	Content
	State        object.State // Hidden for a delete marker
	OwnerControl bool         // the bucket's owner was given full control
	Sum          string       // "ALGORITHM:value" of the checksum that is kept beside the tag
}

// Text is the content of a plain text object.
func Text(s string) Content { return Content{Body: []byte(s), ContentType: "text/plain"} }

// Put writes a new current version.
func (o *Objects) Put(at object.Ref, c Content) object.State {
	return o.person(at, func(b *bucket) object.State { return o.write(b, at, version{Content: c}).state() })
}

// Leave has another replication write a replica of an object, as S3's own leaves
// them: with the tag and the time of their source.
func (o *Objects) Leave(from, to object.Ref) object.State {
	return o.person(to, func(b *bucket) object.State {
		source := o.buckets[from.Bucket].current(from.Key)
		if !source.present() {
			panic(fmt.Sprintf("storetest: %s: there is no object", from))
		}
		replica := *source
		replica.replica = true
		o.serial++
		o.push(b, to.Key, &replica)
		o.tell(b, to, &replica, object.Change{Kind: object.Created, ETag: replica.etag, Size: replica.size()})
		return replica.state()
	})
}

// Remove deletes without a condition: it puts a delete marker on a versioned
// bucket, whatever is there. On another, removing nothing makes no event.
func (o *Objects) Remove(at object.Ref, cause object.Cause) object.State {
	return o.person(at, func(b *bucket) object.State {
		if !b.Versioned && b.current(at.Key) == nil {
			return object.State{Presence: object.Absent}
		}
		return o.remove(b, at, cause).state()
	})
}

// RemoveVersion deletes one version, or a marker, for good. The one before it
// is current again. It panics where there is no such version: the test is
// wrong.
func (o *Objects) RemoveVersion(at object.Ref, versionID string) {
	o.person(at, func(b *bucket) object.State {
		all := b.objects[at.Key]
		i := slices.IndexFunc(all, func(v *version) bool { return v.id == versionID })
		if i < 0 {
			panic(fmt.Sprintf("storetest: %s has no version %q", at, versionID))
		}
		gone := all[i]
		o.serial++
		if b.objects[at.Key] = slices.Delete(slices.Clone(all), i, i+1); len(all) == 1 {
			delete(b.objects, at.Key)
		}
		o.tell(b, at, gone, object.Change{Kind: object.Deleted})
		return object.State{}
	})
}

// PutTags replaces the tags of the current version, which is no write: tag and
// time stay.
func (o *Objects) PutTags(at object.Ref, tags map[string]string) {
	o.edit(at, object.Retagged, func(v *version) { v.Tags = maps.Clone(tags) })
}

// Rot changes the bytes of the current version behind the store's back: its
// size, its tag, its time and its checksums stay.
func (o *Objects) Rot(at object.Ref, body []byte) {
	o.edit(at, object.Irrelevant, func(v *version) { v.Size, v.Body = v.size(), body })
}

// Strip takes the current version's metadata and content type away behind the
// store's back, as Rot changes its bytes.
func (o *Objects) Strip(at object.Ref) {
	o.edit(at, object.Irrelevant, func(v *version) { v.Metadata, v.ContentType = nil, "" })
}

// Retain changes what Object Lock holds of the current version, of which S3
// sends no event.
func (o *Objects) Retain(at object.Ref, l object.Lock) {
	o.locked(func() {
		b := o.buckets[at.Bucket]
		all := slices.Clone(b.objects[at.Key])
		held := *all[len(all)-1]
		held.Lock = l
		all[len(all)-1], b.objects[at.Key] = &held, all
	})
}

// Archive moves the current version to GLACIER, as a lifecycle rule does.
func (o *Objects) Archive(at object.Ref) {
	o.edit(at, object.Irrelevant, func(v *version) { v.StorageClass, v.restored = "GLACIER", false })
}

// Restore makes an archived current version readable.
func (o *Objects) Restore(at object.Ref) {
	o.edit(at, object.Restored, func(v *version) { v.restored = true })
}

// Get is the current version; false where a reader would be told 404.
func (o *Objects) Get(at object.Ref) (Found, bool) {
	all := o.Versions(at)
	if len(all) == 0 || all[0].State.Presence != object.Present {
		return Found{}, false
	}
	return all[0], true
}

// Versions lists the versions and markers of a key, the current one first.
func (o *Objects) Versions(at object.Ref) []Found {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []Found
	if b := o.buckets[at.Bucket]; b != nil {
		for _, v := range slices.Backward(b.objects[at.Key]) {
			all = append(all, Found{Content: v.Content, State: v.state(), OwnerControl: v.owner, Sum: v.sum()})
		}
	}
	return all
}

// Keys lists the keys that a reader finds, in order.
func (o *Objects) Keys(at object.Bucket) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var keys []string
	if b := o.buckets[at]; b != nil {
		for key := range b.objects {
			if b.current(key).present() {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

// Fingerprint hashes everything that the buckets hold: two fakes with the same
// one answer alike, apart from the numbers in version ids and events to come.
func (o *Objects) Fingerprint() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	var sum uint64 // of the keys' hashes: their order does not matter
	for name, b := range o.buckets {
		for key, all := range b.objects {
			h := fnv.New64a()
			text(h, name.Backend, name.Name, key)
			for _, v := range all {
				text(h, v.id, v.etag, v.ContentType, v.StorageClass, v.SSE, v.KMSKey)
				number(h, v.modified.Unix())
				number(h, v.size())
				text(h, v.Redirect, fmt.Sprint(v.marker, v.restored, v.owner, v.replica, v.BucketKey, v.Lock))
				pairs(h, v.Headers)
				pairs(h, v.Metadata)
				pairs(h, v.Tags)
			}
			sum += h.Sum64()
		}
	}
	return sum
}

func text(h hash.Hash64, parts ...string) {
	for _, s := range parts {
		number(h, int64(len(s)))
		_, _ = h.Write([]byte(s)) // a hash never fails
	}
}

func number(h hash.Hash64, n int64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	_, _ = h.Write(b[:])
}

func pairs(h hash.Hash64, m map[string]string) {
	number(h, int64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		text(h, k, m[k])
	}
}

// person runs what a person does to a bucket that exists.
func (o *Objects) person(at object.Ref, do func(*bucket) object.State) (after object.State) {
	o.locked(func() {
		b, err := o.bucket(at.Bucket)
		if err != nil {
			panic(fmt.Sprintf("storetest: %s: %v", at, err))
		}
		after = do(b)
	})
	return after
}

// edit changes the current version in place, which leaves tag and time alone.
func (o *Objects) edit(at object.Ref, kind object.Kind, do func(*version)) {
	o.person(at, func(b *bucket) object.State {
		v := b.current(at.Key)
		if !v.present() {
			panic(fmt.Sprintf("storetest: %s: there is no object", at))
		}
		return o.change(b, at, len(b.objects[at.Key])-1, kind, do).state()
	})
}

// change is an edit of the nth version of a key, and tells of it.
func (o *Objects) change(b *bucket, at object.Ref, n int, kind object.Kind, do func(*version)) *version {
	all := slices.Clone(b.objects[at.Key])
	edited := *all[n]
	do(&edited)
	all[n], b.objects[at.Key] = &edited, all
	o.serial++
	o.tell(b, at, &edited, object.Change{Kind: kind, ETag: edited.etag, Size: edited.size()})
	return &edited
}

// tell queues the event of the write with the current serial number. v is the
// version concerned, nil where the bucket has none.
func (o *Objects) tell(b *bucket, at object.Ref, v *version, c object.Change) {
	c.Ref, c.Time = at, o.now().UTC().Truncate(time.Second)
	if !b.BareEvents {
		c.Sequencer = fmt.Sprintf("%018X", 0x66<<48+o.serial)
		c.RequestID = fmt.Sprintf("R%06d", o.serial)
		if v != nil {
			c.VersionID = v.id
		}
	}
	o.told = append(o.told, c)
}

// locked runs do under the lock, and tells of its changes when the lock is
// free again.
func (o *Objects) locked(do func()) {
	o.mu.Lock()
	defer func() {
		told := o.told
		o.told = nil
		o.mu.Unlock()
		if o.OnWrite != nil {
			for _, c := range told {
				o.OnWrite(c)
			}
		}
	}()
	do()
}
