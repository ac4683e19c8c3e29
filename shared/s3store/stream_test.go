package s3store_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/parts"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// tiny is an S3 server with one object, as far as streams need it. It takes a
// whole body or none, as every server does, and can be told to misbehave.
type tiny struct {
	mu    sync.Mutex
	kept  *keptObject // nil: there is none
	other *keptObject // the source of server-side copies
	asked []string
	sent  http.Header // of the last PUT

	writes int // that took effect

	// act answers in place of the server where it returns true.
	act func(nth int, w http.ResponseWriter, r *http.Request) bool
	// send is how the body of a GET goes out; nil: as it is.
	send func(w http.ResponseWriter, body []byte)
	// careless: it checks neither conditions nor digests.
	careless bool
	// deaf: it answers 501 to conditions on a write.
	deaf bool
	// unstamped: tags are not the MD5 of the content.
	unstamped bool
	versions  bool
}

type keptObject struct {
	body   []byte
	etag   string
	header http.Header
	number int
}

func (s *tiny) put(body string, header ...string) {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	s.keep([]byte(body), h)
}

func (s *tiny) keep(body []byte, h http.Header) {
	number := 1
	if s.kept != nil {
		number = s.kept.number + 1
	}
	s.writes++
	sum := md5.Sum(body)
	etag := hex.EncodeToString(sum[:])
	if s.unstamped {
		etag = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
	}
	if lie := h.Get("Lie-Etag"); lie != "" {
		etag = lie
	}
	s.kept = &keptObject{body: body, etag: etag, header: h, number: number}
}

// is reports what there is, "" for nothing.
func (s *tiny) is() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		return ""
	}
	return string(s.kept.body)
}

func (s *tiny) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

var carriedHeaders = []string{
	"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Cache-Control", "Expires",
	"X-Amz-Meta-Author", "X-Amz-Checksum-Crc64nvme", "X-Amz-Checksum-Type", "X-Amz-Server-Side-Encryption", "X-Amz-Tagging",
}

func (s *tiny) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := r.Method
	if r.URL.Query().Has("tagging") {
		line += " tags"
	} else if strings.Count(strings.Trim(r.URL.Path, "/"), "/") == 0 {
		line += " bucket"
	}
	s.asked = append(s.asked, line)
	if s.act != nil && s.act(len(s.asked), w, r) {
		return
	}
	switch line {
	case "HEAD bucket":
	case "GET tags":
		fmt.Fprint(w, "<Tagging><TagSet>")
		for pair := range strings.SplitSeq(s.kept.header.Get("X-Amz-Tagging"), "&") {
			if k, v, ok := strings.Cut(pair, "="); ok {
				fmt.Fprintf(w, "<Tag><Key>%s</Key><Value>%s</Value></Tag>", k, v)
			}
		}
		fmt.Fprint(w, "</TagSet></Tagging>")
	case "HEAD", "GET":
		s.read(w, r)
	case "PUT":
		if s.deaf && r.Header.Get("If-Match")+r.Header.Get("If-None-Match") != "" {
			_, _ = io.Copy(io.Discard, r.Body)
			refuse(w, 501, "NotImplemented")
			return
		}
		s.write(w, r)
	case "DELETE":
		want := r.Header.Get("If-Match")
		switch {
		case s.deaf && want != "":
			refuse(w, 501, "NotImplemented")
		case !s.careless && want != "" && (s.kept == nil || want != `"`+s.kept.etag+`"`):
			refuse(w, 412, "PreconditionFailed")
		default:
			s.kept = nil
			w.WriteHeader(204)
		}
	default:
		refuse(w, 501, "NotImplemented")
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>m</Message></Error>", code)
}

func (s *tiny) read(w http.ResponseWriter, r *http.Request) {
	o := s.kept
	if o == nil {
		refuse(w, 404, "NoSuchKey")
		return
	}
	if want := r.Header.Get("If-Match"); !s.careless && want != "" && want != `"`+o.etag+`"` {
		refuse(w, 412, "PreconditionFailed")
		return
	}
	maps.Copy(w.Header(), o.header)
	w.Header().Set("ETag", `"`+o.etag+`"`)
	w.Header().Set("Last-Modified", time.Date(2026, 1, 2, 3, 4, o.number, 0, time.UTC).Format(http.TimeFormat))
	w.Header().Set("Content-Length", strconv.Itoa(len(o.body)))
	if s.versions {
		w.Header().Set("X-Amz-Version-Id", fmt.Sprintf("v%d", o.number))
	}
	if r.Method == http.MethodHead {
		return
	}
	if s.send != nil {
		s.send(w, o.body)
		return
	}
	_, _ = w.Write(o.body)
}

