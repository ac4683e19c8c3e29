package rule

import (
	"strings"

	"bucket-replicator/shared/object"
)

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

// RequesterPays reports whether an alias of the bucket says that whoever asks
// for its objects pays.
func (s Storage) RequesterPays(b object.Bucket) bool {
	for alias, configured := range s.Buckets {
		if at, _ := s.Resolve(alias); configured.RequesterPays && at == b {
			return true
		}
	}
	return false
}

// bucketsByPlace are the configured buckets that have no endpoint of their own,
// and the others.
func (s Storage) bucketsByPlace() (onAWS, others []object.Bucket) {
	elsewhere := map[string]bool{}
	for _, b := range s.Backends {
		elsewhere[b.Name] = b.Endpoint != ""
	}
	for alias := range s.Buckets {
		if b, _ := s.Resolve(alias); elsewhere[b.Backend] {
			others = append(others, b)
		} else {
			onAWS = append(onAWS, b)
		}
	}
	return onAWS, others
}

// Shares reports whether one server may copy between the two backends: they are
// at one endpoint, and one identity reaches both.
func (b Backend) Shares(o Backend) bool {
	return b.Endpoint == o.Endpoint && b.CredentialsSecret == o.CredentialsSecret &&
		b.RoleARN == o.RoleARN && b.ExternalID == o.ExternalID
}

// Owner is the other AWS account that the backend's buckets are in, as far as
// the configuration says; else empty.
func (b Backend) Owner() string {
	if parts := strings.Split(b.RoleARN, ":"); len(parts) > 4 {
		return parts[4]
	}
	return b.Account
}
