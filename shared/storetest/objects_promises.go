package storetest

import (
	"crypto/md5"
	"encoding/hex"
	"maps"

	"bucket-replicator/shared/object"
)

func lookPromises() []promise {
	return []promise{
		{name: "a look tells absent from hidden from present", try: func(t *trial) error {
			at := t.ref(true, "k")
			if s := t.head(at); s.Presence != object.Absent {
				t.want(false, "a key that never was is %+v", s)
			}
			put := t.put(at, Text("x"))
			t.want(put.Presence == object.Present && put.VersionID != "", "an object is %+v", put)
			t.remove(at)
			s := t.head(at)
			t.want(s.Presence == object.Hidden && s.VersionID != "" && s.VersionID != put.VersionID, "a hidden object is %+v", s)
			return t.err
		}},
		{name: "a look answers tag, size and whole seconds", try: func(t *trial) error {
			s := t.put(t.ref(false, "k"), Text("hello"))
			sum := md5.Sum([]byte("hello"))
			t.want(s.ETag == hex.EncodeToString(sum[:]), "the tag is %q", s.ETag)
			t.want(s.Size == 5, "the size is %d", s.Size)
			t.want(!s.LastModified.IsZero() && s.LastModified.Nanosecond() == 0, "the time is %s", s.LastModified)
			t.want(s.VersionID == "", "an unversioned bucket has version %q", s.VersionID)
			return t.err
		}},
		{name: "a look fetches tags when asked", try: func(t *trial) error {
			at := t.ref(false, "k")
			c := Text("x")
			c.Tags = map[string]string{"team": "storage", "über": "a b+c"}
			t.want(t.put(at, c).Tags == nil, "there are tags where nobody asked")
			if t.err == nil {
				s, err := t.h.Store.Head(t.ctx, at, true)
				t.note("head", err)
				t.want(maps.Equal(s.Tags, c.Tags), "the tags are %v, want %v", s.Tags, c.Tags)
			}
			return t.err
		}},
		{name: "a look sees an archived object", try: func(t *trial) error {
			c := Text("x")
			c.StorageClass = "GLACIER"
			s := t.put(t.ref(false, "k"), c)
			t.want(s.Archived, "an archived object is %+v", s)
			return t.err
		}},
		{name: "a look knows the replicas of the server's own replication", try: func(t *trial) error {
			from, to := t.ref(true, "k"), t.bucket(true)
			if t.err != nil {
				return t.err
			}
			t.note("leave a replica", t.h.People.Leave(to, from, Text("x")))
			source, replica := t.head(from), t.head(object.Ref{Bucket: to, Key: "k"})
			t.want(!source.Replica, "the source is %+v", source)
			t.want(replica.Replica && replica.ETag == source.ETag && !replica.LastModified.Before(source.LastModified),
				"the source is %+v, the replica %+v", source, replica)
			return t.err
		}},
		{name: "a look takes nothing that anybody else wrote for such a replica", try: func(t *trial) error {
			from, to := t.ref(true, "k"), t.bucket(true)
			if t.err != nil {
				return t.err
			}
			replica := object.Ref{Bucket: to, Key: "k"}
			if t.h.People.Leave(to, from, Text("x")) == nil && t.head(replica).Replica { // else the server does not replicate
				copied := object.Ref{Bucket: t.bucket(true), Key: "k"}
				t.copy(object.Copy{From: replica, To: copied, SourceETag: t.head(replica).ETag, Tags: true})
				s := t.head(copied)
				t.want(!s.Replica, "a copy of a replica is %+v", s)
				s = t.put(replica, Text("x"))
				t.want(!s.Replica, "a replica that a person wrote over is %+v", s)
			}
			s := t.put(t.ref(false, "k"), Text("x"))
			t.want(!s.Replica, "an object that somebody put is %+v", s)
			return t.err
		}},
		{name: "a missing bucket is a permanent error", try: func(t *trial) error {
			there := t.ref(false, "k")
			s := t.put(there, Text("x"))
			gone := object.Ref{Bucket: object.Bucket{Backend: there.Bucket.Backend, Name: "no-such-bucket-anywhere"}, Key: "k"}
			if t.err != nil {
				return t.err
			}
			const code = "NoSuchBucket"
			_, err := t.h.Store.Head(t.ctx, gone, false)
			t.refused("head", err, object.Permanent, code)
			_, err = t.h.Store.Copy(t.ctx, object.Copy{From: gone, To: there, SourceETag: s.ETag, DestETag: s.ETag})
			t.refused("copy from it", err, object.Permanent, code)
			_, err = t.h.Store.Copy(t.ctx, object.Copy{From: there, To: gone, SourceETag: s.ETag})
			t.refused("copy to it", err, object.Permanent, code)
			t.refused("delete", t.h.Store.Delete(t.ctx, gone, s.ETag), object.Permanent, code)
			_, _, err = t.h.Store.List(t.ctx, gone.Bucket, "", "", 10)
			t.refused("list", err, object.Permanent, code)
			return t.err
		}},
		{name: "a refused right is an error and not absence", try: func(t *trial) error {
			at := t.ref(false, "k")
			s := t.put(at, Text("x"))
			t.want(t.h.Denied != nil, "the server checks no rights")
			if t.err != nil {
				return t.err
			}
			_, err := t.h.Denied.Head(t.ctx, at, false)
			t.refused("head", err, object.Permanent)
			_, err = t.h.Denied.Head(t.ctx, object.Ref{Bucket: at.Bucket, Key: "absent"}, false)
			t.refused("head of an absent key", err, object.Permanent)
			_, err = t.h.Denied.Copy(t.ctx, object.Copy{From: at, To: object.Ref{Bucket: at.Bucket, Key: "l"}, SourceETag: s.ETag})
			t.refused("copy", err, object.Permanent)
			t.refused("delete", t.h.Denied.Delete(t.ctx, at, s.ETag), object.Permanent)
			_, _, err = t.h.Denied.List(t.ctx, at.Bucket, "", "", 10)
			t.refused("list", err, object.Permanent)
			t.holds(at, "x")
			return t.err
		}},
	}
}

