package storetest

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/parts"
)

// upload is one that was begun and is not over.
type upload struct {
	to      object.Ref
	at      time.Time
	by      string
	replica version // its properties
	parts   map[int]part
}

type part struct {
	body []byte
	size int64
	etag string
}

// us is who begins an upload for the code under test.
const us = "replicator"

// Begin begins an upload with what the source has and the copy says.
func (o *Objects) Begin(ctx context.Context, c object.Copy) (object.Upload, error) {
	var begun object.Upload
	err := o.request(ctx, "objects.begin", c.To, func() error {
		source, to, err := o.sourceOf(c.From, c.SourceETag, "", c.To)
		if err != nil {
			return err
		}
		replica := version{Content: source.carried(c, o.now()), owner: c.OwnerOverride}
		replica.Body, replica.Size, replica.Multipart = nil, 0, true
		if err := to.locks(replica.Lock); err != nil {
			return err
		}
		begun = object.Upload{To: c.To, ID: o.start(c.To, us, replica), SourceVersionID: source.id}
		return nil
	})
	if err != nil {
		return object.Upload{}, classed("begin upload", c.To, err)
	}
	return begun, nil
}

// sourceOf is the source as it must still be, and the destination's bucket.
func (o *Objects) sourceOf(from object.Ref, etag, versionID string, to object.Ref) (*version, *bucket, error) {
	b, err := o.bucket(from.Bucket)
	if err != nil {
		return nil, nil, err
	}
	dest, err := o.bucket(to.Bucket)
	if err != nil {
		return nil, nil, err
	}
	source := b.current(from.Key)
	if versionID != "" {
		source = nil
		for _, v := range b.objects[from.Key] {
			if v.id == versionID {
				source = v
			}
		}
	}
	switch {
	case !source.present():
		return nil, nil, refusal(object.Premise, "NoSuchKey", "the source is gone")
	case source.etag != etag:
		return nil, nil, refusal(object.Premise, "PreconditionFailed", "the source's tag is "+source.etag)
	case source.archived():
		return nil, nil, refusal(object.Premise, "InvalidObjectState", "the source is archived")
	}
	return source, dest, nil
}

func (o *Objects) start(to object.Ref, by string, replica version) string {
	o.serial++
	id := fmt.Sprintf("upload-%06d", o.serial)
	if o.uploads == nil {
		o.uploads = map[string]*upload{}
	}
	o.uploads[id] = &upload{to: to, at: o.now().UTC(), by: by, replica: replica, parts: map[int]part{}}
	return id
}

// CopyPart copies one part of a source that is still as it was.
func (o *Objects) CopyPart(ctx context.Context, p object.Part) (object.PartCopied, error) {
	var copied object.PartCopied
	at := p.Upload.To
	err := o.request(ctx, "objects.part", at, func() error {
		u := o.uploads[p.Upload.ID]
		if u == nil || u.to != at {
			return refusal(object.Premise, "NoSuchUpload", "there is no such upload")
		}
		source, to, err := o.sourceOf(p.From, p.SourceETag, p.SourceVersionID, at)
		if err != nil {
			return err
		}
		if p.First < 0 || p.Last < p.First || p.Last >= source.size() || p.Number < 1 || p.Number > parts.MaxCount {
			return refusal(object.Permanent, "InvalidArgument", fmt.Sprintf("part %d: bytes %d to %d of %d", p.Number, p.First, p.Last, source.size()))
		}
		here := int64(len(source.Body))
		one := part{size: p.Last - p.First + 1, body: source.Body[min(p.First, here):min(p.Last+1, here)]}
		o.serial++
		one.etag = to.tag(Content{Body: one.body, Size: max(0, one.size-int64(len(one.body)))}, o.serial)
		u.parts[p.Number] = one
		copied.ETag = one.etag
		if p.From.Bucket.Backend != at.Bucket.Backend {
			sum := parts.NewCRC64()
			sum.Write(one.body)
			copied.CRC64 = base64.StdEncoding.EncodeToString(sum.Sum(nil))
		}
		return nil
	})
	if err != nil {
		return object.PartCopied{}, classed("copy part", at, err)
	}
	return copied, nil
}

