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
	// Backends that the functions reach otherwise, or that are in another
	// account, and that a rule uses.
	Backends []backend
	// Webhooks are the secrets of those that have sources and send their events
	// to the webhook, by the backend's name.
	Webhooks map[string]string
	// Topics are the SNS topics that events of sources come through.
	Topics []string
	// Keys are the KMS keys that rules encrypt replicas with: ids, aliases or
	// ARNs.
	Keys []string
	// Rules that are on.
	Rules []rule.Rule
}

// bucket is one S3 bucket and what the rules do with it.
type bucket struct {
	Name, Region string
	// Account is the other AWS account that has it; empty: this one, as far as
	// is known.
	Account string
	// Create makes the stack own it.
	Create, Versioned bool
	// Reads, Writes and Deletes are key prefixes of the rules that do that
	// here; nil where none does.
	Reads, Writes, Deletes []string
	// CopiesTags: a rule copies tags from or to here. FiltersTags: a rule
	// chooses objects here by their tags. WritesACL: a rule hands its replicas
	// here to the bucket's owner. CopiesLocks: a rule copies retention and
	// legal holds from or to here.
	CopiesTags, FiltersTags, WritesACL, CopiesLocks bool
}

// backend is one of storage.backends and its buckets that rules use.
type backend struct {
	rule.Backend
	Buckets []bucket
}

func (b bucket) isSource() bool { return b.Reads != nil }

// isListenedTo reports whether its events come to a bus of this account.
func (b bucket) isListenedTo() bool { return b.isSource() && b.Account == "" }

// newTopology derives it from a valid configuration.
func newTopology(storage rule.Storage, home string) topology {
	t := topology{Home: home, Webhooks: map[string]string{}}
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
			Account:   backends[at.Backend].Owner(),
			Create:    b.Create,
			Versioned: b.Versioned,
		}
	}

	for _, r := range t.Rules {
		source, destination := byAlias[r.Source.Bucket], byAlias[r.Destination.Bucket]
		source.Reads = append(source.Reads, r.Source.Prefix)
		source.CopiesTags = source.CopiesTags || r.ReplicateTags
		source.CopiesLocks = source.CopiesLocks || r.ReplicateObjectLock
		destination.CopiesLocks = destination.CopiesLocks || r.ReplicateObjectLock
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

	elsewhere := map[string]*backend{}
	for _, alias := range slices.Sorted(maps.Keys(byAlias)) {
		b, at := *byAlias[alias], backends[cmp.Or(storage.Buckets[alias].Backend, object.AWS)]
		used := b.Reads != nil || b.Writes != nil
		if b.isSource() && at.WebhookSecret != "" {
			t.Webhooks[at.Name] = at.WebhookSecret
		}
		if b.isSource() && at.Topic != "" && !slices.Contains(t.Topics, at.Topic) {
			t.Topics = append(t.Topics, at.Topic)
		}
		if at.Endpoint == "" && at.CredentialsSecret == "" && at.RoleARN == "" && (b.Create || used) {
			t.Buckets = append(t.Buckets, b)
		}
		if used && (at.CredentialsSecret != "" || at.Owner() != "") {
			if elsewhere[at.Name] == nil {
				elsewhere[at.Name] = &backend{Backend: at}
			}
			elsewhere[at.Name].Buckets = append(elsewhere[at.Name].Buckets, b)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(elsewhere)) {
		t.Backends = append(t.Backends, *elsewhere[name])
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

// sources are the names of the buckets in a region of this account whose events
// are wanted.
func (t topology) sources(region string) []string {
	var names []string
	for _, b := range t.Buckets {
		if b.isListenedTo() && b.Region == region {
			names = append(names, b.Name)
		}
	}
	return names
}

// outposts are the regions other than home that have sources.
func (t topology) outposts() []string {
	regions := map[string]bool{}
	for _, b := range t.Buckets {
		if b.isListenedTo() && b.Region != t.Home {
			regions[b.Region] = true
		}
	}
	return slices.Sorted(maps.Keys(regions))
}

// outsiders are the other accounts that have sources.
func (t topology) outsiders() []string {
	var accounts []string
	for _, b := range t.Backends {
		if b.Owner() != "" && slices.ContainsFunc(b.Buckets, bucket.isSource) {
			accounts = append(accounts, b.Owner())
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(accounts)))
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
