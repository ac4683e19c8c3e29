package s3store_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/parts"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
)

var (
	begun   = object.Upload{To: toB, ID: "u/1+2"}
	aPart   = object.Part{From: fromA, SourceETag: "old", SourceVersionID: "v 1", Upload: begun, Number: 7, First: 10, Last: 19}
	whole   = object.Completion{Copy: object.Copy{From: fromA, To: toB, SourceETag: "old"}, Upload: begun, Size: 15, PartSize: 10, Parts: []object.PartCopied{{ETag: "one"}, {ETag: "two"}}}
	ended   = answer{status: 200, body: `<CompleteMultipartUploadResult><ETag>"new-2"</ETag></CompleteMultipartUploadResult>`, header: http.Header{"X-Amz-Version-Id": {"v2"}}}
	partOne = `<CopyPartResult><ETag>"part"</ETag></CopyPartResult>`
)

func TestAPartIsOneRequestForThisVersionAlone(t *testing.T) {
	s := script(t, answer{status: 200, body: partOne})
	copied, err := s.store(native).CopyPart(t.Context(), aPart)
	if err != nil || copied != (object.PartCopied{ETag: "part"}) {
		t.Errorf("%+v, %v", copied, err)
	}
	s.wantSent("PUT /b/b?partNumber=7&uploadId=u%2F1%2B2")
	for header, want := range map[string]string{
		"x-amz-copy-source":          "b/a?versionId=v+1",
		"x-amz-copy-source-if-match": `"old"`,
		"x-amz-copy-source-range":    "bytes=10-19",
	} {
		if got := s.requests[0].Header.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

func TestAnUploadEndsOnceAndUnderItsCondition(t *testing.T) {
	for name, c := range map[string]struct {
		destETag        string
		none, match     string
		looks           []string
		answers         []answer
		versionAnswered string
	}{
		"to an absent key": {"", "*", "", []string{"POST /b/b?uploadId=u%2F1%2B2", "HEAD /b/b"}, []answer{ended, found("new-2", "x-amz-version-id", "v2")}, "v2"},
		"over a replica":   {"theirs", "", `"theirs"`, []string{"POST /b/b?uploadId=u%2F1%2B2", "HEAD /b/b"}, []answer{ended, found("new-2", "x-amz-version-id", "v2")}, "v2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, c.answers...)
			completion := whole
			completion.DestETag = c.destETag
			copied, err := s.store(native).Complete(t.Context(), completion)
			if err != nil || copied.Dest != (object.Dest{ETag: "new-2", LastModified: noted, VersionID: c.versionAnswered}) {
				t.Errorf("%+v, %v", copied, err)
			}
			s.wantSent(c.looks...)
			h := s.requests[0].Header
			if h.Get("If-None-Match") != c.none || h.Get("If-Match") != c.match || h.Get("x-amz-mp-object-size") != "15" {
				t.Errorf("headers %v", h)
			}
		})
	}
}

func TestWhatAnUploadEndsWith(t *testing.T) {
	for name, c := range map[string]struct {
		answers []answer
		change  func(*object.Completion)
		class   object.Class
		code    string
	}{
		"a destination that changed":       {[]answer{failed(412, "PreconditionFailed")}, nil, object.Premise, "PreconditionFailed"},
		"a destination that changed in it": {[]answer{failed(409, "ConditionalRequestConflict")}, nil, object.Premise, "ConditionalRequestConflict"},
		"an upload that is over":           {[]answer{failed(404, "NoSuchUpload")}, nil, object.Premise, "NoSuchUpload"},
		"a part of another attempt":        {[]answer{failed(400, "InvalidPart")}, nil, object.Premise, "InvalidPart"},
		"an error behind a 200":            {[]answer{{status: 200, body: "<Error><Code>InternalError</Code><Message>m</Message></Error>"}}, nil, object.Retryable, "InternalError"},
		"an answer that is lost":           {[]answer{{hangUp: true}}, nil, object.Retryable, "NoAnswer"},
		"a right that is missing":          {[]answer{failed(403, "AccessDenied")}, nil, object.Permanent, "AccessDenied"},
		"bytes that are not the source's": {nil, func(c *object.Completion) {
			c.Upload.SourceChecksum = "CRC64NVME:AAAAAAAAAAA="
			for n := range c.Parts {
				c.Parts[n].CRC64 = "rosUhgp5mIg="
			}
		}, object.Permanent, "ChecksumMismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, c.answers...)
			completion := whole
			completion.Parts = slices.Clone(whole.Parts)
			if c.change != nil {
				c.change(&completion)
			}
			_, err := s.store(native).Complete(t.Context(), completion)
			if object.ClassOf(err) != c.class || object.CodeOf(err) != c.code {
				t.Errorf("class %d, code %s: %v", object.ClassOf(err), object.CodeOf(err), err)
			}
			if len(s.sent()) != len(c.answers) {
				t.Errorf("sent %v", s.sent())
			}
		})
	}
}

