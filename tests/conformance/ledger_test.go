package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// lossy loses the answer of the next request after it took effect, whenever it
// is told to.
type lossy struct{ lose atomic.Bool }

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := server.FromMemory{}.RoundTrip(r)
	if err == nil && l.lose.Swap(false) {
		return nil, errors.Join(errors.New("the answer was lost"), resp.Body.Close())
	}
	return resp, err
}

// client is how a test reaches a server: its region and credentials, and a
// transport that can lose answers.
func client(s *server.Server) (aws.Config, *lossy) {
	transport := &lossy{}
	return aws.Config{
		Region:       server.Region,
		BaseEndpoint: aws.String(s.URL),
		Credentials:  credentials.NewStaticCredentialsProvider(server.AccessKey, server.SecretKey, ""),
		HTTPClient:   &http.Client{Transport: transport},
		// A lost answer is asked for again at once.
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		},
	}, transport
}

func TestLedgerOnMiniStack(t *testing.T) {
	config, transport := client(miniStack(t))
	db := dynamodb.NewFromConfig(config)
	storetest.TestLedger(t, func(t *testing.T) storetest.LedgerFixture {
		l, tables := openLedger(t, config)
		return storetest.LedgerFixture{
			Ledger:         l,
			LoseNextAnswer: func() { transport.lose.Store(true) },
			AddAPIRule:     func(t *testing.T, r rule.Rule) { addAPIRule(t, db, tables.Rules, r) },
		}
	})
	t.Run("only failures that are retried are in the index", func(t *testing.T) {
		l, tables := openLedger(t, config)
		source := object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "src"}, Key: "k"}
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		for _, step := range []struct {
			retryAt time.Time
			due     int32
		}{{time.Time{}, 0}, {at, 1}, {time.Time{}, 0}} {
			if err := l.Fail(t.Context(), object.Failure{Rule: "mirror", Source: source, OccurredAt: at, RetryAt: step.retryAt}); err != nil {
				t.Fatal(err)
			}
			out, err := db.Query(t.Context(), &dynamodb.QueryInput{
				TableName:                aws.String(tables.Runs),
				IndexName:                aws.String(schema.Retries.Name),
				KeyConditionExpression:   aws.String("#rule = :rule AND #retry <= :now"),
				ExpressionAttributeNames: map[string]string{"#rule": schema.RunsRule, "#retry": schema.RetryAt},
				ExpressionAttributeValues: map[string]types.AttributeValue{
					":rule": &types.AttributeValueMemberS{Value: "mirror"},
					":now":  &types.AttributeValueMemberN{Value: strconv.FormatInt(at.UnixMilli(), 10)},
				},
			})
			if err != nil || out.Count != step.due {
				t.Errorf("retry at %v: %d due, %v", step.retryAt, out.Count, err)
			}
		}
	})
}

// openLedger makes a ledger with tables of its own.
func openLedger(t *testing.T, config aws.Config) (*ledger.Ledger, ledger.Tables) {
	t.Helper()
	db := dynamodb.NewFromConfig(config)
	tables := ledger.Tables{
		Rules:      createTable(t, db, "rules", schema.Rules),
		Provenance: createTable(t, db, "provenance", schema.Provenance),
		Runs:       createTable(t, db, "runs", schema.Runs),
		Transfers:  createTable(t, db, "transfers", schema.Transfers),
	}
	return ledger.New(config, tables), tables
}

// miniStack is a server of this test's own.
func miniStack(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.MiniStack(t.Context(), server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var tablesMade atomic.Int64

// createTable makes an empty table with a name of its own.
func createTable(t *testing.T, db *dynamodb.Client, name string, s schema.Table) string {
	t.Helper()
	name = fmt.Sprintf("%s-%d", name, tablesMade.Add(1))
	in := &dynamodb.CreateTableInput{
		TableName:            aws.String(name),
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(s.PartitionKey), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(s.PartitionKey), KeyType: types.KeyTypeHash}},
	}
	if s.SortKey != "" {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String(s.SortKey), AttributeType: types.ScalarAttributeTypeS})
		in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: aws.String(s.SortKey), KeyType: types.KeyTypeRange})
	}
	for _, i := range s.Indexes {
		if i.PartitionKey != s.PartitionKey {
			in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String(i.PartitionKey), AttributeType: types.ScalarAttributeTypeS})
		}
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String(i.SortKey), AttributeType: types.ScalarAttributeTypeN})
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName:  aws.String(i.Name),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
			KeySchema: []types.KeySchemaElement{
				{AttributeName: aws.String(i.PartitionKey), KeyType: types.KeyTypeHash},
				{AttributeName: aws.String(i.SortKey), KeyType: types.KeyTypeRange},
			},
		})
	}
	_, err := db.CreateTable(t.Context(), in)
	var exists *types.ResourceInUseException // a lost answer's repetition: the name is this call's own
	if err != nil && !errors.As(err, &exists) {
		t.Fatal(err)
	}
	return name
}

// addAPIRule writes the item that a rule made through the API has.
func addAPIRule(t *testing.T, db *dynamodb.Client, table string, r rule.Rule) {
	t.Helper()
	document, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.PutItem(t.Context(), &dynamodb.PutItemInput{
		TableName: aws.String(table),
		Item: map[string]types.AttributeValue{
			schema.RuleName: &types.AttributeValueMemberS{Value: r.Name},
			schema.Document: &types.AttributeValueMemberS{Value: string(document)},
			schema.Revision: &types.AttributeValueMemberN{Value: "1"},
			schema.Owner:    &types.AttributeValueMemberS{Value: schema.OwnerAPI},
			schema.Paused:   &types.AttributeValueMemberBOOL{Value: false},
		},
	}); err != nil {
		t.Fatal(err)
	}
}