func (s *tiny) write(w http.ResponseWriter, r *http.Request) {
	s.sent = r.Header.Clone()
	if r.Header.Get("X-Amz-Copy-Source") != "" {
		s.copy(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || int64(len(body)) != r.ContentLength {
		refuse(w, 400, "IncompleteBody")
		return
	}
	if !s.careless {
		sum := md5.Sum(body)
		switch want := r.Header.Get("If-Match"); {
		case r.Header.Get("If-None-Match") == "*" && s.kept != nil, want != "" && (s.kept == nil || want != `"`+s.kept.etag+`"`):
			refuse(w, 412, "PreconditionFailed")
			return
		}
		if want := r.Header.Get("Content-Md5"); want != "" && want != base64.StdEncoding.EncodeToString(sum[:]) {
			refuse(w, 400, "BadDigest")
			return
		}
	}
	h := http.Header{}
	for _, name := range carriedHeaders {
		if v := r.Header.Get(name); v != "" {
			h.Set(name, v)
		}
	}
	s.keep(body, h)
	w.Header().Set("ETag", `"`+s.kept.etag+`"`)
	if s.versions {
		w.Header().Set("X-Amz-Version-Id", fmt.Sprintf("v%d", s.kept.number))
	}
}

// copy makes a copy of other, whatever its name.
func (s *tiny) copy(w http.ResponseWriter, r *http.Request) {
	want := r.Header.Get("If-Match")
	switch {
	case r.Header.Get("X-Amz-Copy-Source-If-Match") != `"`+s.other.etag+`"`,
		!s.careless && r.Header.Get("If-None-Match") == "*" && s.kept != nil,
		!s.careless && want != "" && (s.kept == nil || want != `"`+s.kept.etag+`"`):
		refuse(w, 412, "PreconditionFailed")
		return
	}
	s.keep(s.other.body, s.other.header)
	fmt.Fprintf(w, "<CopyObjectResult><ETag>%q</ETag><LastModified>2026-01-02T03:04:%02dZ</LastModified></CopyObjectResult>", s.kept.etag, s.kept.number)
}

// streaming is a store between two servers.
func streaming(t *testing.T, from, to *tiny, emulated s3store.Conditions) *s3store.Store {
	t.Helper()
	source, dest := httptest.NewServer(from), httptest.NewServer(to)
	t.Cleanup(source.Close)
	t.Cleanup(dest.Close)
	return s3store.New(plainConfig(), s3store.Options{
		Backends: func() []rule.Backend {
			return []rule.Backend{
				{Name: "one", Endpoint: source.URL, PathStyle: true},
				{Name: "two", Endpoint: dest.URL, PathStyle: true},
			}
		},
		Emulated: map[string]s3store.Conditions{"one": emulated, "two": emulated},
	})
}

var (
	inOne = object.Ref{Bucket: object.Bucket{Backend: "one", Name: "a"}, Key: "k"}
	inTwo = object.Ref{Bucket: object.Bucket{Backend: "two", Name: "b"}, Key: "k"}
)

// across is the copy of what is in one now, to what two is expected to have.
func across(from *tiny, dest string) object.Copy {
	return object.Copy{From: inOne, To: inTwo, SourceETag: from.kept.etag, DestETag: dest, Tags: true}
}

// poem has a few buffers of bytes.
var poem = strings.Repeat("the quick brown fox jumps over the lazy dog\n", 4000)

func crcOf(text string) string {
	crc := parts.NewCRC64()
	_, _ = io.WriteString(crc, text)
	return base64.StdEncoding.EncodeToString(crc.Sum(nil))
}

func TestAStreamBringsTheWholeObject(t *testing.T) {
	from, to := &tiny{versions: true}, &tiny{versions: true}
	from.put(poem, "Content-Type", "text/x-verse", "Content-Language", "fi", "Cache-Control", "max-age=60", "Content-Disposition", "inline",
		"Content-Encoding", "rot13", "Expires", "0", "X-Amz-Meta-Author", "nobody", "X-Amz-Tagging", "team=storage")
	copied, err := streaming(t, from, to, native).Copy(t.Context(), across(from, ""))
	if err != nil {
		t.Fatal(err)
	}
	if to.is() != poem {
		t.Errorf("%d bytes came, of %d", len(to.is()), len(poem))
	}
	if !maps.EqualFunc(to.kept.header, from.kept.header, slices.Equal) {
		t.Errorf("the headers are\n%v\nwant\n%v", to.kept.header, from.kept.header)
	}
	want := object.Dest{ETag: to.kept.etag, LastModified: time.Date(2026, 1, 2, 3, 4, 1, 0, time.UTC), VersionID: "v1"}
	if copied.Dest != want || copied.SourceVersionID != "v1" || len(copied.Lost) > 0 {
		t.Errorf("copied %+v, want %+v", copied, want)
	}
	// The requests are the bill.
	if got := slices.Concat(from.requests(), to.requests()); !slices.Equal(got, []string{"HEAD", "GET tags", "GET", "PUT", "HEAD"}) {
		t.Errorf("sent %q", got)
	}
	for header, want := range map[string]string{
		"If-None-Match": "*", "Content-Md5": "", "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD",
		"X-Amz-Trailer": "", "X-Amz-Sdk-Checksum-Algorithm": "",
	} {
		sum := md5.Sum([]byte(poem))
		if header == "Content-Md5" {
			want = base64.StdEncoding.EncodeToString(sum[:])
		}
		if got := to.sent.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

func TestAnEmptyObjectStreams(t *testing.T) {
	from, to := &tiny{}, &tiny{}
	from.put("")
	if _, err := streaming(t, from, to, native).Copy(t.Context(), across(from, "")); err != nil || to.kept == nil || to.is() != "" {
		t.Errorf("got %+v, %v", to.kept, err)
	}
}

// Where the backend has no digest of its own, the object is read twice.
func TestAnObjectOfWhichNoDigestIsKnownIsReadForIt(t *testing.T) {
	sum := md5.Sum([]byte(poem))
	want := base64.StdEncoding.EncodeToString(sum[:])
	for name, header := range map[string][]string{
		"encrypted with a key of KMS": {"X-Amz-Server-Side-Encryption", "aws:kms"},
		"uploaded by parts":           {"Lie-Etag", "0123456789abcdef0123456789abcdef-2"},
		"not an MD5 at all":           {"Lie-Etag", "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := &tiny{}, &tiny{}
			from.put(poem, header...)
			c := across(from, "")
			c.Tags = false
			if _, err := streaming(t, from, to, native).Copy(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if got := from.requests(); !slices.Equal(got, []string{"HEAD", "GET", "GET"}) {
				t.Errorf("sent %q", got)
			}
			if got := to.sent.Get("Content-Md5"); to.is() != poem || got != want {
				t.Errorf("%d bytes with the digest %q, want %q", len(to.is()), got, want)
			}
		})
	}
}

func TestAStreamIsConditional(t *testing.T) {
	for name, emulate := range map[string]s3store.Conditions{"native": native, "looked at": {Put: true}} {
		t.Run(name, func(t *testing.T) {
			from, to := &tiny{}, &tiny{careless: emulate.Put}
			from.put("new")
			store := streaming(t, from, to, emulate)
			to.put("theirs")
			for _, dest := range []string{"", "another"} {
				_, err := store.Copy(t.Context(), across(from, dest))
				if err == nil || object.ClassOf(err) != object.Premise || to.is() != "theirs" {
					t.Errorf("over %q: %q, %v", dest, to.is(), err)
				}
			}
			if _, err := store.Copy(t.Context(), across(from, to.kept.etag)); err != nil || to.is() != "new" {
				t.Errorf("over the expected one: %q, %v", to.is(), err)
			}
			if emulate.Put && to.sent.Get("If-Match")+to.sent.Get("If-None-Match") != "" {
				t.Error("a condition was sent that the endpoint is known to ignore")
			}
		})
	}
}

// Whatever happens to the bytes, no wrong object becomes visible: not even on a
// server that checks nothing.
func TestNoWrongBytesBecomeAnObject(t *testing.T) {
	flip := func(at int) func(http.ResponseWriter, []byte) {
		return func(w http.ResponseWriter, body []byte) {
			wrong := bytes.Clone(body)
			wrong[(at+len(wrong))%len(wrong)] ^= 1
			_, _ = w.Write(wrong)
		}
	}
	checksum := crcOf(poem)
	for name, c := range map[string]struct {
		header []string
		send   func(http.ResponseWriter, []byte)
		before func(from *tiny)
		class  object.Class
		code   string
	}{
		"a bit flips at the beginning": {send: flip(0), code: "ChecksumMismatch"},
		"a bit flips in the middle":    {send: flip(len(poem) / 2), code: "ChecksumMismatch"},
		"the last bit flips":           {send: flip(-1), code: "ChecksumMismatch"},
		"a bit flips, and only a checksum tells": {
			header: []string{"Lie-Etag", "tag-2", "X-Amz-Checksum-Crc64nvme", checksum, "X-Amz-Checksum-Type", "FULL_OBJECT"},
			send:   flip(-1), code: "ChecksumMismatch",
		},
		"the connection breaks in the middle": {code: "SourceTruncated", send: func(w http.ResponseWriter, body []byte) {
			_, _ = w.Write(body[:len(body)/2])
			panic(http.ErrAbortHandler)
		}},
		"the connection breaks before the last byte": {code: "SourceTruncated", send: func(w http.ResponseWriter, body []byte) {
			_, _ = w.Write(body[:len(body)-1])
			panic(http.ErrAbortHandler)
		}},
		"a shorter object than was looked at": {class: object.Premise, code: "PreconditionFailed", send: func(w http.ResponseWriter, body []byte) {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)-1))
			_, _ = w.Write(body[:len(body)-1])
		}},
		"the source is overwritten in the middle": {code: "ChecksumMismatch", send: func(w http.ResponseWriter, body []byte) {
			_, _ = w.Write(body[:len(body)/2])
			_, _ = w.Write(bytes.ToUpper(body[len(body)/2:]))
		}},
		"the source is overwritten before it is read": {class: object.Premise, code: "PreconditionFailed", before: func(from *tiny) {
			from.act = func(nth int, _ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet {
					from.put(strings.ToUpper(poem))
				}
				return false
			}
		}},
		"and the server does not heed the condition": {class: object.Premise, code: "PreconditionFailed", before: func(from *tiny) {
			from.careless = true
			from.act = func(nth int, _ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet {
					from.put(strings.ToUpper(poem))
				}
				return false
			}
		}},
		"its tag is a lie": {header: []string{"Lie-Etag", "0123456789abcdef0123456789abcdef"}, code: "ChecksumMismatch"},
	} {
		for _, careless := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, careless %t", name, careless), func(t *testing.T) {
				from, to := &tiny{send: c.send}, &tiny{careless: careless}
				from.put(poem, c.header...)
				copy := across(from, "")
				copy.Tags = false
				if c.before != nil {
					c.before(from)
				}
				_, err := streaming(t, from, to, native).Copy(t.Context(), copy)
				if err == nil || object.ClassOf(err) != c.class || object.CodeOf(err) != c.code {
					t.Errorf("got %v, want %s", err, c.code)
				}
				if to.kept != nil {
					t.Errorf("%d bytes became an object", len(to.is()))
				}
			})
		}
	}
}

