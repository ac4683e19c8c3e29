package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Describe looks at everything about the current version but its bytes: one
// HEAD, and one GET of the tags where withTags. The checksums that S3 keeps come
// only with withSums, for under SSE-KMS they take the right to decrypt. A 404
// costs a HEAD of the bucket too.
func (s *Store) Describe(ctx context.Context, at object.Ref, withTags, withSums bool) (object.Detail, error) {
	e, err := s.at(at.Bucket)
	if err != nil {
		return object.Detail{}, classify("head", at, err)
	}
	detail, err := e.describe(ctx, at, withSums)
	if err == nil && withTags && detail.Presence == object.Present {
		detail.Tags, err = e.tags(ctx, at, detail.VersionID)
	}
	if err != nil {
		return object.Detail{}, classify("head", at, err)
	}
	return detail, nil
}

func (e endpoint) describe(ctx context.Context, at object.Ref, withSums bool) (object.Detail, error) {
	in := &s3.HeadObjectInput{Bucket: aws.String(at.Bucket.Name), Key: aws.String(at.Key)}
	if withSums {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := e.HeadObject(ctx, in)
	if status(err) == http.StatusNotFound {
		state, err := e.gone(ctx, at.Bucket.Name, err)
		return object.Detail{State: state}, err
	}
	if err != nil {
		return object.Detail{}, err
	}
	d := object.Detail{State: found(out), Metadata: out.Metadata, Headers: map[string]string{}, Sums: sums(out)}
	for name, value := range map[string]*string{
		"Cache-Control":       out.CacheControl,
		"Content-Disposition": out.ContentDisposition,
		"Content-Encoding":    out.ContentEncoding,
		"Content-Language":    out.ContentLanguage,
		"Content-Type":        out.ContentType,
		"Expires":             out.ExpiresString,
		object.Redirect:       out.WebsiteRedirectLocation,
	} {
		if aws.ToString(value) != "" {
			d.Headers[name] = *value
		}
	}
	return d, nil
}

// sums are the checksums that an answer has, and the tag where it is one: the
// MD5 of what was written in one piece and not encrypted with a key of KMS or of
// the customer.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
func sums(out *s3.HeadObjectOutput) map[object.Sum]string {
	kept := map[object.Sum]string{}
	for algorithm, value := range map[types.ChecksumAlgorithm]*string{
		types.ChecksumAlgorithmCrc32:     out.ChecksumCRC32,
		types.ChecksumAlgorithmCrc32c:    out.ChecksumCRC32C,
		types.ChecksumAlgorithmCrc64nvme: out.ChecksumCRC64NVME,
		types.ChecksumAlgorithmSha1:      out.ChecksumSHA1,
		types.ChecksumAlgorithmSha256:    out.ChecksumSHA256,
	} {
		if value != nil {
			// Servers that do not tell the type write the number of parts after
			// the value, as S3 does; base64 has no hyphen.
			composite := out.ChecksumType == types.ChecksumTypeComposite || strings.Contains(*value, "-")
			kept[object.Sum{Algorithm: string(algorithm), Composite: composite}] = *value
		}
	}
	plain := out.ServerSideEncryption == "" || out.ServerSideEncryption == types.ServerSideEncryptionAes256
	if tag := bare(out.ETag); plain && out.SSECustomerAlgorithm == nil && isMD5(tag) {
		kept[object.Sum{Algorithm: "MD5"}] = tag
	}
	return kept
}

func isMD5(tag string) bool {
	return len(tag) == 32 && strings.Trim(tag, "0123456789abcdef") == ""
}

// Read reads n bytes from offset on, at least one, of the current version, which
// must still have the tag: Premise otherwise, and where there is no object any
// more. The reader answers exactly so many bytes, or an *object.Error.
func (s *Store) Read(ctx context.Context, at object.Ref, etag string, offset, n int64) (io.ReadCloser, error) {
	const op = "read"
	e, err := s.at(at.Bucket)
	if err != nil {
		return nil, classify(op, at, err)
	}
	out, err := e.GetObject(ctx, &s3.GetObjectInput{
		Bucket:  aws.String(at.Bucket.Name),
		Key:     aws.String(at.Key),
		IfMatch: aws.String(quoted(etag)),
		Range:   aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+n-1)),
	})
	if err != nil {
		return nil, classify(op, at, err)
	}
	if got := aws.ToInt64(out.ContentLength); out.ContentRange == nil || got != n {
		_ = out.Body.Close()
		return nil, classify(op, at, refusal("RangeIgnored", fmt.Sprintf("asked for %d bytes, the server sends %d", n, got)))
	}
	return &body{ReadCloser: out.Body, at: at, left: n}, nil
}

// body is what a read answers.
type body struct {
	io.ReadCloser
	at   object.Ref
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if errors.Is(err, io.EOF) {
		if b.left == 0 {
			return n, io.EOF
		}
		err = io.ErrUnexpectedEOF
	}
	return n, classify("read", b.at, err)
}
