package rule

import (
	"regexp"
	"slices"
	"strings"

	"bucket-replicator/shared/object"
)

// maxKey is the longest key S3 takes, in bytes.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
const maxKey = 1024

// Match is a rule that concerns a source object, and where the replica goes.
type Match struct {
	Rule *Active
	Dest object.Ref
	// Excluded: a directory marker, or the globs leave the key out.
	Excluded bool
	// Outranked: whatever the object is like, a rule of higher priority
	// writes it to the same destination key. See OutrankedFor for rules that
	// choose by what the object is like.
	Outranked bool
	// TooLong: the destination key has more than 1,024 bytes. S3 refuses it
	// as KeyTooLongError, for ever.
	TooLong bool

	rivals []*Active // higher rules that write Dest, if they want the object
}

// Match lists the rules whose source bucket and prefix cover the key, highest
// priority first, then by name; paused ones too. Globs see the whole source
// key, not what follows the prefix, so that one glob means the same in every
// rule; exclude beats include. Names of "directories" (a key that ends in a
// slash, on either side) are excluded.
func (s *Set) Match(source object.Ref) []Match {
	var matches []Match
	for _, a := range s.bySource[source.Bucket] {
		if m, ok := a.match(source.Key); ok {
			m.outrank(matches)
			matches = append(matches, m)
		}
	}
	return matches
}

// MatchOf is what Match says of one rule of the set, whose source bucket and
// prefix must cover the key.
func (s *Set) MatchOf(a *Active, key string) Match {
	m, _ := a.match(key)
	for _, higher := range s.bySource[a.SourceBucket] {
		if higher.Priority <= a.Priority {
			break // the rest is no higher
		}
		if h, ok := higher.match(key); ok {
			m.outrank([]Match{h})
		}
	}
	return m
}

// match is what the rule alone says of a source key; false where its prefix
// does not cover it.
func (a *Active) match(key string) (Match, bool) {
	if !strings.HasPrefix(key, a.Source.Prefix) {
		return Match{}, false
	}
	dest := a.Dest(key)
	return Match{
		Rule:     a,
		Dest:     dest,
		Excluded: a.excludes(key) || dest.Key == "" || strings.HasSuffix(dest.Key, "/"),
		TooLong:  len(dest.Key) > maxKey,
	}, true
}

// outrank notes which of the other matches of the same source key stand above m.
func (m *Match) outrank(others []Match) {
	for _, o := range others {
		if o.Excluded || o.Dest != m.Dest || o.Rule.Priority <= m.Rule.Priority {
			continue
		}
		m.rivals = append(m.rivals, o.Rule)
		m.Outranked = m.Outranked || !o.Rule.choosy()
	}
}

// NeedsTags reports whether the tags of the source object decide about m:
// whether the rule admits it, or whether a higher one does.
func (m Match) NeedsTags() bool {
	return m.Rule.NeedsTags() || slices.ContainsFunc(m.rivals, (*Active).NeedsTags)
}

// OutrankedFor is Outranked for one source object, which must be Present and,
// where NeedsTags, have its tags.
func (m Match) OutrankedFor(s object.State) bool {
	return m.Outranked || slices.ContainsFunc(m.rivals, func(r *Active) bool {
		return (r.ExistingObjects || !s.LastModified.Before(r.Since)) && r.Admits(s)
	})
}

// Dest is where the replica of a source key goes: the source prefix is
// stripped, the destination prefix put in its place. The key must begin with
// the source prefix.
func (a *Active) Dest(key string) object.Ref {
	return object.Ref{Bucket: a.DestBucket, Key: a.Destination.Prefix + key[len(a.Source.Prefix):]}
}

// SourceOf is the source object whose replica would have this destination key:
// the inverse of Dest. False where no source key leads there.
func (a *Active) SourceOf(destKey string) (object.Ref, bool) {
	rest, ok := strings.CutPrefix(destKey, a.Destination.Prefix)
	if !ok {
		return object.Ref{}, false
	}
	return object.Ref{Bucket: a.SourceBucket, Key: a.Source.Prefix + rest}, true
}

// NeedsTags reports whether Admits asks for tags.
func (a *Active) NeedsTags() bool { return len(a.Tags) > 0 }

// Admits reports whether the rule wants a source object of this size and with
// these tags. The object must be Present. It panics where the rule filters by
// tags and nobody fetched them: neither answer would be true.
func (a *Active) Admits(s object.State) bool {
	if !a.AdmitsSize(s.Size) {
		return false
	}
	if a.NeedsTags() && s.Tags == nil {
		panic("rule " + a.Name + ": asked about an object whose tags were not fetched")
	}
	for k, v := range a.Tags {
		if have, ok := s.Tags[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// AdmitsSize reports whether the rule wants objects of so many bytes.
func (a *Active) AdmitsSize(size int64) bool {
	return size >= a.MinSize && (a.MaxSize == 0 || size <= a.MaxSize)
}

// choosy reports whether there are objects under its keys that the rule leaves
// to others.
func (a *Active) choosy() bool {
	return a.NeedsTags() || a.MinSize > 0 || a.MaxSize > 0 || !a.ExistingObjects
}

func (a *Active) excludes(key string) bool {
	matches := func(glob *regexp.Regexp) bool { return glob.MatchString(key) }
	return strings.HasSuffix(key, "/") ||
		slices.ContainsFunc(a.exclude, matches) ||
		len(a.include) > 0 && !slices.ContainsFunc(a.include, matches)
}
