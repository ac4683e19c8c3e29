package s3store

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/parts"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// sides are the two endpoints of a copy.
func (s *Store) sides(c object.Copy) (from, to endpoint, err error) {
	if from, err = s.at(c.From.Bucket); err != nil {
		return from, to, err
	}
	if to, err = s.at(c.To.Bucket); err == nil && from.pays && !to.pays && to.copies(from) {
		to = s.agreed(to) // the source's bucket takes its due from a copy elsewhere too
	}
	return from, to, err
}

// copies reports whether the destination's server can read the source itself.
func (e endpoint) copies(from endpoint) bool {
	return from.backend.Shares(e.backend)
}

// Begin begins an upload with all properties that the source has and the rule
// says: a look at the source, its tags where the copy wants them, and one
// CreateMultipartUpload. After an error that is Retryable an upload may be left
// behind that nobody knows.
func (s *Store) Begin(ctx context.Context, c object.Copy) (object.Upload, error) {
	upload, err := s.begin(ctx, c)
	if err != nil {
		return object.Upload{}, classify("begin upload", c.To, err)
	}
	return upload, nil
}

func (s *Store) begin(ctx context.Context, c object.Copy) (object.Upload, error) {
	from, to, err := s.sides(c)
	if err != nil {
		return object.Upload{}, err
	}
	look, err := from.source(ctx, c, "")
	if err != nil {
		return object.Upload{}, err
	}
	if archived(look.HeadObjectOutput) {
		return object.Upload{}, &object.Error{Class: object.Premise, Code: "InvalidObjectState", Err: errors.New("the source is archived")}
	}
	in := &s3.CreateMultipartUploadInput{Bucket: aws.String(c.To.Bucket.Name), Key: aws.String(c.To.Key)}
	look.toUpload(in, c, s.options.Now())
	lost := look.lost()
	switch {
	case to.backend.Endpoint != "":
		// Some servers keep a wrong one: the source's whole for each of its
		// parts (versitygw 1.8.0). The parts' tags are compared instead.
		if in.ChecksumAlgorithm != "" {
			lost = append(lost, "checksum")
		}
		in.ChecksumAlgorithm, in.ChecksumType = "", ""
	case !to.copies(from):
		// Of all bytes, whatever the source has: S3 joins it of the parts', and
		// computes those as they arrive.
		in.ChecksumAlgorithm, in.ChecksumType = types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject
	}
	out, err := to.CreateMultipartUpload(ctx, in, once, look.expires)
	if err != nil {
		return object.Upload{}, err
	}
	return object.Upload{
		To: c.To, ID: aws.ToString(out.UploadId), Checksum: string(in.ChecksumAlgorithm),
		SourceVersionID: version(look.VersionId), SourceChecksum: checksum(look.HeadObjectOutput),
		Lost: lost, Asked: look.asked(c, s.options.Now()),
	}, nil
}

// CopyPart copies one part: by one UploadPartCopy where the destination's server
// reads the source, else through here, with no more of it in memory than the
// buffers of two connections. It may be repeated, and replaces what was there.
// Premise where the source is not that one any more, or the upload is over
// (NoSuchUpload).
func (s *Store) CopyPart(ctx context.Context, p object.Part) (object.PartCopied, error) {
	from, to, err := s.sides(object.Copy{From: p.From, To: p.Upload.To})
	var copied object.PartCopied
	switch {
	case err != nil:
	case to.copies(from):
		copied, err = to.copyPart(ctx, p)
	default:
		copied, err = to.streamPart(ctx, from, p)
	}
	if err != nil {
		return object.PartCopied{}, classify("copy part", p.Upload.To, err)
	}
	return copied, nil
}

func (e endpoint) copyPart(ctx context.Context, p object.Part) (object.PartCopied, error) {
	from := copySource(p.From)
	if p.SourceVersionID != "" {
		from += "?versionId=" + url.QueryEscape(p.SourceVersionID)
	}
	out, err := e.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
		Bucket:            aws.String(p.Upload.To.Bucket.Name),
		Key:               aws.String(p.Upload.To.Key),
		UploadId:          aws.String(p.Upload.ID),
		PartNumber:        aws.Int32(int32(p.Number)),
		CopySource:        aws.String(from),
		CopySourceIfMatch: aws.String(quoted(p.SourceETag)),
		CopySourceRange:   aws.String(byteRange(p)),
	})
	if err != nil {
		return object.PartCopied{}, err
	}
	if out.CopyPartResult == nil {
		return object.PartCopied{}, errors.New("the answer names no part")
	}
	r := out.CopyPartResult
	return object.PartCopied{
		ETag: bare(r.ETag),
		Checksum: checksumIn(p.Upload.Checksum, r.ChecksumCRC64NVME, r.ChecksumCRC32, r.ChecksumCRC32C,
			r.ChecksumSHA1, r.ChecksumSHA256, r.ChecksumSHA512),
	}, nil
}

