package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// topology is what the configuration means for the stack: which buckets the
// functions reach with their own role, what for, and where those buckets are.
// Only rules that are on count.
type topology struct {
	Home string // region
	// Buckets on AWS that the functions' role reaches, or that the stack
	// makes, by name.
	Buckets []bucket
	// Secrets are the ARNs of credentials for the other backends in use.
	Secrets []string
	// Keys are the KMS keys that rules encrypt replicas with: ARNs, ids or
	// aliases.
	Keys []string
	// Targets are the rules that are on, whose latency is watched.
	Targets []rule.Rule
}

// bucket is one S3 bucket and the use that rules make of it. Several aliases
// may stand for it.
type bucket struct {
	Name, Region string
	// Create makes the stack own it.
	Create, Versioned bool
	// Reads, Writes and Deletes are key prefixes, shortest only; nil where no
	// rule does that here, one empty prefix for the whole bucket.
	Reads, Writes, Deletes []string
	// ReadTags: a rule copies tags from here or filters by them.
	// WriteTags: a rule copies tags to here. WriteACL: a rule hands its
	// replicas here to the bucket's owner.
	ReadTags, WriteTags, WriteACL bool
}

// IsSource says that events of this bucket are wanted.
func (b bucket) IsSource() bool { return b.Reads != nil }

// newTopology derives it from a valid configuration. The problems are what the
// grammar allows and this stack cannot deploy.
func newTopology(config rule.Config, home string) (topology, rule.Problems) {
	t := topology{Home: home}
	backends := map[string]rule.Backend{object.AWS: {Name: object.AWS}}
	for _, b := range config.Storage.Backends {
		backends[b.Name] = b
	}
	// native says that a backend is AWS with the functions' own role.
	native := func(b rule.Backend) bool { return b.Endpoint == "" && b.CredentialsSecret == "" }

	var problems rule.Problems
	byName := map[string]*bucket{}
	byAlias := map[string]*bucket{} // native ones only
	for _, alias := range sortedKeys(config.Storage.Buckets) {
		c := config.Storage.Buckets[alias]
		backend := backends[cmp.Or(c.Backend, object.AWS)]
		if !native(backend) {
			if c.Create {
				problems = append(problems, rule.Problem{
					Path:    "storage.buckets." + alias + ".create",
					Message: fmt.Sprintf("backend %q is not in this account: the stack cannot make the bucket, only use it", backend.Name),
				})
			}
			continue
		}
		name := cmp.Or(c.Name, alias)
		if byName[name] == nil {
			byName[name] = &bucket{Name: name, Region: cmp.Or(backend.Region, home)}
		}
		b := byName[name]
		b.Create = b.Create || c.Create
		b.Versioned = b.Versioned || c.Versioned
		byAlias[alias] = b
	}

	use := func(alias string) *bucket {
		if b := byAlias[alias]; b != nil {
			return b
		}
		backend := backends[cmp.Or(config.Storage.Buckets[alias].Backend, object.AWS)]
		if backend.CredentialsSecret != "" {
			t.Secrets = append(t.Secrets, backend.CredentialsSecret)
		}
		return &bucket{} // on another backend: nothing to permit, nothing to listen to
	}
	for _, r := range config.Storage.Replication.Rules {
		if !config.Storage.Replication.Enabled || !r.Enabled {
			continue
		}
		t.Targets = append(t.Targets, r)
		source, destination := use(r.Source.Bucket), use(r.Destination.Bucket)
		source.Reads = append(source.Reads, r.Source.Prefix)
		source.ReadTags = source.ReadTags || r.ReplicateTags || len(r.Tags) > 0
		destination.Writes = append(destination.Writes, r.Destination.Prefix)
		destination.WriteTags = destination.WriteTags || r.ReplicateTags
		destination.WriteACL = destination.WriteACL || r.OwnerOverride
		if r.ReplicateDeletes || r.DeleteMarkers {
			destination.Deletes = append(destination.Deletes, r.Destination.Prefix)
		}
		if r.SSE.KMSKey != "" {
			t.Keys = append(t.Keys, r.SSE.KMSKey)
		}
	}

	for _, name := range sortedKeys(byName) {
		b := *byName[name]
		if b.Reads == nil && b.Writes == nil && !b.Create {
			continue
		}
		b.Reads, b.Writes, b.Deletes = shortest(b.Reads), shortest(b.Writes), shortest(b.Deletes)
		t.Buckets = append(t.Buckets, b)
	}
	t.Secrets, t.Keys = sortedSet(t.Secrets), sortedSet(t.Keys)
	return t, problems
}

// Sources are the buckets whose events are wanted, in one region.
func (t topology) Sources(region string) []bucket {
	return t.filter(func(b bucket) bool { return b.IsSource() && b.Region == region })
}

// Created are the buckets that the stack in a region makes.
func (t topology) Created(region string) []bucket {
	return t.filter(func(b bucket) bool { return b.Create && b.Region == region })
}

// Outposts are the regions other than home that need a stack of their own: for
// events of sources there, or to make buckets.
func (t topology) Outposts() []string {
	var regions []string
	for _, b := range t.Buckets {
		if b.Region != t.Home && (b.IsSource() || b.Create) {
			regions = append(regions, b.Region)
		}
	}
	return sortedSet(regions)
}

func (t topology) filter(keep func(bucket) bool) []bucket {
	return slices.DeleteFunc(slices.Clone(t.Buckets), func(b bucket) bool { return !keep(b) })
}

// shortest drops every prefix that another one covers.
func shortest(prefixes []string) []string {
	var kept []string
	for _, p := range sortedSet(prefixes) {
		if len(kept) == 0 || !strings.HasPrefix(p, kept[len(kept)-1]) {
			kept = append(kept, p)
		}
	}
	return kept
}

func sortedSet(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
