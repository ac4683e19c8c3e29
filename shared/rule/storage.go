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
