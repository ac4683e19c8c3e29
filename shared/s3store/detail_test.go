package s3store_test

import (
	"io"
	"maps"
	"net/http"
	"testing"

	"bucket-replicator/shared/object"
)

func TestADescriptionSaysWhatIsThere(t *testing.T) {
	const md5 = "5d41402abc4b2a76b9719d911017c592"
	plain := object.Sum{Algorithm: "MD5"}
	for name, c := range map[string]struct {
		answer answer
		sums   map[object.Sum]string
	}{
		"a plain object":             {found(md5), map[object.Sum]string{plain: md5}},
		"one with S3's encryption":   {found(md5, "x-amz-server-side-encryption", "AES256"), map[object.Sum]string{plain: md5}},
		"one with a key of KMS":      {found(md5, "x-amz-server-side-encryption", "aws:kms"), map[object.Sum]string{}},
		"one with a customer's key":  {found(md5, "x-amz-server-side-encryption-customer-algorithm", "AES256"), map[object.Sum]string{}},
		"one uploaded in parts":      {found(md5 + "-2"), map[object.Sum]string{}},
		"one with a tag of its own":  {found("0x8D4BCC2E4835CD0"), map[object.Sum]string{}},
		"one with a checksum":        {found(md5, "x-amz-checksum-crc64nvme", "M3eFcAZSQlc=", "x-amz-checksum-type", "FULL_OBJECT"), map[object.Sum]string{plain: md5, {Algorithm: "CRC64NVME"}: "M3eFcAZSQlc="}},
		"one with a composite":       {found("x-2", "x-amz-checksum-sha256", "abc=", "x-amz-checksum-type", "COMPOSITE"), map[object.Sum]string{{Algorithm: "SHA256", Composite: true}: "abc="}},
		"a composite without a type": {found("x-2", "x-amz-checksum-sha256", "abc=-2"), map[object.Sum]string{{Algorithm: "SHA256", Composite: true}: "abc=-2"}},
	} {
		t.Run(name, func(t *testing.T) {
			maps.Copy(c.answer.header, http.Header{
				"X-Amz-Meta-Owner": {"me"}, "Content-Type": {"text/plain"}, "Cache-Control": {"no-store"}, "Expires": {"Thu, 01 Jan 2026 00:00:00 GMT"}, "X-Amz-Version-Id": {"v1"},
			})
			s := script(t, c.answer, answer{status: 200, body: `<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>`})
			d, err := s.store(native).Describe(t.Context(), toB, true, true)
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(d.Sums, c.sums) || d.Size != 5 || d.Presence != object.Present {
				t.Errorf("got %+v, want %v", d, c.sums)
			}
			if !maps.Equal(d.Metadata, map[string]string{"owner": "me"}) || !maps.Equal(d.Tags, map[string]string{"a": "b"}) ||
				!maps.Equal(d.Headers, map[string]string{"Content-Type": "text/plain", "Cache-Control": "no-store", "Expires": "Thu, 01 Jan 2026 00:00:00 GMT"}) {
				t.Errorf("got %+v", d)
			}
			s.wantSent("HEAD /b/b", "GET /b/b?tagging=&versionId=v1")
			if got := s.requests[0].Header.Get("x-amz-checksum-mode"); got != "ENABLED" {
				t.Errorf("the checksum mode is %q", got)
			}
		})
	}
}

func TestADescriptionAsksForNoMoreThanIsWanted(t *testing.T) {
	s := script(t, found("x"))
	if _, err := s.store(native).Describe(t.Context(), toB, false, false); err != nil {
		t.Fatal(err)
	}
	s.wantSent("HEAD /b/b")
	if got := s.requests[0].Header.Get("x-amz-checksum-mode"); got != "" {
		t.Errorf("the checksum mode is %q", got)
	}
	s = script(t, answer{status: 404, header: http.Header{"X-Amz-Delete-Marker": {"true"}, "X-Amz-Version-Id": {"m"}}})
	if d, err := s.store(native).Describe(t.Context(), toB, true, true); err != nil || d.Presence != object.Hidden {
		t.Errorf("%+v, %v", d, err)
	}
	s = script(t, answer{status: 403})
	if _, err := s.store(native).Describe(t.Context(), toB, false, false); object.ClassOf(err) != object.Permanent || object.CodeOf(err) != "AccessDenied" {
		t.Errorf("%v", err)
	}
}

func part(length, contentRange, body string) answer {
	return answer{status: 206, header: http.Header{"Content-Length": {length}, "Content-Range": {contentRange}}, body: body}
}

func TestAReadIsConditionalAndOfItsRange(t *testing.T) {
	s := script(t, part("4", "bytes 3-6/10", "3456"))
	body, err := s.store(native).Read(t.Context(), toB, "tag", 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if text, err := io.ReadAll(body); string(text) != "3456" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	h := s.requests[0].Header
	if h.Get("If-Match") != `"tag"` || h.Get("Range") != "bytes=3-6" {
		t.Errorf("If-Match %q, Range %q", h.Get("If-Match"), h.Get("Range"))
	}
}

func TestAReadThatGoesWrong(t *testing.T) {
	for name, c := range map[string]struct {
		answer answer
		class  object.Class
	}{
		"it changed":          {failed(412, "PreconditionFailed"), object.Premise},
		"it is gone":          {failed(404, "NoSuchKey"), object.Premise},
		"it is archived":      {failed(403, "InvalidObjectState"), object.Permanent},
		"it may not be read":  {failed(403, "AccessDenied"), object.Permanent},
		"the range is beyond": {failed(416, "InvalidRange"), object.Permanent},
		"all of it is sent":   {answer{status: 200, header: http.Header{"Content-Length": {"10"}}, body: "0123456789"}, object.Permanent},
		"less of it is sent":  {part("2", "bytes 3-4/5", "34"), object.Permanent},
	} {
		s := script(t, c.answer)
		if _, err := s.store(native).Read(t.Context(), toB, "tag", 3, 4); err == nil || object.ClassOf(err) != c.class {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The connection breaks after the header.
	s := script(t, part("4", "bytes 3-6/10", "34"))
	body, err := s.store(native).Read(t.Context(), toB, "tag", 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if text, err := io.ReadAll(body); string(text) != "34" || err == nil || object.ClassOf(err) != object.Retryable {
		t.Errorf("%q, %v", text, err)
	}
}
