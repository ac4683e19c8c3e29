package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithytime "github.com/aws/smithy-go/time"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// listing is the answer to one ListObjectsV2.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
type listing struct {
	objects   []object.Listed // keys as the answer has them
	encoded   bool            // the keys are URL-encoded
	truncated bool            // there is more, from token on
	token     string
}

// maxListing bounds an answer, in bytes. 1,000 keys of 1,024 bytes that are all
// encoded make less than 4 MB.
const maxListing = 16 << 20

// requestListing makes one ListObjectsV2. The SDK signs, sends, repeats and
// reads errors. A listing is read here: the SDK takes many times as long, and
// takes an empty answer or a web page for a bucket without objects.
func (e endpoint) requestListing(ctx context.Context, in *s3.ListObjectsV2Input) (*listing, error) {
	var reader listingReader
	_, err := e.ListObjectsV2(ctx, in, func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Deserialize.Insert(&reader, "OperationDeserializer", middleware.After)
		})
	})
	if err == nil && reader.found == nil {
		err = errors.New("the SDK did not have the listing read")
	}
	return reader.found, err
}

// listingReader reads an answer ahead of the SDK, which finds it empty then.
type listingReader struct{ found *listing }

// ID names the middleware.
func (*listingReader) ID() string { return "ReadListing" }

// HandleDeserialize reads the listing if the request succeeded.
func (r *listingReader) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	r.found = nil // nothing of a former attempt
	out, metadata, err := next.HandleDeserialize(ctx, in)
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok || response.StatusCode < 200 || response.StatusCode > 299 {
		return out, metadata, err
	}
	if err == nil { // the SDK has looked for an error at the beginning of the body
		r.found, err = readListing(response.Body)
	}
	if err != nil {
		err = &unreadable{err}
	}
	return out, metadata, err
}

// unreadable is an answer that broke off or is no listing. The SDK asks again.
type unreadable struct{ error }

func (e *unreadable) Unwrap() error      { return e.error }
func (*unreadable) RetryableError() bool { return true }

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func readListing(body io.Reader) (*listing, error) {
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	n, err := b.ReadFrom(io.LimitReader(body, maxListing+1))
	if err != nil {
		return nil, err
	}
	if n > maxListing {
		return nil, fmt.Errorf("a listing of more than %d bytes", maxListing)
	}
	defer buffers.Put(b)
	return parseListing(b.Bytes())
}

// parseListing reads a whole answer, or fails: what a listing lacks would be
// taken for deleted. It keeps nothing of b.
func parseListing(b []byte) (*listing, error) {
	p := listingParser{xml: xmlReader{all: b}}
	root, err := p.xml.root()
	if err != nil {
		return nil, err
	}
	if string(local(root)) != "ListBucketResult" {
		return nil, fmt.Errorf("not a listing but <%.50s>", root)
	}
	if err := p.xml.children(root, p.field); err != nil {
		return nil, err
	}
	if err := p.xml.end(); err != nil {
		return nil, err
	}
	if p.count > len(p.objects) {
		return nil, fmt.Errorf("a listing of %d keys holds %d", p.count, len(p.objects))
	}
	if p.truncated, err = strconv.ParseBool(p.isTruncated); err != nil {
		return nil, fmt.Errorf("a listing that does not say whether there is more: %w", err)
	}
	return &p.listing, nil
}

// listingParser reads one answer. What it does not name it skips, and so do
// those who use it: owners, checksum algorithms, what vendors add.
type listingParser struct {
	listing
	xml         xmlReader
	isTruncated string
	count       int // of keys, as the answer has it; 0: it has none

	// Of the object that is being read; the zero value is what is missing.
	key, etag  []byte
	size       int64
	modified   time.Time
	cold       bool // in an archive class
	restoring  bool
	expiration time.Time // of what was restored
}

// field reads a child of the document's element.
func (p *listingParser) field(name []byte) (err error) {
	switch string(local(name)) {
	case "Contents":
		return p.object(name)
	case "IsTruncated":
		p.isTruncated, err = p.xml.string(name)
	case "NextContinuationToken":
		p.token, err = p.xml.string(name)
	case "EncodingType":
		var encoding string
		encoding, err = p.xml.string(name)
		p.encoded = encoding == string(types.EncodingTypeUrl)
		if err == nil && !p.encoded && encoding != "" {
			err = fmt.Errorf("keys are encoded by %.20q", encoding)
		}
	case "KeyCount":
		var count string
		if count, err = p.xml.string(name); err == nil {
			p.count, err = strconv.Atoi(count)
		}
	default:
		err = p.xml.skip(name, 0)
	}
	return err
}

// object reads one entry.
func (p *listingParser) object(name []byte) error {
	p.key, p.etag, p.size, p.modified = p.key[:0], p.etag[:0], -1, time.Time{}
	p.cold, p.restoring, p.expiration = false, false, time.Time{}
	if err := p.xml.children(name, p.objectField); err != nil {
		return err
	}
	key, etag := len(p.key), bytes.Trim(p.etag, `"`)
	if key == 0 || len(etag) == 0 || p.size < 0 || p.modified.IsZero() {
		return fmt.Errorf("entry %d of the listing, with the key %.100q, lacks its key, ETag, size or time", len(p.objects), p.key)
	}
	if p.objects == nil {
		p.objects = make([]object.Listed, 0, max(1, min(p.count, 1000)))
	}
	p.key = append(p.key, etag...)
	text := string(p.key) // one allocation for both
	p.objects = append(p.objects, object.Listed{Key: text[:key], State: object.State{
		Presence:     object.Present,
		ETag:         text[key:],
		Size:         p.size,
		LastModified: whole(&p.modified),
		Archived:     p.cold && (p.restoring || p.expiration.IsZero()),
	}})
	return nil
}

// objectField reads a child of an entry.
func (p *listingParser) objectField(name []byte) error {
	field := string(local(name))
	switch field {
	case "Key", "LastModified", "ETag", "Size", "StorageClass":
	case "RestoreStatus":
		return p.xml.children(name, p.restoreField)
	default:
		return p.xml.skip(name, 0)
	}
	b, err := p.xml.text(name)
	if err != nil {
		return err
	}
	switch field {
	case "Key":
		p.key = append(p.key[:0], b...)
	case "LastModified":
		p.modified, err = parseTime(b)
	case "ETag":
		p.etag = append(p.etag[:0], b...)
	case "Size":
		p.size, err = strconv.ParseInt(string(b), 10, 64)
	case "StorageClass":
		class := types.ObjectStorageClass(b)
		p.cold = class == types.ObjectStorageClassGlacier || class == types.ObjectStorageClassDeepArchive
	}
	return err
}

// restoreField reads a child of RestoreStatus.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreStatus.html
func (p *listingParser) restoreField(name []byte) error {
	b, err := p.xml.text(name)
	if err != nil {
		return err
	}
	switch string(local(name)) {
	case "IsRestoreInProgress":
		p.restoring, err = strconv.ParseBool(string(b))
	case "RestoreExpiryDate":
		p.expiration, err = parseTime(b)
	}
	return err
}

// parseTime reads what S3 writes, and, more slowly, the other forms that the
// SDK reads.
func parseTime(b []byte) (t time.Time, err error) {
	if err = t.UnmarshalText(b); err != nil {
		t, err = smithytime.ParseDateTime(string(b))
	}
	return t, err
}