func TestBytesThatChangeOnTheirWayOutAreRefused(t *testing.T) {
	from, to := &tiny{}, &tiny{}
	from.put("right")
	to.act = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			r.Body = io.NopCloser(strings.NewReader("wrong"))
		}
		return false
	}
	_, err := streaming(t, from, to, native).Copy(t.Context(), across(from, ""))
	if object.ClassOf(err) != object.Retryable || object.CodeOf(err) != "BadDigest" || to.kept != nil {
		t.Errorf("got %v, %v", to.kept, err)
	}
}

func TestAStreamThatWasRefusedForItsRateBeginsAnew(t *testing.T) {
	for name, c := range map[string]struct {
		storm int // PUTs that are refused
		puts  int
		fails bool
	}{
		"a gust":  {1, 2, false},
		"a storm": {9, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := &tiny{}, &tiny{}
			from.put(poem)
			puts := 0
			to.act = func(_ int, w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut {
					return false
				}
				if puts++; puts > c.storm {
					return false
				}
				_, _ = io.Copy(io.Discard, r.Body)
				refuse(w, 503, "SlowDown")
				return true
			}
			_, err := streaming(t, from, to, native).Copy(t.Context(), across(from, ""))
			if c.fails != (err != nil) || err != nil && (object.ClassOf(err) != object.Retryable || object.CodeOf(err) != "SlowDown") {
				t.Errorf("got %v", err)
			}
			if puts != c.puts || !c.fails && to.is() != poem {
				t.Errorf("%d puts, want %d; %d bytes came", puts, c.puts, len(to.is()))
			}
		})
	}
}

