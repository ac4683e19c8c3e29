package chaos

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/object"
	cut "bucket-replicator/shared/parts"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/tests/staging"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	writers = 24
	// rounds are how often each of them writes its object and has it copied. Every
	// fourth of them has one more, of a large object.
	rounds = 5
	// misfortune is how likely a request meets a fault.
	misfortune = 0.15
	// tries bound how often a copy is tried over a bad wire. It need not succeed.
	tries = 4
)

// wire passes requests on to a server, not all of them and not all as they came.
// What happens to the requests for one key follows from the seed, as long as
// they come one at a time.
type wire struct {
	seed   uint64
	pass   *httputil.ReverseProxy
	client *s3.Client // past the wire
	// meanwhile is called before the bytes of an object are read, now and then.
	meanwhile func(key string)

	mu     sync.Mutex
	chance map[string]*rand.Rand // by key
	calm   bool
	met    map[string]int // faults, by their name
}

// changed is the key of what a request's context says of its answer.
type changed struct{}

func newWire(t *testing.T, at *server.Server, seed uint64) (*wire, string) {
	pass, err := server.Proxy(at.URL)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{seed: seed, pass: pass, client: clientOf(at.URL), chance: map[string]*rand.Rand{}, met: map[string]int{}}
	pass.ModifyResponse = func(answer *http.Response) error {
		if change, ok := answer.Request.Context().Value(changed{}).(func(*http.Response)); ok {
			change(answer)
		}
		return nil
	}
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	return w, s.URL
}

// signing is how both servers' requests are signed.
var signing = aws.Config{
	Region: server.Region, Credentials: credentials.NewStaticCredentialsProvider(server.AccessKey, server.SecretKey, ""),
}

func clientOf(endpoint string) *s3.Client {
	return s3.NewFromConfig(signing, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &endpoint, true })
}

// calms has no request meet a fault any more, and answers what was met.
func (w *wire) calms() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calm = true
	return w.met
}

// fault answers a number in [0, 1) for the next request about a key, and the
// name of the fault that it meets, or none.
func (w *wire) fault(key string, of []string) (where float64, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.chance[key] == nil {
		n, _ := strconv.ParseUint(key, 36, 64)
		w.chance[key] = rand.New(rand.NewPCG(w.seed, n))
	}
	chance := w.chance[key]
	where, hit, which := chance.Float64(), chance.Float64() < misfortune, chance.IntN(len(of))
	if w.calm || !hit {
		return where, ""
	}
	w.met[of[which]]++
	return where, of[which]
}

func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	key := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	faults := []string{"SlowDown", "InternalError", "ExpiredToken", "RequestTimeTooSkewed", "no answer", "lost answer"}
	reads := r.Method == http.MethodGet && !r.URL.Query().Has("tagging") && !r.URL.Query().Has("uploads")
	switch {
	case reads:
		faults = append(faults, "flipped", "flipped", "flipped", "cut", "cut", "cut", "overwritten", "overwritten", "overwritten", "another tag")
	case r.Method == http.MethodHead:
		faults = append(faults, "another tag")
	case r.Method == http.MethodPut:
		faults = append(faults, "flipped", "flipped", "cut", "cut")
	}
	where, fault := w.fault(key, faults)
	status := map[string]int{"SlowDown": 503, "InternalError": 500, "ExpiredToken": 403, "RequestTimeTooSkewed": 403}[fault]
	change := func(*http.Response) {}
	switch {
	case status != 0:
		_, _ = io.Copy(io.Discard, r.Body)
		rw.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(rw, "<Error><Code>%s</Code><Message>m</Message></Error>", fault)
		}
		return
	case fault == "no answer":
		panic(http.ErrAbortHandler)
	case fault == "lost answer":
		w.pass.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case fault == "overwritten":
		w.meanwhile(key)
	case fault == "another tag":
		change = func(a *http.Response) { a.Header.Set("ETag", `"00000000000000000000000000000000"`) }
	case reads && fault != "":
		change = func(a *http.Response) { a.Body = spoilt(a.Body, fault, int64(where*float64(a.ContentLength))) }
	case fault != "":
		r.Body = spoilt(r.Body, fault, int64(where*float64(r.ContentLength)))
	}
	w.pass.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), changed{}, change)))
}

