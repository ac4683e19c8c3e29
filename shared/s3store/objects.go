package s3store

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Head looks at the current version: one HEAD, and one GET of the tags where
// withTags. A 404 costs a HEAD of the bucket too. The checksum is not asked
// for: under SSE-KMS that would need the right to decrypt.
func (s *Store) Head(ctx context.Context, at object.Ref, withTags bool) (object.State, error) {
	e, err := s.at(at.Bucket)
	if err != nil {
		return object.State{}, classify("head", at, err)
	}
	state, err := e.look(ctx, at)
	if err == nil && withTags && state.Presence == object.Present {
		state.Tags, err = e.tags(ctx, at, state.VersionID)
	}
	if err != nil {
		return object.State{}, classify("head", at, err)
	}
	return state, nil
}

func (e endpoint) look(ctx context.Context, at object.Ref) (object.State, error) {
	state, _, err := e.see(ctx, at)
	return state, err
}

// see is a look with all that the answer has; nil where nothing is there.
func (e endpoint) see(ctx context.Context, at object.Ref) (object.State, *s3.HeadObjectOutput, error) {
	out, err := e.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: aws.String(at.Bucket.Name),
		Key:    aws.String(at.Key),
	})
	if status(err) == http.StatusNotFound {
		state, err := e.gone(ctx, at.Bucket.Name, err)
		return state, nil, err
	}
	if err != nil {
		return object.State{}, nil, err
	}
	state := found(out)
	state.Lock = state.Lock.At(e.now())
	return state, out, nil
}

func found(out *s3.HeadObjectOutput) object.State {
	return object.State{
		Presence:     object.Present,
		ETag:         bare(out.ETag),
		Size:         aws.ToInt64(out.ContentLength),
		LastModified: whole(out.LastModified),
		VersionID:    version(out.VersionId),
		Checksum:     checksum(out),
		Archived:     archived(out),
		Lock: object.Lock{
			Mode: string(out.ObjectLockMode), Until: aws.ToTime(out.ObjectLockRetainUntilDate).UTC(),
			LegalHold: out.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn,
		},
		Replica: out.ReplicationStatus == types.ReplicationStatusReplica,
	}
}

// gone tells a hidden object from an absent one by the answer's headers.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html
func (e endpoint) gone(ctx context.Context, bucket string, err error) (object.State, error) {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) && answer.Response.Header.Get("x-amz-delete-marker") == "true" {
		h := answer.Response.Header
		modified, _ := http.ParseTime(h.Get("Last-Modified")) // zero where it is not sent
		id := h.Get("x-amz-version-id")
		return object.State{Presence: object.Hidden, VersionID: version(&id), LastModified: modified.UTC()}, nil
	}
	if err := e.bucketExists(ctx, bucket); err != nil {
		return object.State{}, err
	}
	return object.State{Presence: object.Absent}, nil
}