func TestAbortingWhatIsOverIsSuccess(t *testing.T) {
	s := script(t, failed(404, "NoSuchUpload"), answer{status: 204})
	store := s.store(native)
	for range 2 {
		if err := store.Abort(t.Context(), begun); err != nil {
			t.Error(err)
		}
	}
	s.wantSent("DELETE /b/b?uploadId=u%2F1%2B2", "DELETE /b/b?uploadId=u%2F1%2B2")
}

// ways is a store between two servers.
func ways(t *testing.T, source, dest http.HandlerFunc) (*s3store.Store, object.Part) {
	from, to := httptest.NewServer(source), httptest.NewServer(dest)
	t.Cleanup(from.Close)
	t.Cleanup(to.Close)
	store := s3store.New(plainConfig(), s3store.Options{Backends: func() []rule.Backend {
		return []rule.Backend{{Name: "here", Endpoint: from.URL, PathStyle: true}, {Name: "there", Endpoint: to.URL, PathStyle: true}}
	}})
	p := aPart
	p.From.Bucket.Backend, p.Upload.To.Bucket.Backend = "here", "there"
	return store, p
}

const passed = "0123456789"

// sends answers the range, or less of it, or another one's bytes.
func sends(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"old"`)
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, body)
	}
}

// keeps answers the tag of what arrived, as alter has it.
func keeps(arrived *atomic.Int32, alter func([]byte, http.Header)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		arrived.Add(1)
		if alter != nil {
			alter(b, w.Header())
		}
		if w.Header().Get("ETag") == "" {
			sum := md5.Sum(b)
			w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
		}
	}
}

func TestAPartThatGoesThroughIsComparedWithWhatArrived(t *testing.T) {
	sum := md5.Sum([]byte(passed))
	tag := hex.EncodeToString(sum[:])
	for name, c := range map[string]struct {
		source  string
		alter   func([]byte, http.Header)
		code    string // empty: it is copied
		arrived int32
	}{
		"as it is":                 {passed, nil, "", 1},
		"a byte that flipped":      {passed, func(b []byte, _ http.Header) { b[3] ^= 1 }, "PartMismatch", 3},
		"a tag that lies":          {passed, func(_ []byte, h http.Header) { h.Set("ETag", `"`+strings.Repeat("0", 32)+`"`) }, "PartMismatch", 3},
		"a checksum that differs":  {passed, func(_ []byte, h http.Header) { h.Set("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=") }, "PartMismatch", 3},
		"a source that ends early": {passed[:9], nil, "NoAnswer", 0},
		"encrypted with another tag": {passed, func(_ []byte, h http.Header) {
			h.Set("ETag", `"opaque"`)
			h.Set("x-amz-server-side-encryption", "aws:kms")
		}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var arrived atomic.Int32
			store, p := ways(t, sends(c.source), keeps(&arrived, c.alter))
			copied, err := store.CopyPart(t.Context(), p)
			if c.code == "" && (err != nil || copied.CRC64 == "" || copied.ETag != tag && copied.ETag != "opaque") {
				t.Errorf("%+v, %v", copied, err)
			}
			if c.code != "" && (err == nil || object.CodeOf(err) != c.code || object.ClassOf(err) != object.Retryable) {
				t.Errorf("%+v, %v; want %s", copied, err, c.code)
			}
			if arrived.Load() != c.arrived {
				t.Errorf("%d parts arrived, want %d", arrived.Load(), c.arrived)
			}
		})
	}
}

func TestAPartThatGoesThroughIsTheOneThatWasLookedAt(t *testing.T) {
	var arrived atomic.Int32
	for name, source := range map[string]http.HandlerFunc{
		"refused by the server": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-Match") != `"old"` || r.Header.Get("Range") != "bytes=10-19" || r.URL.Query().Get("versionId") != "v 1" {
				t.Errorf("asked for %s with %v", r.URL, r.Header)
			}
			w.WriteHeader(http.StatusPreconditionFailed)
		},
		"passed by the server": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"newer"`)
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, passed)
		},
	} {
		store, p := ways(t, source, keeps(&arrived, nil))
		if _, err := store.CopyPart(t.Context(), p); object.ClassOf(err) != object.Premise || arrived.Load() != 0 {
			t.Errorf("%s: %v, %d parts arrived", name, err, arrived.Load())
		}
	}
}