// byteRange is the value of a Range header.
func byteRange(p object.Part) string { return fmt.Sprintf("bytes=%d-%d", p.First, p.Last) }

// attempts at a part that goes through here. The SDK cannot repeat what it
// cannot read twice.
const attempts = 3

func (e endpoint) streamPart(ctx context.Context, from endpoint, p object.Part) (copied object.PartCopied, err error) {
	for n := range attempts {
		if copied, err = e.streamOnce(ctx, from, p); err == nil {
			return copied, nil
		}
		if class, _ := classOf("copy part", err); class != object.Retryable || n == attempts-1 {
			break
		}
		select {
		case <-ctx.Done():
			return copied, err
		case <-time.After(200 * time.Millisecond << n):
		}
	}
	return copied, err
}

// streamOnce reads the range from one endpoint and writes it to the other, and
// compares what arrived with what passed.
func (e endpoint) streamOnce(ctx context.Context, from endpoint, p object.Part) (object.PartCopied, error) {
	get := &s3.GetObjectInput{
		Bucket:  aws.String(p.From.Bucket.Name),
		Key:     aws.String(p.From.Key),
		IfMatch: aws.String(quoted(p.SourceETag)),
		Range:   aws.String(byteRange(p)),
	}
	if p.SourceVersionID != "" {
		get.VersionId = aws.String(p.SourceVersionID)
	}
	got, err := from.GetObject(ctx, get)
	if err != nil {
		return object.PartCopied{}, err
	}
	defer func() { _ = got.Body.Close() }() // all that matters was read
	length := p.Last - p.First + 1
	switch {
	case bare(got.ETag) != p.SourceETag: // not every server heeds the condition
		return object.PartCopied{}, broken("the source is not as it was looked at")
	case aws.ToInt64(got.ContentLength) != length:
		return object.PartCopied{}, fmt.Errorf("the source sends %d bytes of %s", aws.ToInt64(got.ContentLength), byteRange(p))
	}
	crc, sum := parts.NewCRC64(), md5.New()
	body := &passing{from: io.TeeReader(got.Body, io.MultiWriter(crc, sum)), left: length}
	put := &s3.UploadPartInput{
		Bucket:        aws.String(p.Upload.To.Bucket.Name),
		Key:           aws.String(p.Upload.To.Key),
		UploadId:      aws.String(p.Upload.ID),
		PartNumber:    aws.Int32(int32(p.Number)),
		ContentLength: aws.Int64(length),
		Body:          body,
	}
	options := []func(*s3.Options){func(o *s3.Options) { o.Retryer = aws.NopRetryer{} }}
	if p.Upload.Checksum != "" {
		put.ChecksumAlgorithm = types.ChecksumAlgorithm(p.Upload.Checksum) // the SDK appends it to the body
	} else {
		options = append(options, unsigned)
	}
	out, err := e.UploadPart(ctx, put, options...)
	if err != nil {
		if body.err != nil { // the source's, which the other end only felt
			err = fmt.Errorf("read %s of the source: %w", byteRange(p), body.err)
		}
		return object.PartCopied{}, err
	}
	copied := object.PartCopied{
		ETag:     bare(out.ETag),
		CRC64:    base64.StdEncoding.EncodeToString(crc.Sum(nil)),
		Checksum: checksumIn(p.Upload.Checksum, out.ChecksumCRC64NVME, out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumSHA1, out.ChecksumSHA256, out.ChecksumSHA512),
	}
	encrypted := out.ServerSideEncryption == types.ServerSideEncryptionAwsKms || out.ServerSideEncryption == types.ServerSideEncryptionAwsKmsDsse
	switch {
	case out.ChecksumCRC64NVME != nil:
		if *out.ChecksumCRC64NVME != copied.CRC64 {
			return object.PartCopied{}, mismatch(p, "checksum")
		}
	case encrypted: // its tag says nothing about its bytes
	case copied.ETag != hex.EncodeToString(sum.Sum(nil)):
		return object.PartCopied{}, mismatch(p, "tag")
	}
	return copied, nil
}

