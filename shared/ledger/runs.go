package ledger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// runRetention is how long a run is listed after its start.
const runRetention = 90 * 24 * time.Hour

func runItem(id int64) string { return fmt.Sprintf("%s%020d", schema.RunPrefix, id) }

func runsKey(ruleName, sortKey string) item {
	return item{schema.RunsRule: text(ruleName), schema.RunsItem: text(sortKey)}
}

// runsError classifies what DynamoDB answered about one item of the runs table.
func (l *Ledger) runsError(op, ruleName, sortKey string, err error) error {
	if err == nil {
		return nil
	}
	ref := tableRef(l.tables.Runs)
	ref.Key = ruleName + "/" + sortKey
	return classify(op, ref, err)
}

// putRuns is a part of a transaction that writes a whole item of the runs table.
func (l *Ledger) putRuns(i item, e expression) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName:                 aws.String(l.tables.Runs),
		Item:                      i,
		ConditionExpression:       e.condition(),
		ExpressionAttributeNames:  e.names,
		ExpressionAttributeValues: e.values,
	}}
}

// updateRuns is one that changes some of an item's attributes.
func (l *Ledger) updateRuns(ruleName, sortKey string, e expression) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName:                 aws.String(l.tables.Runs),
		Key:                       runsKey(ruleName, sortKey),
		UpdateExpression:          e.update(),
		ConditionExpression:       e.condition(),
		ExpressionAttributeNames:  e.names,
		ExpressionAttributeValues: e.values,
	}}
}

// Jobs answers the jobs of these rules, up to 100 of them per request.
func (l *Ledger) Jobs(ctx context.Context, rules []string) (map[string]run.Job, error) {
	found := make(map[string]run.Job, len(rules))
	for chunk := range slices.Chunk(jobKeys(rules), batchLimit) {
		batch := map[string]types.KeysAndAttributes{l.tables.Runs: {Keys: chunk, ConsistentRead: aws.Bool(true)}}
		if err := l.get(ctx, batch, func(_ string, i map[string]types.AttributeValue) error {
			j, err := decodeJob(i)
			if j != (run.Job{Rule: j.Rule}) {
				found[j.Rule] = j
			}
			return err
		}); err != nil {
			return nil, classify("read jobs in", tableRef(l.tables.Runs), err)
		}
	}
	return found, nil
}

// jobKeys are those of these rules' jobs, each once: a batch takes no key twice.
func jobKeys(rules []string) (keys []map[string]types.AttributeValue) {
	for _, name := range slices.Compact(slices.Sorted(slices.Values(rules))) {
		keys = append(keys, runsKey(name, schema.JobItem))
	}
	return keys
}

// Overview reads the catalog's revision, the jobs of these rules, and some runs,
// in one request per 100 items.
func (l *Ledger) Overview(ctx context.Context, rules []string, runs map[string]int64) (run.Overview, error) {
	o := run.Overview{Jobs: map[string]run.Job{}, Lifetimes: map[string]run.Lifetime{}, Runs: map[string]run.Run{}}
	keys := jobKeys(rules)
	for name, id := range runs {
		keys = append(keys, runsKey(name, runItem(id)))
	}
	take := func(table string, i map[string]types.AttributeValue) (err error) {
		r := reader{item: i}
		rule := r.text(schema.RunsRule)
		switch {
		case table == l.tables.Rules:
			o.Catalog = r.number(schema.Revision)
			return r.err()
		case r.text(schema.RunsItem) != schema.JobItem:
			o.Runs[rule], err = decodeRun(i)
			return err
		}
		j, err := decodeJob(i)
		if j != (run.Job{Rule: rule}) {
			o.Jobs[rule] = j
		}
		if life := r.lifetime(); life != (run.Lifetime{}) {
			o.Lifetimes[rule] = life
		}
		return errors.Join(err, r.err())
	}
	batch := map[string]types.KeysAndAttributes{l.tables.Rules: {
		Keys: []map[string]types.AttributeValue{ruleKey(schema.CatalogName)}, ConsistentRead: aws.Bool(true),
	}}
	for {
		if n := min(batchLimit-len(batch), len(keys)); n > 0 { // the catalog's is one of the first
			batch[l.tables.Runs] = types.KeysAndAttributes{Keys: keys[:n], ConsistentRead: aws.Bool(true)}
			keys = keys[n:]
		}
		if err := l.get(ctx, batch, take); err != nil {
			return run.Overview{}, classify("read jobs in", tableRef(l.tables.Runs), err)
		}
		if len(keys) == 0 {
			return o, nil
		}
		batch = map[string]types.KeysAndAttributes{}
	}
}

