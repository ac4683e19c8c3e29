// Package tables makes the ledger's tables on a server of a test's or a
// benchmark's own, as the stack makes them in an account.
package tables

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/ledger/schema"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Make makes those of the tables that have a name and do not exist yet, and
// returns when they can be used.
func Make(ctx context.Context, cfg aws.Config, names ledger.Tables) error {
	db := dynamodb.NewFromConfig(cfg)
	for name, s := range map[string]schema.Table{
		names.Rules: schema.Rules, names.Provenance: schema.Provenance, names.Runs: schema.Runs, names.Transfers: schema.Transfers,
	} {
		if name == "" {
			continue
		}
		var exists *types.ResourceInUseException
		if _, err := db.CreateTable(ctx, tableOf(name, s)); err != nil && !errors.As(err, &exists) {
			return fmt.Errorf("make table %s: %w", name, err)
		}
		if err := dynamodb.NewTableExistsWaiter(db).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &name}, time.Minute); err != nil {
			return fmt.Errorf("make table %s: %w", name, err)
		}
	}
	return nil
}

func tableOf(name string, s schema.Table) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest}
	// Twice the same attribute is refused.
	define := func(attribute string, of types.ScalarAttributeType) {
		for _, defined := range in.AttributeDefinitions {
			if *defined.AttributeName == attribute {
				return
			}
		}
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &attribute, AttributeType: of})
	}
	define(s.PartitionKey, types.ScalarAttributeTypeS)
	if s.SortKey != "" {
		define(s.SortKey, types.ScalarAttributeTypeS)
	}
	in.KeySchema = keys(s.PartitionKey, s.SortKey)
	for _, i := range s.Indexes {
		define(i.PartitionKey, types.ScalarAttributeTypeS)
		define(i.SortKey, types.ScalarAttributeTypeN)
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: aws.String(i.Name), KeySchema: keys(i.PartitionKey, i.SortKey),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		})
	}
	return in
}

// keys are those of a table or an index; a table may have no sort key.
func keys(partition, sort string) []types.KeySchemaElement {
	all := []types.KeySchemaElement{{AttributeName: &partition, KeyType: types.KeyTypeHash}}
	if sort != "" {
		all = append(all, types.KeySchemaElement{AttributeName: &sort, KeyType: types.KeyTypeRange})
	}
	return all
}
