package s3store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// source is an object about to be copied: what it has beside its bytes. A
// CopyObject brings metadata, content headers, tags and the checksum by itself.
// Whoever copies by parts or streams has to give all of them, and every way
// has to give the lock and the website redirect.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
type source struct {
	*s3.HeadObjectOutput
	tags map[string]string
}

// source looks at the object that c copies: one HEAD, and one GET of the tags
// where c wants them. versionID pins the version where the bucket has any. It
// answers Premise where the object is not the one of c.SourceETag any more.
func (e endpoint) source(ctx context.Context, c object.Copy, versionID string) (source, error) {
	in := &s3.HeadObjectInput{
		Bucket:       aws.String(c.From.Bucket.Name),
		Key:          aws.String(c.From.Key),
		IfMatch:      aws.String(quoted(c.SourceETag)),
		ChecksumMode: types.ChecksumModeEnabled, // who may copy it may decrypt it
	}
	if versionID != "" {
		in.VersionId = aws.String(versionID)
	}
	out, err := e.HeadObject(ctx, in)
	if err != nil {
		return source{}, err
	}
	if bare(out.ETag) != c.SourceETag { // not every server heeds the condition
		return source{}, broken("the source is not as it was looked at")
	}
	s := source{HeadObjectOutput: out}
	if c.Tags {
		s.tags, err = e.tags(ctx, c.From, version(out.VersionId))
	}
	return s, err
}

// toUpload gives a multipart upload all that the replica is to have.
func (s source) toUpload(in *s3.CreateMultipartUploadInput, c object.Copy, now time.Time) {
	in.CacheControl, in.ContentDisposition, in.ContentLanguage = s.CacheControl, s.ContentDisposition, s.ContentLanguage
	in.ContentEncoding, in.ContentType = s.encoding(), s.ContentType
	in.Metadata, in.Tagging = s.Metadata, tagging(s.tags)
	in.ChecksumAlgorithm, in.ChecksumType = s.partsChecksum()
	g := s.given(c, now)
	in.StorageClass, in.ACL, in.WebsiteRedirectLocation = g.class, g.acl, g.redirect
	in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = g.sse, g.key, g.bucketKey
	in.ObjectLockMode, in.ObjectLockRetainUntilDate, in.ObjectLockLegalHoldStatus = g.mode, g.until, g.hold
}

// toPut gives a PutObject all that the replica is to have. Of the checksum that
// is the algorithm; the value is s.checksum's.
func (s source) toPut(in *s3.PutObjectInput, c object.Copy, now time.Time) {
	in.CacheControl, in.ContentDisposition, in.ContentLanguage = s.CacheControl, s.ContentDisposition, s.ContentLanguage
	in.ContentEncoding, in.ContentType = s.encoding(), s.ContentType
	in.Metadata, in.Tagging = s.Metadata, tagging(s.tags)
	in.ChecksumAlgorithm, _, _ = checksumOf(s.HeadObjectOutput)
	g := s.given(c, now)
	in.StorageClass, in.ACL, in.WebsiteRedirectLocation = g.class, g.acl, g.redirect
	in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = g.sse, g.key, g.bucketKey
	in.ObjectLockMode, in.ObjectLockRetainUntilDate, in.ObjectLockLegalHoldStatus = g.mode, g.until, g.hold
}

// toCopy gives a CopyObject what it does not bring by itself. The zero source
// serves where needsSource is false.
func (s source) toCopy(in *s3.CopyObjectInput, c object.Copy, now time.Time) {
	g := s.given(c, now)
	in.StorageClass, in.ACL, in.WebsiteRedirectLocation = g.class, g.acl, g.redirect
	in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = g.sse, g.key, g.bucketKey
	in.ObjectLockMode, in.ObjectLockRetainUntilDate, in.ObjectLockLegalHoldStatus = g.mode, g.until, g.hold
}