func TestAStreamWhoseAnswerWasLostIsNotRepeated(t *testing.T) {
	from, to := &tiny{}, &tiny{}
	from.put(poem)
	to.act = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			to.write(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		return false
	}
	_, err := streaming(t, from, to, native).Copy(t.Context(), across(from, ""))
	if err == nil || object.ClassOf(err) != object.Retryable || to.is() != poem {
		t.Errorf("got %v", err)
	}
	if got := to.requests(); !slices.Equal(got, []string{"PUT"}) {
		t.Errorf("sent %q", got)
	}
}

func TestASecretRotatedUnderAStreamHeals(t *testing.T) {
	from, to := &tiny{}, &tiny{}
	from.put(poem)
	source, dest := httptest.NewServer(from), httptest.NewServer(to)
	defer source.Close()
	defer dest.Close()
	secret := &rotation{}
	for _, side := range []*tiny{from, to} {
		side.act = func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.Header.Get("Authorization"), "Credential=key-0/") && (r.Method == http.MethodPut || r.Method == http.MethodGet) {
				secret.key.Store(1) // it is rotated just now
				refuse(w, 403, "SignatureDoesNotMatch")
				return true
			}
			return false
		}
	}
	store := s3store.New(plainConfig(), s3store.Options{
		Backends: func() []rule.Backend {
			return []rule.Backend{
				{Name: "one", Endpoint: source.URL, PathStyle: true, CredentialsSecret: "s"},
				{Name: "two", Endpoint: dest.URL, PathStyle: true, CredentialsSecret: "s"},
			}
		},
		Credentials: func(rule.Backend) aws.CredentialsProvider { return secret },
		Emulated:    map[string]s3store.Conditions{"two": native},
	})
	c := across(from, "")
	c.Tags = false
	if _, err := store.Copy(t.Context(), c); err != nil || to.is() != poem {
		t.Errorf("got %v; %d bytes came", err, len(to.is()))
	}
}

