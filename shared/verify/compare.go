package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/run"
)

// compare is what becomes of a key that both sides have.
func (c Check) compare(ctx context.Context, o replicate.Sighting, s, d object.Detail, in decide.Input, plan decide.Plan, before attempt, a *attempt) {
	if s.Size != d.Size {
		a.finding = differing(o, in, plan, sizeDiffers, fmt.Sprintf("the source has %d bytes, the destination %d", s.Size, d.Size))
		return
	}
	if c.Mode == run.Bytes && (s.Archived || d.Archived) && s.Size > 0 {
		a.finding = of(o, run.Unverifiable, string(decide.Archived), "archived bytes cannot be read before they are restored")
		return
	}
	proof := c.prove(ctx, o, s, d, in.Base, before, a)
	if errors.Is(proof.err, errChanged) {
		a.again = true
		a.finding = of(o, run.Unverifiable, changed, "it changed each time it was read")
		return
	}
	if proof.err != nil {
		failed := failure(o, "content", proof.err)
		a.finding, a.again = failed.finding, failed.again
		return
	}
	apart, why := proof.reason, proof.why
	if proof.verdict != different {
		apart, why = c.dress(s, d)
	}
	switch {
	case apart != "":
		a.again = apart == TagsDiffer // they were fetched after the look, and may be those of a later object
		a.finding = differing(o, in, plan, apart, why)
	case proof.verdict == unproven:
		a.finding = of(o, run.Unverifiable, proof.reason, proof.why)
	default:
		a.finding = of(o, run.Matched, proof.reason, proof.why)
	}
}

// differing is a key whose two sides are not alike, though the rule may have
// said so.
func differing(o replicate.Sighting, in decide.Input, plan decide.Plan, reason, why string) run.Finding {
	f := of(o, run.Mismatch, reason, why)
	ours := in.Base.Rule == in.Rule.Name && in.Base.Describes(in.Dest)
	inStep := ours && in.Base.Source.Reflects(in.Source)
	switch {
	case !ours:
		f.Why += "; the object at the destination was not written by this rule, or changed since"
	case !inStep:
		f.Why += "; the source was written again after it was copied"
	case neverTaken(in.Base, reason):
		f.Kept = true
		f.Why += "; the destination did not take that when it was copied"
		return f
	case reason != TagsDiffer: // which would take no copy
		// What a run decides that compares the two sides, too.
		in.Damaged = true
		plan = decide.Decide(in)
	}
	switch {
	case plan.Reason == decide.Damaged:
		f.Damaged = true
		f.Why += "; it is the rule's own replica, which was damaged: a run that compares copies it anew"
	case plan.Action == decide.Copy:
		_, f.Damaged = decide.Listed(in)
	case plan.Action == decide.Retag && reason == TagsDiffer:
		f.Damaged = true // no listing has tags
	case in.Damaged && plan.Action == decide.Park:
		f.Kept = true
		f.Why += "; it is the rule's own replica, which was damaged, and the source is archived: once it is restored, a run that compares copies it anew"
	case in.Damaged:
		f.Kept = true
		f.Why += "; the rule overwrites nothing: delete it at the destination, and a run copies it anew"
	case plan.Action == decide.Park:
		f.Grade = run.Grade{Class: run.Unverifiable, Reason: string(decide.Archived)}
		f.Why += "; the source is archived, and is copied when it is restored"
	case plan.Reason == decide.DestExists:
		f.Grade = run.Grade{Class: run.Unverifiable, Reason: string(plan.Reason)}
		f.Why += "; the rule overwrites nothing"
	case plan.Reason == decide.TagsDiffer && reason == TagsDiffer:
		f.Grade = run.Grade{Class: run.Unverifiable, Reason: string(plan.Reason)}
		f.Why += "; nothing tells that those of the source are the newer ones, and the rule does not let the source win"
	case plan.Reason == decide.DestNewer:
		f.Grade = run.Grade{Class: run.Unverifiable, Reason: string(plan.Reason)}
		f.Why += "; it is newer than the source, and the rule lets the newer one win"
	default:
		f.Kept = true
		f.Why += "; a run leaves it as it is, as nothing that it goes by differs: delete it at the destination, and a run copies it anew"
	}
	return f
}

