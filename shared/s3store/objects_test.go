package s3store_test

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
)

var (
	native   = s3store.Conditions{}
	emulated = s3store.Conditions{Copy: true, Delete: true}

	fromA = object.Ref{Bucket: remote, Key: "a"}
	toB   = object.Ref{Bucket: remote, Key: "b"}
	noted = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func TestACopyIsOneRequestThatSaysEverything(t *testing.T) {
	for name, c := range map[string]struct {
		copy object.Copy
		want map[string]string // headers; empty: must not be sent
	}{
		"to an absent key": {
			object.Copy{Tags: true},
			map[string]string{
				"x-amz-copy-source":            "b/a",
				"x-amz-copy-source-if-match":   `"old"`,
				"x-amz-metadata-directive":     "COPY",
				"x-amz-tagging-directive":      "COPY",
				"if-none-match":                "*",
				"if-match":                     "",
				"x-amz-acl":                    "",
				"x-amz-storage-class":          "",
				"x-amz-server-side-encryption": "",
			},
		},
		"over a replica, without tags": {
			object.Copy{DestETag: "theirs"},
			map[string]string{
				"if-match":                `"theirs"`,
				"if-none-match":           "",
				"x-amz-tagging-directive": "REPLACE",
				"x-amz-tagging":           "",
			},
		},
		"with all that a rule overrides": {
			object.Copy{StorageClass: "STANDARD_IA", SSE: "aws:kms", KMSKey: "alias/k", BucketKey: true, OwnerOverride: true},
			map[string]string{
				"x-amz-storage-class":                             "STANDARD_IA",
				"x-amz-server-side-encryption":                    "aws:kms",
				"x-amz-server-side-encryption-aws-kms-key-id":     "alias/k",
				"x-amz-server-side-encryption-bucket-key-enabled": "true",
				"x-amz-acl": "bucket-owner-full-control",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, answer{status: 200, body: copyResult, header: http.Header{
				"X-Amz-Version-Id": {"v2"}, "X-Amz-Copy-Source-Version-Id": {"v1"},
			}})
			c.copy.From, c.copy.To, c.copy.SourceETag = fromA, toB, "old"
			copied, err := s.store(native).Copy(t.Context(), c.copy)
			if err != nil {
				t.Fatal(err)
			}
			want := object.Copied{Dest: object.Dest{ETag: "new", LastModified: noted, VersionID: "v2"}, SourceVersionID: "v1"}
			if !reflect.DeepEqual(copied, want) {
				t.Errorf("copied %+v, want %+v", copied, want)
			}
			s.wantSent("PUT /b/b")
			for header, value := range c.want {
				if got := s.requests[0].Header.Get(header); got != value {
					t.Errorf("%s: %q, want %q", header, got, value)
				}
			}
		})
	}
}

func TestWhatOnlyALookTellsIsLookedAtFirst(t *testing.T) {
	has := []string{
		"x-amz-object-lock-mode", "GOVERNANCE", "x-amz-object-lock-retain-until-date", "2100-01-02T03:04:05Z",
		"x-amz-object-lock-legal-hold", "ON", "x-amz-website-redirect-location", "/there", "x-amz-missing-meta", "1",
	}
	for name, c := range map[string]struct {
		copy object.Copy
		want map[string]string
	}{
		"the lock": {object.Copy{ObjectLock: true, Tags: true}, map[string]string{
			"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": "2100-01-02T03:04:05Z",
			"x-amz-object-lock-legal-hold": "ON", "x-amz-website-redirect-location": "",
		}},
		"the redirect": {object.Copy{WebsiteRedirect: true}, map[string]string{
			"x-amz-object-lock-mode": "", "x-amz-object-lock-legal-hold": "", "x-amz-website-redirect-location": "/there",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, found("old", has...), answer{status: 200, body: copyResult})
			c.copy.From, c.copy.To, c.copy.SourceETag = fromA, toB, "old"
			copied, err := s.store(native).Copy(t.Context(), c.copy)
			if err != nil || !slices.Equal(copied.Lost, []string{"metadata"}) {
				t.Fatalf("copied %+v, %v", copied, err)
			}
			s.wantSent("HEAD /b/a", "PUT /b/b")
			if got := s.requests[0].Header.Get("If-Match"); got != `"old"` {
				t.Errorf("the look's If-Match: %q", got)
			}
			for header, value := range c.want {
				if got := s.requests[1].Header.Get(header); got != value {
					t.Errorf("%s: %q, want %q", header, got, value)
				}
			}
		})
	}
	for name, a := range map[string]answer{"it changed": {status: 412}, "it changed, unnoticed by the server": found("new"), "it is gone": {status: 404}} {
		t.Run(name, func(t *testing.T) {
			s := script(t, a)
			_, err := s.store(native).Copy(t.Context(), object.Copy{From: fromA, To: toB, SourceETag: "old", ObjectLock: true})
			if err == nil || object.ClassOf(err) != object.Premise {
				t.Errorf("got %v", err)
			}
			s.wantSent("HEAD /b/a")
		})
	}
}

