package storetest

import (
	"bytes"
	"fmt"
	"maps"
	"strings"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/parts"
)

// large is content of two parts, the first as small as S3 allows.
func large(mark string) Content {
	c := Text(mark + strings.Repeat("0123456789abcdef", parts.MinSize>>4) + mark)
	c.Metadata = map[string]string{"author": "nobody"}
	c.ContentType = "text/x-verse"
	return c
}

// uploading is an upload of a large object, and where it stands.
type uploading struct {
	object.Completion
}

// begin begins an upload of all that the source is.
func (t *trial) begin(c object.Copy) *uploading {
	u := &uploading{object.Completion{Copy: c, PartSize: parts.MinSize}}
	if u.Size = t.head(c.From).Size; t.err != nil {
		return u
	}
	var err error
	u.Upload, err = t.h.Store.Begin(t.ctx, c)
	t.note("begin", err)
	return u
}

// part is the request for part n.
func (u *uploading) part(n int) object.Part {
	first, last := parts.Layout{Size: u.Size, PartSize: u.PartSize}.Bytes(n)
	return object.Part{
		From: u.From, SourceETag: u.SourceETag, SourceVersionID: u.Upload.SourceVersionID, Upload: u.Upload,
		Number: n, First: first, Last: last,
	}
}

// copyParts copies both parts.
func (t *trial) copyParts(u *uploading) {
	u.Parts = nil
	for n := 1; n <= 2 && t.err == nil; n++ {
		copied, err := t.h.Store.CopyPart(t.ctx, u.part(n))
		t.note(fmt.Sprintf("copy part %d", n), err)
		u.Parts = append(u.Parts, copied)
	}
}

func (t *trial) complete(u *uploading) object.Copied {
	if t.err != nil {
		return object.Copied{}
	}
	copied, err := t.h.Store.Complete(t.ctx, u.Completion)
	t.note("complete", err)
	return copied
}

// isCopy checks that the replica has the source's bytes.
func (t *trial) isCopy(c object.Copy) Found {
	want, _ := t.get(c.From)
	got, ok := t.get(c.To)
	t.want(ok && bytes.Equal(got.Body, want.Body), "the replica has %d bytes (there: %t), not the source's %d", len(got.Body), ok, len(want.Body))
	return got
}

// begun checks how many uploads to a key are not over.
func (t *trial) begun(at object.Ref, want int) {
	if t.err != nil {
		return
	}
	found, err := t.h.Store.Uploads(t.ctx, at)
	t.note("list uploads", err)
	t.want(len(found) == want, "%d uploads are left, want %d: %+v", len(found), want, found)
}

