package run

import "strings"

// Mode says what a verification compares of the two sides, or a run that
// compares, too.
type Mode string

// The modes. Each compares what the one before does, and more.
const (
	Metadata Mode = "metadata" // size, tag of the content, metadata, headers, object tags
	Checksum Mode = "checksum" // and checksums that both sides keep of the whole content
	Bytes    Mode = "bytes"    // and every byte
)

// Modes are all of them.
var Modes = []Mode{Metadata, Checksum, Bytes}

// Verifies reports whether the run is a verification.
func (r Run) Verifies() bool { return r.Mode != "" }

// verifications follows a rule's name. No rule's name has a '#'.
const verifications = "#verify"

// Verifications names what keeps a rule's verifications, in the place of the
// rule's own name in jobs, runs, shards and tickets. So they are a job of their
// own: one of them may be under way at the same time as a run that replicates,
// and who does not know of verifications finds no rule of that name, and leaves
// their tickets alone.
func Verifications(rule string) string { return rule + verifications }

// RuleOf is the name of the rule whose runs or verifications are kept under a
// name.
func RuleOf(name string) string { return strings.TrimSuffix(name, verifications) }

// Class is what a verification makes of a key.
type Class string

// The classes.
const (
	Matched       Class = "matched"
	MissingOnDest Class = "missing_on_dest"
	OrphanOnDest  Class = "orphan_on_dest" // the destination has it, the source has not
	Mismatch      Class = "mismatch"
	Unverifiable  Class = "unverifiable" // nothing proves that the two sides are alike, nor that they differ
	NotCovered    Class = "not_covered"  // no key of the rule, or none of the sample
)

// Classes are all of them.
var Classes = []Class{Matched, MissingOnDest, OrphanOnDest, Mismatch, Unverifiable, NotCovered}

// Differs reports whether the two sides are not what the rule makes them.
func (c Class) Differs() bool { return c == MissingOnDest || c == OrphanOnDest || c == Mismatch }

// Grade is a class and the reason for it, in one word.
type Grade struct {
	Class  Class
	Reason string
	// Kept: the keys differ, and any run would leave them as they are.
	Kept bool
	// Damaged: the keys differ, and no listing shows it: only a run that compares,
	// too, makes it good.
	Damaged bool
}

// What follows the reason in the text of a Grade.
const (
	kept    = "/kept"
	damaged = "/damaged"
)

// MarshalText is class and reason with a slash between them, and what follows
// them where it is Kept or Damaged. It never fails.
func (g Grade) MarshalText() ([]byte, error) {
	text := string(g.Class) + "/" + g.Reason
	switch {
	case g.Kept:
		text += kept
	case g.Damaged:
		text += damaged
	}
	return []byte(text), nil
}

// UnmarshalText reads what MarshalText wrote. It never fails: what it does not
// know is a class of its own.
func (g *Grade) UnmarshalText(text []byte) error {
	rest, isKept := strings.CutSuffix(string(text), kept)
	rest, isDamaged := strings.CutSuffix(rest, damaged)
	class, reason, _ := strings.Cut(rest, "/")
	*g = Grade{Class: Class(class), Reason: reason, Kept: isKept, Damaged: isDamaged}
	return nil
}

// Finding is what a verification found about one key.
type Finding struct {
	Key string // at the destination
	Grade
	Why string // in a sentence
}

// MaxFindings bounds Totals.Findings, for each class.
const MaxFindings = 5

// Find counts a finding, and keeps it where there are not enough of its class
// yet. Of keys that are not covered none is kept.
func (t *Totals) Find(f Finding) {
	t.found(f.Grade, 1)
	t.keep(f)
}

func (t *Totals) found(g Grade, n int64) {
	if t.Found == nil {
		t.Found = map[Grade]int64{}
	}
	t.Found[g] += n
}

func (t *Totals) keep(f Finding) {
	if f.Class == NotCovered {
		return
	}
	n := 0
	for _, other := range t.Findings {
		if other.Class == f.Class {
			n++
		}
	}
	if n < MaxFindings {
		t.Findings = append(t.Findings, f)
	}
}

// Of is how many keys are of a class.
func (t Totals) Of(c Class) int64 { return t.graded(func(g Grade) bool { return g.Class == c }) }

// Differences are how many keys differ.
func (t Totals) Differences() int64 {
	return t.Of(MissingOnDest) + t.Of(OrphanOnDest) + t.Of(Mismatch)
}

// Kept are how many keys differ that any run would leave as they are.
func (t Totals) Kept() int64 { return t.graded(func(g Grade) bool { return g.Kept }) }

// Damaged are how many keys differ that only a run makes good which compares.
func (t Totals) Damaged() int64 { return t.graded(func(g Grade) bool { return g.Damaged }) }

func (t Totals) graded(wanted func(Grade) bool) int64 {
	var n int64
	for g, found := range t.Found {
		if wanted(g) {
			n += found
		}
	}
	return n
}

// Partial is an object whose first Done bytes are the same on both sides, as
// long as each still has its tag.
type Partial struct {
	Key          string // without the rule's prefixes
	Source, Dest string // the tags
	Done         int64
}