func TestAWriteWhoseAnswerWasLostIsNotRepeated(t *testing.T) {
	for name, a := range map[string]answer{
		"the connection broke": {hangUp: true},
		"an internal error":    failed(500, "InternalError"),
		"an error inside 200":  {status: 200, body: "<Error><Code>InternalError</Code><Message>m</Message></Error>"},
	} {
		t.Run("copy, "+name, func(t *testing.T) {
			s := script(t, a)
			_, err := s.store(native).Copy(t.Context(), object.Copy{From: fromA, To: toB, SourceETag: "old"})
			if err == nil || object.ClassOf(err) != object.Retryable {
				t.Errorf("got %v, want a retryable error", err)
			}
			s.wantSent("PUT /b/b")
		})
		if a.status == 200 { // nothing that a delete answers
			continue
		}
		t.Run("delete, "+name, func(t *testing.T) {
			s := script(t, a)
			err := s.store(native).Delete(t.Context(), toB, "old")
			if err == nil || object.ClassOf(err) != object.Retryable {
				t.Errorf("got %v, want a retryable error", err)
			}
			s.wantSent("DELETE /b/b")
		})
	}
}

func TestAWriteThatWasRefusedForItsRateIsRepeated(t *testing.T) {
	s := script(t, failed(503, "SlowDown"), answer{status: 204})
	if err := s.store(native).Delete(t.Context(), toB, "old"); err != nil {
		t.Fatal(err)
	}
	s.wantSent("DELETE /b/b", "DELETE /b/b")
	if got := s.requests[1].Header.Get("If-Match"); got != `"old"` {
		t.Errorf("If-Match: %q", got)
	}
}