// needsSource reports whether c carries what only a look at the source tells,
// even where the server copies.
func needsSource(c object.Copy) bool { return c.ObjectLock || c.WebsiteRedirect }

// expires gives a toUpload or toPut request the source's Expires, which goes
// past the SDK's own field: that one takes dates only, and S3 keeps any text.
func (s source) expires(o *s3.Options) {
	if s.ExpiresString != nil {
		o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("Expires", *s.ExpiresString))
	}
}

// lost names what no request can carry to the replica.
func (s source) lost() []string {
	var names []string
	if s.HeadObjectOutput == nil {
		return nil
	}
	if aws.ToInt32(s.MissingMeta) > 0 {
		names = append(names, "metadata")
	}
	return names
}

// asked is what the replica is asked to have beside its bytes, as far as a look
// at it tells: name=value. Of a source that was not looked at that is what the
// rule says, since a server that copies brings the rest by itself.
func (s source) asked(c object.Copy, now time.Time) []string {
	var all []string
	want := func(name, value string) {
		if value != "" {
			all = append(all, name+"="+value)
		}
	}
	g := s.given(c, now)
	if g.class != types.StorageClassStandard { // which no look names
		want("storage_class", string(g.class))
	}
	want("sse", string(g.sse))
	want("object_lock", lockOf(g.mode, g.until, g.hold))
	want("website_redirect", aws.ToString(g.redirect))
	if s.HeadObjectOutput != nil {
		for name, value := range contentHeaders(s.HeadObjectOutput) {
			if name == "Content-Encoding" {
				value = s.encoding()
			}
			want(name, aws.ToString(value))
		}
		want("metadata", digest(s.Metadata))
	}
	slices.Sort(all)
	return all
}

