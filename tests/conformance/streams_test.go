package conformance

import (
	"errors"
	"os"
	"testing"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/storetest"
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
		s, err := servers[name].start(t.Context(), server.Options{})
		if errors.Is(err, server.ErrNotInstalled) && os.Getenv("CI") != "true" {
			t.Logf("UNTESTED: %v", err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
		running[name] = s
	}
	for _, c := range crossings {
		if running[c.from] == nil || running[c.to] == nil {
			continue
		}
		t.Run(c.from+" to "+c.to, func(t *testing.T) {
			storetest.TestObjects(t, c.harness(running[c.from].URL, running[c.to].URL))
		})
	}
}

// harness is a store between the two servers, and the people on both sides.
func (c crossing) harness(from, to string) storetest.ObjectsHarness {
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
		Store:      s3store.New(config(server.SecretKey), options),
		People:     bothSides{here.People, there.People},
		NewBucket:  on("here", here.NewBucket),
		NewReplica: on("there", there.NewBucket),
		CopiesOnly: true,
		Deviations: c.deviations,
	}
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