func TestALookSaysWhatItFound(t *testing.T) {
	for name, c := range map[string]struct {
		answers []answer
		want    object.State
	}{
		"an object": {
			[]answer{found("e", "x-amz-version-id", "v1")},
			object.State{Presence: object.Present, ETag: "e", Size: 5, LastModified: noted, VersionID: "v1"},
		},
		"versioning is suspended": {
			[]answer{found("e", "x-amz-version-id", "null")},
			object.State{Presence: object.Present, ETag: "e", Size: 5, LastModified: noted},
		},
		"a checksum of the whole object": {
			[]answer{found("e", "x-amz-checksum-crc64nvme", "AAA=", "x-amz-checksum-type", "FULL_OBJECT")},
			object.State{Presence: object.Present, ETag: "e", Size: 5, LastModified: noted, Checksum: "CRC64NVME:AAA="},
		},
		"a checksum of checksums": {
			[]answer{found("e", "x-amz-checksum-sha256", "AAA=-2", "x-amz-checksum-type", "COMPOSITE")},
			object.State{Presence: object.Present, ETag: "e", Size: 5, LastModified: noted},
		},
		"archived": {
			[]answer{found("e", "x-amz-storage-class", "DEEP_ARCHIVE")},
			object.State{Presence: object.Present, ETag: "e", Size: 5, LastModified: noted, Archived: true},
		},
		"archived by Intelligent-Tiering": {
			[]answer{found("e", "x-amz-storage-class", "INTELLIGENT_TIERING", "x-amz-archive-status", "ARCHIVE_ACCESS")},
			object.State{Presence: object.Present, ETag: "e", Size: 5, LastModified: noted, Archived: true},
		},
		"being restored": {
			[]answer{found("e", "x-amz-storage-class", "GLACIER", "x-amz-restore", `ongoing-request="true"`)},
			object.State{Presence: object.Present, ETag: "e", Size: 5, LastModified: noted, Archived: true},
		},
		"restored": {
			[]answer{found("e", "x-amz-storage-class", "GLACIER", "x-amz-restore", `ongoing-request="false", expiry-date="Fri, 02 Jan 2026 00:00:00 GMT"`)},
			object.State{Presence: object.Present, ETag: "e", Size: 5, LastModified: noted},
		},
		"instant retrieval is no archive": {
			[]answer{found("e", "x-amz-storage-class", "GLACIER_IR")},
			object.State{Presence: object.Present, ETag: "e", Size: 5, LastModified: noted},
		},
		"a delete marker": {
			[]answer{{status: 404, header: http.Header{"X-Amz-Delete-Marker": {"true"}, "X-Amz-Version-Id": {"m1"}, "Last-Modified": {"Fri, 02 Jan 2026 03:04:05 GMT"}}}},
			object.State{Presence: object.Hidden, VersionID: "m1", LastModified: noted},
		},
		"nothing": {
			[]answer{{status: 404}, {status: 200}},
			object.State{Presence: object.Absent},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, c.answers...)
			got, err := s.store(native).Head(t.Context(), toB, false)
			if err != nil {
				t.Fatal(err)
			}
			if got.Tags != nil {
				t.Errorf("tags %v, where nobody asked", got.Tags)
			}
			if got.Presence != c.want.Presence || got.ETag != c.want.ETag || got.Size != c.want.Size || got.LastModified != c.want.LastModified ||
				got.VersionID != c.want.VersionID || got.Checksum != c.want.Checksum || got.Archived != c.want.Archived {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if len(s.sent()) != len(c.answers) {
				t.Errorf("sent %q", s.sent())
			}
		})
	}
}

func TestAbsenceIsNotBelievedWhereTheBucketIsGone(t *testing.T) {
	for name, c := range map[string]struct {
		bucket int
		code   string
	}{
		"the bucket is gone":         {404, "NoSuchBucket"},
		"the bucket may not be seen": {403, "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, answer{status: 404}, answer{status: c.bucket})
			state, err := s.store(native).Head(t.Context(), toB, false)
			if object.ClassOf(err) != object.Permanent || object.CodeOf(err) != c.code || state.Presence != object.Unknown {
				t.Errorf("got %+v, %v", state, err)
			}
			s.wantSent("HEAD /b/b", "HEAD /b")
		})
	}
}

func TestTagsAreThoseOfTheVersionLookedAt(t *testing.T) {
	s := script(t, found("e", "x-amz-version-id", "v1"),
		answer{status: 200, body: "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"})
	got, err := s.store(native).Head(t.Context(), toB, true)
	if err != nil || len(got.Tags) != 1 || got.Tags["k"] != "v" {
		t.Errorf("got %+v, %v", got, err)
	}
	s.wantSent("HEAD /b/b", "GET /b/b?tagging=&versionId=v1")
}

