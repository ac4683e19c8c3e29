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
	"bucket-replicator/tests/staging"
	"bucket-replicator/tests/tables"

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
	config, transport := client(staging.Server(t, server.MiniStack))
	db := dynamodb.NewFromConfig(config)
	storetest.TestLedger(t, func(t *testing.T) storetest.LedgerFixture {
		l, names := openLedger(t, config)
		return storetest.LedgerFixture{
			Ledger:         l,
			LoseNextAnswer: func() { transport.lose.Store(true) },
			AddAPIRule:     func(t *testing.T, r rule.Rule) { addAPIRule(t, db, names.Rules, r) },
		}
	})
	t.Run("only failures that are retried are in the index", func(t *testing.T) {
		l, names := openLedger(t, config)
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
				TableName:                aws.String(names.Runs),
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

var ledgersMade atomic.Int64

// openLedger makes a ledger with tables of its own.
func openLedger(t *testing.T, config aws.Config) (*ledger.Ledger, ledger.Tables) {
	t.Helper()
	n := ledgersMade.Add(1)
	named := func(name string) string { return fmt.Sprintf("%s-%d", name, n) }
	names := ledger.Tables{Rules: named("rules"), Provenance: named("provenance"), Runs: named("runs"), Transfers: named("transfers")}
	if err := tables.Make(t.Context(), config, names); err != nil {
		t.Fatal(err)
	}
	return ledger.New(config, names), names
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
