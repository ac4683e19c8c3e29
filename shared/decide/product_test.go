package decide_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// TestEveryCombination walks the product of what can be at the source, at the
// destination and in the ledger, under every policy, and checks what must hold
// whatever the table says: the invariants, written down a
// second time without the code.
func TestEveryCombination(t *testing.T) {
	reached := map[decide.Reason]int{}
	count := 0
	everyPolicy(func(p policyCase) {
		everyState(func(s, d object.State, base, sourceBase object.Provenance, mirrored bool) {
			for _, rival := range p.rivals(base) {
				if p.tagged != untagged && (s.Presence != object.Present || d.Presence != object.Present || base.Rule != "mine") {
					continue // tags play no part
				}
				s, d := p.tags(s, d)
				in := decide.Input{
					Rule: p.rule, Rival: rival, From: from, To: to, Source: s, Dest: d,
					Base: base, SourceBase: sourceBase, Mirrored: mirrored,
					Cause: p.cause, Touched: p.touched, Adopt: p.adopt, LeaseTTL: ttl,
				}
				for _, in.Damaged = range damages(in) {
					count++
					plan := decide.Decide(in)
					reached[plan.Reason]++
					if broken := violated(in, plan); broken != "" {
						t.Fatalf("%s\nplan  %+v\ninput %+v\nrule  %+v", broken, plan, in, in.Rule.Rule)
					}
				}
			}
		})
	})
	for _, r := range []decide.Reason{
		decide.Existing, decide.LowerPriority, decide.Echo, decide.Archived, decide.DeletedThere, decide.InSync,
		decide.Identical, decide.DestNewer, decide.DestExists, decide.DeletesOff, decide.NotOurs, decide.Lifecycle,
		decide.Missing, decide.Changed, decide.Newer, decide.Forced, decide.Priority, decide.Removed, decide.Gone,
		decide.Adopted, decide.TagsOnly, decide.TagsDiffer, decide.Damaged,
	} {
		if reached[r] == 0 {
			t.Errorf("no combination led to %q: the product lacks something", r)
		}
	}
	page, err := os.ReadFile("../../infra/decisions/4-three-way-decision.md")
	if err != nil {
		t.Fatal(err)
	}
	for r := range reached {
		if r != "" && !strings.Contains(string(page), fmt.Sprintf("`%s`", r)) {
			t.Errorf("the table of decisions lacks %q", r)
		}
	}
	t.Logf("%d combinations, reasons %v", count, reached)
}

// damages are whether a comparison found the sides to differ. It makes a
// difference only to a replica of ours of this very source, as
// TestDamageConcernsOursAlone has it.
func damages(in decide.Input) []bool {
	if in.Source.Presence == object.Present && ours(in) && reflected(in) {
		return soundOrNot
	}
	return soundOrNot[:1]
}

var soundOrNot = []bool{false, true}

// ours, in the words of the page: B.rule = R, and tag and time (or version) are
// those of the write.
func ours(in decide.Input) bool {
	b, d := in.Base, in.Dest
	return d.Presence == object.Present && b.Rule == "mine" && b.Dest.ETag == d.ETag && b.Dest.LastModified.Equal(d.LastModified)
}

func reflected(in decide.Input) bool {
	b, s := in.Base, in.Source
	return s.ETag == b.Source.ETag && !s.LastModified.After(b.Source.LastModified)
}

// Whatever a comparison found, what is not the rule's own replica of this very
// source is treated as if nobody had compared.
func TestDamageConcernsOursAlone(t *testing.T) {
	for _, c := range []rule.Conflict{rule.NewerWins, rule.SourceWins, rule.SkipIfDestExists} {
		p := policyCase{rule: policy(conflict(c), deletes, markers)}
		everyState(func(s, d object.State, base, sourceBase object.Provenance, mirrored bool) {
			for _, rival := range p.rivals(base) {
				in := decide.Input{
					Rule: p.rule, Rival: rival, From: from, To: to, Source: s, Dest: d,
					Base: base, SourceBase: sourceBase, Mirrored: mirrored, LeaseTTL: ttl,
				}
				damaged := in
				damaged.Damaged = true
				with, without := decide.Decide(damaged), decide.Decide(in)
				if with.Reason != without.Reason && !(ours(in) && reflected(in)) || with.Action == decide.Delete && without.Action != decide.Delete {
					t.Fatalf("damaged, it is %v (%s) in place of %v (%s): %+v", with.Action, with.Reason, without.Action, without.Reason, in)
				}
			}
		})
	}
}

// ttl spans the tests' seconds: a lease of any of them may explain any write.
const ttl = time.Second * 5

type policyCase struct {
	rule    *rule.Active
	cause   object.Cause
	touched bool
	adopt   bool
	// tagged is what is known of both sides' tags.
	tagged tagCase
}

// tagCase says how the tags of the two sides stand.
type tagCase uint8

const (
	untagged tagCase = iota // nobody looked
	equal
	differ
	lacking // at the destination
	tagCases
)