func TestWhereConditionsAreIgnoredTheStoreLooksAround(t *testing.T) {
	absent := []answer{{status: 404}, {status: 200}}
	copied := answer{status: 200, body: copyResult}
	for name, c := range map[string]struct {
		dest    string
		answers []answer
		landed  bool
		sent    []string
	}{
		"an absent key": {"", append(absent, copied, found("new")), true,
			[]string{"HEAD /b/b", "HEAD /b", "PUT /b/b", "HEAD /b/b"}},
		"the expected object": {"old", []answer{found("old"), copied, found("new")}, true,
			[]string{"HEAD /b/b", "PUT /b/b", "HEAD /b/b"}},
		"an object where none was expected": {"", []answer{found("theirs")}, false,
			[]string{"HEAD /b/b"}},
		"another object": {"old", []answer{found("theirs")}, false,
			[]string{"HEAD /b/b"}},
		"nothing where an object was expected": {"old", absent, false,
			[]string{"HEAD /b/b", "HEAD /b"}},
		"somebody overwrote the copy": {"old", []answer{found("old"), copied, found("theirs")}, false,
			[]string{"HEAD /b/b", "PUT /b/b", "HEAD /b/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, c.answers...)
			_, err := s.store(emulated).Copy(t.Context(), object.Copy{From: fromA, To: toB, SourceETag: "e", DestETag: c.dest})
			if c.landed != (err == nil) || err != nil && object.ClassOf(err) != object.Premise {
				t.Errorf("got %v", err)
			}
			s.wantSent(c.sent...)
			for _, r := range s.requests {
				if r.Header.Get("If-Match")+r.Header.Get("If-None-Match") != "" {
					t.Error("a condition was sent that the endpoint is known to ignore")
				}
			}
		})
	}
	t.Run("a delete", func(t *testing.T) {
		s := script(t, found("old"), answer{status: 204})
		if err := s.store(emulated).Delete(t.Context(), toB, "old"); err != nil {
			t.Error(err)
		}
		s.wantSent("HEAD /b/b", "DELETE /b/b")
	})
	t.Run("a delete of another object", func(t *testing.T) {
		s := script(t, found("theirs"))
		if err := s.store(emulated).Delete(t.Context(), toB, "old"); object.ClassOf(err) != object.Premise || err == nil {
			t.Errorf("got %v", err)
		}
		s.wantSent("HEAD /b/b")
	})
}

func TestATaggingIsOfTheVersionThatWasLookedAt(t *testing.T) {
	later := []string{"Last-Modified", "Fri, 02 Jan 2026 03:04:06 GMT"}
	for name, c := range map[string]struct {
		version string
		answers []answer
		sent    []string
		class   object.Class
		fails   bool
	}{
		"where there are versions":                       {"v1", []answer{{status: 200}}, []string{"PUT /b/b?tagging=&versionId=v1"}, 0, false},
		"where there are none, and it is the same":       {"", []answer{{status: 200}, found("e")}, []string{"PUT /b/b?tagging=", "HEAD /b/b"}, 0, false},
		"where there are none, and it was replaced":      {"", []answer{{status: 200}, found("f")}, []string{"PUT /b/b?tagging=", "HEAD /b/b"}, object.Premise, true},
		"where there are none, and it was written again": {"", []answer{{status: 200}, found("e", later...)}, []string{"PUT /b/b?tagging=", "HEAD /b/b"}, object.Premise, true},
		"the version is gone":                            {"v1", []answer{failed(404, "NoSuchVersion")}, []string{"PUT /b/b?tagging=&versionId=v1"}, object.Premise, true},
		"the server knows no tags":                       {"v1", []answer{failed(501, "NotImplemented")}, []string{"PUT /b/b?tagging=&versionId=v1"}, object.Permanent, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, c.answers...)
			err := s.store(native).Retag(t.Context(), object.Retag{
				At: toB, ETag: "e", LastModified: noted, VersionID: c.version, Tags: map[string]string{"k": "v", "a": ""},
			})
			if c.fails != (err != nil) || err != nil && object.ClassOf(err) != c.class {
				t.Errorf("got %v", err)
			}
			s.wantSent(c.sent...)
			if got := s.bodies[0]; !strings.Contains(got, "<TagSet><Tag><Key>a</Key><Value></Value></Tag><Tag><Key>k</Key><Value>v</Value></Tag></TagSet>") {
				t.Errorf("sent %s", got)
			}
		})
	}
}

