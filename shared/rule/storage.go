package rule

import "bucket-replicator/shared/object"

// Resolve is the bucket that an alias stands for, false where the alias is not
// configured.
func (s Storage) Resolve(alias string) (object.Bucket, bool) {
	b, ok := s.Buckets[alias]
	if !ok {
		return object.Bucket{}, false
	}
	at := object.Bucket{Backend: b.Backend, Name: b.Name}
	if at.Backend == "" {
		at.Backend = object.AWS
	}
	if at.Name == "" {
		at.Name = alias
	}
	return at, true
}

// bucketsOnAWS are the configured buckets that have no endpoint of their own.
func (s Storage) bucketsOnAWS() []object.Bucket {
	elsewhere := map[string]bool{}
	for _, b := range s.Backends {
		elsewhere[b.Name] = b.Endpoint != ""
	}
	var buckets []object.Bucket
	for alias := range s.Buckets {
		if b, _ := s.Resolve(alias); !elsewhere[b.Backend] {
			buckets = append(buckets, b)
		}
	}
	return buckets
}