// jobAttributes are those of run.Job.
var jobAttributes = []string{schema.LastRun, schema.ActiveRun, schema.NextDue, schema.Retry, schema.Scope}

// putJob writes next where the job is still as seen. The lifetime beside it
// stays.
func (l *Ledger) putJob(seen, next run.Job) types.TransactWriteItem {
	var e expression
	before := encodeJob(seen)
	for _, name := range []string{schema.LastRun, schema.ActiveRun, schema.Scope} {
		e.is(name, before[name])
	}
	e.setAll(encodeJob(next), jobAttributes)
	return l.updateRuns(next.Rule, schema.JobItem, e)
}

// SetJob replaces the job if it is still as seen.
func (l *Ledger) SetJob(ctx context.Context, seen, next run.Job) error {
	err := l.transact(ctx, []types.TransactWriteItem{l.putJob(seen, next)})
	return l.runsError("set", next.Rule, schema.JobItem, err)
}

// Begin stores the run and its first shard, and replaces the job, in one
// transaction.
func (l *Ledger) Begin(ctx context.Context, seen, next run.Job, r run.Run, root run.Shard) error {
	var isNew expression
	isNew.is(schema.RunsItem, nil)
	err := l.transact(ctx, []types.TransactWriteItem{
		l.putJob(seen, next),
		l.putRuns(encodeRun(r), isNew),
		l.putRuns(encodeShard(root), expression{}),
	})
	return l.runsError("begin", r.Rule, runItem(r.ID), err)
}

// Run answers one run, read consistently.
func (l *Ledger) Run(ctx context.Context, ruleName string, id int64) (run.Run, error) {
	const op = "read"
	out, err := l.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      aws.String(l.tables.Runs),
		Key:            runsKey(ruleName, runItem(id)),
		ConsistentRead: aws.Bool(true),
	})
	var r run.Run
	switch {
	case err != nil:
	case out.Item == nil:
		err = &object.Error{
			Class: object.Permanent, Op: op, Ref: tableRef(l.tables.Runs), Code: run.CodeNotFound,
			Err: fmt.Errorf("rule %s has no run %d", ruleName, id),
		}
	default:
		r, err = decodeRun(out.Item)
	}
	if err != nil {
		return run.Run{}, l.runsError(op, ruleName, runItem(id), err)
	}
	return r, nil
}

// Runs lists up to limit runs with an ID below before (0: all), newest first.
func (l *Ledger) Runs(ctx context.Context, ruleName string, before int64, limit int) ([]run.Run, error) {
	if limit <= 0 {
		return nil, nil
	}
	if before == 0 {
		before = math.MaxInt64
	}
	var key expression
	key.is(schema.RunsRule, text(ruleName))
	key.where("%s BETWEEN %s AND %s", key.name(schema.RunsItem), key.value(text(runItem(0))), key.value(text(runItem(before-1))))
	runs, err := listed(ctx, l, &dynamodb.QueryInput{
		TableName:        aws.String(l.tables.Runs),
		ConsistentRead:   aws.Bool(true),
		ScanIndexForward: aws.Bool(false),
	}, key, limit, decodeRun)
	if err != nil {
		return nil, l.runsError("list", ruleName, schema.RunPrefix, err)
	}
	return runs, nil
}

