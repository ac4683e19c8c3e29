package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// transactionLimit is how many items one TransactWriteItems may write.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
const transactionLimit = 100

// deployTries bounds how often Deploy starts over because somebody else changed
// a rule it was about to write.
const deployTries = 5

// Deploy makes the deployed rules those of the configuration, and stores the
// rest of it beside them. Pause state, creation time and whatever runs left on
// a rule's item stay; rules made through the API stay too, and one of them
// with the name of a deployed rule is an error that names every such rule, as is
// one whose bucket the configuration no longer has: no rule would compile.
// Nothing is written where nothing changed.
//
// Each transaction raises the catalog's revision, so a reader never takes a mix
// for the end. More changes than fit into one transaction go in several, the
// configuration first: in between a reader may see rules of both files, and
// the next revision tells it to look again. A deploy that was cut off is
// completed by the next.
func (l *Ledger) Deploy(ctx context.Context, c rule.Config, now time.Time) error {
	for try := 1; ; try++ {
		err := l.deploy(ctx, c, now)
		if err == nil {
			return nil
		}
		err = classify("deploy rules to", tableRef(l.tables.Rules), err)
		if object.ClassOf(err) != object.Premise || try == deployTries {
			return err
		}
	}
}

func (l *Ledger) deploy(ctx context.Context, c rule.Config, now time.Time) error {
	s, err := l.snapshot(ctx)
	if err != nil {
		return err
	}
	writes, err := l.changes(s, c, now)
	if err != nil {
		return err
	}
	return l.write(ctx, writes)
}

// changes are the writes that turn what is stored into the configuration. Every
// write has the condition that the item is still the one that was read.
func (l *Ledger) changes(s snapshot, c rule.Config, now time.Time) ([]types.TransactWriteItem, error) {
	var writes []types.TransactWriteItem
	storage := c.Storage
	storage.Replication.Rules = nil
	doc, err := json.Marshal(storage)
	if err != nil {
		return nil, err
	}
	if string(doc) != s.storage {
		writes = append(writes, types.TransactWriteItem{Put: &types.Put{
			TableName: aws.String(l.tables.Rules),
			Item:      item{schema.RuleName: text(schema.StorageName), schema.Document: text(string(doc))},
		}})
	}
	stored := make(map[string]document, len(s.rules))
	for _, d := range s.rules {
		stored[d.name] = d
	}
	var taken []error
	for _, r := range c.Storage.Replication.Rules {
		doc, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", r.Name, err)
		}
		d, exists := stored[r.Name]
		delete(stored, r.Name)
		switch {
		case !exists:
			writes = append(writes, l.insert(r.Name, string(doc), now))
		case !d.deployed:
			taken = append(taken, fmt.Errorf("rule %q was made through the API: delete it there, or give the rule in the configuration another name", r.Name))
		case d.document != string(doc):
			writes = append(writes, l.update(d, string(doc)))
		}
	}
	if len(taken) > 0 {
		return nil, &object.Error{
			Class: object.Permanent, Op: "deploy rules to", Ref: tableRef(l.tables.Rules),
			Code: "RuleExists", Err: errors.Join(taken...),
		}
	}
	var missing []error
	for _, d := range s.rules {
		switch _, left := stored[d.name]; {
		case left && d.deployed:
			writes = append(writes, l.remove(d))
		case left:
			missing = append(missing, d.missing(storage))
		}
	}
	if err := errors.Join(missing...); err != nil {
		return nil, &object.Error{
			Class: object.Permanent, Op: "deploy rules to", Ref: tableRef(l.tables.Rules), Code: "BucketInUse", Err: err,
		}
	}
	return writes, nil
}

// missing names the buckets of the rule that are not configured.
func (d document) missing(st rule.Storage) error {
	var r rule.Rule
	if err := json.Unmarshal([]byte(d.document), &r); err != nil {
		return fmt.Errorf("rule %q: %w", d.name, err)
	}
	var errs []error
	for _, alias := range []string{r.Source.Bucket, r.Destination.Bucket} {
		if _, ok := st.Resolve(alias); !ok {
			errs = append(errs, fmt.Errorf("rule %q, which was made through the API, uses bucket %q: delete the rule there, or leave the bucket in the configuration", d.name, alias))
		}
	}
	return errors.Join(errs...)
}

