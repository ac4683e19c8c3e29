package rule_test

import (
	"testing"

	"bucket-replicator/shared/rule"
)

func TestValidateRulesTogether(t *testing.T) {
	higher := priority(1)
	for name, c := range map[string]struct {
		rules     []rule.Rule
		path, say string // of the only problem, behind storage.replication.; empty: there is none
	}{
		// A rule with itself.
		"a bucket onto itself":                {[]rule.Rule{between("a", "photos:", "photos:")}, "rules[0].destination", "overlaps with the source"},
		"a bucket into its own folder":        {[]rule.Rule{between("a", "photos:", "photos:old/")}, "rules[0].destination", `"" and "old/" of one bucket have keys in common`},
		"a folder onto the whole bucket":      {[]rule.Rule{between("a", "photos:new/", "photos:")}, "rules[0].destination", "overlaps with the source"},
		"a disabled rule that feeds itself":   {[]rule.Rule{with(between("a", "photos:", "photos:old/"), disabled)}, "rules[0].destination", "overlaps"},
		"two folders of one bucket":           {[]rule.Rule{between("a", "photos:new/", "photos:old/")}, "", ""},
		"equal names on two backends":         {[]rule.Rule{between("a", "photos:", "far:")}, "", ""},
		"folders whose names begin alike":     {[]rule.Rule{between("a", "photos:new/", "photos:new-old/")}, "", ""},
		"prefixes that cover without a slash": {[]rule.Rule{between("a", "photos:new/x/", "photos:new/")}, "rules[0].destination", "overlaps"},

		// Two rules onto the same keys.
		"two buckets into one":                  {[]rule.Rule{between("a", "photos:", "copies:"), between("b", "third:", "copies:")}, "rules[1].priority", `rule "a" also writes to aws/copies under "" and has the same priority, 0`},
		"a folder within another's destination": {[]rule.Rule{between("a", "photos:", "copies:x/y/"), between("b", "third:", "copies:x/")}, "rules[1].priority", `under "x/y/"`},
		"one object twice to one place":         {[]rule.Rule{between("a", "photos:", "copies:"), between("b", "photos:x/", "copies:x/")}, "rules[1].priority", "same priority"},
		"two into one, one of them higher":      {[]rule.Rule{between("a", "photos:", "copies:"), with(between("b", "third:", "copies:"), higher)}, "", ""},
		"two into one, one of them disabled":    {[]rule.Rule{between("a", "photos:", "copies:"), with(between("b", "third:", "copies:"), disabled)}, "", ""},
		"two into folders of their own":         {[]rule.Rule{between("a", "photos:", "copies:a/"), between("b", "third:", "copies:b/")}, "", ""},
		"folders of one bucket, each its own":   {[]rule.Rule{between("a", "photos:a/", "copies:a/"), between("b", "photos:b/", "copies:b/")}, "", ""},
		"one bucket to two":                     {[]rule.Rule{between("a", "photos:", "copies:"), between("b", "photos:", "third:")}, "", ""},
		"globs cannot prove that two part": {[]rule.Rule{
			with(between("a", "photos:", "copies:"), include("*.jpg")),
			with(between("b", "photos:", "copies:"), include("*.png")),
		}, "rules[1].priority", "same priority"},

		// Rings.
		"a pair of buckets": {[]rule.Rule{between("ab", "photos:", "copies:"), between("ba", "copies:", "photos:")}, "", ""},
		"a ring of three buckets": {[]rule.Rule{between("ab", "photos:", "copies:"), between("bc", "copies:", "third:"),
			between("ca", "third:", "photos:")}, "", ""},
		"a pair within one bucket": {[]rule.Rule{between("ab", "photos:a/", "photos:b/"), between("ba", "photos:b/", "photos:a/")},
			"rules[0].destination", "leads back to its own source within aws/photos: ab -> ba -> ab"},
		"a ring of three within one bucket": {[]rule.Rule{between("ab", "photos:a/", "photos:b/"), between("bc", "photos:b/x/", "photos:c/"),
			between("ca", "photos:c/", "photos:a/")}, "rules[0].destination", "ab -> bc -> ca -> ab"},
		"a ring that begins behind a tail": {[]rule.Rule{between("in", "photos:in/", "photos:a/"), between("ab", "photos:a/", "photos:b/"),
			with(between("ba", "photos:b/", "photos:a/"), higher)}, "rules[1].destination", "ab -> ba -> ab"},
		"a ring with a disabled leg":          {[]rule.Rule{between("ab", "photos:a/", "photos:b/"), with(between("ba", "photos:b/", "photos:a/"), disabled)}, "", ""},
		"a chain within one bucket":           {[]rule.Rule{between("ab", "photos:a/", "photos:b/"), between("bc", "photos:b/", "photos:c/")}, "", ""},
		"folders that end where others begin": {[]rule.Rule{between("ab", "photos:a/", "photos:b/x/"), between("ba", "photos:b/y/", "photos:a/")}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := ""
			if c.path != "" {
				path = "storage.replication." + c.path
			}
			expectOnly(t, rule.Validate(config(c.rules...)), path, c.say, false)
		})
	}
}