// pair is a source object "x" and a place for its replica.
func (t *trial) pair(versioned bool, c Content) object.Copy {
	from, to := t.ref(versioned, "from"), t.ref(versioned, "to")
	return object.Copy{From: from, To: to, SourceETag: t.put(from, c).ETag, Tags: true}
}

// refusedCopy checks that c is refused because a premise is gone.
func (t *trial) refusedCopy(what string, c object.Copy, codes ...string) {
	if t.err == nil {
		_, err := t.h.Store.Copy(t.ctx, c)
		t.refused(what, err, object.Premise, codes...)
	}
}

func copyPromises() []promise {
	return []promise{
		{name: "copy brings content, type and metadata", try: func(t *trial) error {
			c := t.pair(false, Content{
				Body:        []byte("x"),
				ContentType: "text/x-verse; charset=utf-8",
				Metadata:    map[string]string{"author": "nobody", "mood": "grey + blue"},
			})
			t.copy(c)
			t.holds(c.To, "x")
			got, _ := t.get(c.To)
			want, _ := t.get(c.From)
			t.want(got.ContentType == "text/x-verse; charset=utf-8", "the content type is %q", got.ContentType)
			t.want(maps.Equal(got.Metadata, want.Metadata) && len(got.Metadata) == 2, "the metadata is %v, want %v", got.Metadata, want.Metadata)
			return t.err
		}},
		{name: "copy brings tags, or none", try: func(t *trial) error {
			content := Text("x")
			content.Tags = map[string]string{"team": "storage", "über": "a b+c"}
			c := t.pair(false, content)
			t.copy(c)
			with, _ := t.get(c.To)
			t.want(maps.Equal(with.Tags, content.Tags), "the tags are %v, want %v", with.Tags, content.Tags)
			c.Tags, c.To.Key = false, "untagged"
			t.copy(c)
			without, _ := t.get(c.To)
			t.want(len(without.Tags) == 0, "the tags are %v, want none", without.Tags)
			return t.err
		}},
		{name: "copy answers what a look then finds", try: func(t *trial) error {
			for _, versioned := range []bool{false, true} {
				c := t.pair(versioned, Text("x"))
				copied := t.copy(c)
				s := t.head(c.To)
				t.want(copied.Dest == object.Dest{ETag: s.ETag, LastModified: s.LastModified, VersionID: s.VersionID},
					"versioned %t: the copy answered %+v, a look %+v", versioned, copied.Dest, s)
				t.want((s.VersionID != "") == versioned, "versioned %t: the version is %q", versioned, s.VersionID)
			}
			return t.err
		}},
		{name: "copy answers which version it copied", try: func(t *trial) error {
			c := t.pair(true, Text("x"))
			source := t.head(c.From)
			copied := t.copy(c)
			t.want(copied.SourceVersionID == source.VersionID, "the version is %q, want %q", copied.SourceVersionID, source.VersionID)
			return t.err
		}},
		{name: "copy keeps former versions", try: func(t *trial) error {
			c := t.pair(true, Text("new"))
			c.DestETag = t.put(c.To, Text("old")).ETag
			t.copy(c)
			t.holds(c.To, "new")
			t.versions(c.To, 2, 0)
			return t.err
		}},
		{name: "copy refuses a changed source", try: func(t *trial) error {
			c := t.pair(false, Text("looked at"))
			t.put(c.From, Text("changed since"))
			t.refusedCopy("the copy", c)
			t.want(t.head(c.To).Presence == object.Absent, "the copy landed all the same")
			return t.err
		}},
		{name: "copy refuses an absent source", try: func(t *trial) error {
			c := t.pair(false, Text("x"))
			c.From.Key = "absent"
			t.refusedCopy("the copy", c)
			t.want(t.head(c.To).Presence == object.Absent, "the copy landed all the same")
			return t.err
		}},
		{name: "copy refuses a hidden source", try: func(t *trial) error {
			c := t.pair(true, Text("x"))
			t.remove(c.From)
			t.refusedCopy("the copy", c)
			t.want(t.head(c.To).Presence == object.Absent, "the copy landed all the same")
			return t.err
		}},
		{name: "copy refuses an archived source", try: func(t *trial) error {
			content := Text("x")
			content.StorageClass = "GLACIER"
			t.refusedCopy("the copy", t.pair(false, content), "InvalidObjectState")
			return t.err
		}},
	}
}