// dropped names those of asked that a look at the replica does not find: some
// servers drop without a word what they do not know.
func dropped(asked []string, replica *s3.HeadObjectOutput) []string {
	if replica == nil {
		return nil
	}
	has := map[string]string{
		"storage_class":    string(replica.StorageClass),
		"sse":              string(replica.ServerSideEncryption),
		"object_lock":      lockOf(replica.ObjectLockMode, replica.ObjectLockRetainUntilDate, replica.ObjectLockLegalHoldStatus),
		"website_redirect": aws.ToString(replica.WebsiteRedirectLocation),
		"metadata":         digest(replica.Metadata),
	}
	headers := contentHeaders(replica)
	var names []string
	for _, one := range asked {
		name, value, _ := strings.Cut(one, "=")
		found := has[name]
		if header, ok := headers[name]; ok {
			name, found = "content_headers", aws.ToString(header)
		}
		if found != value && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func lockOf(mode types.ObjectLockMode, until *time.Time, hold types.ObjectLockLegalHoldStatus) string {
	lock := string(mode)
	if until != nil {
		lock += until.UTC().Format(time.RFC3339)
	}
	if hold == types.ObjectLockLegalHoldStatusOn {
		lock += string(hold)
	}
	return lock
}

func contentHeaders(out *s3.HeadObjectOutput) map[string]*string {
	return map[string]*string{
		"Cache-Control": out.CacheControl, "Content-Disposition": out.ContentDisposition, "Content-Encoding": out.ContentEncoding,
		"Content-Language": out.ContentLanguage, "Content-Type": out.ContentType, "Expires": out.ExpiresString,
	}
}

// digest is short for metadata, which an upload remembers; empty for none.
func digest(metadata map[string]string) string {
	if len(metadata) == 0 {
		return ""
	}
	sum := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(metadata)) {
		fmt.Fprintf(sum, "%q=%q,", k, metadata[k])
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// given is what every way of copying has to be told.
type given struct {
	class     types.StorageClass
	sse       types.ServerSideEncryption
	key       *string
	bucketKey *bool
	acl       types.ObjectCannedACL
	redirect  *string
	mode      types.ObjectLockMode
	until     *time.Time
	hold      types.ObjectLockLegalHoldStatus
}

// given follows the rule, and the source in what the rule wants of it. A
// retention that is over is left out: S3 takes none that ends in the past.
func (s source) given(c object.Copy, now time.Time) given {
	g := given{class: types.StorageClass(c.StorageClass), sse: types.ServerSideEncryption(c.SSE)}
	if c.KMSKey != "" {
		g.key = aws.String(c.KMSKey)
	}
	if g.sse == types.ServerSideEncryptionAwsKms {
		g.bucketKey = aws.Bool(c.BucketKey)
	}
	if c.OwnerOverride {
		g.acl = types.ObjectCannedACLBucketOwnerFullControl
	}
	if s.HeadObjectOutput == nil {
		return g
	}
	if c.WebsiteRedirect {
		g.redirect = s.WebsiteRedirectLocation
	}
	if c.ObjectLock {
		if aws.ToTime(s.ObjectLockRetainUntilDate).After(now) {
			g.mode, g.until = s.ObjectLockMode, s.ObjectLockRetainUntilDate
		}
		if s.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn {
			g.hold = types.ObjectLockLegalHoldStatusOn
		}
	}
	return g
}

// encoding is the Content-Encoding without aws-chunked, which is how some
// request came and not how the content is, and which some servers keep.
func (s source) encoding() *string {
	if !strings.Contains(aws.ToString(s.ContentEncoding), "aws-chunked") {
		return s.ContentEncoding
	}
	codings := strings.Split(*s.ContentEncoding, ",")
	codings = slices.DeleteFunc(codings, func(c string) bool { return strings.TrimSpace(c) == "aws-chunked" })
	if len(codings) == 0 {
		return nil
	}
	return aws.String(strings.TrimSpace(strings.Join(codings, ",")))
}

// partsChecksum is what a multipart upload can keep of the source's checksum:
// its algorithm, and whether it is one of all bytes, which only CRCs of parts
// can be joined into.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
func (s source) partsChecksum() (types.ChecksumAlgorithm, types.ChecksumType) {
	algorithm, kind, _ := checksumOf(s.HeadObjectOutput)
	switch algorithm {
	case "":
		return "", ""
	case types.ChecksumAlgorithmCrc64nvme:
		return algorithm, types.ChecksumTypeFullObject
	case types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c:
		if kind == types.ChecksumTypeFullObject {
			return algorithm, kind
		}
	}
	return algorithm, types.ChecksumTypeComposite
}

// checksumOf is the checksum that an answer has: its algorithm, whether it is
// one of all bytes or of the parts' checksums, and its value. Empty where there
// is none that the SDK can compute: the replica gets S3's own then.
func checksumOf(out *s3.HeadObjectOutput) (types.ChecksumAlgorithm, types.ChecksumType, string) {
	for _, c := range []struct {
		algorithm types.ChecksumAlgorithm
		value     *string
	}{
		{types.ChecksumAlgorithmCrc64nvme, out.ChecksumCRC64NVME},
		{types.ChecksumAlgorithmSha512, out.ChecksumSHA512},
		{types.ChecksumAlgorithmSha256, out.ChecksumSHA256},
		{types.ChecksumAlgorithmSha1, out.ChecksumSHA1},
		{types.ChecksumAlgorithmCrc32c, out.ChecksumCRC32C},
		{types.ChecksumAlgorithmCrc32, out.ChecksumCRC32},
	} {
		if c.value != nil {
			return c.algorithm, out.ChecksumType, *c.value
		}
	}
	return "", "", ""
}

// tagging is the value of x-amz-tagging, nil for no tags.
func tagging(tags map[string]string) *string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		pairs = append(pairs, percentEncoded(k, "")+"="+percentEncoded(tags[k], ""))
	}
	if pairs == nil {
		return nil
	}
	return aws.String(strings.Join(pairs, "&"))
}
