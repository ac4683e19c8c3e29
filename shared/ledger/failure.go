package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"
)

// failureRetention is how long a failure is kept after its last attempt.
const failureRetention = 90 * 24 * time.Hour

// removers is how many failures are removed at the same time.
const removers = 16

// failureAttributes are what Fail writes, whether there is a value or not.
var failureAttributes = []string{
	schema.SourceBucket, schema.SourceKey, schema.DestBucket, schema.DestKey, schema.OccurredAt, schema.ExpiresAt,
	schema.Code, schema.Message, schema.Advice, schema.FailureRun, schema.RetryAt,
	schema.DamagedETag, schema.DamagedTime, schema.DamagedVer,
}

func failureItem(f object.Failure) string { return schema.FailurePrefix + f.ID() }

// Fail records f in place of the last failure of the same rule and source key,
// and counts its attempts. An attempt whose first answer was lost may count
// twice, which only brings its slower retry nearer.
func (l *Ledger) Fail(ctx context.Context, f object.Failure) error {
	values := encodeFailure(f)
	var e expression
	e.setAll(values, failureAttributes)
	e.add(schema.Attempts, 1)
	_, err := l.change(ctx, l.tables.Runs, runsKey(f.Rule, failureItem(f)), e)
	return failureError("record", f, err)
}

// failureError classifies what DynamoDB answered about one failure.
func failureError(op string, f object.Failure, err error) error {
	if err == nil {
		return nil
	}
	return classify(op+" failure of", f.Source, fmt.Errorf("rule %s: %w", f.Rule, err))
}

// Failure answers what is recorded of one source under a rule; false where
// nothing is. It is one consistent read.
func (l *Ledger) Failure(ctx context.Context, ruleName string, source object.Ref) (object.Failure, bool, error) {
	f := object.Failure{Rule: ruleName, Source: source}
	out, err := l.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      aws.String(l.tables.Runs),
		Key:            runsKey(ruleName, failureItem(f)),
		ConsistentRead: aws.Bool(true),
	})
	if err != nil || out.Item == nil {
		return object.Failure{}, false, failureError("read", f, err)
	}
	found, err := decodeFailure(out.Item)
	if err != nil {
		return object.Failure{}, false, failureError("read", f, err)
	}
	return found, true, nil
}

// Failures lists up to limit failures of a rule, newest first; 0: all. It reads
// all there are, and what was recorded just now as well.
func (l *Ledger) Failures(ctx context.Context, ruleName string, limit int) ([]object.Failure, error) {
	var key expression
	key.is(schema.RunsRule, text(ruleName))
	key.where("begins_with(%s, %s)", key.name(schema.RunsItem), key.value(text(schema.FailurePrefix)))
	found, err := l.failures(ctx, ruleName, &dynamodb.QueryInput{TableName: aws.String(l.tables.Runs)}, key, 0)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b object.Failure) int {
		return cmp.Or(b.OccurredAt.Compare(a.OccurredAt), cmp.Compare(a.ID(), b.ID()))
	})
	if limit > 0 {
		found = found[:min(len(found), limit)]
	}
	return found, nil
}

// FailurePage lists up to limit failures of a rule that come after a place,
// newest first. It reads the index, which may be a moment behind. The place may
// be of a failure that is gone, or occurred again, since.
func (l *Ledger) FailurePage(ctx context.Context, ruleName string, after object.FailurePlace, limit int) ([]object.Failure, error) {
	var key expression
	key.is(schema.Newest.PartitionKey, text(ruleName))
	in := &dynamodb.QueryInput{
		TableName: aws.String(l.tables.Runs), IndexName: aws.String(schema.Newest.Name), ScanIndexForward: aws.Bool(false),
	}
	if after.ID != "" {
		in.ExclusiveStartKey = runsKey(ruleName, schema.FailurePrefix+after.ID)
		in.ExclusiveStartKey[schema.Newest.SortKey] = millis(after.OccurredAt)
	}
	return l.failures(ctx, ruleName, in, key, limit)
}

// Due lists up to limit failures of a rule whose RetryAt has come by now, the
// longest due first; 0: all. It reads the index, which may be a moment behind:
// Postpone tells.
func (l *Ledger) Due(ctx context.Context, ruleName string, now time.Time, limit int) ([]object.Failure, error) {
	var key expression
	key.is(schema.Retries.PartitionKey, text(ruleName))
	key.where("%s <= %s", key.name(schema.Retries.SortKey), key.value(millis(now)))
	return l.failures(ctx, ruleName, &dynamodb.QueryInput{
		TableName: aws.String(l.tables.Runs), IndexName: aws.String(schema.Retries.Name),
	}, key, limit)
}

