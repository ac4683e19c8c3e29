package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// failureRetention is how long a failure is kept after its last attempt.
const failureRetention = 90 * 24 * time.Hour

// FailureItem is the sort key under which the failure of a source key is kept.
func FailureItem(sourceKey string) string {
	sum := sha256.Sum256([]byte(sourceKey))
	return schema.FailurePrefix + hex.EncodeToString(sum[:])
}

// Fail records f in place of the last failure of the same rule and source key,
// and counts its attempts. An attempt whose first answer was lost may count
// twice, which only brings its slower retry nearer.
func (l *Ledger) Fail(ctx context.Context, f object.Failure) error {
	values := item{
		schema.SourceBucket: text(f.Source.Bucket.String()),
		schema.SourceKey:    text(escape(f.Source.Key)),
		schema.DestBucket:   text(f.Dest.Bucket.String()),
		schema.DestKey:      text(escape(f.Dest.Key)),
		schema.OccurredAt:   millis(f.OccurredAt),
		schema.ExpiresAt:    integer(f.OccurredAt.Add(failureRetention).Unix()),
		schema.Code:         text(f.Code),
		schema.Message:      text(strings.ToValidUTF8(f.Message, "\uFFFD")),
		schema.Advice:       text(f.Advice),
	}
	values.setTime(schema.RetryAt, f.RetryAt)
	in := &dynamodb.UpdateItemInput{
		TableName: aws.String(l.tables.Runs),
		Key: map[string]types.AttributeValue{
			schema.RunsRule: text(f.Rule),
			schema.RunsItem: text(FailureItem(f.Source.Key)),
		},
		ExpressionAttributeNames:  map[string]string{"#" + schema.Attempts: schema.Attempts},
		ExpressionAttributeValues: map[string]types.AttributeValue{":one": integer(1)},
	}
	var set []string
	for name, v := range values {
		in.ExpressionAttributeNames["#"+name] = name
		in.ExpressionAttributeValues[":"+name] = v
		set = append(set, "#"+name+" = :"+name)
	}
	update := "ADD #" + schema.Attempts + " :one SET " + strings.Join(set, ", ")
	if f.RetryAt.IsZero() {
		in.ExpressionAttributeNames["#"+schema.RetryAt] = schema.RetryAt
		update += " REMOVE #" + schema.RetryAt
	}
	in.UpdateExpression = aws.String(update)
	if _, err := l.db.UpdateItem(ctx, in); err != nil {
		return classify("record failure of", f.Source, fmt.Errorf("rule %s: %w", f.Rule, err))
	}
	return nil
}

// Failures lists what is recorded for a rule, in no useful order.
func (l *Ledger) Failures(ctx context.Context, ruleName string) ([]object.Failure, error) {
	pages := dynamodb.NewQueryPaginator(l.db, &dynamodb.QueryInput{
		TableName:              aws.String(l.tables.Runs),
		KeyConditionExpression: aws.String("#rule = :rule AND begins_with(#item, :failure)"),
		ExpressionAttributeNames: map[string]string{
			"#rule": schema.RunsRule, "#item": schema.RunsItem,
		},
		ExpressionAttributeValues: item{":rule": text(ruleName), ":failure": text(schema.FailurePrefix)},
	})
	var all []object.Failure
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, classify("list failures in", tableRef(l.tables.Runs), fmt.Errorf("rule %s: %w", ruleName, err))
		}
		for _, i := range page.Items {
			f, err := decodeFailure(i)
			if err != nil {
				return nil, classify("list failures in", tableRef(l.tables.Runs), fmt.Errorf("rule %s: %w", ruleName, err))
			}
			all = append(all, f)
		}
	}
	return all, nil
}

func decodeFailure(i item) (object.Failure, error) {
	r := reader{item: i}
	f := object.Failure{
		Rule:       r.text(schema.RunsRule),
		Source:     r.ref(schema.SourceBucket, schema.SourceKey),
		Dest:       r.ref(schema.DestBucket, schema.DestKey),
		OccurredAt: r.time(schema.OccurredAt),
		Code:       r.text(schema.Code),
		Message:    r.text(schema.Message),
		Advice:     r.text(schema.Advice),
		Attempts:   int(r.number(schema.Attempts)),
		RetryAt:    r.time(schema.RetryAt),
	}
	return f, errors.Join(r.problems...)
}

// ref reads an address that is kept in two attributes.
func (r *reader) ref(bucket, key string) object.Ref {
	k, err := unescape(r.text(key))
	if err != nil {
		r.problem(key, err)
	}
	return object.Ref{Bucket: bucketOf(r.text(bucket)), Key: k}
}
