package main

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

// makeTables makes the tables where they do not exist yet.
func makeTables(ctx context.Context, cfg aws.Config) (ledger.Tables, error) {
	tables := ledger.Tables{Rules: "bench-rules", Provenance: "bench-provenance", Runs: "bench-runs"}
	db := dynamodb.NewFromConfig(cfg)
	for name, s := range map[string]schema.Table{
		tables.Rules: schema.Rules, tables.Provenance: schema.Provenance, tables.Runs: schema.Runs,
	} {
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
		var exists *types.ResourceInUseException
		if _, err := db.CreateTable(ctx, in); err != nil && !errors.As(err, &exists) {
			return tables, fmt.Errorf("make table %s: %w", name, err)
		}
		if err := dynamodb.NewTableExistsWaiter(db).Wait(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(name)}, time.Minute); err != nil {
			return tables, fmt.Errorf("make table %s: %w", name, err)
		}
	}
	return tables, nil
}