// neverTaken reports whether the replica could not be given what differs when it
// was made: then that is no damage, and another copy would be no better.
func neverTaken(base object.Provenance, reason string) bool {
	names := map[string][]string{
		metadataDiffers: {"metadata"}, headersDiffer: {"content_headers", "website_redirect"}, TagsDiffer: {object.LostTags},
	}[reason]
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(base.Lost, name) })
}

type verdict uint8

const (
	unproven verdict = iota
	alike
	different
)

// proof is what is known of the bytes of both sides.
type proof struct {
	verdict
	reason, why string
	err         error // errChanged, or that of a read
}

// prove compares the contents, as far as the mode goes. Their sizes are equal.
func (c Check) prove(ctx context.Context, o replicate.Sighting, s, d object.Detail, base object.Provenance, before attempt, a *attempt) proof {
	switch c.Mode {
	case run.Bytes:
		return c.proveByBytes(ctx, o, s, d, before, a)
	case run.Checksum:
		return proveBySums(s, d)
	default:
		return proveByTags(s, d, base)
	}
}

// proveByTags goes by what every look has. Our own copy of this very content is
// what it was made from, whatever the tags look like.
func proveByTags(s, d object.Detail, base object.Provenance) proof {
	md5 := object.Sum{Algorithm: "MD5"}
	switch {
	case base.Describes(d.State) && base.Source.ETag == s.ETag:
		return proof{verdict: alike, reason: byProvenance, why: "the destination is our copy of this very source, and nobody changed it since"}
	case s.ETag == d.ETag:
		return proof{verdict: alike, reason: byTag, why: "the tags are equal"}
	case s.Sums[md5] != "" && d.Sums[md5] != "":
		return proof{verdict: different, reason: byTag, why: "the tags are MD5 sums, and differ"}
	default:
		return proof{reason: noTagProof, why: "the tags differ, which proves nothing where an object was uploaded in parts or is encrypted by KMS, and the destination is not our copy of this source: verify by checksum or by bytes"}
	}
}

// proveBySums goes by what both sides keep of their whole contents. One kind
// that differs outweighs another that does not.
func proveBySums(s, d object.Detail) proof {
	p := proof{reason: noSum, why: "the two sides keep no checksum of the whole object of the same kind: verify by bytes"}
	if s.ETag == d.ETag {
		p = proof{verdict: alike, reason: byTag, why: "the tags are equal"}
	}
	for kind, value := range s.Sums {
		other, both := d.Sums[kind]
		switch {
		case !both:
		case value == other && p.verdict != different && kind.Algorithm != "MD5":
			p = proof{verdict: alike, reason: bySum, why: kind.Algorithm + " is equal"}
		case value != other && !kind.Composite:
			p = proof{verdict: different, reason: bySum, why: kind.Algorithm + " differs"}
		}
	}
	return p
}

// dress compares what goes with the content, and answers what differs; nothing
// where all is alike.
func (c Check) dress(s, d object.Detail) (reason, why string) {
	if !c.Rule.ReplicateWebsiteRedirects {
		delete(s.Headers, object.Redirect)
		delete(d.Headers, object.Redirect)
	}
	for _, kind := range []struct {
		reason, what string
		source, dest map[string]string
		compared     bool
	}{
		{metadataDiffers, "user metadata", s.Metadata, d.Metadata, true},
		{headersDiffer, "content headers", s.Headers, d.Headers, true},
		{TagsDiffer, "object tags", s.Tags, d.Tags, c.Rule.ReplicateTags},
	} {
		if names := unlike(kind.source, kind.dest); kind.compared && len(names) > 0 {
			return kind.reason, fmt.Sprintf("%s differ: %s", kind.what, strings.Join(names, ", "))
		}
	}
	return "", ""
}

// maxNames bounds how many names a sentence has.
const maxNames = 5

// unlike names what is not the same in both; values stay out of what people are
// told.
func unlike(a, b map[string]string) []string {
	names := map[string]bool{}
	for name, value := range a {
		if other, ok := b[name]; !ok || other != value {
			names[name] = true
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names[name] = true
		}
	}
	sorted := slices.Sorted(maps.Keys(names))
	if len(sorted) > maxNames {
		sorted = append(sorted[:maxNames], "...")
	}
	return sorted
}
