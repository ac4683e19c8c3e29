package s3store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// maxPut is the largest object that one PutObject takes.
const maxPut = 5 << 30

// maxTry is the largest object that is sent more than once to learn by it.
const maxTry = 8 << 20

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
	st := &stream{Copy: c, from: from, to: to, look: look, sums: digestsOf(look), now: s.options.Now(), hold: s.options.Hold}
	trusted, known := to.keeps(ctx, object.Checksums)
	if st.sums.md5 == nil && (st.sums.checksum == nil || !trusted) {
		if st.sums.md5, err = from.readMD5(ctx, c, look, st.sums); err != nil {
			return object.Copied{}, classify("copy", c.From, err)
		}
	}
	if known && !trusted {
		st.leave(object.Checksums)
	}
	if kept, known := to.keeps(ctx, object.Tags); known && !kept {
		st.leave(object.Tags)
	}
	copied, _, err := to.write(ctx, c.To, c.DestETag, object.PutConditions, aws.ToInt64(look.ContentLength), func(cond condition) (object.Copied, error) {
		return st.put(ctx, cond)
	})
	if err != nil {
		return object.Copied{}, err
	}
	var replica *s3.HeadObjectOutput
	copied.Dest, replica, err = to.dated(ctx, c.To, copied.Dest)
	copied.SourceVersionID = version(look.VersionId)
	copied.Lost = slices.Concat(look.lost(), st.left, dropped(look.asked(c, st.now), replica))
	return copied, err
}

// stream is one copy through here.
type stream struct {
	object.Copy
	from, to endpoint
	look     source
	sums     digests
	now      time.Time
	hold     time.Duration
	left     []string // what the destination does not take
}

// leave leaves out what the destination does not know, if there is any.
func (st *stream) leave(what object.Capability) bool {
	switch {
	case what == object.Checksums && st.sums.checksum != nil && !st.sums.withheld:
		st.sums.withheld = true
		st.left = append(slices.Clip(st.left), "checksum")
	case what == object.Tags && len(st.look.tags) > 0:
		st.look.tags = nil
		st.left = append(slices.Clip(st.left), "tags")
	default:
		return false
	}
	return true
}

// put sends the object under a condition. Where the destination refuses a header
// that it does not know, what may be it is left out, and that is remembered once
// the object is there.
func (st *stream) put(ctx context.Context, cond condition) (object.Copied, error) {
	copied, err := st.patiently(ctx, cond)
	for _, without := range [][]object.Capability{{object.Checksums}, {object.Tags}, {object.Checksums, object.Tags}} {
		if err == nil || !notUnderstood(err) {
			break
		}
		less, left := *st, true
		for _, what := range without {
			kept, _ := st.to.keeps(ctx, what)
			left = left && !kept && less.leave(what)
		}
		if !left {
			continue
		}
		if copied, err = less.patiently(ctx, cond); err == nil {
			for _, what := range without {
				st.to.observe(ctx, what, false)
			}
			*st = less
		}
	}
	return copied, err
}

// patiently begins anew where the destination refused the object for its rate,
// or one side for credentials that were replaced since.
func (st *stream) patiently(ctx context.Context, cond condition) (object.Copied, error) {
	for attempt := 1; ; attempt++ {
		copied, err := st.once(ctx, cond)
		if err == nil || attempt == maxStreams || !refusedForNow(err) {
			return copied, err
		}
		if err := wait(ctx, st.to.Options().Retryer, attempt, err); err != nil {
			return object.Copied{}, err
		}
	}
}

