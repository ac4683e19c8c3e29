package ledger

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/transfer"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// partRetention is how long a part is kept after it was last written: longer
// than any transfer takes.
const partRetention = 30 * 24 * time.Hour

func transferKey(to object.Ref, sortKey string) item {
	return item{schema.Address: text(addressOf(to)), schema.TransferItem: text(sortKey)}
}

func partsOf(tr object.Transfer) string { return schema.PartPrefix + tr.ID + "#" }

func partItem(tr object.Transfer, number int) string {
	return fmt.Sprintf("%s%05d", partsOf(tr), number)
}

// Transfer answers the transfer to an address, read consistently.
func (l *Ledger) Transfer(ctx context.Context, to object.Ref) (object.Transfer, error) {
	const op = "read transfer"
	out, err := l.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String(l.tables.Transfers), Key: transferKey(to, schema.TheTransfer), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return object.Transfer{}, classify(op, to, err)
	}
	if out.Item == nil {
		return object.Transfer{}, nil
	}
	tr, err := decodeTransfer(out.Item)
	if err != nil {
		return object.Transfer{}, classify(op, to, err)
	}
	return tr, nil
}

// PutTransfer stores next in place of seen. What is stored already is stored, as
// with Put.
func (l *Ledger) PutTransfer(ctx context.Context, seen, next object.Transfer) (int64, error) {
	next.Revision = seen.Revision + 1
	put := encodeTransfer(next)
	var e expression
	if seen.ID == "" {
		e.is(schema.TransferID, nil)
	} else {
		e.is(schema.TransferID, text(seen.ID))
		e.is(schema.TransferRev, integer(seen.Revision))
	}
	_, err := l.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                           aws.String(l.tables.Transfers),
		Item:                                put,
		ConditionExpression:                 e.condition(),
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           e.values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) && reflect.DeepEqual(item(failed.Item), put) {
		err = nil
	}
	if err != nil {
		return 0, classify("put transfer", next.To, err)
	}
	return next.Revision, nil
}

// TouchTransfer writes the touch into the very transfer, and answers that, in one
// request.
func (l *Ledger) TouchTransfer(ctx context.Context, tr object.Transfer, touch transfer.Touch) (object.Transfer, error) {
	const op = "touch transfer"
	var e expression
	e.is(schema.TransferID, text(tr.ID))
	e.set(schema.AliveUntil, millis(touch.AliveUntil))
	told, attributes := item{}, []string{schema.LimitsHold}
	told.setFlag(schema.LimitsHold, touch.Held)
	if touch.Anew {
		attributes = append(attributes, schema.TransferTry, schema.LastError)
	}
	if !touch.ProgressAt.IsZero() {
		told.setTime(schema.ProgressAt, touch.ProgressAt)
		attributes = append(attributes, schema.ProgressAt)
	}
	if !touch.Counted.At.IsZero() {
		told.setCounted(touch.Counted)
		attributes = append(attributes, schema.CountedAt, schema.CountedParts, schema.CountedBytes)
	}
	e.setAll(told, attributes)
	stored, err := l.updateTransfers(ctx, op, tr.To, schema.TheTransfer, e)
	if err != nil {
		return object.Transfer{}, err
	}
	now, err := decodeTransfer(stored)
	if err != nil {
		return object.Transfer{}, classify(op, tr.To, err)
	}
	return now, nil
}

// RemoveTransfer removes the very transfer. Its parts end by their time.
func (l *Ledger) RemoveTransfer(ctx context.Context, tr object.Transfer) error {
	var e expression
	e.is(schema.TransferID, text(tr.ID))
	_, err := l.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:                 aws.String(l.tables.Transfers),
		Key:                       transferKey(tr.To, schema.TheTransfer),
		ConditionExpression:       e.condition(),
		ExpressionAttributeNames:  e.names,
		ExpressionAttributeValues: e.values,
	})
	var failed *types.ConditionalCheckFailedException
	if err == nil || errors.As(err, &failed) {
		return nil
	}
	return classify("remove transfer", tr.To, err)
}

// SilentTransfers asks the index, which is eventually consistent.
func (l *Ledger) SilentTransfers(ctx context.Context, before time.Time, limit int) ([]object.Transfer, error) {
	var key expression
	key.is(schema.Active, text(schema.ActiveYes))
	key.where("%s < %s", key.name(schema.AliveUntil), key.value(millis(before)))
	found, err := listed(ctx, l, &dynamodb.QueryInput{
		TableName: aws.String(l.tables.Transfers), IndexName: aws.String(schema.Silent.Name),
	}, key, limit, decodeTransfer)
	if err != nil {
		return nil, classify("list silent transfers in", tableRef(l.tables.Transfers), err)
	}
	return found, nil
}