func (l *Ledger) insert(name, doc string, now time.Time) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: aws.String(l.tables.Rules),
		Item: item{
			schema.RuleName:  text(name),
			schema.Document:  text(doc),
			schema.Revision:  integer(1),
			schema.Owner:     text(schema.OwnerDeploy),
			schema.CreatedAt: millis(now),
			schema.Paused:    &types.AttributeValueMemberBOOL{Value: false},
		},
		ConditionExpression:      aws.String("attribute_not_exists(#name)"),
		ExpressionAttributeNames: map[string]string{"#name": schema.RuleName},
	}}
}

func (l *Ledger) update(d document, doc string) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName:           aws.String(l.tables.Rules),
		Key:                 ruleKey(d.name),
		UpdateExpression:    aws.String("SET #document = :document ADD #revision :one"),
		ConditionExpression: aws.String("#revision = :seen AND #owner = :deploy"),
		ExpressionAttributeNames: map[string]string{
			"#document": schema.Document, "#revision": schema.Revision, "#owner": schema.Owner,
		},
		ExpressionAttributeValues: item{
			":document": text(doc), ":one": integer(1), ":seen": integer(d.revision), ":deploy": text(schema.OwnerDeploy),
		},
	}}
}

func (l *Ledger) remove(d document) types.TransactWriteItem {
	return types.TransactWriteItem{Delete: &types.Delete{
		TableName:                 aws.String(l.tables.Rules),
		Key:                       ruleKey(d.name),
		ConditionExpression:       aws.String("#revision = :seen AND #owner = :deploy"),
		ExpressionAttributeNames:  map[string]string{"#revision": schema.Revision, "#owner": schema.Owner},
		ExpressionAttributeValues: item{":seen": integer(d.revision), ":deploy": text(schema.OwnerDeploy)},
	}}
}

// write sends the writes in as few transactions as they fit in, each of which
// raises the catalog's revision.
func (l *Ledger) write(ctx context.Context, writes []types.TransactWriteItem) error {
	for chunk := range slices.Chunk(writes, transactionLimit-1) {
		if err := l.transact(ctx, append(slices.Clip(chunk), types.TransactWriteItem{Update: &types.Update{
			TableName:                 aws.String(l.tables.Rules),
			Key:                       ruleKey(schema.CatalogName),
			UpdateExpression:          aws.String("ADD #revision :one"),
			ExpressionAttributeNames:  map[string]string{"#revision": schema.Revision},
			ExpressionAttributeValues: item{":one": integer(1)},
		}})); err != nil {
			return err
		}
	}
	return nil
}

// conflictTries is how often a transaction may meet others, about ten seconds
// long: the shards of a run that end together all write the run's item.
const conflictTries = 12

// transact waits its turn where another transaction writes one of the items;
// the SDK takes that for final. What the SDK itself repeats takes effect once:
// it sends the same token again.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
func (l *Ledger) transact(ctx context.Context, writes []types.TransactWriteItem) error {
	for try := 0; ; try++ {
		_, err := l.db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
		var cancelled *types.TransactionCanceledException
		if !errors.As(err, &cancelled) || try == conflictTries ||
			!slices.ContainsFunc(cancelled.CancellationReasons, func(r types.CancellationReason) bool { return aws.ToString(r.Code) == "TransactionConflict" }) {
			return err
		}
		if err := pause(ctx, waits[min(try, len(waits)-1)]); err != nil {
			return err
		}
	}
}

// SetPaused pauses a rule or lets it go on. Nothing is written where it is in
// that state already. A rule that does not exist is Permanent, its code
// "RuleNotFound".
func (l *Ledger) SetPaused(ctx context.Context, name string, paused bool) error {
	err := l.write(ctx, []types.TransactWriteItem{{Update: &types.Update{
		TableName:                aws.String(l.tables.Rules),
		Key:                      ruleKey(name),
		UpdateExpression:         aws.String("SET #paused = :paused"),
		ConditionExpression:      aws.String("attribute_exists(#owner) AND #paused <> :paused"),
		ExpressionAttributeNames: map[string]string{"#paused": schema.Paused, "#owner": schema.Owner},
		ExpressionAttributeValues: item{
			":paused": &types.AttributeValueMemberBOOL{Value: paused},
		},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}})
	if err == nil {
		return nil
	}
	op, ref := "pause rule "+name+" in", tableRef(l.tables.Rules)
	var cancelled *types.TransactionCanceledException
	if err = classify(op, ref, err); object.ClassOf(err) == object.Premise && errors.As(err, &cancelled) {
		if cancelled.CancellationReasons[0].Item[schema.Paused] != nil {
			return nil // in that state already
		}
		err = &object.Error{Class: object.Permanent, Op: op, Ref: ref, Code: "RuleNotFound", Err: errors.New("there is no rule of this name")}
	}
	return err
}
