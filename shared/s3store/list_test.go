package s3store_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"bucket-replicator/shared/object"
)

// listed is an answer to a listing; next empty: there is no more.
func listed(encoding, next string, keys ...string) answer {
	var b strings.Builder
	b.WriteString("<ListBucketResult>")
	if encoding != "" {
		b.WriteString("<EncodingType>" + encoding + "</EncodingType>")
	}
	fmt.Fprintf(&b, "<IsTruncated>%t</IsTruncated>", next != "")
	if next != "" {
		b.WriteString("<NextContinuationToken>" + next + "</NextContinuationToken>")
	}
	for _, k := range keys {
		b.WriteString(`<Contents><Key>` + k + `</Key><ETag>"e"</ETag><Size>5</Size><LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>`)
	}
	b.WriteString("</ListBucketResult>")
	return answer{status: 200, body: b.String()}
}

func TestKeysAreDecodedOnlyWhereTheAnswerSaysSo(t *testing.T) {
	for encoding, want := range map[string]string{"url": "a b+c", "": "a+b%2Bc"} {
		s := script(t, listed(encoding, "", "a+b%2Bc"))
		page, more, err := s.store(native).List(t.Context(), remote, "a", "A", 10)
		if err != nil || more || len(page) != 1 || page[0].Key != want {
			t.Errorf("encoding %q: got %+v, %t, %v, want the key %q", encoding, page, more, err, want)
		}
		if got := (object.State{Presence: object.Present, ETag: "e", Size: 5, LastModified: noted}); len(page) == 1 && fmt.Sprint(page[0].State) != fmt.Sprint(got) {
			t.Errorf("got %+v, want %+v", page[0].State, got)
		}
		s.wantSent("GET /b?encoding-type=url&list-type=2&max-keys=10&prefix=a&start-after=A")
	}
}

func TestAPageOfNothingButDeletedKeysIsReadOn(t *testing.T) {
	s := script(t, listed("url", "t1"), listed("url", "t2"), listed("url", "t3", "k"))
	page, more, err := s.store(native).List(t.Context(), remote, "", "", 1)
	if err != nil || !more || len(page) != 1 {
		t.Errorf("got %+v, %t, %v", page, more, err)
	}
	const first = "GET /b?encoding-type=url&list-type=2&max-keys=1"
	s.wantSent(first, strings.Replace(first, "?", "?continuation-token=t1&", 1), strings.Replace(first, "?", "?continuation-token=t2&", 1))
}

func TestAListingThatCannotBeTrustedIsAnError(t *testing.T) {
	for name, c := range map[string]struct {
		code    string
		answers []answer
	}{
		"the token stands still":        {"ListingStandsStill", []answer{listed("url", "t"), listed("url", "t")}},
		"the order is broken":           {"ListingOutOfOrder", []answer{listed("url", "", "b", "a")}},
		"a key comes twice":             {"ListingOutOfOrder", []answer{listed("url", "", "b", "b")}},
		"it begins before the start":    {"ListingOutOfOrder", []answer{listed("url", "", "A")}},
		"a key is not properly encoded": {"ListingEncoding", []answer{listed("url", "", "b%zz")}},
		"a key lost a character in XML": {"ListingEncoding", []answer{listed("", "", "b\ufffd")}},
	} {
		t.Run(name, func(t *testing.T) {
			page, more, err := script(t, c.answers...).store(native).List(t.Context(), remote, "", "A", 10)
			if object.CodeOf(err) != c.code || object.ClassOf(err) != object.Permanent || page != nil || more {
				t.Errorf("got %+v, %t, %v, want %s", page, more, err, c.code)
			}
		})
	}
}

func TestAListingThatBreaksOffIsAskedForAgain(t *testing.T) {
	whole := listed("url", "", "k")
	cut := answer{status: 200, body: whole.body[:len(whole.body)-1], header: http.Header{"Content-Length": {fmt.Sprint(len(whole.body))}}}
	s := script(t, cut, whole)
	page, more, err := s.store(native).List(t.Context(), remote, "", "", 10)
	if err != nil || more || len(page) != 1 {
		t.Errorf("got %+v, %t, %v", page, more, err)
	}
}

func TestWhatIsNoListingIsNeverAnEmptyOne(t *testing.T) {
	for name, c := range map[string]struct {
		answer
		code string
	}{
		"nothing":                  {answer{status: 200}, "ListingUnreadable"},
		"no content":               {answer{status: 204}, "ListingUnreadable"},
		"words":                    {answer{status: 200, body: "moved"}, "ListingUnreadable"},
		"half a tag":               {answer{status: 200, body: "<html"}, "ListingUnreadable"},
		"a web page":               {answer{status: 200, body: "<!DOCTYPE html><html><body>moved</body></html>"}, "ListingUnreadable"},
		"a listing of versions":    {answer{status: 200, body: "<ListVersionsResult/>"}, "ListingUnreadable"},
		"half a listing":           {answer{status: 200, body: strings.TrimSuffix(listed("url", "", "k").body, "</ListBucketResult>")}, "ListingUnreadable"},
		"an error after a success": {failed(200, "SlowDown"), "SlowDown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the SDK waits before it asks again
			s := script(t, c.answer, c.answer, c.answer)
			page, more, err := s.store(native).List(t.Context(), remote, "", "", 10)
			if object.CodeOf(err) != c.code || object.ClassOf(err) != object.Retryable || page != nil || more {
				t.Errorf("got %+v, %t, %v, want %s", page, more, err, c.code)
			}
		})
	}
}

func TestArchivedObjectsAreListedAsSuch(t *testing.T) {
	for name, c := range map[string]struct {
		xml      string
		archived bool
	}{
		"standard":       {"<StorageClass>STANDARD</StorageClass>", false},
		"archived":       {"<StorageClass>GLACIER</StorageClass>", true},
		"being restored": {"<StorageClass>GLACIER</StorageClass><RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>", true},
		"restored": {"<StorageClass>DEEP_ARCHIVE</StorageClass><RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>" +
			"<RestoreExpiryDate>2026-02-03T00:00:00Z</RestoreExpiryDate></RestoreStatus>", false},
	} {
		t.Run(name, func(t *testing.T) {
			a := listed("url", "", "k")
			a.body = strings.Replace(a.body, "</Contents>", c.xml+"</Contents>", 1)
			page, _, err := script(t, a).store(native).List(t.Context(), remote, "", "", 10)
			if err != nil || len(page) != 1 || page[0].State.Archived != c.archived {
				t.Errorf("got %+v, %v, want archived %t", page, err, c.archived)
			}
		})
	}
}
