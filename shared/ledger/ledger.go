// Package ledger keeps what the replicator knows in DynamoDB: the provenance of
// every replica, the rules, what failed, the runs, the transfers of large objects,
// and what workers share of limits and of what backends keep. Conditions are
// evaluated by the table, in the same request as the write, and never by looking
// first.
// Package schema says how the items look.
package ledger

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Tables are the physical names of the four tables. A function that does not
// use one may leave it empty.
type Tables struct {
	Rules, Provenance, Runs, Transfers string
}

// Ledger is safe for concurrent use. Every method fails with an *object.Error;
// where the failure concerns no single object, its Ref names the table.
type Ledger struct {
	db     *dynamodb.Client
	tables Tables
	start  func() int64 // a new item's first revision
}

// New makes a ledger over these tables. No request is made before the first
// call.
func New(c aws.Config, t Tables) *Ledger {
	return &Ledger{db: dynamodb.NewFromConfig(c), tables: t, start: randomStart}
}

// batchLimit is how many items one BatchGetItem may ask for.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
const batchLimit = 100

// What the SDK does not try again, parts of a batch and conflicts of
// transactions, is tried again after each of these, or up to half as long.
var waits = []time.Duration{
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond,
	400 * time.Millisecond, 800 * time.Millisecond, 1600 * time.Millisecond,
}

// Read answers the provenance at each address, and the catalog's revision,
// which is read consistently so that a pause is honoured at once. It is one
// BatchGetItem for up to 99 addresses, one more for each further 100; an
// address may be named twice. Addresses without an item are missing in the
// map.
func (l *Ledger) Read(ctx context.Context, at []object.Ref, consistent bool) (map[object.Ref]object.Provenance, int64, error) {
	const op = "read provenance"
	refs := make(map[string]object.Ref, len(at))
	catalog := &types.KeysAndAttributes{
		Keys:                     []map[string]types.AttributeValue{{schema.RuleName: text(schema.CatalogName)}},
		ConsistentRead:           aws.Bool(true),
		ProjectionExpression:     aws.String("#revision"),
		ExpressionAttributeNames: map[string]string{"#revision": schema.Revision},
	}
	batch := map[string]types.KeysAndAttributes{l.tables.Rules: *catalog}
	room := batchLimit - 1
	found := make(map[object.Ref]object.Provenance, len(at))
	var revision int64
	take := func(table string, item map[string]types.AttributeValue) error {
		var err error
		if table == l.tables.Rules {
			revision, err = number(item[schema.Revision])
			return err
		}
		address, ok := item[schema.Address].(*types.AttributeValueMemberS)
		if !ok {
			return errors.New("an item without an address")
		}
		ref, asked := refs[address.Value]
		if !asked {
			return errors.New("an item nobody asked for: " + address.Value)
		}
		found[ref], err = decode(ref, item)
		return err
	}
	send := func() error {
		if err := l.get(ctx, batch, take); err != nil {
			return classify(op, l.refOf(at), err)
		}
		batch, room = map[string]types.KeysAndAttributes{}, batchLimit
		return nil
	}
	for _, ref := range at {
		address := addressOf(ref)
		if _, twice := refs[address]; twice {
			continue
		}
		refs[address] = ref
		if room == 0 {
			if err := send(); err != nil {
				return nil, 0, err
			}
		}
		keys := batch[l.tables.Provenance]
		keys.ConsistentRead = aws.Bool(consistent)
		keys.Keys = append(keys.Keys, map[string]types.AttributeValue{schema.Address: text(address)})
		batch[l.tables.Provenance] = keys
		room--
	}
	if err := send(); err != nil {
		return nil, 0, err
	}
	return found, revision, nil
}

// get asks for a batch until everything in it was answered, and hands each item
// to take.
func (l *Ledger) get(ctx context.Context, batch map[string]types.KeysAndAttributes, take func(table string, item map[string]types.AttributeValue) error) error {
	for try := 0; ; try++ {
		out, err := l.db.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: batch})
		if err != nil {
			return err
		}
		for table, items := range out.Responses {
			for _, item := range items {
				if err := take(table, item); err != nil {
					return err
				}
			}
		}
		if batch = out.UnprocessedKeys; len(batch) == 0 {
			return nil
		}
		if try == len(waits) {
			return errUnprocessed
		}
		if err := pause(ctx, waits[try]); err != nil {
			return err
		}
	}
}

// pause waits for d or up to half as long, so that those who met at one item do
// not all come back at once.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d - rand.N(d/2)):
		return nil
	}
}

// refOf is what an error about a batch names: its only address, or the table.
func (l *Ledger) refOf(at []object.Ref) object.Ref {
	if len(at) == 1 {
		return at[0]
	}
	return tableRef(l.tables.Provenance)
}

func tableRef(table string) object.Ref {
	return object.Ref{Bucket: object.Bucket{Backend: "dynamodb", Name: table}}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func integer(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func millis(t time.Time) types.AttributeValue { return integer(t.UnixMilli()) }

// change updates one item, and answers it as it is then. Where the condition does
// not hold, the *types.ConditionalCheckFailedException has it as it is.
func (l *Ledger) change(ctx context.Context, table string, key item, e expression) (item, error) {
	out, err := l.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                           aws.String(table),
		Key:                                 key,
		UpdateExpression:                    e.update(),
		ConditionExpression:                 e.condition(),
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           e.values,
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// query asks for items until it has limit of them (0: all), or there are no
// more.
func (l *Ledger) query(ctx context.Context, in *dynamodb.QueryInput, key expression, limit int) ([]item, error) {
	in.KeyConditionExpression = key.condition()
	in.ExpressionAttributeNames = key.names
	in.ExpressionAttributeValues = key.values
	if limit > 0 {
		in.Limit = aws.Int32(int32(min(limit, math.MaxInt32)))
	}
	var found []item
	pages := dynamodb.NewQueryPaginator(l.db, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, i := range page.Items {
			if found = append(found, i); len(found) == limit {
				return found, nil
			}
		}
	}
	return found, nil
}

// listed is what a query finds, decoded.
func listed[T any](ctx context.Context, l *Ledger, in *dynamodb.QueryInput, key expression, limit int, decode func(item) (T, error)) ([]T, error) {
	items, err := l.query(ctx, in, key, limit)
	if err != nil {
		return nil, err
	}
	found := make([]T, len(items))
	for n, i := range items {
		if found[n], err = decode(i); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// number reads an integer attribute; 0 where there is none.
func number(v types.AttributeValue) (int64, error) {
	switch v := v.(type) {
	case nil:
		return 0, nil
	case *types.AttributeValueMemberN:
		return strconv.ParseInt(v.Value, 10, 64)
	default:
		return 0, errors.New("an attribute that should be a number is not")
	}
}