func (l *Ledger) failures(ctx context.Context, ruleName string, in *dynamodb.QueryInput, key expression, limit int) ([]object.Failure, error) {
	found, err := listed(ctx, l, in, key, limit, decodeFailure)
	if err != nil {
		return nil, l.runsError("list", ruleName, schema.FailurePrefix, err)
	}
	return found, nil
}

// Postpone has a failure tried again at another time, if it is still as f says:
// Premise where it occurred again since, was postponed by somebody else, or is
// gone. Of several who postpone the same f one does.
func (l *Ledger) Postpone(ctx context.Context, f object.Failure, to time.Time) error {
	before := encodeFailure(f)
	var e expression
	e.is(schema.OccurredAt, before[schema.OccurredAt])
	e.is(schema.RetryAt, before[schema.RetryAt])
	e.set(schema.RetryAt, millis(to))
	// A transaction for its token: what the SDK repeats takes effect once.
	err := l.transact(ctx, []types.TransactWriteItem{l.updateRuns(f.Rule, failureItem(f), e)})
	return failureError("postpone", f, err)
}

// Healed removes the failure of one source, which replicated after all. Nothing
// to remove is success.
func (l *Ledger) Healed(ctx context.Context, ruleName string, source object.Ref) error {
	f := object.Failure{Rule: ruleName, Source: source}
	_, err := l.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: aws.String(l.tables.Runs),
		Key:       runsKey(ruleName, failureItem(f)),
	})
	return failureError("remove", f, err)
}

// Heal removes the failures of a rule that occurred before a time, those of
// damaged replicas only where damaged. One that occurs again meanwhile stays.
func (l *Ledger) Heal(ctx context.Context, ruleName string, before time.Time, damaged bool) error {
	all, err := l.Failures(ctx, ruleName, 0)
	if err != nil {
		return err
	}
	_, err = l.removeFailures(ctx, slices.DeleteFunc(all, func(f object.Failure) bool {
		return !f.OccurredAt.Before(before) || f.Damaged.ETag != "" && !damaged
	}))
	return err
}

// Trim removes all but the newest failures of a rule, and answers how many.
func (l *Ledger) Trim(ctx context.Context, ruleName string, keep int) (int, error) {
	all, err := l.Failures(ctx, ruleName, 0)
	if err != nil {
		return 0, err
	}
	return l.removeFailures(ctx, all[min(len(all), max(keep, 0)):])
}

// removeFailures removes those of the failures that have not occurred again since they
// were read, several at a time, and answers how many.
func (l *Ledger) removeFailures(ctx context.Context, failures []object.Failure) (int, error) {
	var removed atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(removers)
	for _, f := range failures {
		g.Go(func() error {
			var e expression
			e.where("attribute_not_exists(%[1]s) OR %[1]s = %[2]s", e.name(schema.OccurredAt), e.value(millis(f.OccurredAt)))
			_, err := l.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
				TableName:                 aws.String(l.tables.Runs),
				Key:                       runsKey(f.Rule, failureItem(f)),
				ConditionExpression:       e.condition(),
				ExpressionAttributeNames:  e.names,
				ExpressionAttributeValues: e.values,
			})
			var again *types.ConditionalCheckFailedException
			if errors.As(err, &again) {
				return nil
			}
			if err == nil {
				removed.Add(1)
			}
			return failureError("remove", f, err)
		})
	}
	err := g.Wait()
	return int(removed.Load()), err
}

// encodeFailure is f's item without its key and its attempts, which the table
// counts.
func encodeFailure(f object.Failure) item {
	i := item{
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
	i.setNumber(schema.FailureRun, f.Run)
	i.setTime(schema.RetryAt, f.RetryAt)
	i.setDamaged(f.Damaged)
	return i
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
		Run:        r.number(schema.FailureRun),
		Attempts:   int(r.number(schema.Attempts)),
		RetryAt:    r.time(schema.RetryAt),
		Damaged:    r.damaged(),
	}
	return f, r.err()
}

func (i item) setDamaged(d object.Dest) {
	i.setText(schema.DamagedETag, d.ETag)
	i.setTime(schema.DamagedTime, d.LastModified)
	i.setText(schema.DamagedVer, d.VersionID)
}

func (r *reader) damaged() object.Dest {
	return object.Dest{ETag: r.text(schema.DamagedETag), LastModified: r.time(schema.DamagedTime), VersionID: r.text(schema.DamagedVer)}
}

// ref reads an address that is kept in two attributes.
func (r *reader) ref(bucket, key string) object.Ref {
	return object.Ref{Bucket: bucketOf(r.text(bucket)), Key: r.key(key)}
}
