package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/limit"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// limitRetention is how long the state of a rule's limits is kept after it was
// last written. It means nothing after seconds.
const limitRetention = 24 * time.Hour

// updateLimit writes an item of a rule's limits under a condition, and keeps it for
// a while after now. Where the condition does not hold it answers the item as it
// is, and false.
func (l *Ledger) updateLimit(ctx context.Context, ruleName, sortKey string, e expression, now time.Time) (item, bool, error) {
	if !now.IsZero() {
		e.set(schema.ExpiresAt, integer(now.Add(limitRetention).Unix()))
	}
	there, err := l.change(ctx, l.tables.Runs, runsKey(ruleName, sortKey), e)
	var failed *types.ConditionalCheckFailedException
	switch {
	case errors.As(err, &failed):
		return failed.Item, false, nil
	case err != nil:
		return nil, false, l.runsError("use", ruleName, sortKey, err)
	}
	return there, true, nil
}

// Draw reserves the next span of a rule's time. It is one write, and one more
// where nobody used the rule for a while: an update knows no maximum, so it either
// adds or begins anew.
func (l *Ledger) Draw(ctx context.Context, ruleName string, span time.Duration, now, latest time.Time) (time.Time, bool, error) {
	span = span.Truncate(time.Microsecond)
	earliest := now.Add(-limit.Burst)
	follow := func() (e expression) {
		e.where("%s BETWEEN %s AND %s", e.name(schema.DrawnUntil), e.value(micros(earliest)), e.value(micros(latest)))
		e.add(schema.DrawnUntil, span.Microseconds())
		return e
	}
	begin := func() (e expression) {
		e.where("attribute_not_exists(%s) OR %s < %s", e.name(schema.DrawnUntil), e.name(schema.DrawnUntil), e.value(micros(earliest)))
		e.set(schema.DrawnUntil, micros(earliest.Add(span)))
		return e
	}
	for _, attempt := range []func() expression{follow, begin, follow} { // somebody else may have begun in between
		there, drawn, err := l.updateLimit(ctx, ruleName, schema.BytesItem, attempt(), now)
		if err != nil {
			return time.Time{}, false, err
		}
		n, err := number(there[schema.DrawnUntil])
		if err != nil {
			return time.Time{}, false, l.runsError("read", ruleName, schema.BytesItem, err)
		}
		switch until := time.UnixMicro(n).UTC(); {
		case drawn:
			return until.Add(-span), true, nil
		case until.After(latest):
			return until, false, nil
		}
	}
	return time.Time{}, false, l.runsError("draw from", ruleName, schema.BytesItem, errors.New("others kept drawing"))
}

func micros(t time.Time) types.AttributeValue { return integer(t.UnixMicro()) }

// claim is limit.Claim as it is stored.
type claim struct {
	Want   int   `json:"w"`
	Places int   `json:"p"`
	Since  int64 `json:"s"` // Unix milliseconds, and so is
	Until  int64 `json:"u"`
}

// Swap replaces the claims on a rule's places, if they still are those seen. They
// are one text, which is compared as a whole.
func (l *Ledger) Swap(ctx context.Context, ruleName string, seen, next limit.Claims) (limit.Claims, bool, error) {
	before, err := encodeClaims(seen)
	if err != nil {
		return nil, false, err
	}
	after, err := encodeClaims(next)
	if err != nil {
		return nil, false, err
	}
	var latest time.Time
	for _, c := range next {
		if c.Until.After(latest) {
			latest = c.Until
		}
	}
	var e expression
	e.is(schema.Claims, before)
	e.set(schema.Claims, after)
	there, swapped, err := l.updateLimit(ctx, ruleName, schema.PlacesItem, e, latest)
	if err != nil {
		return nil, false, err
	}
	r := reader{item: there}
	stored := r.text(schema.Claims)
	now, err := decodeClaims(stored)
	if err = errors.Join(err, r.err()); err != nil {
		return nil, false, l.runsError("read", ruleName, schema.PlacesItem, err)
	}
	if s, ok := after.(*types.AttributeValueMemberS); !swapped && ok && stored == s.Value {
		swapped = true // by this very call, whose first answer was lost
	}
	return now, swapped, nil
}

// encodeClaims is nil where there are none.
func encodeClaims(all limit.Claims) (types.AttributeValue, error) {
	if len(all) == 0 {
		return nil, nil
	}
	stored := make(map[string]claim, len(all))
	for holder, c := range all {
		stored[holder] = claim{Want: c.Want, Places: c.Places, Since: c.Since.UnixMilli(), Until: c.Until.UnixMilli()}
	}
	doc, err := json.Marshal(stored)
	if err != nil {
		return nil, err
	}
	return text(string(doc)), nil
}

func decodeClaims(doc string) (limit.Claims, error) {
	if doc == "" {
		return nil, nil
	}
	var stored map[string]claim
	if err := json.Unmarshal([]byte(doc), &stored); err != nil {
		return nil, err
	}
	all := make(limit.Claims, len(stored))
	for holder, c := range stored {
		all[holder] = limit.Claim{Want: c.Want, Places: c.Places, Since: time.UnixMilli(c.Since).UTC(), Until: time.UnixMilli(c.Until).UTC()}
	}
	return all, nil
}
