package ledger

import (
	"context"
	"encoding/json"
	"time"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/rule"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// PutRule stores a rule that the API made: a new one where seen is 0, else in
// place of the one of that revision. Pause state and creation time of what is
// there stay. It does so only while the catalog still is at this revision, at
// which the rule was found to go with all others; Premise where anything of this
// is not so any more.
//
// The rule's revision becomes that of the catalog, so that it never comes back,
// also where a rule is removed and made anew.
func (l *Ledger) PutRule(ctx context.Context, r rule.Rule, seen, catalog int64, now time.Time) (int64, error) {
	doc, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	next := catalog + 1
	write := types.TransactWriteItem{Put: &types.Put{
		TableName: aws.String(l.tables.Rules),
		Item: item{
			schema.RuleName:  text(r.Name),
			schema.Document:  text(string(doc)),
			schema.Revision:  integer(next),
			schema.Owner:     text(schema.OwnerAPI),
			schema.CreatedAt: millis(now),
			schema.Paused:    &types.AttributeValueMemberBOOL{Value: false},
		},
		ConditionExpression:      aws.String("attribute_not_exists(#name)"),
		ExpressionAttributeNames: map[string]string{"#name": schema.RuleName},
	}}
	if seen != 0 {
		var e expression
		e.set(schema.Document, text(string(doc)))
		e.set(schema.Revision, integer(next))
		e.isOurs(seen)
		write = types.TransactWriteItem{Update: &types.Update{
			TableName:                 aws.String(l.tables.Rules),
			Key:                       ruleKey(r.Name),
			UpdateExpression:          e.update(),
			ConditionExpression:       e.condition(),
			ExpressionAttributeNames:  e.names,
			ExpressionAttributeValues: e.values,
		}}
	}
	if err := l.transact(ctx, []types.TransactWriteItem{write, l.turnCatalog(catalog)}); err != nil {
		return 0, classify("store rule "+r.Name+" in", tableRef(l.tables.Rules), err)
	}
	return next, nil
}

// RemoveRule removes a rule that the API made, if it still has the revision seen
// and the catalog that revision; Premise otherwise. What the rule wrote, and what
// is known of that, stays.
func (l *Ledger) RemoveRule(ctx context.Context, name string, seen, catalog int64) error {
	var e expression
	e.isOurs(seen)
	err := l.transact(ctx, []types.TransactWriteItem{
		{Delete: &types.Delete{
			TableName:                 aws.String(l.tables.Rules),
			Key:                       ruleKey(name),
			ConditionExpression:       e.condition(),
			ExpressionAttributeNames:  e.names,
			ExpressionAttributeValues: e.values,
		}},
		l.turnCatalog(catalog),
	})
	if err != nil {
		return classify("remove rule "+name+" from", tableRef(l.tables.Rules), err)
	}
	return nil
}

// isOurs is the condition that the API's rule still has this revision.
func (e *expression) isOurs(revision int64) {
	e.is(schema.Revision, integer(revision))
	e.is(schema.Owner, text(schema.OwnerAPI))
}

// turnCatalog raises the catalog's revision if it still is this one.
func (l *Ledger) turnCatalog(from int64) types.TransactWriteItem {
	was := item{}
	was.setNumber(schema.Revision, from)
	var e expression
	e.set(schema.Revision, integer(from+1))
	e.is(schema.Revision, was[schema.Revision])
	return types.TransactWriteItem{Update: &types.Update{
		TableName:                 aws.String(l.tables.Rules),
		Key:                       ruleKey(schema.CatalogName),
		UpdateExpression:          e.update(),
		ConditionExpression:       e.condition(),
		ExpressionAttributeNames:  e.names,
		ExpressionAttributeValues: e.values,
	}}
}