// mismatch is a part that arrived as something else than what was sent. It is
// never part of a replica.
func mismatch(p object.Part, what string) error {
	return &object.Error{Class: object.Retryable, Code: "PartMismatch",
		Err: fmt.Errorf("part %d arrived with another %s than its bytes have", p.Number, what)}
}

// unsigned leaves the body out of the signature, which would have to be known
// before the first byte is sent. What arrives is compared afterwards.
func unsigned(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}

// passing is a body that remembers why reading it failed, and that an end came
// too early.
type passing struct {
	from io.Reader
	left int64
	err  error
}

func (p *passing) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	p.left -= int64(n)
	if err == io.EOF && p.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		p.err = err
	}
	return n, err
}

// checksumIn is the one of an answer's checksums that is of this algorithm.
func checksumIn(algorithm string, crc64nvme, crc32, crc32c, sha1, sha256, sha512 *string) string {
	return aws.ToString(map[string]*string{
		"CRC64NVME": crc64nvme, "CRC32": crc32, "CRC32C": crc32c, "SHA1": sha1, "SHA256": sha256, "SHA512": sha512,
	}[algorithm])
}

// Complete makes one conditional CompleteMultipartUpload, and a look at what
// came of it, since the answer has no time. An error that is Retryable leaves
// open whether it took effect. Premise where a condition does not hold, or the
// upload is over (NoSuchUpload), or a part is not the one that was given
// (InvalidPart). A replica whose bytes are not the source's does not become
// visible, as far as checksums can tell: the error is Permanent then.
func (s *Store) Complete(ctx context.Context, c object.Completion) (object.Copied, error) {
	copied, err := s.complete(ctx, c)
	if err != nil {
		return object.Copied{}, classify("complete upload", c.To, err)
	}
	return copied, nil
}

func (s *Store) complete(ctx context.Context, c object.Completion) (object.Copied, error) {
	e, err := s.at(c.To.Bucket)
	if err != nil {
		return object.Copied{}, err
	}
	algorithm, want, _ := strings.Cut(c.Upload.SourceChecksum, ":")
	if sum, known := joined(c); known && algorithm == string(types.ChecksumAlgorithmCrc64nvme) && sum != want {
		return object.Copied{}, refusal("ChecksumMismatch", "the bytes that were read have another checksum than the source says")
	}
	// A refusal could cost the upload, so this condition is not tried out: only
	// AWS is believed to keep it.
	looks := !e.isAWS() && (e.told == nil || e.told.Copy)
	if looks {
		if err := e.unchanged(ctx, c.To, c.DestETag); err != nil {
			return object.Copied{}, err
		}
	}
	out, err := e.CompleteMultipartUpload(ctx, completion(c), once)
	if err != nil {
		return object.Copied{}, err
	}
	copied := object.Copied{
		Dest:            object.Dest{ETag: bare(out.ETag), VersionID: version(out.VersionId)},
		SourceVersionID: c.Upload.SourceVersionID,
		Lost:            c.Upload.Lost,
	}
	after, replica, err := e.see(ctx, c.To)
	switch {
	case err != nil: // the replica is a fact, if one without a time
	case after.Presence == object.Present && after.ETag == copied.Dest.ETag && (copied.Dest.VersionID == "" || copied.Dest.VersionID == after.VersionID):
		copied.Dest.LastModified = after.LastModified
		copied.Lost = slices.Concat(c.Upload.Lost, dropped(c.Upload.Asked, replica))
	case looks:
		return object.Copied{}, broken("somebody else wrote the destination meanwhile")
	}
	return copied, nil
}

// joined is the CRC-64/NVME of all that went through here; false where some of
// it did not.
func joined(c object.Completion) (string, bool) {
	var whole uint64
	layout := parts.Layout{Size: c.Size, PartSize: c.PartSize}
	for n, p := range c.Parts {
		sum, err := base64.StdEncoding.DecodeString(p.CRC64)
		if err != nil || len(sum) != 8 {
			return "", false
		}
		first, last := layout.Bytes(n + 1)
		whole = parts.Joined(whole, binary.BigEndian.Uint64(sum), last-first+1)
	}
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, whole)), true
}

