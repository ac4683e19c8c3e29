package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