// TransferPage lists up to limit transfers of a rule that come after a place, those
// first that began first. It reads the index, which may be a moment behind. The
// place may be of a transfer that is over.
func (l *Ledger) TransferPage(ctx context.Context, ruleName string, after object.TransferPlace, limit int) ([]object.Transfer, error) {
	var key expression
	key.is(schema.Longest.PartitionKey, text(ruleName))
	in := &dynamodb.QueryInput{TableName: aws.String(l.tables.Transfers), IndexName: aws.String(schema.Longest.Name)}
	if after.To.Key != "" {
		in.ExclusiveStartKey = transferKey(after.To, schema.TheTransfer)
		in.ExclusiveStartKey[schema.Longest.PartitionKey] = text(ruleName)
		in.ExclusiveStartKey[schema.Longest.SortKey] = millis(after.BegunAt)
	}
	found, err := listed(ctx, l, in, key, limit, decodeTransfer)
	if err != nil {
		return nil, classify("list transfers of "+ruleName+" in", tableRef(l.tables.Transfers), err)
	}
	return found, nil
}

// Parts lists the parts that somebody claimed: a query of about 1 MB for 10,000.
func (l *Ledger) Parts(ctx context.Context, tr object.Transfer) ([]transfer.Part, error) {
	var key expression
	key.is(schema.Address, text(addressOf(tr.To)))
	key.where("begins_with(%s, %s)", key.name(schema.TransferItem), key.value(text(partsOf(tr))))
	found, err := listed(ctx, l, &dynamodb.QueryInput{
		TableName: aws.String(l.tables.Transfers), ConsistentRead: aws.Bool(true),
	}, key, 0, decodePart)
	if err != nil {
		return nil, classify("list parts of", tr.To, err)
	}
	return found, nil
}

// ClaimPart takes the lease on a part, in one request. A claim that the SDK
// repeats after a lost answer is one more by the same owner.
func (l *Ledger) ClaimPart(ctx context.Context, tr object.Transfer, number int, owner string, now, until time.Time) (transfer.Part, error) {
	op := fmt.Sprintf("claim part %d of", number)
	var e expression
	e.is(schema.PartETag, nil)
	e.leasable(owner, now)
	e.set(schema.LeaseOwner, text(owner))
	e.set(schema.LeasedUntil, millis(until))
	e.set(schema.ExpiresAt, integer(now.Add(partRetention).Unix()))
	e.add(schema.Fence, 1)
	claimed, err := l.updateTransfers(ctx, op, tr.To, partItem(tr, number), e)
	if err != nil {
		return transfer.Part{}, err
	}
	p, err := decodePart(claimed)
	if err != nil {
		return transfer.Part{}, classify(op, tr.To, err)
	}
	return p, nil
}

// FinishPart writes what was copied under the part's fence. Repeated, it writes
// the same again.
func (l *Ledger) FinishPart(ctx context.Context, tr object.Transfer, p transfer.Part) error {
	var e expression
	e.is(schema.Fence, integer(p.Fence))
	copied := item{}
	copied.setText(schema.PartETag, p.ETag)
	copied.setText(schema.PartChecksum, p.Checksum)
	copied.setText(schema.PartCRC64, p.CRC64)
	e.setAll(copied, []string{schema.PartETag, schema.PartChecksum, schema.PartCRC64})
	e.set(schema.LeaseOwner, nil)
	e.set(schema.LeasedUntil, nil)
	_, err := l.updateTransfers(ctx, fmt.Sprintf("finish part %d of", p.Number), tr.To, partItem(tr, p.Number), e)
	return err
}

// updateTransfers updates an item, and answers what it is then.
func (l *Ledger) updateTransfers(ctx context.Context, op string, to object.Ref, sortKey string, e expression) (item, error) {
	there, err := l.change(ctx, l.tables.Transfers, transferKey(to, sortKey), e)
	if err != nil {
		return nil, classify(op, to, err)
	}
	return there, nil
}

