package rule

import (
	"fmt"
	"slices"
	"strings"
)

// Uncovered finds what a rule made at run time would lack. The events and the
// permissions that the functions get are those of the deployed rules that are
// on: these read and write under prefixes, and permissions are by prefix. What
// is found can be had by deploying a rule. The rule must be valid.
func Uncovered(c Catalog, r Rule) []Problem {
	var problems []Problem
	from, _ := c.Storage.Resolve(r.Source.Bucket)
	to, _ := c.Storage.Resolve(r.Destination.Bucket)
	var reads, writes, deletes []string // prefixes
	var tagsRead, tagsWritten, filters, owners, locksRead, locksWritten bool
	var keys []string
	for _, s := range c.Rules {
		d := s.Rule
		if !s.Deployed || !d.Enabled || !c.Storage.Replication.Enabled {
			continue
		}
		if at, _ := c.Storage.Resolve(d.Source.Bucket); at == from {
			reads = append(reads, d.Source.Prefix)
			tagsRead = tagsRead || d.ReplicateTags
			filters = filters || len(d.Tags) > 0
			locksRead = locksRead || d.ReplicateObjectLock
		}
		if at, _ := c.Storage.Resolve(d.Destination.Bucket); at == to {
			writes = append(writes, d.Destination.Prefix)
			if d.ReplicateDeletes || d.DeleteMarkers {
				deletes = append(deletes, d.Destination.Prefix)
			}
			tagsWritten = tagsWritten || d.ReplicateTags
			owners = owners || d.OwnerOverride
			locksWritten = locksWritten || d.ReplicateObjectLock
		}
		keys = append(keys, d.SSE.KMSKey)
	}
	want := func(have bool, path, format string, args ...any) {
		if !have {
			problems = append(problems, Problem{Path: path, Message: fmt.Sprintf("is not covered: deploy a rule that "+format, args...)})
		}
	}
	under := func(prefixes []string, s Side) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s.Prefix, p) })
	}
	want(under(reads, r.Source), "source", "reads %s under %q, or above, first", r.Source.Bucket, r.Source.Prefix)
	want(under(writes, r.Destination), "destination", "writes %s under %q, or above, first", r.Destination.Bucket, r.Destination.Prefix)
	if r.ReplicateDeletes || r.DeleteMarkers {
		path := "replicate_deletes"
		if !r.ReplicateDeletes {
			path = "delete_markers"
		}
		want(under(deletes, r.Destination), path, "deletes in %s under %q, or above, first", r.Destination.Bucket, r.Destination.Prefix)
	}
	if r.ReplicateTags {
		want(tagsRead && tagsWritten, "replicate_tags", "replicates tags from %s, and one that does to %s, first; or leave tags out", r.Source.Bucket, r.Destination.Bucket)
	}
	if len(r.Tags) > 0 {
		want(filters, "tags", "chooses by tags in %s first", r.Source.Bucket)
	}
	if r.OwnerOverride {
		want(owners, "owner_override", "has owner_override in %s first", r.Destination.Bucket)
	}
	if r.ReplicateObjectLock {
		want(locksRead && locksWritten, "replicate_object_lock", "replicates locks from %s, and one that does to %s, first", r.Source.Bucket, r.Destination.Bucket)
	}
	if r.SSE.KMSKey != "" {
		want(slices.Contains(keys, r.SSE.KMSKey), "sse.kms_key", "encrypts with %s first", r.SSE.KMSKey)
	}
	return problems
}
