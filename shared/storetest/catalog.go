package storetest

import (
	"time"

	"bucket-replicator/shared/rule"
)

// Mirror is the rule "from-to", with every default but what is changed: it copies
// the whole of one bucket to another.
func Mirror(from, to string, change ...func(*rule.Rule)) rule.Rule {
	r := rule.DefaultRule()
	r.Name, r.Source.Bucket, r.Destination.Bucket = from+"-"+to, from, to
	for _, c := range change {
		c(&r)
	}
	return r
}

// Deployed is the catalog of a configuration that was deployed once, at the time
// given. The buckets are on AWS, under their own names.
func Deployed(at time.Time, buckets []string, rules ...rule.Rule) rule.Catalog {
	c := rule.Catalog{Storage: rule.Default().Storage}
	c.Storage.Buckets = make(map[string]rule.Bucket, len(buckets))
	for _, b := range buckets {
		c.Storage.Buckets[b] = rule.Bucket{}
	}
	for _, r := range rules {
		c.Rules = append(c.Rules, rule.Stored{Rule: r, Revision: 1, Deployed: true, CreatedAt: at})
	}
	return c
}
