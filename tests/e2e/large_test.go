package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A local cloud calls 64 MiB large, which is one part and a little.
func TestALargeObjectArrivesByParts(t *testing.T) {
	s := deployed(t)
	from, to := at{"photos", "large/by parts"}, at{"backup", "large/by parts"}
	want := content{
		Body: strings.Repeat("0123456789abcdef", 4<<20) + "and a little", ContentType: "video/mp4",
		Metadata: map[string]string{"camera": "EOS 5D"},
		// The local S3 loses the tags of an upload by parts.
	}
	s.put(t, from, want)
	s.told(t, "mirror", from, "skipped transferring")
	arrives := func(want content) {
		t.Helper()
		var got content
		await(t, func() (found bool, err error) {
			got, found, err = s.get(t.Context(), to)
			return found && got.Body == want.Body, err
		}, func() string { return fmt.Sprintf("%d bytes at %s; there are %d", len(want.Body), to, len(got.Body)) })
		if !same(got, want) {
			t.Errorf("type %q, metadata %v, tags %v", got.ContentType, got.Metadata, got.Tags)
		}
	}
	arrives(want)
	// The next one replaces it, which takes that it is known as ours.
	want.Body = "a little first, " + want.Body
	s.put(t, from, want)
	arrives(want)
	left, err := s.S3.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &to.bucket})
	if err != nil || len(left.Uploads) > 0 {
		t.Errorf("uploads are left: %v, %v", left, err)
	}
	s.delete(t, from)
	await(t, func() (bool, error) {
		list, err := s.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &to.bucket, Prefix: &to.key})
		return err == nil && len(list.Contents) == 0, err
	}, func() string { return fmt.Sprintf("%s to go", to) })
}
