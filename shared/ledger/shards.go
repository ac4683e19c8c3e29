package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/run"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// shardRetention is how long a shard is kept after it was last written: its
// bounds serve the next run's cut.
const shardRetention = 14 * 24 * time.Hour

// shardsOf is how the sort keys of a run's shards begin.
func shardsOf(runID int64) string { return fmt.Sprintf("%s%020d#", schema.ShardPrefix, runID) }

func shardItem(s run.Shard) string { return shardsOf(s.Run) + s.ID }

// Shards lists a run's shards, read consistently, in the order of their ranges.
func (l *Ledger) Shards(ctx context.Context, ruleName string, id int64) ([]run.Shard, error) {
	var key expression
	key.is(schema.RunsRule, text(ruleName))
	key.where("begins_with(%s, %s)", key.name(schema.RunsItem), key.value(text(shardsOf(id))))
	shards, err := listed(ctx, l, &dynamodb.QueryInput{
		TableName: aws.String(l.tables.Runs), ConsistentRead: aws.Bool(true),
	}, key, 0, decodeShard)
	if err != nil {
		return nil, l.runsError("list", ruleName, shardsOf(id), err)
	}
	// A shard that gave all of its range away begins where its first child
	// does, whose id is the longer one.
	slices.SortFunc(shards, func(a, b run.Shard) int {
		return cmp.Or(cmp.Compare(a.Range.After, b.Range.After), cmp.Compare(a.ID, b.ID))
	})
	return shards, nil
}

// Claim takes the lease on the ticket's shard. That is one request, and a second
// one where the shard is opened for a later phase. A claim that the SDK repeats
// after a lost answer is one more by the same owner.
func (l *Ledger) Claim(ctx context.Context, t run.Ticket, owner string, now, until time.Time) (run.Shard, error) {
	sortKey := shardsOf(t.Run) + t.Shard
	lease := func(e expression) (item, error) {
		e.leasable(owner, now)
		e.set(schema.LeaseOwner, text(owner))
		e.set(schema.LeasedUntil, millis(until))
		e.add(schema.Fence, 1)
		return l.change(ctx, l.tables.Runs, runsKey(t.Rule, sortKey), e)
	}
	claim := func() (item, error) {
		var e expression
		e.is(schema.Phase, integer(int64(t.Phase)))
		e.is(schema.Ended, nil)
		e.add(schema.Tries, 1)
		return lease(e)
	}
	// A shard that has ended changes in no more than this way, so its phase stands
	// for all of it.
	open := func(ended run.Shard) (item, error) {
		opened := ended.Open(t.Phase)
		opened.Tries = 1
		var e expression
		e.is(schema.Phase, integer(int64(ended.Phase)))
		e.where("attribute_exists(%s)", e.name(schema.Ended))
		e.setAll(encodeShard(opened), []string{
			schema.Phase, schema.Cursor, schema.Ended, schema.Tries, schema.Intent, schema.Candidates, schema.Held,
		})
		return lease(e)
	}

	i, err := claim()
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) && len(failed.Item) > 0 {
		seen, unread := decodeShard(failed.Item)
		switch {
		case unread != nil:
			err = unread
		case seen.Ended && seen.Phase < t.Phase:
			if i, err = open(seen); errors.As(err, &failed) {
				i, err = claim() // somebody opened it; we did, if an answer was lost
			}
		}
	}
	var s run.Shard
	if err == nil {
		s, err = decodeShard(i)
	}
	if err != nil {
		return run.Shard{}, l.runsError("claim", t.Rule, sortKey, err)
	}
	return s, nil
}

// held is the condition that the shard is open and has the fence of s.
func held(s run.Shard) expression {
	var e expression
	e.is(schema.Fence, integer(s.Fence))
	e.is(schema.Ended, nil)
	return e
}

// Save writes all of s under its fence. Repeated, it writes the same again.
func (l *Ledger) Save(ctx context.Context, s run.Shard) error {
	e := held(s)
	_, err := l.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                 aws.String(l.tables.Runs),
		Item:                      encodeShard(s),
		ConditionExpression:       e.condition(),
		ExpressionAttributeNames:  e.names,
		ExpressionAttributeValues: e.values,
	})
	return l.runsError("save", s.Rule, shardItem(s), err)
}

