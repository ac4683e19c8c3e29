package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// maxPut is the largest object that one PutObject takes.
const maxPut = 5 << 30

// maxStreams is how often a stream begins anew where the destination refused it
// for its rate, or one of the two sides for credentials that were replaced
// since. More patience is the queue's.
const maxStreams = 3

// stream copies where no server can: what one GetObject reads goes into one
// PutObject as it comes, through no file and no more memory than the HTTP
// client's buffers. Both are conditional, as a CopyObject is.
//
// No wrong bytes become an object. The digests are known before the first byte
// is sent (see digests), and go out as headers for the destination to refuse
// what does not agree with them. And where what is read does not, its last bytes
// are never sent (see checked): a request without its end is no object, whatever
// the server. Nothing depends on trailers or signed chunks, which not every
// server has.
//
// It takes a HEAD, a GET and a PUT, a GET of the tags, and a HEAD of the
// replica, whose time a PutObject does not answer.
func (s *Store) stream(ctx context.Context, c object.Copy, from, to endpoint) (object.Copied, error) {
	look, err := from.source(ctx, c, "")
	if err != nil {
		return object.Copied{}, classify("copy", c.From, err)
	}
	if aws.ToInt64(look.ContentLength) > maxPut {
		return object.Copied{}, refusal("TooLargeForOneCopy", "the source is over 5 GiB")
	}
	sums := digestsOf(look)
	if sums.md5 == nil && (sums.checksum == nil || !to.checksums()) {
		if sums.md5, err = from.readMD5(ctx, c, look, sums); err != nil {
			return object.Copied{}, classify("copy", c.From, err)
		}
	}
	if to.emulated.Put {
		if err := to.unchanged(ctx, c); err != nil {
			return object.Copied{}, err
		}
	}
	copied := object.Copied{SourceVersionID: version(look.VersionId), Lost: look.lost()}
	for attempt := 1; ; attempt++ {
		copied.Dest, err = s.streamOnce(ctx, c, from, to, look, sums)
		if err == nil || attempt == maxStreams || !refusedForNow(err) {
			break
		}
		if err := wait(ctx, to.Options().Retryer, attempt, err); err != nil {
			return object.Copied{}, err
		}
	}
	if err != nil {
		return object.Copied{}, err
	}
	copied.Dest, err = to.dated(ctx, c.To, copied.Dest)
	return copied, err
}

// streamOnce opens the source and sends it on.
func (s *Store) streamOnce(ctx context.Context, c object.Copy, from, to endpoint, look source, sums digests) (object.Dest, error) {
	body, err := from.open(ctx, c, look, sums)
	if err != nil {
		return object.Dest{}, classify("copy", c.From, err)
	}
	defer body.Close()
	in := &s3.PutObjectInput{
		Bucket: aws.String(c.To.Bucket.Name),
		Key:    aws.String(c.To.Key),
		Body:   body,
	}
	look.toPut(in, c, s.options.Now())
	in.ContentLength = look.ContentLength
	in.ChecksumAlgorithm = "" // or the SDK would compute one, and send it as a trailer
	sums.header(in, to.checksums())
	switch {
	case to.emulated.Put:
	case c.DestETag == "":
		in.IfNoneMatch = aws.String("*")
	default:
		in.IfMatch = aws.String(quoted(c.DestETag))
	}
	out, err := to.PutObject(ctx, in, unrepeated, look.expires)
	if failed := body.failure(); failed != nil { // whatever became of a request without its end
		return object.Dest{}, classify("copy", c.From, failed)
	}
	if err != nil {
		return object.Dest{}, err
	}
	return object.Dest{ETag: bare(out.ETag), VersionID: version(out.VersionId)}, nil
}

// open begins to read the object that look saw.
func (e endpoint) open(ctx context.Context, c object.Copy, look source, sums digests) (*checked, error) {
	in := &s3.GetObjectInput{
		Bucket:  aws.String(c.From.Bucket.Name),
		Key:     aws.String(c.From.Key),
		IfMatch: aws.String(quoted(c.SourceETag)),
	}
	out, err := e.GetObject(ctx, in, func(o *s3.Options) {
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired // it is done here, before the last byte
	})
	if err != nil {
		return nil, err
	}
	size := aws.ToInt64(look.ContentLength)
	if bare(out.ETag) != c.SourceETag || aws.ToInt64(out.ContentLength) != size { // not every server heeds the condition
		out.Body.Close()
		return nil, broken("the source is not as it was looked at")
	}
	return newChecked(out.Body, size, sums), nil
}

// readMD5 reads the object to its end for the sake of its digest.
func (e endpoint) readMD5(ctx context.Context, c object.Copy, look source, sums digests) ([]byte, error) {
	body, err := e.open(ctx, c, look, sums)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if _, err := io.Copy(io.Discard, body); err != nil {
		return nil, err
	}
	return body.md5.Sum(nil), nil
}

// unchanged answers Premise where the destination is not as c expects it.
func (e endpoint) unchanged(ctx context.Context, c object.Copy) error {
	found, err := e.look(ctx, c.To)
	if err == nil && !holds(found, c.DestETag) {
		err = broken("the destination is not as it was looked at")
	}
	return err
}

// dated looks for the time of a write that landed. Where the object is another
// one by now, the caller must not record a replica that is not there. Where
// nobody can tell, a version id is enough to know the write by.
func (e endpoint) dated(ctx context.Context, at object.Ref, d object.Dest) (object.Dest, error) {
	found, err := e.look(ctx, at)
	switch {
	case err != nil && d.VersionID != "":
		return d, nil
	case err != nil:
		return object.Dest{}, err
	case found.Presence != object.Present || found.ETag != d.ETag || found.VersionID != d.VersionID:
		return object.Dest{}, broken("somebody else wrote the destination meanwhile")
	}
	d.LastModified = found.LastModified
	return d, nil
}

// unrepeated makes the SDK send a body once, as it comes: it can neither be
// read again nor be hashed ahead.
func unrepeated(o *s3.Options) {
	o.Retryer = aws.NopRetryer{}
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	unsigned(o)
}

// refusedForNow reports whether a write took no effect and may be repeated at
// once, as the SDK does with those that it can repeat: see once.
func refusedForNow(err error) bool {
	return errors.As(err, new(*renewed)) ||
		retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}.IsErrorThrottle(err) == aws.TrueTernary
}

// wait waits for as long as the SDK would.
func wait(ctx context.Context, r aws.Retryer, attempt int, cause error) error {
	d, err := r.RetryDelay(attempt, cause)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	case <-time.After(d):
		return nil
	}
}