func (p policyCase) tags(s, d object.State) (object.State, object.State) {
	if p.tagged == untagged {
		return s, d
	}
	if s.Presence == object.Present {
		s = tagged(s, "one")
	}
	if d.Presence == object.Present {
		d = tagged(d, [...]string{equal: "one", differ: "other", lacking: ""}[p.tagged])
	}
	return s, d
}

// rivals a destination's ledger item may have.
func (policyCase) rivals(base object.Provenance) []rule.Rank {
	if base.Rule == "other" {
		return []rule.Rank{rule.NoRival, rule.Lower, rule.Equal, rule.Higher}
	}
	return []rule.Rank{rule.NoRival}
}

func everyPolicy(visit func(policyCase)) {
	for _, c := range []rule.Conflict{rule.NewerWins, rule.SourceWins, rule.SkipIfDestExists} {
		for bits := range 1 << 8 {
			on := func(n int) bool { return bits>>n&1 == 1 }
			p := policyCase{touched: on(5), adopt: on(7), rule: policy(conflict(c), func(r *rule.Active) {
				r.ReplicateDeletes, r.DeleteMarkers, r.ReplicateLifecycleDeletes = on(0), on(1), on(2)
				r.OppositeMarkers, r.ExistingObjects, r.Since = on(3), on(4), at(2)
			})}
			if on(6) {
				p.cause = object.ByLifecycle
			}
			for p.tagged = range tagCases {
				visit(p)
			}
		}
	}
}

// everyState visits two contents and three moments at both ends, and every
// relation the ledger can have to them.
func everyState(visit func(s, d object.State, base, sourceBase object.Provenance, mirrored bool)) {
	sources := []object.State{{}, absent, hidden}
	dests := []object.State{{}, absent, hidden}
	for _, e := range []string{"e1", "e2"} {
		for n := 1; n <= 3; n++ {
			sources = append(sources, found(e, n))
			dests = append(dests, found(e, n), versioned(found(e, n)))
		}
	}
	dests = append(dests, left(found("e1", 2)), left(versioned(found("e1", 3))))
	sources = append(sources, archived(found("e1", 1)), archived(found("e2", 3)))
	copied := found("e1", 2)
	bases := []object.Provenance{
		{},
		wrote("mine", found("e1", 1), copied),
		wrote("mine", found("e2", 3), versioned(copied)), // an encrypted replica: its tag is not the source's
		wrote("other", found("e1", 1), copied),
		expired(wrote("mine", found("e1", 1), copied)),
		leased("e1", 2, 1),
	}
	for _, s := range sources {
		sourceBases := []object.Provenance{
			{}, replica(found("e1", 1), 1, there), replica(found("e1", 2), 1, third), leased("e2", 1, 1, there),
		}
		for _, d := range dests {
			for _, b := range bases {
				for _, sb := range sourceBases {
					visit(s, d, b, sb, false)
					if sb.Landed() {
						visit(s, d, b, sb, true)
					}
				}
			}
		}
	}
}

