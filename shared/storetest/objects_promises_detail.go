package storetest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"

	"bucket-replicator/shared/object"
)

// detailPromises are about what a verification goes by.
func detailPromises() []promise {
	md5Sum := object.Sum{Algorithm: "MD5"}
	sha := object.Sum{Algorithm: "SHA256"}
	return []promise{
		{name: "a description has what a look has, metadata and headers", try: func(t *trial) error {
			at := t.ref(true, "k")
			c := Text("hello")
			c.Metadata = map[string]string{"owner": "me", "color": "a b"}
			look, d := t.put(at, c), t.describe(at, false, false)
			look.Tags, d.State.Tags = nil, nil
			t.want(fmt.Sprintf("%+v", d.State) == fmt.Sprintf("%+v", look), "the look has %+v, the description %+v", look, d.State)
			t.want(maps.Equal(d.Metadata, c.Metadata), "the metadata are %v, want %v", d.Metadata, c.Metadata)
			t.want(d.Headers["Content-Type"] == c.ContentType, "the headers are %v", d.Headers)
			return t.err
		}},
		{name: "a description tells absent from hidden", try: func(t *trial) error {
			at := t.ref(true, "k")
			d := t.describe(at, true, true)
			t.want(d.Presence == object.Absent, "a key that never was is %+v", d)
			t.put(at, Text("x"))
			t.remove(at)
			d = t.describe(at, true, true)
			t.want(d.Presence == object.Hidden, "a hidden object is %+v", d)
			return t.err
		}},
		{name: "a description has the MD5 of what was written in one piece", try: func(t *trial) error {
			at := t.ref(false, "k")
			t.put(at, Text("hello"))
			d := t.describe(at, false, false)
			sum := md5.Sum([]byte("hello"))
			t.want(d.Sums[md5Sum] == hex.EncodeToString(sum[:]), "the sums are %v", d.Sums)
			return t.err
		}},
		{name: "a description has the tags, where wanted", try: func(t *trial) error {
			at := t.ref(true, "k")
			c := Text("x")
			c.Tags = map[string]string{"team": "storage"}
			t.put(at, c)
			d := t.describe(at, true, false)
			t.want(maps.Equal(d.Tags, c.Tags), "the tags are %v, want %v", d.Tags, c.Tags)
			d = t.describe(at, false, false)
			t.want(d.Tags == nil, "nobody asked for the tags %v", d.Tags)
			return t.err
		}},
		{name: "a checksum that its writer sent is kept, and follows a copy", try: func(t *trial) error {
			at := t.ref(false, "k")
			c := Text("hello")
			c.Summed = true
			look := t.put(at, c)
			sum := sha256.Sum256([]byte("hello"))
			want := base64.StdEncoding.EncodeToString(sum[:])
			d := t.describe(at, false, true)
			t.want(d.Sums[sha] == want, "the sums are %v", d.Sums)
			to := object.Ref{Bucket: at.Bucket, Key: "copy"}
			t.copy(object.Copy{From: at, To: to, SourceETag: look.ETag})
			d = t.describe(to, false, true)
			t.want(d.Sums[sha] == want, "the sums of the copy are %v", d.Sums)
			return t.err
		}},
		{name: "a read answers the bytes of its range", try: func(t *trial) error {
			at := t.ref(false, "k")
			body := bytes.Repeat([]byte("0123456789"), 100_000)
			s := t.put(at, Content{Body: body})
			for _, r := range [][2]int64{{0, 1}, {0, 1_000_000}, {3, 5}, {999_999, 1}, {123_456, 500_000}} {
				got := t.read(at, s.ETag, r[0], r[1])
				t.want(bytes.Equal(got, body[r[0]:r[0]+r[1]]), "%d bytes at %d are %d others", r[1], r[0], len(got))
			}
			return t.err
		}},
		{name: "a read wants the tag", try: func(t *trial) error {
			at := t.ref(false, "k")
			s := t.put(at, Text("old"))
			t.put(at, Text("new"))
			if t.err != nil {
				return t.err
			}
			_, err := t.h.Store.Read(t.ctx, at, s.ETag, 0, 3)
			t.refused("of what changed", err, object.Premise)
			t.remove(at)
			if t.err != nil {
				return t.err
			}
			_, err = t.h.Store.Read(t.ctx, at, s.ETag, 0, 3)
			t.refused("of what is gone", err, object.Premise)
			return t.err
		}},
	}
}

func (t *trial) describe(at object.Ref, withTags, withSums bool) object.Detail {
	if t.err != nil {
		return object.Detail{}
	}
	d, err := t.h.Store.Describe(t.ctx, at, withTags, withSums)
	t.note("describe", err)
	return d
}

// read is a read that must succeed.
func (t *trial) read(at object.Ref, etag string, offset, n int64) []byte {
	if t.err != nil {
		return nil
	}
	body, err := t.h.Store.Read(t.ctx, at, etag, offset, n)
	t.note("read", err)
	if err != nil {
		return nil
	}
	defer body.Close()
	all, err := io.ReadAll(body)
	t.note("read", err)
	return all
}
