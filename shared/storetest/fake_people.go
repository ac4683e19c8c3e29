package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"

	"bucket-replicator/shared/object"
)

// FakeObjects is the harness that puts the fake itself under test.
func FakeObjects(o *Objects) ObjectsHarness {
	var made atomic.Int64
	return ObjectsHarness{
		Store:  o,
		People: fakePeople{o},
		NewBucket: func(traits Traits) (object.Bucket, error) {
			b := object.Bucket{Backend: object.AWS, Name: fmt.Sprintf("bucket-%d", made.Add(1))}
			o.AddBucket(b, traits)
			return b, nil
		},
		Elsewhere: func(b object.Bucket) object.Bucket {
			o.mu.Lock()
			defer o.mu.Unlock()
			elsewhere := object.Bucket{Backend: "elsewhere", Name: b.Name}
			o.buckets[elsewhere] = o.buckets[b]
			return elsewhere
		},
		Denied: &Objects{Hook: func(Call) (Fault, error) {
			return FailBefore, &object.Error{Class: object.Permanent, Code: "AccessDenied", Err: errors.New("no right")}
		}, counts: map[Call]int{}},
	}
}

type fakePeople struct{ *Objects }

func (p fakePeople) Put(at object.Ref, c Content) error {
	p.Objects.Put(at, c)
	return nil
}

func (p fakePeople) Leave(to object.Bucket, from object.Ref, c Content) error {
	p.Objects.Put(from, c)
	p.Objects.Leave(from, object.Ref{Bucket: to, Key: from.Key})
	return nil
}

func (p fakePeople) Remove(at object.Ref) error {
	p.Objects.Remove(at, object.ByRequest)
	return nil
}

func (p fakePeople) Get(at object.Ref) (Found, bool, error) {
	f, ok := p.Objects.Get(at)
	return f, ok, nil
}

func (p fakePeople) Versions(at object.Ref) (objects, markers int, err error) {
	for _, f := range p.Objects.Versions(at) {
		if f.State.Presence == object.Hidden {
			markers++
		} else {
			objects++
		}
	}
	return objects, markers, nil
}
