package decide_test

import (
	"testing"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

func TestListed(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(etag string, size int64, when time.Time) object.State {
		return object.State{Presence: object.Present, ETag: etag, Size: size, LastModified: when}
	}
	absent := object.State{Presence: object.Absent}
	s := at("e", 3, noon)
	for situation, test := range map[string]struct {
		source, dest object.State
		change       func(*decide.Input)
		want         decide.Reason // empty: the listings do not suffice
	}{
		"the same, and written later":            {s, at("e", 3, noon.Add(time.Hour)), nil, decide.InSync},
		"the same, and written in the second":    {s, at("e", 3, noon), nil, decide.InSync},
		"the same, and written earlier":          {s, at("e", 3, noon.Add(-time.Second)), nil, ""},
		"another size under the same tag":        {s, at("e", 4, noon.Add(time.Hour)), nil, ""},
		"another tag":                            {s, at("f", 3, noon.Add(time.Hour)), nil, ""},
		"missing at the destination":             {s, absent, nil, ""},
		"gone from the source":                   {absent, s, nil, decide.DeletesOff},
		"gone, and deletes follow":               {absent, s, func(in *decide.Input) { in.Rule.ReplicateDeletes = true }, ""},
		"gone, and markers follow":               {absent, s, func(in *decide.Input) { in.Rule.DeleteMarkers = true }, ""},
		"excluded, whatever is there":            {s, absent, func(in *decide.Input) { in.Excluded = true }, decide.Excluded},
		"another rule's":                         {s, absent, func(in *decide.Input) { in.Outranked = true }, decide.LowerPriority},
		"too small":                              {s, absent, func(in *decide.Input) { in.Rule.MinSize = 4 }, decide.Excluded},
		"older than a rule that takes only new":  {s, absent, func(in *decide.Input) { in.Rule.ExistingObjects, in.Rule.Since = false, noon.Add(1) }, decide.Existing},
		"as old as a rule that takes only new":   {s, absent, func(in *decide.Input) { in.Rule.ExistingObjects, in.Rule.Since = false, noon }, ""},
		"the same, tags to be asked for":         {s, s, func(in *decide.Input) { in.Rule.Tags = map[string]string{"a": "b"} }, decide.InSync},
		"missing, and tags would have to be had": {s, absent, func(in *decide.Input) { in.Rule.Tags = map[string]string{"a": "b"} }, ""},
	} {
		t.Run(situation, func(t *testing.T) {
			in := decide.Input{Rule: &rule.Active{Rule: rule.DefaultRule()}, Source: test.source, Dest: test.dest}
			if test.change != nil {
				test.change(&in)
			}
			plan, ok := decide.Listed(in)
			if ok != (test.want != "") || ok && (plan.Action != decide.Skip || plan.Reason != test.want) {
				t.Errorf("%+v, %t", plan, ok)
			}
		})
	}
}