// once opens the source and sends it on.
func (st *stream) once(ctx context.Context, cond condition) (object.Copied, error) {
	body, err := st.from.open(ctx, st.Copy, st.look, st.sums)
	if err != nil {
		return object.Copied{}, classify("copy", st.From, err)
	}
	defer body.Close()
	in := &s3.PutObjectInput{
		Bucket: aws.String(st.To.Bucket.Name),
		Key:    aws.String(st.To.Key),
		Body:   body,
	}
	options := []func(*s3.Options){unrepeated, st.look.expires}
	if cond.vain {
		waiting, begin := context.WithTimeout(ctx, st.hold)
		defer begin()
		in.Body = &held{body, heldAfter, waiting}
		options = append(options, func(o *s3.Options) { o.HTTPClient = answers{o.HTTPClient, begin} })
	}
	st.look.toPut(in, st.Copy, st.now)
	in.ContentLength = st.look.ContentLength
	in.ChecksumAlgorithm = "" // or the SDK would compute one, and send it as a trailer
	st.sums.header(in)
	in.IfMatch, in.IfNoneMatch = cond.headers()
	out, err := st.to.PutObject(ctx, in, options...)
	if failed := body.failure(); failed != nil { // whatever became of a request without its end
		return object.Copied{}, classify("copy", st.From, failed)
	}
	if err != nil {
		return object.Copied{}, err
	}
	if st.sums.sent() {
		st.to.observe(ctx, object.Checksums, answered(out) != nil)
	}
	return object.Copied{Dest: object.Dest{ETag: bare(out.ETag), VersionID: version(out.VersionId)}}, nil
}

// heldAfter is how much of a body is sent before it waits. Go's server and others
// (versitygw 1.8.0) read on for up to 256 KiB behind an answer, so what is smaller
// meets no hang-up, and they answer what is larger only when they had so much.
const heldAfter = 257 << 10

// held is a body whose rest is read late: after the answer, or when none is
// expected any longer before all of it was sent. A server may refuse a write by
// its header and hang up on the body, and then its answer is lost where the
// client is still sending. "Expect: 100-continue" does not help: some send the
// 100 before they have looked.
type held struct {
	body  io.Reader
	left  int // bytes to send before it waits
	until context.Context
}

func (h *held) Read(p []byte) (int, error) {
	if h.left == 0 {
		<-h.until.Done()
		return h.body.Read(p)
	}
	n, err := h.body.Read(p[:min(len(p), h.left)])
	h.left -= n
	return n, err
}

// answers tells when an answer is there, all of it. The SDK would wait for the
// body first.
type answers struct {
	s3.HTTPClient
	arrived func()
}

func (a answers) Do(r *http.Request) (*http.Response, error) {
	defer a.arrived()
	answer, err := a.HTTPClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	answer.Body = io.NopCloser(bytes.NewReader(text))
	return answer, err
}

// answered is the checksum that a server says it keeps.
func answered(out *s3.PutObjectOutput) *string {
	return cmp.Or(out.ChecksumCRC64NVME, out.ChecksumCRC32C, out.ChecksumCRC32, out.ChecksumSHA512, out.ChecksumSHA256, out.ChecksumSHA1)
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

// unchanged answers Premise where the object is not as it is expected.
func (e endpoint) unchanged(ctx context.Context, at object.Ref, etag string) error {
	found, err := e.look(ctx, at)
	if err == nil && !holds(found, etag) {
		err = broken("the destination is not as it was looked at")
	}
	return err
}

// dated looks for the time of a write that landed. Where the object is another
// one by now, the caller must not record a replica that is not there. Where
// nobody can tell, a version id is enough to know the write by. It answers what
// the look found, too.
func (e endpoint) dated(ctx context.Context, at object.Ref, d object.Dest) (object.Dest, *s3.HeadObjectOutput, error) {
	found, replica, err := e.see(ctx, at)
	switch {
	case err != nil && d.VersionID != "":
		return d, nil, nil
	case err != nil:
		return object.Dest{}, nil, err
	case found.Presence != object.Present || found.ETag != d.ETag || found.VersionID != d.VersionID:
		return object.Dest{}, nil, broken("somebody else wrote the destination meanwhile")
	}
	d.LastModified = found.LastModified
	if d.VersionID != "" {
		e.observe(ctx, object.Versions, true)
	}
	return d, replica, nil
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
