package ledger

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// hourRetention is how long an hour's counts are kept after the hour began.
const hourRetention = 48 * time.Hour

// CountDeletes adds n to the deletes that events of the rule made in the hour
// that a time lies in, and answers their sum: the hourly limit is measured by
// it. An addition whose answer was lost may count twice, which only brings the
// limit nearer.
func (l *Ledger) CountDeletes(ctx context.Context, ruleName string, hour time.Time, n int) (int64, error) {
	out, err := l.addToHour(ctx, "count deletes in", ruleName, hour, map[string]int64{schema.Deletes: int64(n)})
	if err != nil {
		return 0, err
	}
	sum, err := number(out[schema.Deletes])
	return sum, l.runsError("count deletes in", ruleName, hourItem(hour), err)
}

// CountHour adds what was done to the hour that its Begin lies in, in one write.
// Where its answer is lost it may count twice.
func (l *Ledger) CountHour(ctx context.Context, ruleName string, h object.Hour) error {
	counts := map[string]int64{
		schema.Copied: h.Copied, schema.Bytes: h.Bytes, schema.Deleted: h.Deleted, schema.Errors: h.Failed,
		schema.LagSum: h.Lag.Sum.Milliseconds(),
	}
	for i, n := range h.Lag.Within {
		counts[lagClass(i)] = n
	}
	maps.DeleteFunc(counts, func(_ string, n int64) bool { return n == 0 })
	_, err := l.addToHour(ctx, "count in", ruleName, h.Begin, counts)
	return err
}

// Hours answers the hours of a rule that begin at from or later and in which
// something was counted, oldest first, in one query. Those that began longer ago
// than hourRetention may be gone.
func (l *Ledger) Hours(ctx context.Context, ruleName string, from time.Time) ([]object.Hour, error) {
	const op = "list hours of"
	var key expression
	key.is(schema.RunsRule, text(ruleName))
	key.where("%s BETWEEN %s AND %s", key.name(schema.RunsItem), key.value(text(hourItem(from))), key.value(text(schema.HourPrefix+"~")))
	items, err := l.query(ctx, &dynamodb.QueryInput{TableName: aws.String(l.tables.Runs)}, key, 0)
	if err != nil {
		return nil, l.runsError(op, ruleName, schema.HourPrefix, err)
	}
	var hours []object.Hour
	for _, i := range items {
		h, err := decodeHour(i)
		if err != nil {
			return nil, l.runsError(op, ruleName, schema.HourPrefix, err)
		}
		if h.Counted() {
			hours = append(hours, h)
		}
	}
	return hours, nil
}

// addToHour adds to attributes of the hour that a time lies in, and answers the
// sums.
func (l *Ledger) addToHour(ctx context.Context, op, ruleName string, at time.Time, counts map[string]int64) (item, error) {
	sortKey := hourItem(at)
	var e expression
	e.set(schema.ExpiresAt, integer(hourOf(at).Add(hourRetention).Unix()))
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		e.add(name, counts[name])
	}
	hour, err := l.change(ctx, l.tables.Runs, runsKey(ruleName, sortKey), e)
	return hour, l.runsError(op, ruleName, sortKey, err)
}

func decodeHour(i item) (object.Hour, error) {
	r := reader{item: i}
	h := object.Hour{
		Copied: r.number(schema.Copied), Bytes: r.number(schema.Bytes),
		Deleted: r.number(schema.Deleted), Failed: r.number(schema.Errors),
		Lag: object.Lag{Sum: time.Duration(r.number(schema.LagSum)) * time.Millisecond},
	}
	for class := range h.Lag.Within {
		h.Lag.Within[class] = r.number(lagClass(class))
	}
	var err error
	if h.Begin, err = time.Parse(time.RFC3339, strings.TrimPrefix(r.text(schema.RunsItem), schema.HourPrefix)); err != nil {
		r.problem(schema.RunsItem, err)
	}
	return h, r.err()
}

func hourOf(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }

func hourItem(t time.Time) string { return schema.HourPrefix + hourOf(t).Format(time.RFC3339) }

// lagClass is the attribute of a class of lags.
func lagClass(class int) string {
	if class == len(object.LagBounds) {
		return schema.LagWithin
	}
	return schema.LagWithin + strconv.FormatInt(object.LagBounds[class].Milliseconds(), 10)
}