// spoilt is a body with one bit turned at an offset, or without its bytes from
// there on.
func spoilt(body io.ReadCloser, fault string, offset int64) io.ReadCloser {
	return &spoiltBody{body, fault == "flipped", offset}
}

type spoiltBody struct {
	io.ReadCloser
	flips bool
	left  int64
}

func (b *spoiltBody) Read(p []byte) (int, error) {
	if !b.flips && b.left == 0 {
		return 0, errors.New("cut")
	}
	if !b.flips {
		p = p[:min(int64(len(p)), b.left)]
	}
	n, err := b.ReadCloser.Read(p)
	if b.flips && b.left >= 0 && b.left < int64(n) {
		p[b.left] ^= 4
	}
	b.left -= int64(n)
	return n, err
}

// written is what an object has had as its content, by the tag.
type written struct {
	mu sync.Mutex
	by map[string][]byte
}

// write puts new content at the source, past the wire, with a checksum of all
// its bytes: without one nobody could tell what happened to a part on its way.
func (o *written) write(ctx context.Context, at *s3.Client, key string, body []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	out, err := at.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String("source"), Key: &key, Body: bytes.NewReader(body),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, Metadata: map[string]string{"first": fmt.Sprintf("%x", body[:8])},
	})
	if err != nil {
		return err
	}
	o.by[strings.Trim(aws.ToString(out.ETag), `"`)] = body
	return nil
}

func (o *written) under(tag string) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.by[tag]
}

// TestNoWrongObjectBecomesVisible has objects copied between two servers over
// wires that turn bits, cut, lose and refuse, with sources that are overwritten
// under way and clocks and credentials that are not believed. Whatever is said of
// a copy, the destination holds nothing that the source never was.
func TestNoWrongObjectBecomesVisible(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	from, to := staging.Server(t, server.Versitygw), staging.Server(t, server.Versitygw)
	source, sourceURL := newWire(t, from, seed)
	dest, destURL := newWire(t, to, seed+1)
	for name, at := range map[string]*s3.Client{"source": source.client, "destination": dest.client} {
		if _, err := at.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
			t.Fatal(err)
		}
	}
	store := s3store.New(signing, s3store.Options{Backends: func() []rule.Backend {
		return []rule.Backend{{Name: "one", Endpoint: sourceURL, PathStyle: true}, {Name: "two", Endpoint: destURL, PathStyle: true}}
	}})

	objects := make([]*passage, writers)
	for n := range objects {
		key := strconv.FormatInt(int64(n)+10, 36)
		objects[n] = &passage{
			Store: store, key: key, source: source, dest: dest, was: &written{by: map[string][]byte{}},
			random: rand.New(rand.NewPCG(seed, uint64(n))), turn: rand.New(rand.NewPCG(seed+2, uint64(n))),
		}
	}
	source.meanwhile = func(key string) {
		for _, o := range objects {
			if o.key == key {
				if err := o.was.write(context.WithoutCancel(t.Context()), source.client, key, content(o.turn)); err != nil {
					t.Error(err)
				}
			}
		}
	}
	var group sync.WaitGroup
	for n, o := range objects {
		group.Go(func() {
			for range rounds {
				o.round(t, o.copy)
			}
			if n%4 == 0 {
				o.round(t, o.byParts)
			}
		})
	}
	group.Wait()

	atSource, atDest := source.calms(), dest.calms()
	tried, made := 0, 0
	for _, o := range objects {
		tried, made = tried+o.tried, made+o.made
		state, err := o.copy(t)
		for n := 1; n < tries && err != nil && object.ClassOf(err) == object.Retryable; n++ { // on a connection that was cut before
			state, err = o.copy(t)
		}
		if err != nil {
			t.Errorf("%s, on a good wire: %v", o.key, err)
		}
		if got := o.visible(t); !bytes.Equal(got, o.was.under(state.ETag)) {
			t.Errorf("%s, in the end: the destination has %d bytes that are not the source's", o.key, len(got))
		}
	}
	t.Logf("%d of %d copies were made; the source's wire met %v, the destination's %v", made, tried, atSource, atDest)
}

