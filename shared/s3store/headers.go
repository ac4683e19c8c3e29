package s3store

import (
	"strings"

	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// copySource is the value of x-amz-copy-source for the current version of an
// object. The SDK sends it as it is, so everything but unreserved characters
// and the slash is percent-encoded here; url.PathEscape would leave a plus
// sign alone, which S3 reads as a space.
func copySource(from object.Ref) string {
	return from.Bucket.Name + "/" + percentEncoded(from.Key, "/")
}

// percentEncoded is s with everything encoded but unreserved characters and
// those of plain.
func percentEncoded(s, plain string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; unreserved(c) || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// unreserved are the characters of RFC 3986, section 2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// bare is an entity tag without its quotes.
func bare(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

func quoted(etag string) string { return `"` + etag + `"` }

// restored reads x-amz-restore: a copy of the archived object can be read.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
func restored(header string) bool {
	return strings.Contains(header, `ongoing-request="false"`)
}

// checksum is a checksum of the whole object, empty where the answer has none.
func checksum(out *s3.HeadObjectOutput) string {
	algorithm, kind, value := checksumOf(out)
	if value == "" || kind != types.ChecksumTypeFullObject {
		return ""
	}
	return string(algorithm) + ":" + value
}