// violated names the invariant that the plan breaks, or is empty.
func violated(in decide.Input, p decide.Plan) string {
	s, d, b := in.Source, in.Dest, in.Base
	looked := s.Presence != object.Unknown && d.Presence != object.Unknown
	there := d.Presence == object.Present
	ours := ours(in)

	switch {
	case !looked && p.Action != decide.Look:
		return "decided about a side that nobody looked at"
	case looked && p.Action == decide.Look && !(in.Touched && s.Tags == nil):
		return "asked to look at what was seen"
	case p.Action == decide.Copy && s.Presence != object.Present:
		return "copies a source that is not there"
	case p.Reason == decide.Damaged && !(in.Damaged && ours && reflected(in)):
		return "repairs what is not our damaged replica of this very source"
	case in.Damaged && p.Reason == decide.InSync:
		return "takes a damaged replica for one in step"
	case p.Action == decide.Copy && s.Archived:
		return "copies from an archive"
	case p.Action == decide.Copy && there != (p.DestETag != ""), p.DestETag != "" && p.DestETag != d.ETag:
		return "a write's condition is not what was seen"
	case p.Action == decide.Copy && there && !ours && in.Rule.Conflict == rule.SkipIfDestExists && in.Rival != rule.Lower:
		return "overwrites although the rule never does"
	case p.Action == decide.Copy && there && ours && in.Rule.Conflict == rule.SkipIfDestExists:
		return "overwrites its own although the rule never does"
	case p.Action == decide.Copy && there && !ours && in.Rule.Conflict == rule.NewerWins && in.Rival != rule.Lower &&
		!personTime(in.SourceBase, s).After(personTime(b, d)):
		return "an older write beats a newer one"
	case p.Action == decide.Copy && p.Origin.Passed(in.To.Bucket):
		return "content comes back to a bucket that it passed"
	case p.Action == decide.Copy && p.Origin.Chain[len(p.Origin.Chain)-1] != in.From.Bucket:
		return "the chain does not end in the source's bucket"
	case p.Action == decide.Retag && (!ours || s.ETag != b.Source.ETag || s.LastModified.After(b.Source.LastModified)):
		return "tags what is not our replica of this very source"
	case p.Action == decide.Retag && (s.Tags == nil || d.Tags == nil || s.Tags["k"] == d.Tags["k"]):
		return "tags what needs no tags, or without having looked"
	case p.Action == decide.Retag && !in.Touched && in.Rule.Conflict != rule.SourceWins && len(d.Tags) > 0:
		return "replaces tags that a person may have given"
	case p.Action == decide.Retag && in.Rule.Conflict == rule.SkipIfDestExists:
		return "tags although the rule never overwrites"
	case p.Action == decide.Retag && personPassed(in):
		return "tags come back to a bucket that their object passed"
	case p.Action == decide.Delete && !s.Presence.Gone():
		return "deletes although the source is there"
	case p.Action == decide.Delete && !there:
		return "deletes what is not there: a second marker"
	case p.Action == decide.Delete && p.DestETag == "":
		return "deletes without a condition"
	case p.Action == decide.Delete && !in.Rule.ReplicateDeletes && !in.Rule.DeleteMarkers:
		return "deletes although the rule keeps replicas"
	case p.Action == decide.Delete && !ours && !hiddenTwin(in):
		return "deletes what is not ours"
	case p.Action == decide.Delete && (in.Cause == object.ByLifecycle || b.Expired) && !in.Rule.ReplicateLifecycleDeletes:
		return "follows a lifecycle expiration"
	case p.Action == decide.Adopt && !(in.Adopt && there && d.Replica && s.Presence == object.Present && d.ETag == s.ETag):
		return "adopts what is not another replication's replica of the source"
	case p.Action == decide.Adopt && b.Landed() && b.Dest.ETag == d.ETag && b.Dest.LastModified.Equal(d.LastModified):
		return "adopts what a rule wrote"
	case p.Action == decide.Adopt && p.Origin.Passed(in.To.Bucket):
		return "adopts an echo"
	case p.Action == decide.Forget && !(s.Presence.Gone() && d.Presence.Gone()):
		return "forgets what is still there"
	case (p.Action == decide.Skip || p.Action == decide.Park) && p.Reason == "":
		return "skips without a reason"
	case p.Remember && !ours:
		return "remembers something about what is not ours"
	}
	if p.Action == decide.Look {
		return ""
	}
	again := decide.Decide(afterwards(in, p))
	adopted := p.Action == decide.Adopt && again.Action == decide.Retag // which the other replication may have left untagged
	if !adopted && again.Action != decide.Skip && again.Action != decide.Park && again.Action != decide.Forget || again.Remember {
		return fmt.Sprintf("decides to %v (%s) again after acting", again.Action, again.Reason)
	}
	return ""
}

// personPassed: the source is a replica whose content has been at the destination.
func personPassed(in decide.Input) bool {
	b, s := in.SourceBase, in.Source
	return b.Landed() && b.Dest.ETag == s.ETag && b.Dest.LastModified.Equal(s.LastModified) && b.Origin.Passed(in.To.Bucket)
}

// personTime is when a person wrote the content found at an address.
func personTime(p object.Provenance, found object.State) time.Time {
	recorded := p.Rule != "" && p.Dest.ETag == found.ETag && p.Dest.LastModified.Equal(found.LastModified)
	announced := p.Pending.Holder != "" && p.Pending.ETag == found.ETag && p.Pending.Since.Sub(found.LastModified).Abs() < ttl
	switch {
	case recorded:
		return p.Origin.LastModified
	case announced:
		return p.Pending.Origin.LastModified
	default:
		return found.LastModified
	}
}

// hiddenTwin: markers travel, and the destination is the version that the now
// hidden source was a replica of.
func hiddenTwin(in decide.Input) bool {
	was := in.SourceBase.Source
	return in.Rule.DeleteMarkers && in.Source.Presence == object.Hidden && in.Dest.VersionID != "" &&
		in.Mirrored && was.ETag == in.Dest.ETag && !in.Dest.LastModified.After(was.LastModified)
}

// afterwards is the world once the plan was carried out and recorded.
func afterwards(in decide.Input, p decide.Plan) decide.Input {
	in.Touched = false // the event is done with
	in.Damaged = in.Damaged && p.Action != decide.Copy
	versions := in.Dest.VersionID != ""
	switch p.Action {
	case decide.Copy:
		in.Dest = object.State{Presence: object.Present, ETag: "copy", Size: in.Source.Size, LastModified: at(9), VersionID: in.Dest.VersionID}
		in.Base = wrote("mine", in.Source, in.Dest)
		in.Base.Origin = p.Origin
		in.Rival = rule.NoRival
	case decide.Adopt:
		in.Base = wrote("mine", in.Source, in.Dest)
		in.Base.Origin = p.Origin
		in.Rival = rule.NoRival
	case decide.Delete:
		if in.Dest = absent; versions {
			in.Dest = hidden
		}
		in.Base = object.Provenance{}
	case decide.Retag:
		in.Dest.Tags = in.Source.Tags
	case decide.Forget:
		in.Base = object.Provenance{}
	case decide.Skip:
		in.Base.Expired = in.Base.Expired || p.Remember
	}
	return in
}
