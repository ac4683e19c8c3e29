package main

import (
	"encoding/json"
	"slices"
)

// maxPattern is how many characters EventBridge takes in a rule's pattern.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
const maxPattern = 2048

// pattern is an EventBridge event pattern: a JSON object whose leaves are lists
// of the values that match.
type pattern map[string]any

// anyBucket matches every S3 event that can change what a replica should be.
func anyBucket() pattern {
	return pattern{
		"source": []string{"aws.s3"},
		"detail-type": []string{
			"Object Created",
			"Object Deleted",
			"Object Restore Completed",
			"Object Tags Added",
			"Object Tags Deleted",
		},
	}
}

func ofBuckets(names []string) pattern {
	p := anyBucket()
	p["detail"] = map[string]any{"bucket": map[string]any{"name": names}}
	return p
}

// patternsFor matches the events of all these buckets, in as few patterns as
// the limit on their length allows.
func patternsFor(names []string) []pattern {
	var patterns []pattern
	var some []string
	for _, name := range names {
		more := append(slices.Clip(some), name)
		if ofBuckets(more).length() > maxPattern {
			patterns = append(patterns, ofBuckets(some))
			more = []string{name}
		}
		some = more
	}
	if some != nil {
		patterns = append(patterns, ofBuckets(some))
	}
	return patterns
}

func (p pattern) length() int {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // maps of strings always encode
	}
	return len(b)
}
