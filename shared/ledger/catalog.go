package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/rule"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Catalog loads every rule and the configuration at one revision, strongly
// consistent, the rules in the order of their names. Revision 0 means that
// nothing was ever deployed.
//
// A scan is no snapshot, so the revision is read before and after it: every
// change raises it in the same transaction.
func (l *Ledger) Catalog(ctx context.Context) (rule.Catalog, error) {
	s, err := l.snapshot(ctx)
	if err != nil {
		return rule.Catalog{}, classify("read catalog", tableRef(l.tables.Rules), err)
	}
	c := rule.Catalog{Revision: s.revision}
	var problems []error
	if s.storage != "" {
		if err := json.Unmarshal([]byte(s.storage), &c.Storage); err != nil {
			problems = append(problems, fmt.Errorf("item %s: %w", schema.StorageName, err))
		}
	}
	for _, r := range s.rules {
		stored := rule.Stored{Revision: r.revision, Deployed: r.deployed, CreatedAt: r.createdAt, Paused: r.paused}
		if err := json.Unmarshal([]byte(r.document), &stored.Rule); err != nil {
			problems = append(problems, fmt.Errorf("rule %q: %w", r.name, err))
		}
		c.Rules = append(c.Rules, stored)
	}
	if err := errors.Join(problems...); err != nil {
		return rule.Catalog{}, classify("read catalog", tableRef(l.tables.Rules), err)
	}
	return c, nil
}

// snapshot is the rules table as it is stored, at one revision.
type snapshot struct {
	revision int64
	storage  string
	rules    []document // by name
}

// document is a rule's item.
type document struct {
	name, document string
	revision       int64
	deployed       bool
	createdAt      time.Time
	paused         bool
}

// snapshot reads until the revision is the same before and after, or ctx ends.
func (l *Ledger) snapshot(ctx context.Context) (snapshot, error) {
	before, err := l.revision(ctx)
	if err != nil {
		return snapshot{}, err
	}
	for {
		s, err := l.scan(ctx)
		if err != nil {
			return snapshot{}, err
		}
		if s.revision, err = l.revision(ctx); err != nil {
			return snapshot{}, err
		}
		if s.revision == before {
			return s, nil
		}
		before = s.revision
	}
}

func (l *Ledger) revision(ctx context.Context) (int64, error) {
	out, err := l.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      aws.String(l.tables.Rules),
		Key:            ruleKey(schema.CatalogName),
		ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return 0, err
	}
	return number(out.Item[schema.Revision])
}

func (l *Ledger) scan(ctx context.Context) (snapshot, error) {
	var s snapshot
	pages := dynamodb.NewScanPaginator(l.db, &dynamodb.ScanInput{
		TableName:      aws.String(l.tables.Rules),
		ConsistentRead: aws.Bool(true),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return snapshot{}, err
		}
		for _, i := range page.Items {
			r := reader{item: i}
			switch name := r.text(schema.RuleName); name {
			case schema.CatalogName:
			case schema.StorageName:
				s.storage = r.text(schema.Document)
			default:
				s.rules = append(s.rules, document{
					name:      name,
					document:  r.text(schema.Document),
					revision:  r.number(schema.Revision),
					deployed:  r.text(schema.Owner) == schema.OwnerDeploy,
					createdAt: r.time(schema.CreatedAt),
					paused:    r.flag(schema.Paused),
				})
			}
			if err := errors.Join(r.problems...); err != nil {
				return snapshot{}, fmt.Errorf("item %q: %w", r.text(schema.RuleName), err)
			}
		}
	}
	slices.SortFunc(s.rules, func(a, b document) int { return cmp.Compare(a.name, b.name) })
	return s, nil
}

func ruleKey(name string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{schema.RuleName: text(name)}
}
