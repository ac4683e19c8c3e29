package ledger

import (
	"context"
	"time"

	"bucket-replicator/shared/ledger/schema"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// hourRetention is how long an hour's count is kept after the hour began.
const hourRetention = 48 * time.Hour

// CountDeletes adds n to the deletes that events of the rule made in the hour
// that a time lies in, and answers their sum: the hourly limit is measured by
// it. An addition whose answer was lost may count twice, which only brings the
// limit nearer.
func (l *Ledger) CountDeletes(ctx context.Context, ruleName string, hour time.Time, n int) (int64, error) {
	hour = hour.UTC().Truncate(time.Hour)
	sortKey := schema.HourPrefix + hour.Format(time.RFC3339)
	var e expression
	e.set(schema.ExpiresAt, integer(hour.Add(hourRetention).Unix()))
	e.add(schema.Deletes, int64(n))
	out, err := l.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 aws.String(l.tables.Runs),
		Key:                       runsKey(ruleName, sortKey),
		UpdateExpression:          e.update(),
		ExpressionAttributeNames:  e.names,
		ExpressionAttributeValues: e.values,
		ReturnValues:              types.ReturnValueUpdatedNew,
	})
	var sum int64
	if err == nil {
		sum, err = number(out.Attributes[schema.Deletes])
	}
	if err != nil {
		return 0, l.runsError("count deletes in", ruleName, sortKey, err)
	}
	return sum, nil
}
