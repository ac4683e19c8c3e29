package rule

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"bucket-replicator/shared/object"
)

// Set is the enabled rules of one catalog revision, indexed by bucket. It is
// immutable and safe for concurrent use.
type Set struct {
	rules    []*Active // highest priority first, then by name
	byName   map[string]*Active
	bySource map[object.Bucket][]*Active // in the order of rules
	dests    map[object.Bucket]bool
	onAWS    map[string]object.Bucket // by physical name
	// elsewhere are the others, zero where two backends use the name.
	elsewhere map[string]object.Bucket
	storage   Storage
}

// Active is an enabled rule with its aliases resolved and its globs compiled.
type Active struct {
	Rule
	SourceBucket, DestBucket object.Bucket
	// Since is when the rule was made; see Rule.ExistingObjects.
	Since time.Time
	// Paused rules match like the others, and keep their keys from rules of
	// lower priority, but nothing is done for them.
	Paused bool
	// OppositeMarkers: an enabled rule with delete_markers leads from the
	// whole of this rule's destination back to where it came from, so a
	// marker over a replica is a delete that is on its way here.
	OppositeMarkers bool

	include, exclude []*regexp.Regexp
}

// Compile makes the set of a catalog: its enabled rules, none where replication
// is switched off. A catalog that was validated compiles. One broken rule fails
// the whole: its events would be dropped unseen if the rest went on without it.
// The error names every broken rule.
func Compile(c Catalog) (*Set, error) {
	s := &Set{
		byName:    map[string]*Active{},
		bySource:  map[object.Bucket][]*Active{},
		dests:     map[object.Bucket]bool{},
		onAWS:     map[string]object.Bucket{},
		elsewhere: map[string]object.Bucket{},
		storage:   c.Storage,
	}
	onAWS, elsewhere := c.Storage.bucketsByPlace()
	for _, b := range onAWS {
		if s.onAWS[b.Name].Backend != object.AWS {
			s.onAWS[b.Name] = b
		}
	}
	for _, b := range elsewhere {
		if _, twice := s.elsewhere[b.Name]; twice {
			s.elsewhere[b.Name] = object.Bucket{}
			continue
		}
		s.elsewhere[b.Name] = b
	}
	var errs []error
	for _, stored := range c.Rules {
		if !c.Storage.Replication.Enabled || !stored.Rule.Enabled {
			continue
		}
		a, err := activate(c.Storage, stored)
		if err != nil {
			errs = append(errs, fmt.Errorf("compile rule %q: %w", stored.Rule.Name, err))
			continue
		}
		if s.byName[a.Name] != nil {
			errs = append(errs, fmt.Errorf("compile rule %q: the name is taken", a.Name))
			continue
		}
		s.byName[a.Name] = a
		s.rules = append(s.rules, a)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	slices.SortFunc(s.rules, func(a, b *Active) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Name, b.Name))
	})
	for _, a := range s.rules {
		s.bySource[a.SourceBucket] = append(s.bySource[a.SourceBucket], a)
		s.dests[a.DestBucket] = true
	}
	for _, a := range s.rules {
		a.OppositeMarkers = slices.ContainsFunc(s.bySource[a.DestBucket], func(o *Active) bool {
			return o.DeleteMarkers && o.reverses(a)
		})
	}
	return s, nil
}

func activate(st Storage, r Stored) (*Active, error) {
	a := &Active{Rule: r.Rule, Since: r.CreatedAt, Paused: r.Paused}
	var errs []error
	resolve := func(alias string) object.Bucket {
		b, ok := st.Resolve(alias)
		if !ok {
			errs = append(errs, fmt.Errorf("bucket %q is not configured", alias))
		}
		return b
	}
	compile := func(patterns []string) []*regexp.Regexp {
		var globs []*regexp.Regexp
		for _, p := range patterns {
			g, err := compileGlob(p)
			if err != nil {
				errs = append(errs, fmt.Errorf("glob %q: %w", p, err))
				continue
			}
			globs = append(globs, g)
		}
		return globs
	}
	a.SourceBucket, a.DestBucket = resolve(r.Rule.Source.Bucket), resolve(r.Rule.Destination.Bucket)
	a.include, a.exclude = compile(r.Rule.IncludeGlobs), compile(r.Rule.ExcludeGlobs)
	return a, errors.Join(errs...)
}

// reverses reports whether a leads every replica of b back to the very object
// it was made from.
func (a *Active) reverses(b *Active) bool {
	if a.SourceBucket != b.DestBucket || a.DestBucket != b.SourceBucket {
		return false
	}
	rest, ok := strings.CutPrefix(b.Destination.Prefix, a.Source.Prefix)
	return ok && a.Destination.Prefix+rest == b.Source.Prefix
}

// Rules are all of the set, highest priority first, then by name. The slice is
// the set's own.
func (s *Set) Rules() []*Active { return s.rules }

// MaxFailuresRetained is how many failures are kept per rule.
func (s *Set) MaxFailuresRetained() int { return s.storage.Replication.MaxFailuresRetained }

// Storage is the configuration that the rules refer to.
func (s *Set) Storage() Storage { return s.storage }

// Rule is the enabled rule of that name, or nil.
func (s *Set) Rule(name string) *Active { return s.byName[name] }

// Locate is the configured bucket that an event of AWS speaks of. AWS knows no
// backends, and its bucket names are unique, whichever backend without an
// endpoint of its own the configuration has the bucket on. A notification that
// another backend sent through AWS says no more: where AWS has no such bucket,
// and one other backend alone does, that is it.
func (s *Set) Locate(b object.Bucket) object.Bucket {
	if b.Backend != object.AWS {
		return b
	}
	if known, ok := s.onAWS[b.Name]; ok {
		return known
	}
	if known, ok := s.elsewhere[b.Name]; ok && known != (object.Bucket{}) {
		return known
	}
	return b
}

// IsSource reports whether some rule reads from b.
func (s *Set) IsSource(b object.Bucket) bool { return len(s.bySource[b]) > 0 }

// IsDestination reports whether some rule writes to b.
func (s *Set) IsDestination(b object.Bucket) bool { return s.dests[b] }

// Rank is how a rule stands to another one that writes the same keys.
type Rank uint8

// The ranks of a rival.
const (
	// NoRival: there is no such enabled rule, or it writes elsewhere.
	NoRival Rank = iota
	Lower
	Equal
	Higher
)

// Rival is how the rule named other ranks against r, so that one who finds a
// replica of other at a destination of r knows whether to keep off.
func (s *Set) Rival(r *Active, other string) Rank {
	o := s.byName[other]
	if o == nil || o.Name == r.Name || o.DestBucket != r.DestBucket ||
		!overlap(o.Destination.Prefix, r.Destination.Prefix) {
		return NoRival
	}
	switch {
	case o.Priority > r.Priority:
		return Higher
	case o.Priority < r.Priority:
		return Lower
	default:
		return Equal
	}
}

// overlap reports whether some key begins with both prefixes.
func overlap(a, b string) bool {
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}