// retag is the request for the object that was looked at.
func retag(at object.Ref, s object.State, tags map[string]string) object.Retag {
	return object.Retag{At: at, ETag: s.ETag, LastModified: s.LastModified, VersionID: s.VersionID, Tags: tags}
}

// retagged tries a tagging.
func (t *trial) retagged(r object.Retag) {
	if t.err == nil {
		t.note("retag", t.h.Store.Retag(t.ctx, r))
	}
}

func tagPromises() []promise {
	return []promise{
		{name: "a tagging replaces the tags, and nothing else", try: func(t *trial) error {
			for _, versioned := range []bool{false, true} {
				c := Text("x")
				c.Metadata = map[string]string{"author": "nobody"}
				c.Tags = map[string]string{"old": "1", "kept": "2"}
				at := t.ref(versioned, "k")
				before := t.put(at, c)
				tags := map[string]string{"kept": "3", "über": "a b+c"}
				t.retagged(retag(at, before, tags))
				got, _ := t.get(at)
				t.want(maps.Equal(got.Tags, tags), "versioned %t: the tags are %v, want %v", versioned, got.Tags, tags)
				t.want(len(got.Metadata) == 1 && string(got.Body) == "x", "versioned %t: the object is %+v", versioned, got)
				after := t.head(at)
				t.want(after.ETag == before.ETag && after.LastModified.Equal(before.LastModified) && after.VersionID == before.VersionID,
					"versioned %t: it was %+v, and is %+v", versioned, before, after)
			}
			return t.err
		}},
		{name: "a tagging may leave no tags", try: func(t *trial) error {
			c := Text("x")
			c.Tags = map[string]string{"old": "1"}
			at := t.ref(true, "k")
			t.retagged(retag(at, t.put(at, c), map[string]string{}))
			got, _ := t.get(at)
			t.want(len(got.Tags) == 0, "the tags are %v, want none", got.Tags)
			return t.err
		}},
		{name: "a tagging of a former version leaves the current one alone", try: func(t *trial) error {
			at := t.ref(true, "k")
			former := t.put(at, Text("old"))
			c := Text("theirs")
			c.Tags = map[string]string{"whose": "theirs"}
			t.put(at, c)
			t.retagged(retag(at, former, map[string]string{"whose": "ours"}))
			got, _ := t.get(at)
			t.want(maps.Equal(got.Tags, c.Tags), "the tags are %v, want %v", got.Tags, c.Tags)
			return t.err
		}},
		{name: "a tagging of what was replaced or removed is refused", try: func(t *trial) error {
			at := t.ref(false, "k")
			before := t.put(at, Text("old"))
			t.put(at, Text("theirs"))
			if t.err == nil {
				t.refused("of what was replaced", t.h.Store.Retag(t.ctx, retag(at, before, nil)), object.Premise)
			}
			t.remove(at)
			if t.err == nil {
				t.refused("of what was removed", t.h.Store.Retag(t.ctx, retag(at, before, nil)), object.Premise)
			}
			return t.err
		}},
	}
}