// TestWhatGoesThroughTakesNoMemory measures what is reachable while a part of
// 256 MiB is under way.
func TestWhatGoesThroughTakesNoMemory(t *testing.T) {
	const size, bound = 256 << 20, 64 << 20
	block := bytes.Repeat([]byte("x"), 1<<20)
	var before, most uint64
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	store, p := ways(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"old"`)
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for n := range size / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
			if n%64 == 32 {
				most = max(most, heap())
			}
		}
	}, func(w http.ResponseWriter, r *http.Request) {
		sum := md5.New()
		_, _ = io.Copy(sum, r.Body)
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum.Sum(nil))+`"`)
	})
	p.First, p.Last = 0, size-1
	before = heap()
	if _, err := store.CopyPart(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if most > before+bound {
		t.Errorf("%d MiB in use over the %d before", (most-before)>>20, before>>20)
	}
}

// AWS checks the checksum that comes behind the bytes, and needs TLS for that.
func TestAPartThatGoesToAWSCarriesItsChecksumBehindIt(t *testing.T) {
	var header http.Header
	var body string
	to := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		header, body = r.Header.Clone(), string(raw)
		w.Header().Set("ETag", `"opaque"`)
		w.Header().Set("x-amz-checksum-crc64nvme", wire(passed))
	}))
	defer to.Close()
	from := httptest.NewServer(sends(passed))
	defer from.Close()
	cfg := plainConfig()
	cfg.HTTPClient = to.Client()
	store := s3store.New(cfg, s3store.Options{Backends: func() []rule.Backend {
		return []rule.Backend{{Name: "here", Endpoint: from.URL, PathStyle: true}, {Name: "there", Endpoint: to.URL, PathStyle: true}}
	}})
	p := aPart
	p.From.Bucket.Backend, p.Upload.To.Bucket.Backend, p.Upload.Checksum = "here", "there", "CRC64NVME"
	copied, err := store.CopyPart(t.Context(), p)
	if err != nil || copied.ETag != "opaque" || copied.CRC64 != wire(passed) || copied.Checksum != copied.CRC64 {
		t.Errorf("%+v, %v", copied, err)
	}
	if header.Get("x-amz-trailer") != "x-amz-checksum-crc64nvme" || header.Get("x-amz-decoded-content-length") != "10" ||
		!strings.Contains(body, passed) || !strings.Contains(body, "x-amz-checksum-crc64nvme:"+wire(passed)) {
		t.Errorf("sent %q with %v", body, header)
	}
}

// wire is the CRC-64/NVME of a text as S3 writes it.
func wire(text string) string {
	sum := parts.NewCRC64()
	_, _ = sum.Write([]byte(text)) // a hash never fails
	return base64.StdEncoding.EncodeToString(sum.Sum(nil))
}

// Some servers name the same initiator for everybody's uploads, by which nobody's
// could be told from ours.
func TestWhoBeganAnUploadIsBelievedOfAWSOnly(t *testing.T) {
	s := script(t, answer{status: 200, body: `<ListMultipartUploadsResult><Upload><Key>k</Key><UploadId>u</UploadId>` +
		`<Initiator><ID>everybody</ID></Initiator><Initiated>2026-01-02T03:04:05.000Z</Initiated></Upload></ListMultipartUploadsResult>`})
	got, err := s.store(s3store.Conditions{}).Uploads(t.Context(), object.Ref{Bucket: remote, Key: "k"})
	if err != nil || len(got) != 1 || got[0].ID != "u" || got[0].By != "" {
		t.Errorf("%+v, %v", got, err)
	}
}