func uploadPromises() []promise {
	return []promise{
		{name: "an upload brings content, type and metadata", try: func(t *trial) error {
			for _, versioned := range []bool{false, true} {
				u := t.begin(t.pair(versioned, large("x")))
				t.copyParts(u)
				t.want(t.head(u.To).Presence == object.Absent, "it is visible before it is complete")
				copied := t.complete(u)
				got := t.isCopy(u.Copy)
				t.want(got.ContentType == "text/x-verse", "the content type is %q", got.ContentType)
				t.want(maps.Equal(got.Metadata, map[string]string{"author": "nobody"}), "the metadata is %v", got.Metadata)
				s := t.head(u.To)
				t.want(copied.Dest == object.Dest{ETag: s.ETag, LastModified: s.LastModified, VersionID: s.VersionID},
					"versioned %t: the upload answered %+v, a look %+v", versioned, copied.Dest, s)
				t.begun(u.To, 0)
			}
			return t.err
		}},
		{name: "an upload brings tags, or none", try: func(t *trial) error {
			content := large("x")
			content.Tags = map[string]string{"team": "storage", "über": "a b+c"}
			u := t.begin(t.pair(false, content))
			t.copyParts(u)
			t.complete(u)
			with, _ := t.get(u.To)
			t.want(maps.Equal(with.Tags, content.Tags), "the tags are %v, want %v", with.Tags, content.Tags)
			without := u.Copy
			without.Tags, without.To.Key = false, "untagged"
			u = t.begin(without)
			t.copyParts(u)
			t.complete(u)
			bare, _ := t.get(u.To)
			t.want(len(bare.Tags) == 0, "the tags are %v, want none", bare.Tags)
			return t.err
		}},
		{name: "the tag of an upload follows from its parts'", try: func(t *trial) error {
			u := t.begin(t.pair(false, large("x")))
			t.copyParts(u)
			copied := t.complete(u)
			if t.err == nil {
				want, ok := parts.ETag([]string{u.Parts[0].ETag, u.Parts[1].ETag})
				t.want(ok && copied.Dest.ETag == want, "the tag is %q of %+v, want %q", copied.Dest.ETag, u.Parts, want)
			}
			return t.err
		}},
		{name: "a part can be copied again", try: func(t *trial) error {
			u := t.begin(t.pair(false, large("x")))
			t.copyParts(u)
			t.copyParts(u)
			t.complete(u)
			t.isCopy(u.Copy)
			return t.err
		}},
		{name: "a part goes through where the server does not read the source", try: func(t *trial) error {
			t.want(t.h.Elsewhere != nil, "there is no other endpoint")
			if t.err != nil {
				return t.err
			}
			for _, versioned := range []bool{false, true} {
				c := t.pair(versioned, large("x"))
				c.From.Bucket = t.h.Elsewhere(c.From.Bucket)
				u := t.begin(c)
				t.copyParts(u)
				for _, p := range u.Parts {
					t.want(p.CRC64 != "", "what went through has no checksum: %+v", p)
				}
				t.complete(u)
				c.From.Bucket = u.To.Bucket
				got, _ := t.get(u.To)
				t.want(bytes.Equal(got.Body, large("x").Body), "the replica has %d bytes, not the source's", len(got.Body))
				changed := t.begin(u.Copy)
				changed.SourceETag = "0123456789abcdef0123456789abcdef"
				if t.err == nil {
					_, err := t.h.Store.CopyPart(t.ctx, changed.part(1))
					t.refused("a part of another source", err, object.Premise)
				}
			}
			return t.err
		}},
		{name: "a part refuses a changed source", try: func(t *trial) error {
			u := t.begin(t.pair(false, large("looked at")))
			t.put(u.From, large("changed since"))
			if t.err == nil {
				_, err := t.h.Store.CopyPart(t.ctx, u.part(1))
				t.refused("the part", err, object.Premise)
			}
			return t.err
		}},
		{name: "a part refuses an absent source", try: func(t *trial) error {
			u := t.begin(t.pair(false, large("x")))
			t.remove(u.From)
			if t.err == nil {
				_, err := t.h.Store.CopyPart(t.ctx, u.part(1))
				t.refused("the part", err, object.Premise)
			}
			return t.err
		}},
		{name: "parts are of the version that the upload began with", try: func(t *trial) error {
			u := t.begin(t.pair(true, large("first")))
			t.put(u.From, large("other")) // a version of its own
			t.copyParts(u)
			t.complete(u)
			got, _ := t.get(u.To)
			t.want(bytes.Equal(got.Body, large("first").Body), "the replica is %.5q..., not the first version", got.Body)
			return t.err
		}},
		{name: "an upload begins with the source that was looked at", try: func(t *trial) error {
			c := t.pair(false, large("looked at"))
			t.put(c.From, large("changed since"))
			if t.err == nil {
				_, err := t.h.Store.Begin(t.ctx, c)
				t.refused("begin", err, object.Premise)
			}
			t.begun(c.To, 0)
			return t.err
		}},
		{name: "an aborted upload is over", try: func(t *trial) error {
			u := t.begin(t.pair(false, large("x")))
			t.copyParts(u)
			for range 2 {
				if t.err == nil {
					t.note("abort", t.h.Store.Abort(t.ctx, u.Upload))
				}
			}
			t.begun(u.To, 0)
			if t.err == nil {
				_, err := t.h.Store.CopyPart(t.ctx, u.part(1))
				t.refused("a part of it", err, object.Premise, "NoSuchUpload")
				_, err = t.h.Store.Complete(t.ctx, u.Completion)
				t.refused("its completion", err, object.Premise)
			}
			t.want(t.head(u.To).Presence == object.Absent, "the replica is there all the same")
			return t.err
		}},
		{name: "an upload of a part that is another one does not complete", try: func(t *trial) error {
			u := t.begin(t.pair(false, large("x")))
			t.copyParts(u)
			if t.err == nil {
				u.Parts[1].ETag = u.Parts[0].ETag
				_, err := t.h.Store.Complete(t.ctx, u.Completion)
				t.refused("complete", err, object.Premise, "InvalidPart")
			}
			t.want(t.head(u.To).Presence == object.Absent, "the replica is there all the same")
			return t.err
		}},
		{name: "uploads are listed of their very key", try: func(t *trial) error {
			c := t.pair(false, large("x"))
			first := t.begin(c)
			t.begin(c)
			longer := c
			longer.To.Key = c.To.Key + "/further"
			t.begin(longer)
			t.begun(c.To, 2)
			t.begun(longer.To, 1)
			if t.err == nil {
				t.note("abort", t.h.Store.Abort(t.ctx, first.Upload))
			}
			t.begun(c.To, 1)
			return t.err
		}},
	}
}

// completionPromises are about the condition on the destination.
func completionPromises() []promise {
	refused := func(u *uploading, t *trial, what string) {
		if t.err == nil {
			_, err := t.h.Store.Complete(t.ctx, u.Completion)
			t.refused(what, err, object.Premise)
		}
	}
	return []promise{
		{name: "complete if-none-match refuses an existing object", try: func(t *trial) error {
			u := t.begin(t.pair(false, large("x")))
			t.copyParts(u)
			t.put(u.To, Text("somebody's"))
			refused(u, t, "complete over an object")
			t.holds(u.To, "somebody's")
			return t.err
		}},
		{name: "complete if-match refuses a changed object", try: func(t *trial) error {
			c := t.pair(false, large("x"))
			c.DestETag = t.put(c.To, Text("as looked at")).ETag
			u := t.begin(c)
			t.copyParts(u)
			t.put(c.To, Text("changed since"))
			refused(u, t, "complete over a changed object")
			t.holds(c.To, "changed since")
			return t.err
		}},
		{name: "complete if-match replaces the object with that tag", try: func(t *trial) error {
			c := t.pair(false, large("x"))
			c.DestETag = t.put(c.To, Text("as looked at")).ETag
			u := t.begin(c)
			t.copyParts(u)
			t.complete(u)
			t.isCopy(c)
			return t.err
		}},
	}
}