// Complete makes the replica of the parts, under the condition. Where it does
// not hold, the upload stays.
func (o *Objects) Complete(ctx context.Context, c object.Completion) (object.Copied, error) {
	var copied object.Copied
	err := o.request(ctx, "objects.complete", c.To, func() error {
		u := o.uploads[c.Upload.ID]
		if u == nil || u.to != c.To {
			return refusal(object.Premise, "NoSuchUpload", "there is no such upload")
		}
		b, err := o.bucket(c.To.Bucket)
		if err != nil {
			return err
		}
		replica, tags := u.replica, make([]string, len(c.Parts))
		for n, listed := range c.Parts {
			given, ok := u.parts[n+1]
			if !ok || given.etag != listed.ETag {
				return refusal(object.Premise, "InvalidPart", fmt.Sprintf("part %d is not the one that was uploaded", n+1))
			}
			replica.Body = append(replica.Body, given.body...)
			replica.Size += given.size
			tags[n] = given.etag
		}
		if replica.Size != c.Size || len(c.Parts) == 0 {
			return refusal(object.Permanent, "InvalidRequest", fmt.Sprintf("the parts have %d bytes, not %d", replica.Size, c.Size))
		}
		if err := b.current(c.To.Key).holds(c.DestETag); err != nil {
			return err
		}
		if replica.Size == int64(len(replica.Body)) {
			replica.Size = 0
		}
		if tag, ok := parts.ETag(tags); ok && !b.FreshETags {
			replica.etag = tag
		}
		delete(o.uploads, c.Upload.ID)
		// S3's time of an object of parts is that of when its upload was begun.
		// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
		replica.modified = u.at.Truncate(time.Second)
		dest := o.write(b, c.To, replica)
		copied = object.Copied{
			Dest:            object.Dest{ETag: dest.etag, LastModified: dest.modified, VersionID: dest.id},
			SourceVersionID: c.Upload.SourceVersionID,
			Lost:            c.Upload.Lost,
		}
		return nil
	})
	if err != nil {
		return object.Copied{}, classed("complete upload", c.To, err)
	}
	return copied, nil
}

// Abort ends an upload; one that is over is success.
func (o *Objects) Abort(ctx context.Context, u object.Upload) error {
	return classed("abort upload", u.To, o.request(ctx, "objects.abort", u.To, func() error {
		if found := o.uploads[u.ID]; found != nil && found.to == u.To {
			delete(o.uploads, u.ID)
		}
		return nil
	}))
}

// Uploads lists the uploads to a key that are not over.
func (o *Objects) Uploads(ctx context.Context, at object.Ref) (found []object.Begun, err error) {
	err = o.request(ctx, "objects.uploads", at, func() error {
		found = o.begun(at)
		return nil
	})
	if err != nil {
		return nil, classed("list uploads", at, err)
	}
	return found, nil
}

func (o *Objects) begun(at object.Ref) []object.Begun {
	var found []object.Begun
	for _, id := range slices.Sorted(maps.Keys(o.uploads)) {
		if u := o.uploads[id]; u.to == at {
			found = append(found, object.Begun{ID: id, At: u.at, By: u.by})
		}
	}
	return found
}

// StartUpload is a person's own upload by parts.
func (o *Objects) StartUpload(at object.Ref) string {
	var id string
	o.locked(func() { id = o.start(at, "person", version{}) })
	return id
}

// LeftUploads are the uploads that are not over, of any key. It counts as no
// request.
func (o *Objects) LeftUploads() []object.Begun {
	o.mu.Lock()
	defer o.mu.Unlock()
	var left []object.Begun
	for id, u := range o.uploads {
		left = append(left, object.Begun{ID: id, At: u.at, By: u.by})
	}
	slices.SortFunc(left, func(a, b object.Begun) int { return cmp.Compare(a.ID, b.ID) })
	return left
}