// passage is one object on its way.
type passage struct {
	*s3store.Store
	key          string
	source, dest *wire
	was          *written
	random, turn *rand.Rand
	tried, made  int
}

// content has up to a megabyte, which is more than any buffer.
func content(random *rand.Rand) []byte {
	return bytesOf(random, 8+random.IntN(1<<20))
}

func bytesOf(random *rand.Rand, size int) []byte {
	body := make([]byte, 0, size+8)
	for len(body) < size {
		body = binary.LittleEndian.AppendUint64(body, random.Uint64())
	}
	return body[:size]
}

// round writes the source, and has it copied until that is said to be done.
func (o *passage) round(t *testing.T, copied func(*testing.T) (object.State, error)) {
	body := content(o.random)
	if o.random.IntN(4) == 0 {
		body = body[:8+o.random.IntN(100)]
	}
	if err := o.was.write(t.Context(), o.source.client, o.key, body); err != nil {
		t.Error(err)
		return
	}
	for range tries {
		o.tried++
		state, err := copied(t)
		visible := o.visible(t)
		if err == nil {
			o.made++
			if want := o.was.under(state.ETag); !bytes.Equal(visible, want) {
				t.Errorf("%s: said to be copied, and the destination has %d bytes that are not the %d of the source", o.key, len(visible), len(want))
			}
			return
		}
	}
}

// visible is what readers of the destination get: something that the source was
// once, or nothing.
func (o *passage) visible(t *testing.T) []byte {
	out, err := o.dest.client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("destination"), Key: &o.key})
	if errors.As(err, new(*types.NoSuchKey)) {
		return nil
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		t.Error(err)
	}
	o.was.mu.Lock()
	defer o.was.mu.Unlock()
	for _, once := range o.was.by {
		if bytes.Equal(once, body) && out.Metadata["first"] == fmt.Sprintf("%x", once[:8]) {
			return body
		}
	}
	t.Errorf("%s: %d bytes with metadata %v are visible, which the source never was", o.key, len(body), out.Metadata)
	return body
}

// look answers the copy that is due, and the source that it is of.
func (o *passage) look(t *testing.T) (object.Copy, object.State, error) {
	c := object.Copy{
		From: object.Ref{Bucket: object.Bucket{Backend: "one", Name: "source"}, Key: o.key},
		To:   object.Ref{Bucket: object.Bucket{Backend: "two", Name: "destination"}, Key: o.key},
	}
	state, err := o.Head(t.Context(), c.From, false)
	if err != nil {
		return c, state, err
	}
	there, err := o.Head(t.Context(), c.To, false)
	c.SourceETag, c.DestETag = state.ETag, there.ETag
	return c, state, err
}

func (o *passage) copy(t *testing.T) (object.State, error) {
	c, state, err := o.look(t)
	if err == nil {
		_, err = o.Copy(t.Context(), c)
	}
	return state, err
}

// byParts brings an object of three parts.
func (o *passage) byParts(t *testing.T) (object.State, error) {
	large := bytesOf(o.random, 2*partSize+1000)
	if err := o.was.write(t.Context(), o.source.client, o.key, large); err != nil {
		t.Error(err)
	}
	c, state, err := o.look(t)
	if err != nil {
		return state, err
	}
	upload, err := o.Begin(t.Context(), c)
	if err != nil {
		return state, err
	}
	defer func() {
		if err != nil {
			_ = o.Abort(t.Context(), upload) // the server goes with the test
		}
	}()
	layout := cut.Layout{Size: state.Size, PartSize: partSize}
	done := object.Completion{Copy: c, Upload: upload, Size: layout.Size, PartSize: layout.PartSize}
	for n := 1; n <= layout.Count(); n++ {
		first, last := layout.Bytes(n)
		part, failed := o.CopyPart(t.Context(), object.Part{
			From: c.From, SourceETag: c.SourceETag, SourceVersionID: upload.SourceVersionID, Upload: upload, Number: n, First: first, Last: last,
		})
		if err = failed; err != nil {
			return state, err
		}
		done.Parts = append(done.Parts, part)
	}
	_, err = o.Complete(t.Context(), done)
	return state, err
}
