package ledger

import (
	"reflect"
	"testing"
	"unicode/utf8"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestAnItemFromElsewhere(t *testing.T) {
	at := object.Ref{Bucket: object.Bucket{Backend: "aws", Name: "b"}, Key: "k"}
	for name, c := range map[string]struct {
		item item
		ok   bool
	}{
		"an attribute of a later version": {item{"zz": text("?"), schema.ItemRevision: integer(3)}, true},
		"no attribute at all":             {item{}, true},
		"a time that is text":             {item{schema.DestLastModified: text("today")}, false},
		"a revision that is no integer":   {item{schema.ItemRevision: &types.AttributeValueMemberN{Value: "1.5"}}, false},
		"an etag that is a number":        {item{schema.DestETag: integer(1)}, false},
		"a chain that is text":            {item{schema.OriginChain: text("aws/b")}, false},
		"a chain of numbers":              {item{schema.PendingChain: &types.AttributeValueMemberL{Value: []types.AttributeValue{integer(1)}}}, false},
		"a flag that is text":             {item{schema.Expired: text("true")}, false},
		"a key that is not base64":        {item{schema.OriginBucket: text("aws/b"), schema.OriginKey: text("=%")}, false},
	} {
		if _, err := decode(at, c.item); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzAnyKeyComesBack(f *testing.F) {
	for _, key := range []string{"", "k", "=", "=a", "\xff", "a\xffb", "\uFFFD", "日本", "aws/b/k"} {
		f.Add(key, key)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if !utf8.ValidString(escape(a)) {
			t.Errorf("%q is no string of DynamoDB", escape(a))
		}
		if back, err := unescape(escape(a)); err != nil || back != a {
			t.Errorf("%q came back as %q, %v", a, back, err)
		}
		if a != b && escape(a) == escape(b) {
			t.Errorf("%q and %q are both %q", a, b, escape(a))
		}
		at := object.Ref{Bucket: object.Bucket{Backend: "aws", Name: "b"}, Key: b}
		p := object.Provenance{Rule: "r", Origin: object.Origin{Ref: object.Ref{Bucket: at.Bucket, Key: a}}}
		if back, err := decode(at, encode(at, p)); err != nil || !reflect.DeepEqual(back, p) {
			t.Errorf("%+v came back as %+v, %v", p, back, err)
		}
	})
}
