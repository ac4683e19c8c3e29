package s3store

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/parts"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

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
