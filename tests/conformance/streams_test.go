package conformance

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/tests/staging"
)

// crossing is a pair of servers that no server copies between, and what a copy
// does not keep there.
type crossing struct {
	from, to   string
	deviations map[string]storetest.Deviation
}

var crossings = []crossing{
	{"versitygw", "MiniStack", join(fromVersitygw, because("it takes no KMS without a key's name", copyKMS...))},
	{"versitygw", "LocalStack", fromVersitygw},
	{"MiniStack", "versitygw", toVersitygw},
	{"LocalStack", "versitygw", toVersitygw},
}

var (
	fromVersitygw = join(
		lostRaces("until conditions are known to be kept, a look and an act are not one", copyRaces...),
		because("storage classes are dropped", "copy refuses an archived source", "copy does not take the source's storage class"),
		oneOwnerOfCopies)
	toVersitygw = join(
		lostRaces("it takes a marker for an object, so its conditions are no longer used", copyRaces...),
		because("storage classes and encryption are dropped", "copy sets the storage class", "copy sets the encryption"),
		because("storage classes and encryption are dropped", copyKMS...),
		oneOwnerOfCopies,
		because("the file system knows no empty names", "a key with a double slash travels"),
		because("it ignores encoding-type, and XML cannot hold the key", "a key with a control character travels"),
	)
)

// TestStreams tries the very promises of a copy where it has to stream, by a store
// that is told nothing and learns what the servers keep: every
// scene's first bucket, the source of a copy, is on one server, and the next one
// on the other.
func TestStreams(t *testing.T) {
	running := map[string]*server.Server{}
	for _, name := range serverNames {
		s, missing := staging.ServerIfInstalled(t, servers[name].start)
		if missing != nil {
			t.Logf("UNTESTED: %v", missing)
			continue
		}
		running[name] = s
	}
	for _, c := range crossings {
		if running[c.from] == nil || running[c.to] == nil {
			continue
		}
		t.Run(c.from+" to "+c.to, func(t *testing.T) {
			storetest.TestObjects(t, c.harness(running[c.from].URL, running[c.to].URL, nil))
			c.spoil(t, running[c.from].URL, running[c.to].URL)
		})
	}
}

// harness is a store between the two servers, and the people on both sides.
// on the way is what the store's requests pass; nil: nothing.
func (c crossing) harness(from, to string, onTheWay http.RoundTripper) storetest.ObjectsHarness {
	account := config(server.SecretKey)
	if onTheWay != nil {
		account.HTTPClient = &http.Client{Transport: onTheWay}
	}
	here, there := servers[c.from].harness(from, s3store.Conditions{}, nil), servers[c.to].harness(to, s3store.Conditions{}, nil)
	on := func(backend string, newBucket func(storetest.Traits) (object.Bucket, error)) func(storetest.Traits) (object.Bucket, error) {
		return func(traits storetest.Traits) (object.Bucket, error) {
			b, err := newBucket(traits)
			b.Backend = backend
			return b, err
		}
	}
	options := s3store.Options{
		Backends: func() []rule.Backend {
			return []rule.Backend{{Name: "here", Endpoint: from, PathStyle: true}, {Name: "there", Endpoint: to, PathStyle: true}}
		},
	}
	return storetest.ObjectsHarness{
		Store:      s3store.New(account, options),
		People:     bothSides{here.People, there.People},
		NewBucket:  on("here", here.NewBucket),
		NewReplica: on("there", there.NewBucket),
		CopiesOnly: true,
		Deviations: c.deviations,
	}
}

// spoil damages what is read of a source, and looks what the other server makes
// of it: no object, whatever it checks by itself.
func (c crossing) spoil(t *testing.T, from, to string) {
	for name, damage := range map[string]func(body []byte) []byte{
		"a bit flips":       func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"the last bit does": func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"it breaks off":     func(b []byte) []byte { return b[:len(b)-1] },
	} {
		t.Run(name, func(t *testing.T) {
			h := c.harness(from, to, spoiling{damage})
			source, err := h.NewBucket(storetest.Traits{})
			if err != nil {
				t.Fatal(err)
			}
			dest, err := h.NewReplica(storetest.Traits{})
			if err != nil {
				t.Fatal(err)
			}
			copy := object.Copy{From: object.Ref{Bucket: source, Key: "k"}, To: object.Ref{Bucket: dest, Key: "k"}}
			if err := h.People.Put(copy.From, storetest.Text(strings.Repeat("all work and no play\n", 50_000))); err != nil {
				t.Fatal(err)
			}
			looked, err := h.Store.Head(t.Context(), copy.From, false)
			if err != nil {
				t.Fatal(err)
			}
			copy.SourceETag = looked.ETag
			if _, err := h.Store.Copy(t.Context(), copy); err == nil || object.ClassOf(err) != object.Retryable {
				t.Errorf("got %v, want an error to try again after", err)
			}
			if found, there, err := h.People.Get(copy.To); there || err != nil {
				t.Errorf("%d bytes became an object, %v", len(found.Body), err)
			}
		})
	}
}

// spoiling damages the body of every object that is read.
type spoiling struct{ damage func([]byte) []byte }

func (s spoiling) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := server.FromMemory{}.RoundTrip(r)
	if err != nil || r.Method != http.MethodGet || r.URL.Query().Has("tagging") || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(s.damage(body))) // Content-Length stays what it was
	return resp, nil
}

type bothSides struct{ here, there storetest.People }

func (b bothSides) of(at object.Ref) storetest.People {
	if at.Bucket.Backend == "here" {
		return b.here
	}
	return b.there
}

func (b bothSides) Put(at object.Ref, c storetest.Content) error { return b.of(at).Put(at, c) }

func (b bothSides) Leave(to object.Bucket, from object.Ref, c storetest.Content) error {
	return b.of(from).Leave(to, from, c)
}

func (b bothSides) Remove(at object.Ref) error { return b.of(at).Remove(at) }

func (b bothSides) Get(at object.Ref) (storetest.Found, bool, error) { return b.of(at).Get(at) }

func (b bothSides) Versions(at object.Ref) (objects, markers int, err error) {
	return b.of(at).Versions(at)
}