// turned are the attributes of a run that Turn writes, beside Open.
var turned = append([]string{
	schema.State, schema.RunPhase, schema.EndedAt, schema.Approved, schema.RunError,
}, totals...)

// Turn writes what the life of a run changes, in a transaction with the job
// where the run ends or becomes active again.
func (l *Ledger) Turn(ctx context.Context, was, next run.Run, job run.Job) error {
	before, after := encodeRun(was), encodeRun(next)
	var e expression
	e.setAll(after, turned)
	if next.State == run.Cancelled {
		e.isActive()
	} else {
		e.set(schema.Open, after[schema.Open])
		for _, name := range []string{schema.State, schema.RunPhase, schema.Open} {
			e.is(name, before[name])
		}
	}
	writes := []types.TransactWriteItem{l.updateRuns(next.Rule, runItem(next.ID), e)}
	if begins := next.State.Active(); begins != was.State.Active() {
		var e expression
		id := integer(next.ID)
		if begins {
			e.is(schema.ActiveRun, nil)
			e.is(schema.LastRun, id)
			e.set(schema.ActiveRun, id)
		} else {
			e.is(schema.ActiveRun, id)
			e.set(schema.ActiveRun, nil)
			e.addLifetime(run.Lifetime{}.Ends(was, next))
		}
		e.setAll(encodeJob(job), []string{schema.NextDue, schema.Retry})
		writes = append(writes, l.updateRuns(next.Rule, schema.JobItem, e))
	}
	return l.runsError("turn", next.Rule, runItem(next.ID), l.transact(ctx, writes))
}

// isActive is the condition that workers may go on with the run.
func (e *expression) isActive() {
	e.where("%s IN (%s, %s)", e.name(schema.State), e.value(text(string(run.Queued))), e.value(text(string(run.Running))))
}

// addLifetime adds what one end of a run amounts to.
func (e *expression) addLifetime(l run.Lifetime) {
	e.setFirst(schema.Since, millis(l.Since))
	e.add(schema.EndedRuns, l.Runs)
	e.add(schema.Scanned, l.Scanned)
	e.add(schema.Copied, l.Copied)
	e.add(schema.SkippedSum, l.Skipped)
	e.add(schema.Deleted, l.Deleted)
	e.add(schema.Errors, l.Errors)
	e.add(schema.Bytes, l.Bytes)
}

func (r *reader) lifetime() run.Lifetime {
	return run.Lifetime{
		Runs: r.number(schema.EndedRuns), Since: r.time(schema.Since),
		Scanned: r.number(schema.Scanned), Copied: r.number(schema.Copied), Skipped: r.number(schema.SkippedSum),
		Deleted: r.number(schema.Deleted), Errors: r.number(schema.Errors), Bytes: r.number(schema.Bytes),
	}
}

func encodeJob(j run.Job) item {
	i := runsKey(j.Rule, schema.JobItem)
	i.setNumber(schema.LastRun, j.LastRun)
	i.setNumber(schema.ActiveRun, j.ActiveRun)
	i.setTime(schema.NextDue, j.NextDue)
	i.setFlag(schema.Retry, j.Retry)
	i.setText(schema.Scope, j.Scope)
	return i
}

func decodeJob(i item) (run.Job, error) {
	r := reader{item: i}
	j := run.Job{
		Rule:      r.text(schema.RunsRule),
		LastRun:   r.number(schema.LastRun),
		ActiveRun: r.number(schema.ActiveRun),
		NextDue:   r.time(schema.NextDue),
		Retry:     r.flag(schema.Retry),
		Scope:     r.text(schema.Scope),
	}
	return j, r.err()
}

