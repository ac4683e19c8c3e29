package ledger

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"strings"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Put stores p and returns its new revision, the stored one plus one. It
// replaces the revision that p names (0: there is no item), or a fact about a
// write at the destination older than p's; otherwise the error is a Premise.
//
// What is stored already is stored: where the condition fails because the very
// same content is there at a later revision, that revision is the answer. This
// is what the SDK's own retry meets after the first attempt took effect and
// its response was lost.
func (l *Ledger) Put(ctx context.Context, at object.Ref, p object.Provenance) (int64, error) {
	wanted := encode(at, p)
	names := map[string]string{"#r": schema.ItemRevision}
	values := map[string]types.AttributeValue{":one": integer(1)}
	var set, remove []string
	for _, name := range optional {
		names["#"+name] = name
		if v, ok := wanted[name]; ok {
			values[":"+name] = v
			set = append(set, "#"+name+" = :"+name)
		} else {
			remove = append(remove, "#"+name)
		}
	}
	update := "ADD #r :one"
	if len(set) > 0 {
		update += " SET " + strings.Join(set, ", ")
	}
	if len(remove) > 0 {
		update += " REMOVE " + strings.Join(remove, ", ")
	}
	condition := "attribute_not_exists(#r)"
	if p.Revision != 0 {
		condition = "#r = :r"
		values[":r"] = integer(p.Revision)
	}
	if wanted[schema.DestLastModified] != nil {
		// False where the item has no such attribute.
		condition += " OR #dt < :dt"
	}
	out, err := l.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                           aws.String(l.tables.Provenance),
		Key:                                 keyOf(at),
		UpdateExpression:                    aws.String(update),
		ConditionExpression:                 aws.String(condition),
		ExpressionAttributeNames:            names,
		ExpressionAttributeValues:           values,
		ReturnValues:                        types.ReturnValueUpdatedNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err != nil {
		var failed *types.ConditionalCheckFailedException
		if errors.As(err, &failed) {
			if revision, stored := storedAlready(failed.Item, wanted); stored && revision > p.Revision {
				return revision, nil
			}
		}
		return 0, classify("record", at, err)
	}
	revision, err := number(out.Attributes[schema.ItemRevision])
	if err != nil {
		return 0, classify("record", at, err)
	}
	return revision, nil
}

// storedAlready reports whether an item has exactly the wanted content, and at
// which revision.
func storedAlready(found map[string]types.AttributeValue, wanted item) (int64, bool) {
	revision, err := number(found[schema.ItemRevision])
	content := item(maps.Clone(found))
	maps.DeleteFunc(content, func(name string, _ types.AttributeValue) bool {
		return name == schema.Address || name == schema.ItemRevision
	})
	return revision, err == nil && reflect.DeepEqual(content, wanted)
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
