package ledger

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// randomStart is the first revision of a new item: positive, so unlikely twice
// at one address that whoever holds a revision of a forgotten item never meets
// it again, and small enough for every JSON reader to keep it exact.
func randomStart() int64 { return 1 + rand.Int64N(1<<52-1) }

// Put stores p and returns its new revision. It replaces exactly the revision
// that p names (0: there is no item), and the error is a Premise where that is
// not what the table holds. The new revision is the next, and of a new item a
// random one.
//
// What is stored already is stored: where the condition fails because the very
// same content is there at the revision this Put leads to, that revision is the
// answer. This is what the SDK's own retry meets after the first attempt took
// effect and its response was lost. A new item may have any revision then, as a
// Put that its caller repeats draws another.
func (l *Ledger) Put(ctx context.Context, at object.Ref, p object.Provenance) (int64, error) {
	revision := p.Revision + 1
	condition := "#r = :r"
	values := item{":r": integer(p.Revision)}
	if p.Revision == 0 {
		revision = l.start()
		condition = "attribute_not_exists(#r)"
		values = nil
	}
	put := encode(at, p)
	put[schema.Address] = text(addressOf(at))
	put[schema.ItemRevision] = integer(revision)
	_, err := l.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                           aws.String(l.tables.Provenance),
		Item:                                put,
		ConditionExpression:                 aws.String(condition),
		ExpressionAttributeNames:            map[string]string{"#r": schema.ItemRevision},
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err == nil {
		return revision, nil
	}
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		stored := item(failed.Item)
		if p.Revision == 0 {
			put[schema.ItemRevision] = stored[schema.ItemRevision]
		}
		if reflect.DeepEqual(stored, put) {
			revision, err = number(stored[schema.ItemRevision])
			if err == nil {
				return revision, nil
			}
		}
	}
	return 0, classify("record", at, err)
}

// Forget removes the item if it still has this revision; otherwise the error is
// a Premise. Nothing to remove is success.
func (l *Ledger) Forget(ctx context.Context, at object.Ref, revision int64) error {
	_, err := l.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:                 aws.String(l.tables.Provenance),
		Key:                       keyOf(at),
		ConditionExpression:       aws.String("attribute_not_exists(#r) OR #r = :r"),
		ExpressionAttributeNames:  map[string]string{"#r": schema.ItemRevision},
		ExpressionAttributeValues: map[string]types.AttributeValue{":r": integer(revision)},
	})
	if err != nil {
		return classify("forget", at, err)
	}
	return nil
}

func keyOf(at object.Ref) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{schema.Address: text(addressOf(at))}
}
