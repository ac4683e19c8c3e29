package ledger

import (
	"context"
	"strings"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// Capabilities answers what every backend was seen to keep, in one query. It may
// miss what was seen a moment ago.
func (l *Ledger) Capabilities(ctx context.Context) (map[object.Endpoint]object.Capabilities, error) {
	const op = "list capabilities of"
	var key expression
	key.is(schema.RunsRule, text(schema.Backends))
	items, err := l.query(ctx, &dynamodb.QueryInput{TableName: aws.String(l.tables.Runs)}, key, 0)
	if err != nil {
		return nil, l.runsError(op, schema.Backends, "", err)
	}
	all := map[object.Endpoint]object.Capabilities{}
	for _, i := range items {
		r := reader{item: i}
		name, url, _ := strings.Cut(r.text(schema.RunsItem), " ")
		seen := object.Capabilities{}
		for attribute := range i {
			if what, ok := strings.CutPrefix(attribute, schema.Kept); ok {
				seen[object.Capability(what)] = object.Seen{Kept: true, At: r.time(attribute)}
			} else if what, ok := strings.CutPrefix(attribute, schema.Lacks); ok {
				seen[object.Capability(what)] = object.Seen{At: r.time(attribute)}
			}
		}
		if err := r.err(); err != nil {
			return nil, l.runsError(op, schema.Backends, name, err)
		}
		all[object.Endpoint{Backend: name, URL: url}] = seen
	}
	return all, nil
}

// Observe remembers what a backend was seen to keep, or not to, in place of what
// was seen of that before.
func (l *Ledger) Observe(ctx context.Context, at object.Endpoint, what object.Capability, seen object.Seen) error {
	is, isNot := schema.Lacks, schema.Kept
	if seen.Kept {
		is, isNot = isNot, is
	}
	sortKey := at.Backend + " " + at.URL
	var e expression
	e.set(is+string(what), millis(seen.At))
	e.set(isNot+string(what), nil)
	_, err := l.change(ctx, l.tables.Runs, runsKey(schema.Backends, sortKey), e)
	return l.runsError("remember capabilities of", schema.Backends, sortKey, err)
}
