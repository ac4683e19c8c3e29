package rule

import (
	"encoding/json"
	"time"
)

// Default is the configuration that an empty file would stand for, were it
// allowed: no bucket and no rule, everything else at its default.
func Default() Config {
	return Config{Storage: Storage{Replication: Replication{
		Enabled:             true,
		TickInterval:        Duration(time.Minute),
		MaxFailuresRetained: 100,
		Rules:               []Rule{},
	}}}
}

// DefaultRule is a rule of which only the name and the two sides are still to
// be said. What is read from a file or a request is written over it.
func DefaultRule() Rule {
	return Rule{
		Enabled:         true,
		Interval:        Duration(24 * time.Hour),
		BatchSize:       100,
		Conflict:        NewerWins,
		IncludeGlobs:    []string{},
		ExcludeGlobs:    []string{deltaglider},
		ExistingObjects: true,
		MaxDeletes:      MaxDeletes{Count: 1000, Percent: 10},
		ReplicateTags:   true,
		SSE:             SSE{BucketKey: true},
		LatencyTarget:   Duration(15 * time.Minute),
	}
}

// UnmarshalJSON writes what b says over the defaults, so that a rule stored
// before a setting existed, or a request that leaves it out, means the default.
func (r *Rule) UnmarshalJSON(b []byte) error {
	type fields Rule // without this method
	f := fields(DefaultRule())
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*r = Rule(f)
	return nil
}

// deltaglider covers the bookkeeping of a DeltaGlider proxy in front of the
// bucket: it describes that bucket alone, so a replica of it would lie.
const deltaglider = ".deltaglider/**"
