package ledger

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"

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

func TestARunOrAShardFromElsewhere(t *testing.T) {
	const run3, shard3 = "run#00000000000000000003", "shard#00000000000000000003#1.2"
	for name, c := range map[string]struct {
		item item
		ok   bool
	}{
		"a run with an attribute of a later version":   {item{schema.RunsItem: text(run3), "zz": text("?")}, true},
		"a run without a number":                       {item{schema.RunsItem: text("run#x")}, false},
		"no sort key":                                  {item{}, false},
		"totals that are text":                         {item{schema.RunsItem: text(run3), schema.Scanned: text("7")}, false},
		"skips that are a list":                        {item{schema.RunsItem: text(run3), schema.Skipped: &types.AttributeValueMemberL{}}, false},
		"skips of text":                                {item{schema.RunsItem: text(run3), schema.Skipped: &types.AttributeValueMemberM{Value: item{"a": text("7")}}}, false},
		"a sample of numbers":                          {item{schema.RunsItem: text(run3), schema.Sample: &types.AttributeValueMemberL{Value: []types.AttributeValue{integer(1)}}}, false},
		"a sample that is text":                        {item{schema.RunsItem: text(run3), schema.Sample: text("k")}, false},
		"a shard with an attribute of a later version": {item{schema.RunsItem: text(shard3), "zz": text("?")}, true},
		"a shard whose cursor is not base64":           {item{schema.RunsItem: text(shard3), schema.Cursor: text("=%")}, false},
		"a shard whose intent is not base64":           {item{schema.RunsItem: text(shard3), schema.Intent: &types.AttributeValueMemberL{Value: []types.AttributeValue{text("=%")}}}, false},
		"a shard whose end is text":                    {item{schema.RunsItem: text(shard3), schema.Ended: text("true")}, false},
	} {
		var err error
		if i, ok := c.item[schema.RunsItem].(*types.AttributeValueMemberS); ok && i.Value == shard3 {
			_, err = decodeShard(c.item)
		} else {
			_, err = decodeRun(c.item)
		}
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARunIsForgottenInItsTime(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		item item
		want time.Time
	}{
		"a run":                       {encodeRun(run.Run{StartedAt: start, EndedAt: start.AddDate(0, 0, 3)}), start.AddDate(0, 0, 90)},
		"a shard that nobody claimed": {encodeShard(run.Shard{SentAt: start}), start.AddDate(0, 0, 14)},
		"a shard that was saved":      {encodeShard(run.Shard{SentAt: start, SavedAt: start.AddDate(0, 0, 3)}), start.AddDate(0, 0, 17)},
		"a shard that was put back":   {encodeShard(run.Shard{SentAt: start.AddDate(0, 0, 5), SavedAt: start}), start.AddDate(0, 0, 19)},
	} {
		r := reader{item: c.item}
		if got := time.Unix(r.number(schema.ExpiresAt), 0).UTC(); !got.Equal(c.want) {
			t.Errorf("%s expires at %v, want %v", name, got, c.want)
		}
	}
	if encodeJob(run.Job{Rule: "mirror", LastRun: 1})[schema.ExpiresAt] != nil {
		t.Error("a job expires")
	}
}

// A write of up to 1 KB costs one unit, and a shard is written at every
// checkpoint.
func TestAShardUnderWayIsOneUnit(t *testing.T) {
	now := time.Now()
	key := strings.Repeat("k", 100)
	s := run.Shard{
		Rule: strings.Repeat("r", 40), Run: 1000, ID: "1.98.98", Children: 98, Range: keyspace.Range{After: key, Until: key},
		Phase: run.Copying, Cursor: key, Owner: strings.Repeat("w", 36), LeasedUntil: now, Fence: 1000, Tries: 3, SavedAt: now, SentAt: now,
		Totals: run.Totals{
			Scanned: 1e9, Copied: 1e9, Errors: 1e9, Bytes: 1e15, Sources: 1e9, Candidates: 1e9,
			Skipped: map[string]int64{"in_sync": 1e9, "identical": 1e9, "excluded": 1e9, "dest_newer": 1e9},
		},
	}
	if n := size(&types.AttributeValueMemberM{Value: encodeShard(s)}); n > 1024 {
		t.Errorf("%d bytes", n)
	}
}

// size is what DynamoDB counts, or a little more.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func size(v types.AttributeValue) int {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		return len(v.Value)/2 + 2
	case *types.AttributeValueMemberM:
		n := 3
		for name, e := range v.Value {
			n += len(name) + 1 + size(e)
		}
		return n
	default:
		return 1
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
		shard := run.Shard{Rule: "r", Run: 1, ID: "1", Range: keyspace.Range{After: a, Until: b}, Cursor: a, Intent: []string{a, b}, Totals: run.Totals{Sample: []string{b}}}
		if back, err := decodeShard(encodeShard(shard)); err != nil || !reflect.DeepEqual(back, shard) {
			t.Errorf("%+v came back as %+v, %v", shard, back, err)
		}
	})
}