func encodeTransfer(t object.Transfer) item {
	i := transferKey(t.To, schema.TheTransfer)
	i[schema.Active] = text(schema.ActiveYes)
	i[schema.AliveUntil] = millis(t.AliveUntil)
	i[schema.TransferID] = text(t.ID)
	i[schema.TransferRev] = integer(t.Revision)
	i.setText(schema.TransferRule, t.Rule)
	i.setNumber(schema.TransferRun, t.Run)
	i.setFlag(schema.Existing, t.Existing)
	i.setText(schema.FromBucket, t.From.Bucket.String())
	i.setText(schema.FromKey, escape(t.From.Key))
	i.setText(schema.ToBucket, t.To.Bucket.String())
	i.setText(schema.ToKey, escape(t.To.Key))
	i.setDamaged(t.Damaged)
	i.setSource(t.Source)
	i.setTime(schema.EventAt, t.EventAt)
	i.setNumber(schema.Size, t.Size)
	i.setNumber(schema.PartSize, t.PartSize)
	i.setTime(schema.BegunAt, t.BegunAt)
	i.setNumber(schema.TransferTry, int64(t.Tries))
	i.setText(schema.LastError, t.LastError)
	i.setCounted(t.Counted)
	i.setTime(schema.ProgressAt, t.ProgressAt)
	i.setFlag(schema.LimitsHold, t.Held)
	i.setText(schema.Opener, t.Opener)
	setList(i, schema.Openings, t.Openings, millis)
	i.setKeys(schema.Leftovers, t.Leftovers)
	i.setText(schema.UploadID, t.Upload.ID)
	i.setText(schema.UploadChecksum, t.Upload.Checksum)
	i.setText(schema.UploadVersion, t.Upload.SourceVersionID)
	i.setText(schema.UploadSum, t.Upload.SourceChecksum)
	i.setKeys(schema.UploadAsked, t.Upload.Asked)
	i.setKeys(schema.UploadLost, t.Upload.Lost)
	return i
}

func (i item) setCounted(c object.Counted) {
	i.setTime(schema.CountedAt, c.At)
	i.setNumber(schema.CountedParts, int64(c.Parts))
	i.setNumber(schema.CountedBytes, c.Bytes)
}

func decodeTransfer(i item) (object.Transfer, error) {
	r := reader{item: i}
	t := object.Transfer{
		ID:         r.text(schema.TransferID),
		Revision:   r.number(schema.TransferRev),
		Rule:       r.text(schema.TransferRule),
		Run:        r.number(schema.TransferRun),
		Existing:   r.flag(schema.Existing),
		From:       object.Ref{Bucket: bucketOf(r.text(schema.FromBucket)), Key: r.key(schema.FromKey)},
		To:         object.Ref{Bucket: bucketOf(r.text(schema.ToBucket)), Key: r.key(schema.ToKey)},
		Damaged:    r.damaged(),
		Source:     r.source(),
		EventAt:    r.time(schema.EventAt),
		Size:       r.number(schema.Size),
		PartSize:   r.number(schema.PartSize),
		BegunAt:    r.time(schema.BegunAt),
		AliveUntil: r.time(schema.AliveUntil),
		Tries:      int(r.number(schema.TransferTry)),
		LastError:  r.text(schema.LastError),
		Counted:    object.Counted{At: r.time(schema.CountedAt), Parts: int(r.number(schema.CountedParts)), Bytes: r.number(schema.CountedBytes)},
		ProgressAt: r.time(schema.ProgressAt),
		Held:       r.flag(schema.LimitsHold),
		Opener:     r.text(schema.Opener),
		Openings:   list(&r, schema.Openings, (*reader).time),
		Leftovers:  r.keys(schema.Leftovers),
		Upload: object.Upload{
			ID:              r.text(schema.UploadID),
			Checksum:        r.text(schema.UploadChecksum),
			SourceVersionID: r.text(schema.UploadVersion),
			SourceChecksum:  r.text(schema.UploadSum),
			Asked:           r.keys(schema.UploadAsked),
			Lost:            r.keys(schema.UploadLost),
		},
	}
	if t.Upload.ID != "" {
		t.Upload.To = t.To
	}
	return t, r.err()
}

func decodePart(i item) (transfer.Part, error) {
	r := reader{item: i}
	p := transfer.Part{
		PartCopied: object.PartCopied{
			ETag: r.text(schema.PartETag), Checksum: r.text(schema.PartChecksum), CRC64: r.text(schema.PartCRC64),
		},
		Owner:       r.text(schema.LeaseOwner),
		LeasedUntil: r.time(schema.LeasedUntil),
		Fence:       r.number(schema.Fence),
	}
	key := r.text(schema.TransferItem)
	var err error
	if p.Number, err = strconv.Atoi(key[strings.LastIndexByte(key, '#')+1:]); err != nil {
		r.problem(schema.TransferItem, err)
	}
	return p, r.err()
}