func TestAnObjectTooLargeForOneCopyIsNamedSo(t *testing.T) {
	for name, c := range map[string]struct{ size, code string }{
		"too large":             {"5368709121", "TooLargeForOneCopy"},
		"invalid for something": {"5368709120", "InvalidRequest"},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, failed(400, "InvalidRequest"), found("old", "Content-Length", c.size))
			_, err := s.store(native).Copy(t.Context(), object.Copy{From: fromA, To: toB, SourceETag: "old"})
			if object.ClassOf(err) != object.Permanent || object.CodeOf(err) != c.code {
				t.Errorf("got %v, want the code %s", err, c.code)
			}
			s.wantSent("PUT /b/b", "HEAD /b/a")
		})
	}
}

func TestABackendNobodyConfiguredIsAPermanentError(t *testing.T) {
	store := s3store.New(plainConfig(), s3store.Options{Backends: func() []rule.Backend {
		return []rule.Backend{{Name: "one", Endpoint: "http://one.invalid"}}
	}})
	to := object.Ref{Bucket: object.Bucket{Backend: "three", Name: "b"}, Key: "k"}
	_, err := store.Copy(t.Context(), object.Copy{
		From: object.Ref{Bucket: object.Bucket{Backend: "one", Name: "a"}, Key: "k"}, To: to, SourceETag: "e",
	})
	if object.ClassOf(err) != object.Permanent || object.CodeOf(err) != "UnknownBackend" {
		t.Errorf("got %v, want a permanent UnknownBackend", err)
	}
}

func TestAnEndpointOfItsOwnIsNotTrustedWithConditions(t *testing.T) {
	s := script(t, found("theirs"))
	server := s.listen()
	store := s3store.New(plainConfig(), s3store.Options{Backends: func() []rule.Backend {
		return []rule.Backend{{Name: "remote", Endpoint: server, PathStyle: true}}
	}})
	if err := store.Delete(t.Context(), toB, "old"); object.ClassOf(err) != object.Premise || err == nil {
		t.Errorf("got %v", err)
	}
	s.wantSent("HEAD /b/b")
}

func TestWhereTheRequesterPaysEveryRequestAgrees(t *testing.T) {
	s := script(t, found("old"), answer{status: 200, body: copyResult}, found("old"), answer{status: 200, body: copyResult}, answer{status: 200, body: partOne})
	address := s.listen()
	ours := object.Bucket{Backend: "remote", Name: "ours"}
	store := s3store.New(plainConfig(), s3store.Options{
		Backends: func() []rule.Backend {
			return []rule.Backend{{Name: "remote", Endpoint: address, PathStyle: true}}
		},
		Emulated:      map[string]s3store.Conditions{"remote": {}},
		RequesterPays: func(b object.Bucket) bool { return b == remote },
	})
	elsewhere := object.Ref{Bucket: ours, Key: "k"}
	do := func(what string, err error) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := store.Head(t.Context(), fromA, false)
	do("a look", err)
	_, err = store.Copy(t.Context(), object.Copy{From: fromA, To: elsewhere, SourceETag: "old"})
	do("a copy from there", err)
	_, err = store.Head(t.Context(), elsewhere, false)
	do("a look elsewhere", err)
	_, err = store.Copy(t.Context(), object.Copy{From: elsewhere, To: fromA, SourceETag: "old"})
	do("a copy to there", err)
	_, err = store.CopyPart(t.Context(), object.Part{From: fromA, SourceETag: "old", Upload: object.Upload{To: elsewhere, ID: "u"}, Number: 1, Last: 9})
	do("a part from there", err)
	var got []string
	for _, r := range s.requests {
		got = append(got, r.Header.Get("x-amz-request-payer"))
	}
	if want := []string{"requester", "requester", "", "requester", "requester"}; !slices.Equal(got, want) {
		t.Errorf("agreed to pay: %q, want %q", got, want)
	}
}