// completion is the request for c.
func completion(c object.Completion) *s3.CompleteMultipartUploadInput {
	in := &s3.CompleteMultipartUploadInput{
		Bucket:        aws.String(c.To.Bucket.Name),
		Key:           aws.String(c.To.Key),
		UploadId:      aws.String(c.Upload.ID),
		MpuObjectSize: aws.Int64(c.Size),
	}
	if c.DestETag == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = aws.String(quoted(c.DestETag))
	}
	list := make([]types.CompletedPart, len(c.Parts))
	for n, p := range c.Parts {
		list[n] = types.CompletedPart{ETag: aws.String(quoted(p.ETag)), PartNumber: aws.Int32(int32(n + 1))}
		if p.Checksum == "" {
			continue
		}
		switch types.ChecksumAlgorithm(c.Upload.Checksum) {
		case types.ChecksumAlgorithmCrc64nvme:
			list[n].ChecksumCRC64NVME = aws.String(p.Checksum)
		case types.ChecksumAlgorithmCrc32:
			list[n].ChecksumCRC32 = aws.String(p.Checksum)
		case types.ChecksumAlgorithmCrc32c:
			list[n].ChecksumCRC32C = aws.String(p.Checksum)
		case types.ChecksumAlgorithmSha1:
			list[n].ChecksumSHA1 = aws.String(p.Checksum)
		case types.ChecksumAlgorithmSha256:
			list[n].ChecksumSHA256 = aws.String(p.Checksum)
		case types.ChecksumAlgorithmSha512:
			list[n].ChecksumSHA512 = aws.String(p.Checksum)
		}
	}
	in.MultipartUpload = &types.CompletedMultipartUpload{Parts: list}
	// The source's checksum of all bytes, where the replica gets one of the same
	// kind: the server compares them before anybody sees the replica.
	if algorithm, value, ok := strings.Cut(c.Upload.SourceChecksum, ":"); ok && algorithm == c.Upload.Checksum {
		switch types.ChecksumAlgorithm(algorithm) {
		case types.ChecksumAlgorithmCrc64nvme:
			in.ChecksumType, in.ChecksumCRC64NVME = types.ChecksumTypeFullObject, aws.String(value)
		case types.ChecksumAlgorithmCrc32:
			in.ChecksumType, in.ChecksumCRC32 = types.ChecksumTypeFullObject, aws.String(value)
		case types.ChecksumAlgorithmCrc32c:
			in.ChecksumType, in.ChecksumCRC32C = types.ChecksumTypeFullObject, aws.String(value)
		}
	}
	return in
}

// Abort ends an upload and frees its parts; one that is over is success. A part
// that is on its way may still arrive, and takes space until the upload is
// aborted again: whoever copied it does that.
func (s *Store) Abort(ctx context.Context, u object.Upload) error {
	e, err := s.at(u.To.Bucket)
	if err == nil {
		_, err = e.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket: aws.String(u.To.Bucket.Name), Key: aws.String(u.To.Key), UploadId: aws.String(u.ID),
		})
		if status(err) == http.StatusNotFound {
			err = nil
		}
	}
	return classify("abort upload", u.To, err)
}

// Uploads lists the uploads to a key that were begun, by whomever, and are not
// over.
func (s *Store) Uploads(ctx context.Context, at object.Ref) ([]object.Begun, error) {
	e, err := s.at(at.Bucket)
	if err != nil {
		return nil, classify("list uploads", at, err)
	}
	var found []object.Begun
	in := &s3.ListMultipartUploadsInput{
		Bucket: aws.String(at.Bucket.Name), Prefix: aws.String(at.Key), EncodingType: types.EncodingTypeUrl,
	}
	for {
		out, err := e.ListMultipartUploads(ctx, in)
		if err != nil {
			return nil, classify("list uploads", at, err)
		}
		past := false
		for _, u := range out.Uploads {
			key := aws.ToString(u.Key)
			if out.EncodingType == types.EncodingTypeUrl {
				if decoded, err := url.QueryUnescape(key); err == nil {
					key = decoded
				}
			}
			if key != at.Key {
				past = past || key > at.Key // those of the key itself come first
				continue
			}
			b := object.Begun{ID: aws.ToString(u.UploadId), At: aws.ToTime(u.Initiated).UTC()}
			// Only of AWS it is known that this tells one from another: some servers
			// name the same one for everybody.
			if u.Initiator != nil && e.isAWS() {
				b.By = aws.ToString(u.Initiator.ID)
			}
			found = append(found, b)
		}
		again := aws.ToString(out.NextKeyMarker) == aws.ToString(in.KeyMarker) && aws.ToString(out.NextUploadIdMarker) == aws.ToString(in.UploadIdMarker)
		if past || !aws.ToBool(out.IsTruncated) || again {
			return found, nil
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
}