func encodeRun(r run.Run) item {
	i := runsKey(r.Rule, runItem(r.ID))
	i.setText(schema.Trigger, string(r.Trigger))
	i.setText(schema.Mode, string(r.Mode))
	i.setNumber(schema.Percent, r.Percent)
	i.setFlag(schema.Existing, r.Existing)
	i.setFlag(schema.Adopt, r.Adopt)
	i.setText(schema.Compare, string(r.Compare))
	i.setText(schema.Scope, r.Scope)
	i[schema.State] = text(string(r.State))
	i[schema.RunPhase] = integer(int64(r.Phase))
	i[schema.Shards] = integer(r.Shards)
	i[schema.Open] = integer(r.Open)
	i.setTime(schema.StartedAt, r.StartedAt)
	i.setTime(schema.EndedAt, r.EndedAt)
	i.setNumber(schema.Expected, r.Expected)
	i.setFlag(schema.Approved, r.Approved)
	i.setText(schema.RunError, strings.ToValidUTF8(r.Error, "\uFFFD"))
	i.setTotals(r.Totals)
	i[schema.ExpiresAt] = integer(r.StartedAt.Add(runRetention).Unix())
	return i
}

func decodeRun(i item) (run.Run, error) {
	r := reader{item: i}
	found := run.Run{
		Rule:      r.text(schema.RunsRule),
		Trigger:   run.Trigger(r.text(schema.Trigger)),
		Mode:      run.Mode(r.text(schema.Mode)),
		Percent:   r.number(schema.Percent),
		Asked:     run.Asked{Existing: r.flag(schema.Existing), Adopt: r.flag(schema.Adopt), Compare: run.Mode(r.text(schema.Compare))},
		Scope:     r.text(schema.Scope),
		State:     run.State(r.text(schema.State)),
		Phase:     run.Phase(r.number(schema.RunPhase)),
		Shards:    r.number(schema.Shards),
		Open:      r.number(schema.Open),
		StartedAt: r.time(schema.StartedAt),
		EndedAt:   r.time(schema.EndedAt),
		Expected:  r.number(schema.Expected),
		Approved:  r.flag(schema.Approved),
		Error:     r.text(schema.RunError),
		Totals:    r.totals(),
	}
	found.ID, _ = r.numbered(schema.RunPrefix)
	return found, r.err()
}

// numbered reads a sort key: the run's number, and what follows it.
func (r *reader) numbered(prefix string) (int64, string) {
	digits, rest, _ := strings.Cut(strings.TrimPrefix(r.text(schema.RunsItem), prefix), "#")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		r.problem(schema.RunsItem, err)
	}
	return n, rest
}

// totals are the attributes of run.Totals.
var totals = []string{
	schema.Scanned, schema.Copied, schema.Deleted, schema.Errors, schema.Bytes,
	schema.Skipped, schema.Sources, schema.Candidates, schema.Held, schema.Sample,
	schema.Found, schema.Findings,
}

func (i item) setTotals(t run.Totals) {
	i.setNumber(schema.Scanned, t.Scanned)
	i.setNumber(schema.Copied, t.Copied)
	i.setNumber(schema.Deleted, t.Deleted)
	i.setNumber(schema.Errors, t.Errors)
	i.setNumber(schema.Bytes, t.Bytes)
	i.setCounts(schema.Skipped, t.Skipped)
	i.setNumber(schema.Sources, t.Sources)
	i.setNumber(schema.Candidates, t.Candidates)
	i.setNumber(schema.Held, t.Held)
	i.setKeys(schema.Sample, t.Sample)
	i.setFound(t)
}

func (r *reader) totals() run.Totals {
	t := run.Totals{
		Scanned:    r.number(schema.Scanned),
		Copied:     r.number(schema.Copied),
		Deleted:    r.number(schema.Deleted),
		Errors:     r.number(schema.Errors),
		Bytes:      r.number(schema.Bytes),
		Skipped:    r.counts(schema.Skipped),
		Sources:    r.number(schema.Sources),
		Candidates: r.number(schema.Candidates),
		Held:       r.number(schema.Held),
		Sample:     r.keys(schema.Sample),
	}
	r.found(&t)
	return t
}