func TestCredentialsThatAreNoGoodAreNamed(t *testing.T) {
	for code, class := range map[string]object.Class{
		"AccessDenied": object.Permanent, "InvalidAccessKeyId": object.Permanent, "ExpiredToken": object.Retryable,
		"RequestTimeTooSkewed": object.Retryable, // clocks apart
	} {
		for _, side := range []string{"one", "two"} {
			t.Run(code+" of "+side, func(t *testing.T) {
				from, to := &tiny{}, &tiny{}
				from.put(poem)
				c := across(from, "")
				c.Tags = false
				at := map[string]*tiny{"one": from, "two": to}[side]
				at.act = func(_ int, w http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodHead {
						return false
					}
					refuse(w, 403, code)
					return true
				}
				_, err := streaming(t, from, to, native).Copy(t.Context(), c)
				if object.ClassOf(err) != class || object.CodeOf(err) != code || to.kept != nil {
					t.Errorf("got %v", err)
				}
				if !strings.Contains(fmt.Sprint(err), " "+side+"/") {
					t.Errorf("it does not name the side: %v", err)
				}
			})
		}
	}
}

// A PutObject does not answer the replica's time, so it is looked for.
func TestTheTimeOfAReplicaIsThatOfNobodyElse(t *testing.T) {
	for name, c := range map[string]struct {
		versions  bool
		meanwhile func(to *tiny, w http.ResponseWriter) bool
		want      object.Dest
		class     object.Class
		fails     bool
	}{
		"somebody overwrites it": {meanwhile: func(to *tiny, _ http.ResponseWriter) bool { to.put("theirs"); return false }, fails: true, class: object.Premise},
		"nobody can tell":        {meanwhile: func(_ *tiny, w http.ResponseWriter) bool { w.WriteHeader(403); return true }, fails: true, class: object.Permanent},
		"nobody can tell, but the version is known": {versions: true, meanwhile: func(_ *tiny, w http.ResponseWriter) bool { w.WriteHeader(403); return true },
			want: object.Dest{VersionID: "v1"}},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := &tiny{}, &tiny{versions: c.versions}
			from.put(poem)
			to.act = func(_ int, w http.ResponseWriter, r *http.Request) bool {
				return r.Method == http.MethodHead && c.meanwhile(to, w)
			}
			copied, err := streaming(t, from, to, native).Copy(t.Context(), across(from, ""))
			if c.fails != (err != nil) || err != nil && object.ClassOf(err) != c.class {
				t.Errorf("got %+v, %v", copied, err)
			}
			c.want.ETag = from.kept.etag
			if !c.fails && copied.Dest != c.want {
				t.Errorf("copied %+v, want %+v", copied.Dest, c.want)
			}
		})
	}
}

