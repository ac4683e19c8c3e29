package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// topology is what the configuration means for the stacks. Only rules that are
// on count.
type topology struct {
	Home string // region
	// Buckets that the functions reach with their own role, and that a rule
	// uses or the stack makes. By alias.
	Buckets []bucket
	// Keys are the KMS keys that rules encrypt replicas with: ids, aliases or
	// ARNs.
	Keys []string
	// Rules that are on.
	Rules []rule.Rule
}

// bucket is one S3 bucket and what the rules do with it.
type bucket struct {
	Name, Region string
	// Create makes the stack own it.
	Create, Versioned bool
	// Reads, Writes and Deletes are key prefixes of the rules that do that
	// here; nil where none does.
	Reads, Writes, Deletes []string
	// CopiesTags: a rule copies tags from or to here. FiltersTags: a rule
	// chooses objects here by their tags. WritesACL: a rule hands its replicas
	// here to the bucket's owner.
	CopiesTags, FiltersTags, WritesACL bool
}

func (b bucket) isSource() bool { return b.Reads != nil }

// newTopology derives it from a valid configuration.
func newTopology(storage rule.Storage, home string) topology {
	t := topology{Home: home}
	if storage.Replication.Enabled {
		t.Rules = slices.DeleteFunc(slices.Clone(storage.Replication.Rules), func(r rule.Rule) bool { return !r.Enabled })
	}

	backends := map[string]rule.Backend{object.AWS: {}}
	for _, b := range storage.Backends {
		backends[b.Name] = b
	}
	byAlias := map[string]*bucket{}
	for alias, b := range storage.Buckets {
		at, _ := storage.Resolve(alias)
		byAlias[alias] = &bucket{
			Name:      at.Name,
			Region:    cmp.Or(backends[at.Backend].Region, home),
			Create:    b.Create,
			Versioned: b.Versioned,
		}
	}

	for _, r := range t.Rules {
		source, destination := byAlias[r.Source.Bucket], byAlias[r.Destination.Bucket]
		source.Reads = append(source.Reads, r.Source.Prefix)
		source.CopiesTags = source.CopiesTags || r.ReplicateTags
		source.FiltersTags = source.FiltersTags || len(r.Tags) > 0
		destination.Writes = append(destination.Writes, r.Destination.Prefix)
		destination.CopiesTags = destination.CopiesTags || r.ReplicateTags
		destination.WritesACL = destination.WritesACL || r.OwnerOverride
		if r.ReplicateDeletes || r.DeleteMarkers {
			destination.Deletes = append(destination.Deletes, r.Destination.Prefix)
		}
		if r.SSE.KMSKey != "" {
			t.Keys = append(t.Keys, r.SSE.KMSKey)
		}
	}

	for _, alias := range slices.Sorted(maps.Keys(byAlias)) {
		b, backend := *byAlias[alias], backends[storage.Buckets[alias].Backend]
		ownRole := backend.Endpoint == "" && backend.CredentialsSecret == ""
		if ownRole && (b.Create || b.Reads != nil || b.Writes != nil) {
			t.Buckets = append(t.Buckets, b)
		}
	}
	return t
}

// allOn is the configuration with every rule switched on: a dry run of a rule
// that is off reads what the rule would.
func allOn(storage rule.Storage) rule.Storage {
	storage.Replication.Enabled = true
	storage.Replication.Rules = slices.Clone(storage.Replication.Rules)
	for i := range storage.Replication.Rules {
		storage.Replication.Rules[i].Enabled = true
	}
	return storage
}

// sources are the names of the buckets in a region whose events are wanted.
func (t topology) sources(region string) []string {
	var names []string
	for _, b := range t.Buckets {
		if b.isSource() && b.Region == region {
			names = append(names, b.Name)
		}
	}
	return names
}

// outposts are the regions other than home that have sources.
func (t topology) outposts() []string {
	regions := map[string]bool{}
	for _, b := range t.Buckets {
		if b.isSource() && b.Region != t.Home {
			regions[b.Region] = true
		}
	}
	return slices.Sorted(maps.Keys(regions))
}

// shortest is the prefixes without those that another one covers.
func shortest(prefixes []string) []string {
	var kept []string
	for _, p := range slices.Sorted(slices.Values(prefixes)) {
		if len(kept) == 0 || !strings.HasPrefix(p, kept[len(kept)-1]) {
			kept = append(kept, p)
		}
	}
	return kept
}