// Their bytes are looked at too, and are as many as ours: a server was seen to
// answer 412 with the bytes already replaced, and the length not.
func refusesExisting(versioned bool) func(*trial) error {
	return func(t *trial) error {
		c := t.pair(versioned, Text("mine!!"))
		theirs := t.put(c.To, Text("theirs"))
		t.refusedCopy("the copy", c)
		t.want(t.head(c.To).ETag == theirs.ETag, "their object is gone")
		t.holds(c.To, "theirs")
		return t.err
	}
}

func refusesChanged(versioned bool) func(*trial) error {
	return func(t *trial) error {
		c := t.pair(versioned, Text("mine!!"))
		c.DestETag = t.put(c.To, Text("old")).ETag
		theirs := t.put(c.To, Text("theirs"))
		t.refusedCopy("the copy", c)
		t.want(t.head(c.To).ETag == theirs.ETag, "their object is gone")
		t.holds(c.To, "theirs")
		return t.err
	}
}

func conditionPromises() []promise {
	return []promise{
		{name: "copy if-none-match refuses an existing object", try: refusesExisting(true)},
		{name: "copy if-none-match refuses an existing object (unversioned)", try: refusesExisting(false)},
		{name: "copy if-match refuses a changed object", try: refusesChanged(true)},
		{name: "copy if-match refuses a changed object (unversioned)", try: refusesChanged(false)},
		{name: "copy if-none-match passes over a delete marker", try: func(t *trial) error {
			c := t.pair(true, Text("x"))
			t.put(c.To, Text("old"))
			t.remove(c.To)
			t.copy(c)
			t.holds(c.To, "x")
			t.versions(c.To, 2, 1)
			return t.err
		}},
		{name: "copy if-match replaces the object with that tag", try: func(t *trial) error {
			c := t.pair(false, Text("new"))
			c.DestETag = t.put(c.To, Text("old")).ETag
			t.copy(c)
			t.holds(c.To, "new")
			return t.err
		}},
		{name: "copy if-match refuses an absent and a hidden object", try: func(t *trial) error {
			c := t.pair(true, Text("mine"))
			c.DestETag = c.SourceETag
			t.refusedCopy("to an absent key", c)
			t.versions(c.To, 0, 0)
			c.DestETag = t.put(c.To, Text("old")).ETag
			t.remove(c.To)
			t.refusedCopy("to a hidden key", c)
			t.versions(c.To, 1, 1)
			return t.err
		}},
		{name: "delete if-match removes the object with that tag", try: func(t *trial) error {
			at := t.ref(false, "k")
			s := t.put(at, Text("x"))
			if t.err == nil {
				t.note("delete", t.h.Store.Delete(t.ctx, at, s.ETag))
			}
			t.want(t.head(at).Presence == object.Absent, "the object is still there")
			return t.err
		}},
		{name: "delete if-match refuses a changed object", try: func(t *trial) error {
			at := t.ref(false, "k")
			s := t.put(at, Text("old"))
			t.put(at, Text("theirs"))
			if t.err == nil {
				t.refused("the delete", t.h.Store.Delete(t.ctx, at, s.ETag), object.Premise)
			}
			t.holds(at, "theirs")
			return t.err
		}},
		{name: "delete if-match refuses an absent object", try: func(t *trial) error {
			for _, versioned := range []bool{false, true} {
				at := t.ref(versioned, "k")
				if t.err == nil {
					t.refused("the delete", t.h.Store.Delete(t.ctx, at, "0123456789abcdef0123456789abcdef"), object.Premise)
				}
				t.versions(at, 0, 0)
			}
			return t.err
		}},
		{name: "delete on a versioned bucket puts one marker", try: func(t *trial) error {
			at := t.ref(true, "k")
			s := t.put(at, Text("x"))
			if t.err == nil {
				t.note("delete", t.h.Store.Delete(t.ctx, at, s.ETag))
			}
			t.want(t.head(at).Presence.Gone(), "the object is still there")
			t.versions(at, 1, 1)
			return t.err
		}},
		{name: "delete puts no second marker", try: func(t *trial) error {
			at := t.ref(true, "k")
			s := t.put(at, Text("x"))
			t.remove(at)
			if t.err == nil {
				t.refused("the delete", t.h.Store.Delete(t.ctx, at, s.ETag), object.Premise)
			}
			t.versions(at, 1, 1)
			return t.err
		}},
	}
}