// Share writes s and its new children in one transaction.
func (l *Ledger) Share(ctx context.Context, s run.Shard, children []run.Shard) error {
	var isNew, active expression
	isNew.is(schema.RunsItem, nil)
	writes := []types.TransactWriteItem{l.putRuns(encodeShard(s), held(s))}
	for _, c := range children {
		writes = append(writes, l.putRuns(encodeShard(c), isNew))
	}
	active.isActive()
	active.add(schema.Shards, int64(len(children)))
	active.add(schema.Open, int64(len(children)))
	writes = append(writes, l.updateRuns(s.Rule, runItem(s.Run), active))
	return l.runsError("share", s.Rule, shardItem(s), l.transact(ctx, writes))
}

// End writes s and lowers its run's count of open shards in one transaction.
func (l *Ledger) End(ctx context.Context, s run.Shard) error {
	var of expression
	of.where("attribute_exists(%s)", of.name(schema.Open)) // a run that is forgotten is not made anew
	of.add(schema.Open, -1)
	err := l.transact(ctx, []types.TransactWriteItem{
		l.putRuns(encodeShard(s), held(s)),
		l.updateRuns(s.Rule, runItem(s.Run), of),
	})
	return l.runsError("end", s.Rule, shardItem(s), err)
}

// Resent notes that another ticket was sent. It is a transaction for its token:
// of two who resend at the same moment one does, also where an answer is lost.
func (l *Ledger) Resent(ctx context.Context, seen run.Shard, at time.Time) error {
	var e expression
	e.is(schema.Fence, integer(seen.Fence))
	e.is(schema.SentAt, encodeShard(seen)[schema.SentAt])
	e.set(schema.SentAt, millis(at))
	err := l.transact(ctx, []types.TransactWriteItem{l.updateRuns(seen.Rule, shardItem(seen), e)})
	return l.runsError("resend", seen.Rule, shardItem(seen), err)
}

// encodeShard stays far below the 400 KB that an item may have: a hundred keys
// of Intent, the sample's ten and three more are at most 1 KB each, and a third
// more where they are not UTF-8. A verification has no Intent, and at most 25
// Findings and as many Partial as a worker compares at a time, which is 128.
func encodeShard(s run.Shard) item {
	i := runsKey(s.Rule, shardItem(s))
	i.setNumber(schema.Children, s.Children)
	i.setText(schema.After, escape(s.Range.After))
	i.setText(schema.Until, escape(s.Range.Until))
	i[schema.Phase] = integer(int64(s.Phase))
	i.setText(schema.Cursor, escape(s.Cursor))
	i.setFlag(schema.Ended, s.Ended)
	i.setKeys(schema.Intent, s.Intent)
	i.setPartial(s.Partial)
	i.setTotals(s.Totals)
	i.setText(schema.ShardError, strings.ToValidUTF8(s.Error, "\uFFFD"))
	i.setText(schema.LeaseOwner, s.Owner)
	i.setTime(schema.LeasedUntil, s.LeasedUntil)
	i[schema.Fence] = integer(s.Fence)
	i.setNumber(schema.Tries, int64(s.Tries))
	i.setTime(schema.SavedAt, s.SavedAt)
	i.setTime(schema.SentAt, s.SentAt)
	latest := s.SavedAt
	if s.SentAt.After(latest) {
		latest = s.SentAt
	}
	i[schema.ExpiresAt] = integer(latest.Add(shardRetention).Unix())
	return i
}

func decodeShard(i item) (run.Shard, error) {
	r := reader{item: i}
	s := run.Shard{
		Rule:        r.text(schema.RunsRule),
		Children:    r.number(schema.Children),
		Range:       keyspace.Range{After: r.key(schema.After), Until: r.key(schema.Until)},
		Phase:       run.Phase(r.number(schema.Phase)),
		Cursor:      r.key(schema.Cursor),
		Ended:       r.flag(schema.Ended),
		Intent:      r.keys(schema.Intent),
		Partial:     r.partial(),
		Totals:      r.totals(),
		Error:       r.text(schema.ShardError),
		Owner:       r.text(schema.LeaseOwner),
		LeasedUntil: r.time(schema.LeasedUntil),
		Fence:       r.number(schema.Fence),
		Tries:       int(r.number(schema.Tries)),
		SavedAt:     r.time(schema.SavedAt),
		SentAt:      r.time(schema.SentAt),
	}
	s.Run, s.ID = r.numbered(schema.ShardPrefix)
	return s, r.err()
}
