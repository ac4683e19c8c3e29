package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"

	"bucket-replicator/shared/object"
)

// Describe looks at everything about the current version but its bytes.
func (o *Objects) Describe(ctx context.Context, at object.Ref, withTags, withSums bool) (object.Detail, error) {
	var found object.Detail
	err := o.request(ctx, "objects.describe", at, func() error {
		b, err := o.bucket(at.Bucket)
		if err != nil {
			return err
		}
		v := b.current(at.Key)
		found.State = v.state()
		if found.Presence != object.Present {
			return nil
		}
		found.Metadata, found.Headers, found.Sums = maps.Clone(v.Metadata), map[string]string{}, map[object.Sum]string{}
		maps.Copy(found.Headers, v.Headers)
		if v.ContentType != "" {
			found.Headers["Content-Type"] = v.ContentType
		}
		for kind, value := range v.sums {
			if withSums || kind.Algorithm == "MD5" {
				found.Sums[kind] = value
			}
		}
		if withTags {
			o.count("objects.tagging", at.Bucket)
			found.Tags = map[string]string{}
			maps.Copy(found.Tags, v.Tags)
		}
		return nil
	})
	if err != nil {
		return object.Detail{}, classed("head", at, err)
	}
	return found, nil
}

// Read reads n bytes from offset on of the current version, if its tag is etag.
// Where the object only pretends to have a size, zeros follow its body.
func (o *Objects) Read(ctx context.Context, at object.Ref, etag string, offset, n int64) (io.ReadCloser, error) {
	var body io.Reader
	err := o.request(ctx, "objects.read", at, func() error {
		b, err := o.bucket(at.Bucket)
		if err != nil {
			return err
		}
		v := b.current(at.Key)
		if err := v.holds(etag); err != nil {
			return err
		}
		switch {
		case v.archived():
			return refusal(object.Permanent, "InvalidObjectState", "the object is archived")
		case n < 1 || offset < 0 || offset+n > v.size():
			return refusal(object.Permanent, "InvalidRange", fmt.Sprintf("%d bytes at %d of %d", n, offset, v.size()))
		}
		held := v.Body[min(offset, int64(len(v.Body))):]
		body = io.LimitReader(io.MultiReader(bytes.NewReader(held), zeros{}), n)
		return nil
	})
	if err != nil {
		return nil, classed("read", at, err)
	}
	return io.NopCloser(body), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// sum is the checksum that is kept of the version beside its tag.
func (v *version) sum() string {
	for kind, value := range v.sums {
		if kind.Algorithm != "MD5" {
			return kind.Algorithm + ":" + value
		}
	}
	return ""
}

// sums are the checksums that are kept of a write.
func (b *bucket) sums(c Content, etag string) map[object.Sum]string {
	kept := map[object.Sum]string{}
	if !c.Multipart && !b.FreshETags {
		kept[object.Sum{Algorithm: "MD5"}] = etag
	}
	if c.Summed {
		sum := sha256.New()
		sum.Write(c.Body)
		if c.Size > 0 {
			fmt.Fprint(sum, c.Size)
		}
		value := base64.StdEncoding.EncodeToString(sum.Sum(nil))
		if c.Multipart {
			value += "-2"
		}
		kept[object.Sum{Algorithm: "SHA256", Composite: c.Multipart}] = value
	}
	return kept
}