func (e endpoint) tags(ctx context.Context, at object.Ref, versionID string) (map[string]string, error) {
	in := &s3.GetObjectTaggingInput{Bucket: aws.String(at.Bucket.Name), Key: aws.String(at.Key)}
	if versionID != "" {
		in.VersionId = aws.String(versionID)
	}
	out, err := e.GetObjectTagging(ctx, in)
	if status(err) == http.StatusNotImplemented {
		e.observe(ctx, object.Tags, false)
		return map[string]string{}, nil // such a server has none
	}
	if err != nil {
		return nil, err
	}
	if len(out.TagSet) > 0 {
		e.observe(ctx, object.Tags, true)
	}
	tags := make(map[string]string, len(out.TagSet))
	for _, t := range out.TagSet {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return tags, nil
}

// Copy makes one CopyObject, on the destination's endpoint, or streams where no
// server reaches both sides. An error that is Retryable leaves open whether it
// took effect.
func (s *Store) Copy(ctx context.Context, c object.Copy) (object.Copied, error) {
	copied, err := s.copy(ctx, c)
	if err != nil {
		return object.Copied{}, classify("copy", c.To, err)
	}
	return copied, nil
}

func (s *Store) copy(ctx context.Context, c object.Copy) (object.Copied, error) {
	from, to, err := s.sides(c)
	if err != nil {
		return object.Copied{}, err
	}
	if !to.copies(from) {
		return s.stream(ctx, c, from, to)
	}
	if from.pays && !to.pays { // the source's bucket takes its due from a copy elsewhere too
		to = s.agreed(to)
	}
	var look source
	if needsSource(c) {
		untagged := c
		untagged.Tags = false // the server copies them
		if look, err = from.source(ctx, untagged, ""); err != nil {
			return object.Copied{}, err
		}
	}
	request := copyInput(c, look, s.options.Now())
	if to.backend.Endpoint == "" {
		// Left out, these would be copied, which takes rights that nobody has
		// been given; and not every other server knows the header.
		request.AnnotationDirective = types.AnnotationDirectiveExclude
	}
	copied, kept, err := to.write(ctx, c.To, c.DestETag, object.CopyConditions, 0, func(cond condition) (object.Copied, error) {
		request.IfMatch, request.IfNoneMatch = cond.headers()
		return to.copyOnce(ctx, request)
	})
	if err != nil {
		return object.Copied{}, from.explain(ctx, c.From, err)
	}
	if !kept {
		// Whoever wrote in between or just after is found by it: the caller must
		// not record a replica that is not there.
		after, replica, err := to.see(ctx, c.To)
		if err != nil {
			return object.Copied{}, err
		}
		copied.Lost = dropped(look.asked(c, s.options.Now()), replica)
		d := copied.Dest
		if after.Presence != object.Present || after.ETag != d.ETag || !after.LastModified.Equal(d.LastModified) || after.VersionID != d.VersionID {
			return object.Copied{}, broken("somebody else wrote the destination meanwhile")
		}
	}
	if copied.Dest.VersionID != "" {
		to.observe(ctx, object.Versions, true)
	}
	copied.Lost = append(copied.Lost, look.lost()...)
	return copied, nil
}

// maxCopy is the largest object that one CopyObject takes.
const maxCopy = 5 << 30

// explain finds out whether an InvalidRequest means that the source is too
// large: S3 says that only in words.
func (e endpoint) explain(ctx context.Context, source object.Ref, err error) error {
	if _, code := classOf("copy", err); code != "InvalidRequest" {
		return err
	}
	if state, lookErr := e.look(ctx, source); lookErr == nil && state.Size > maxCopy {
		return refusal("TooLargeForOneCopy", "the source is over 5 GiB")
	}
	return err
}

func (e endpoint) copyOnce(ctx context.Context, in *s3.CopyObjectInput) (object.Copied, error) {
	out, err := e.CopyObject(ctx, in, once)
	if err != nil {
		return object.Copied{}, err
	}
	copied := object.Copied{
		Dest:            object.Dest{VersionID: version(out.VersionId)},
		SourceVersionID: version(out.CopySourceVersionId),
	}
	if r := out.CopyObjectResult; r != nil {
		copied.Dest.ETag, copied.Dest.LastModified = bare(r.ETag), whole(r.LastModified)
	}
	return copied, nil
}

// copyInput is the request for c, without the condition on the destination. from
// is the source where c needs it.
func copyInput(c object.Copy, from source, now time.Time) *s3.CopyObjectInput {
	in := &s3.CopyObjectInput{
		Bucket:            aws.String(c.To.Bucket.Name),
		Key:               aws.String(c.To.Key),
		CopySource:        aws.String(copySource(c.From)),
		CopySourceIfMatch: aws.String(quoted(c.SourceETag)),
		MetadataDirective: types.MetadataDirectiveCopy,
		TaggingDirective:  types.TaggingDirectiveCopy,
	}
	if !c.Tags {
		in.TaggingDirective = types.TaggingDirectiveReplace // by none
	}
	from.toCopy(in, c, now)
	return in
}

// Delete makes one conditional DeleteObject. Where the endpoint is not known to
// keep the condition it looks first; to look afterwards would tell nothing, since
// what was there is gone by then.
func (s *Store) Delete(ctx context.Context, at object.Ref, etag string) error {
	e, err := s.at(at.Bucket)
	if err != nil {
		return classify("delete", at, err)
	}
	return classify("delete", at, e.delete(ctx, at, etag))
}

func (e endpoint) delete(ctx context.Context, at object.Ref, etag string) error {
	act := func(cond condition) (object.Copied, error) {
		in := &s3.DeleteObjectInput{Bucket: aws.String(at.Bucket.Name), Key: aws.String(at.Key)}
		in.IfMatch, _ = cond.headers()
		_, err := e.DeleteObject(ctx, in, once)
		return object.Copied{}, err
	}
	_, _, err := e.write(ctx, at, etag, object.DeleteConditions, 0, act)
	return err
}

// Retag makes one PutObjectTagging, of the version where there is one. Where
// there is none it looks afterwards whether the tags went to the object that
// was meant.
func (s *Store) Retag(ctx context.Context, r object.Retag) error {
	e, err := s.at(r.At.Bucket)
	if err == nil {
		err = e.retag(ctx, r)
	}
	return classify("retag", r.At, err)
}

func (e endpoint) retag(ctx context.Context, r object.Retag) error {
	in := &s3.PutObjectTaggingInput{
		Bucket:  aws.String(r.At.Bucket.Name),
		Key:     aws.String(r.At.Key),
		Tagging: &types.Tagging{TagSet: []types.Tag{}},
	}
	if r.VersionID != "" {
		in.VersionId = aws.String(r.VersionID)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Tags)) {
		in.Tagging.TagSet = append(in.Tagging.TagSet, types.Tag{Key: aws.String(k), Value: aws.String(r.Tags[k])})
	}
	if _, err := e.PutObjectTagging(ctx, in); err != nil || r.VersionID != "" {
		return err
	}
	after, err := e.look(ctx, r.At)
	if err == nil && (!holds(after, r.ETag) || !after.LastModified.Equal(r.LastModified)) {
		err = broken("somebody else wrote the object meanwhile")
	}
	return err
}

// holds reports whether a write with this condition may replace what was found.
func holds(found object.State, etag string) bool {
	if etag == "" {
		return found.Presence.Gone()
	}
	return found.Presence == object.Present && found.ETag == etag
}

// broken is the answer of an emulated condition.
func broken(text string) error {
	return &object.Error{Class: object.Premise, Code: "PreconditionFailed", Err: errors.New(text)}
}

func archived(out *s3.HeadObjectOutput) bool {
	switch out.StorageClass {
	case types.StorageClassGlacier, types.StorageClassDeepArchive:
	default:
		if out.ArchiveStatus == "" { // of an Intelligent-Tiering object
			return false
		}
	}
	return !restored(aws.ToString(out.Restore))
}

// whole cuts what some servers answer to a copy down to the whole seconds that
// a look answers.
func whole(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

// version is a version id; "null", which a bucket with suspended versioning
// gives to every write, tells no writes apart and is none.
func version(id *string) string {
	if aws.ToString(id) == "null" {
		return ""
	}
	return aws.ToString(id)
}