func TestWhatOnePutCannotHoldIsNamedSo(t *testing.T) {
	from, to := &tiny{}, &tiny{}
	from.put("x")
	from.act = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("ETag", `"e"`)
		w.Header().Set("Content-Length", strconv.Itoa(5<<30+1))
		return true
	}
	c := across(from, "")
	c.SourceETag, c.Tags = "e", false
	_, err := streaming(t, from, to, native).Copy(t.Context(), c)
	if object.ClassOf(err) != object.Permanent || object.CodeOf(err) != "TooLargeForOneCopy" || len(to.requests()) > 0 {
		t.Errorf("got %v", err)
	}
}

// Identities that differ stream even on one endpoint: nobody may do both.
func TestServersCopyOnlyWhereOneIdentityReachesBothSides(t *testing.T) {
	both := &tiny{}
	both.put(poem)
	server := httptest.NewServer(both)
	defer server.Close()
	store := s3store.New(plainConfig(), s3store.Options{
		Backends: func() []rule.Backend {
			return []rule.Backend{
				{Name: "one", Endpoint: server.URL, PathStyle: true, CredentialsSecret: "s"},
				{Name: "two", Endpoint: server.URL, PathStyle: true},
			}
		},
		Credentials: func(b rule.Backend) aws.CredentialsProvider {
			if b.Name == "one" {
				return credentials.NewStaticCredentialsProvider("one", "s", "")
			}
			return nil
		},
		Emulated: map[string]s3store.Conditions{"two": native},
	})
	c := across(both, both.kept.etag)
	c.Tags = false
	if _, err := store.Copy(t.Context(), c); err != nil || both.sent.Get("X-Amz-Copy-Source") != "" {
		t.Errorf("got %v; sent %v", err, both.sent)
	}
}

// What streams is never held as a whole, however large it is.
func TestAStreamHoldsNoMoreThanBuffers(t *testing.T) {
	const size, chunk, most = 160 << 20, 1 << 20, 64 << 20
	pattern := bytes.Repeat([]byte("0123456789abcdef"), chunk/16)
	var base runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&base)
	var peak uint64
	watch := func() {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapAlloc)
	}
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"by-parts-2"`) // no MD5, so that it is read twice
		w.Header().Set("Content-Length", strconv.Itoa(size))
		if r.Method == http.MethodGet {
			for range size / chunk {
				_, _ = w.Write(pattern)
			}
		}
	}))
	defer source.Close()
	var came int64
	dest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"e"`)
		buffer := make([]byte, chunk)
		for {
			n, err := io.ReadFull(r.Body, buffer)
			came += int64(n)
			if err != nil {
				return
			}
			watch()
		}
	}))
	defer dest.Close()
	store := s3store.New(plainConfig(), s3store.Options{
		Backends: func() []rule.Backend {
			return []rule.Backend{{Name: "one", Endpoint: source.URL, PathStyle: true}, {Name: "two", Endpoint: dest.URL, PathStyle: true}}
		},
		Emulated: map[string]s3store.Conditions{"two": native},
	})
	if _, err := store.Copy(t.Context(), object.Copy{From: inOne, To: inTwo, SourceETag: "by-parts-2"}); err != nil {
		t.Fatal(err)
	}
	if came != size {
		t.Errorf("%d bytes came, of %d", came, size)
	}
	if grown := int64(peak) - int64(base.HeapAlloc); grown > most {
		t.Errorf("the heap grew by %d MiB under a stream of %d", grown>>20, size>>20)
	} else {
		t.Logf("the heap grew by %.1f MiB under a stream of %d MiB", float64(grown)/(1<<20), size>>20)
	}
}
