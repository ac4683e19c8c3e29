package s3store

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"sync"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/parts"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// digests are what the bytes of an object have to agree with, as far as it is
// known before they are read.
type digests struct {
	md5 []byte // nil: not known
	// checksum of the whole object by algorithm; nil: not known.
	algorithm types.ChecksumAlgorithm
	checksum  []byte
	// withheld: the destination does not know such checksums.
	withheld bool
}

// sent reports whether a checksum goes out as a header.
func (d digests) sent() bool { return d.checksum != nil && !d.withheld }

// digestsOf are the backend's own: the checksum of the whole object, and the
// MD5 that an entity tag is, unless the object came by parts or is encrypted
// with a key of KMS or of the customer.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
func digestsOf(look source) digests {
	var d digests
	if algorithm, kind, value := checksumOf(look.HeadObjectOutput); kind == types.ChecksumTypeFullObject || algorithm == types.ChecksumAlgorithmCrc64nvme {
		sum, err := base64.StdEncoding.DecodeString(value)
		if h := newHash(algorithm); err == nil && h != nil && h.Size() == len(sum) {
			d.algorithm, d.checksum = algorithm, sum
		}
	}
	switch look.ServerSideEncryption {
	case "", types.ServerSideEncryptionAes256:
		if sum, err := hex.DecodeString(bare(look.ETag)); err == nil && len(sum) == md5.Size && look.SSECustomerAlgorithm == nil {
			d.md5 = sum
		}
	}
	return d
}

func newHash(algorithm types.ChecksumAlgorithm) hash.Hash {
	switch algorithm {
	case types.ChecksumAlgorithmCrc64nvme:
		return parts.NewCRC64()
	case types.ChecksumAlgorithmCrc32c:
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case types.ChecksumAlgorithmCrc32:
		return crc32.NewIEEE()
	case types.ChecksumAlgorithmSha512:
		return sha512.New()
	case types.ChecksumAlgorithmSha256:
		return sha256.New()
	case types.ChecksumAlgorithmSha1:
		return sha1.New()
	default:
		return nil
	}
}

// header tells the server what to expect. Every server checks Content-MD5, most
// the younger checksums too, and those keep them.
func (d digests) header(in *s3.PutObjectInput) {
	if d.md5 != nil {
		in.ContentMD5 = aws.String(base64.StdEncoding.EncodeToString(d.md5))
	}
	if !d.sent() {
		return
	}
	value := aws.String(base64.StdEncoding.EncodeToString(d.checksum))
	switch d.algorithm {
	case types.ChecksumAlgorithmCrc64nvme:
		in.ChecksumCRC64NVME = value
	case types.ChecksumAlgorithmCrc32c:
		in.ChecksumCRC32C = value
	case types.ChecksumAlgorithmCrc32:
		in.ChecksumCRC32 = value
	case types.ChecksumAlgorithmSha512:
		in.ChecksumSHA512 = value
	case types.ChecksumAlgorithmSha256:
		in.ChecksumSHA256 = value
	case types.ChecksumAlgorithmSha1:
		in.ChecksumSHA1 = value
	}
}

// checked is a body that ends only if it is the one that was announced: where
// it is shorter or longer, or does not agree with a digest, its last bytes are
// kept back and Read fails. One goroutine reads; the failure may be asked for
// by another one, while an HTTP client still reads what it no longer sends.
type checked struct {
	body io.ReadCloser
	left int64 // bytes still to come
	want digests
	md5  hash.Hash
	sum  hash.Hash // by want.algorithm; nil: none

	mu     sync.Mutex
	failed error
}

func newChecked(body io.ReadCloser, size int64, want digests) *checked {
	c := &checked{body: body, left: size, want: want, md5: md5.New(), sum: newHash(want.algorithm)}
	if size == 0 {
		c.fail(c.end())
	}
	return c
}

// failure is why Read failed, or nil.
func (c *checked) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

func (c *checked) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = err
}

// Read reads what is to be sent on.
func (c *checked) Read(p []byte) (int, error) {
	switch failed := c.failure(); {
	case failed != nil:
		return 0, failed
	case c.left == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n, err := c.body.Read(p[:min(int64(len(p)), c.left)])
	c.md5.Write(p[:n])
	if c.sum != nil {
		c.sum.Write(p[:n])
	}
	c.left -= int64(n)
	switch {
	case c.left == 0:
		err = c.end()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = &object.Error{Class: object.Retryable, Code: "SourceTruncated", Err: fmt.Errorf("the source ends %d bytes early", c.left)}
	}
	if err != nil {
		c.fail(err)
		return 0, err
	}
	return n, nil
}

// end checks the body when all of it was read.
func (c *checked) end() error {
	var more [1]byte
	n, err := c.body.Read(more[:])
	switch {
	case n > 0:
		return differs("the source is longer than it says")
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("at the end of the source: %w", err)
	case c.want.md5 != nil && !bytes.Equal(c.md5.Sum(nil), c.want.md5):
		return differs("the bytes of the source do not have the MD5 that its ETag is")
	case c.sum != nil && !bytes.Equal(c.sum.Sum(nil), c.want.checksum):
		return differs("the bytes of the source do not have its " + string(c.want.algorithm))
	}
	return nil
}

// Close ends the reading, wherever it is.
func (c *checked) Close() error { return c.body.Close() }

func differs(text string) error {
	return &object.Error{Class: object.Retryable, Code: "ChecksumMismatch", Err: errors.New(text)}
}
