package ledger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// addressOf is the partition key of a replica's provenance.
func addressOf(at object.Ref) string { return escape(at.String()) }

// escape makes any bytes a DynamoDB string. S3 keys are UTF-8, but other stores
// accept what they are given; the JSON of the request would turn every byte
// that is not into the same replacement character, and two keys into one.
func escape(s string) string {
	if utf8.ValidString(s) && !strings.HasPrefix(s, "=") {
		return s
	}
	return "=" + base64.RawURLEncoding.EncodeToString([]byte(s))
}

func unescape(s string) (string, error) {
	rest, escaped := strings.CutPrefix(s, "=")
	if !escaped {
		return s, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(rest)
	return string(b), err
}

// The attributes of an origin, which an item can hold twice.
type originNames struct{ bucket, key, lastModified, chain string }

var (
	originOfFact    = originNames{schema.OriginBucket, schema.OriginKey, schema.OriginLastModified, schema.OriginChain}
	originOfPending = originNames{schema.PendingBucket, schema.PendingKey, schema.PendingLastModified, schema.PendingChain}
)

type item map[string]types.AttributeValue

func (i item) setText(name, s string) {
	if s != "" {
		i[name] = text(s)
	}
}

func (i item) setTime(name string, t time.Time) {
	if !t.IsZero() {
		i[name] = millis(t)
	}
}

func (i item) setNumber(name string, n int64) {
	if n != 0 {
		i[name] = integer(n)
	}
}

func (i item) setFlag(name string, set bool) {
	if set {
		i[name] = &types.AttributeValueMemberBOOL{Value: true}
	}
}

func (i item) setKeys(name string, keys []string) {
	setList(i, name, keys, func(key string) types.AttributeValue { return text(escape(key)) })
}

// setList makes a list, of what each element is by itself.
func setList[T any](i item, name string, of []T, attribute func(T) types.AttributeValue) {
	if len(of) == 0 {
		return
	}
	list := make([]types.AttributeValue, len(of))
	for n, e := range of {
		list[n] = attribute(e)
	}
	i[name] = &types.AttributeValueMemberL{Value: list}
}

func (i item) setCounts(name string, counts map[string]int64) {
	if len(counts) > 0 {
		m := make(map[string]types.AttributeValue, len(counts))
		for what, n := range counts {
			m[what] = integer(n)
		}
		i[name] = &types.AttributeValueMemberM{Value: m}
	}
}

func (i item) setOrigin(names originNames, at object.Ref, o object.Origin) {
	if o.Ref != (object.Ref{}) {
		i.setText(names.bucket, o.Ref.Bucket.String())
		if o.Ref.Key != at.Key {
			i[names.key] = text(escape(o.Ref.Key))
		}
	}
	i.setTime(names.lastModified, o.LastModified)
	setList(i, names.chain, o.Chain, func(b object.Bucket) types.AttributeValue { return text(b.String()) })
}

func (i item) setSource(s object.Source) {
	i.setText(schema.SourceETag, s.ETag)
	i.setTime(schema.SourceLastModified, s.LastModified)
	i.setText(schema.SourceVersionID, s.VersionID)
	i.setText(schema.SourceSequencer, s.Sequencer)
	i.setText(schema.SourceRequestID, s.RequestID)
}

// encode is p's item without its key and its revision.
func encode(at object.Ref, p object.Provenance) item {
	i := item{}
	i.setText(schema.Rule, p.Rule)
	i.setNumber(schema.Run, p.Run)
	i.setFlag(schema.Adopted, p.Adopted)
	i.setKeys(schema.Lost, p.Lost)
	i.setSource(p.Source)
	i.setText(schema.DestETag, p.Dest.ETag)
	i.setTime(schema.DestLastModified, p.Dest.LastModified)
	i.setText(schema.DestVersionID, p.Dest.VersionID)
	i.setOrigin(originOfFact, at, p.Origin)
	i.setFlag(schema.Expired, p.Expired)
	i.setText(schema.PendingHolder, p.Pending.Holder)
	i.setTime(schema.PendingSince, p.Pending.Since)
	i.setTime(schema.PendingBegan, p.Pending.Began)
	i.setText(schema.PendingETag, p.Pending.ETag)
	i.setOrigin(originOfPending, at, p.Pending.Origin)
	return i
}

// reader decodes attributes and keeps every problem.
type reader struct {
	item     item
	problems []error
}

func (r *reader) problem(name string, err error) {
	r.problems = append(r.problems, fmt.Errorf("attribute %s: %w", name, err))
}

func (r *reader) err() error { return errors.Join(r.problems...) }

var errType = errors.New("not of its type")

func (r *reader) text(name string) string {
	switch v := r.item[name].(type) {
	case nil:
	case *types.AttributeValueMemberS:
		return v.Value
	default:
		r.problem(name, errType)
	}
	return ""
}

func (r *reader) number(name string) int64 {
	n, err := number(r.item[name])
	if err != nil {
		r.problem(name, err)
	}
	return n
}

func (r *reader) time(name string) time.Time {
	if r.item[name] == nil {
		return time.Time{}
	}
	return time.UnixMilli(r.number(name)).UTC()
}

func (r *reader) flag(name string) bool {
	switch v := r.item[name].(type) {
	case nil:
	case *types.AttributeValueMemberBOOL:
		return v.Value
	default:
		r.problem(name, errType)
	}
	return false
}

// key reads a key as escape made it a string.
func (r *reader) key(name string) string {
	key, err := unescape(r.text(name))
	if err != nil {
		r.problem(name, err)
	}
	return key
}

func (r *reader) keys(name string) []string { return list(r, name, (*reader).key) }

// list reads a list, each element as it is read by itself.
func list[T any](r *reader, name string, read func(*reader, string) T) []T {
	var all []T
	switch v := r.item[name].(type) {
	case nil:
	case *types.AttributeValueMemberL:
		for _, e := range v.Value {
			one := reader{item: item{name: e}}
			all = append(all, read(&one, name))
			r.problems = append(r.problems, one.problems...)
		}
	default:
		r.problem(name, errType)
	}
	return all
}

func (r *reader) counts(name string) map[string]int64 {
	switch v := r.item[name].(type) {
	case nil:
	case *types.AttributeValueMemberM:
		counts := make(map[string]int64, len(v.Value))
		for what, n := range v.Value {
			count, err := number(n)
			if err != nil {
				r.problem(name, err)
			}
			counts[what] = count
		}
		return counts
	default:
		r.problem(name, errType)
	}
	return nil
}

func (r *reader) origin(names originNames, at object.Ref) object.Origin {
	o := object.Origin{LastModified: r.time(names.lastModified)}
	if b := r.text(names.bucket); b != "" {
		o.Ref = object.Ref{Bucket: bucketOf(b), Key: at.Key}
		if r.item[names.key] != nil {
			o.Ref.Key = r.key(names.key)
		}
	}
	o.Chain = list(r, names.chain, func(one *reader, name string) object.Bucket { return bucketOf(one.text(name)) })
	return o
}

func (r *reader) source() object.Source {
	return object.Source{
		ETag:         r.text(schema.SourceETag),
		LastModified: r.time(schema.SourceLastModified),
		VersionID:    r.text(schema.SourceVersionID),
		Sequencer:    r.text(schema.SourceSequencer),
		RequestID:    r.text(schema.SourceRequestID),
	}
}

// bucketOf reads what object.Bucket.String wrote. No bucket name has a slash.
func bucketOf(s string) object.Bucket {
	n := strings.LastIndexByte(s, '/')
	return object.Bucket{Backend: s[:max(n, 0)], Name: s[n+1:]}
}

// decode reads the item at an address. Attributes it does not know are passed
// over: a newer version may have written them.
func decode(at object.Ref, i item) (object.Provenance, error) {
	r := reader{item: i}
	p := object.Provenance{
		Revision: r.number(schema.ItemRevision),
		Rule:     r.text(schema.Rule),
		Run:      r.number(schema.Run),
		Adopted:  r.flag(schema.Adopted),
		Lost:     r.keys(schema.Lost),
		Source:   r.source(),
		Dest: object.Dest{
			ETag:         r.text(schema.DestETag),
			LastModified: r.time(schema.DestLastModified),
			VersionID:    r.text(schema.DestVersionID),
		},
		Origin:  r.origin(originOfFact, at),
		Expired: r.flag(schema.Expired),
		Pending: object.Pending{
			Holder: r.text(schema.PendingHolder),
			Since:  r.time(schema.PendingSince),
			Began:  r.time(schema.PendingBegan),
			ETag:   r.text(schema.PendingETag),
			Origin: r.origin(originOfPending, at),
		},
	}
	if err := r.err(); err != nil {
		return object.Provenance{}, fmt.Errorf("item of %s: %w", at, err)
	}
	return p, nil
}
