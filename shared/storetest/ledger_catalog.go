package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// Catalog answers the rules.
func (l *Ledger) Catalog(ctx context.Context) (rule.Catalog, error) {
	var c rule.Catalog
	err := l.call(ctx, "catalog.read", object.Ref{}, func() error {
		c = l.catalog
		c.Rules = slices.Clone(c.Rules)
		return nil
	})
	if err != nil {
		return rule.Catalog{}, err
	}
	return c, nil
}

// SetCatalog replaces storage and rules at the next revision, which it
// returns. It counts as no operation.
func (l *Ledger) SetCatalog(c rule.Catalog) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Revision = l.catalog.Revision + 1
	l.catalog = c
	return c.Revision
}

// SetPaused changes a rule's pause state, which is no part of its revision.
func (l *Ledger) SetPaused(ctx context.Context, name string, paused bool) error {
	return l.call(ctx, "catalog.pause", object.Ref{}, func() error {
		rules := slices.Clone(l.catalog.Rules)
		i := slices.IndexFunc(rules, func(s rule.Stored) bool { return s.Rule.Name == name })
		if i < 0 {
			return &object.Error{Class: object.Permanent, Op: "pause rule " + name, Code: "RuleNotFound", Err: errors.New("there is no rule of this name")}
		}
		if rules[i].Paused == paused {
			return nil
		}
		rules[i].Paused = paused
		l.catalog.Rules = rules
		l.catalog.Revision++
		return nil
	})
}

// PutRule stores a rule of the API, as its conditions allow.
func (l *Ledger) PutRule(ctx context.Context, r rule.Rule, seen, catalog int64, now time.Time) (int64, error) {
	err := l.call(ctx, "catalog.put", object.Ref{}, func() error {
		rules := slices.Clone(l.catalog.Rules)
		i := slices.IndexFunc(rules, func(s rule.Stored) bool { return s.Rule.Name == r.Name })
		switch {
		case l.catalog.Revision != catalog, (i >= 0) != (seen != 0), i >= 0 && (rules[i].Deployed || rules[i].Revision != seen):
			return premise("store rule", object.Ref{})
		case i >= 0:
			rules[i].Rule, rules[i].Revision = r, catalog+1
		default:
			rules = append(rules, rule.Stored{Rule: r, Revision: catalog + 1, CreatedAt: now})
		}
		slices.SortFunc(rules, func(a, b rule.Stored) int { return cmp.Compare(a.Rule.Name, b.Rule.Name) })
		l.catalog.Rules = rules
		l.catalog.Revision++
		return nil
	})
	if err != nil {
		return 0, err
	}
	return catalog + 1, nil
}

// RemoveRule removes a rule of the API, as its conditions allow.
func (l *Ledger) RemoveRule(ctx context.Context, name string, seen, catalog int64) error {
	return l.call(ctx, "catalog.remove", object.Ref{}, func() error {
		i := slices.IndexFunc(l.catalog.Rules, func(s rule.Stored) bool { return s.Rule.Name == name })
		if l.catalog.Revision != catalog || i < 0 || l.catalog.Rules[i].Deployed || l.catalog.Rules[i].Revision != seen {
			return premise("remove rule", object.Ref{})
		}
		l.catalog.Rules = slices.Delete(slices.Clone(l.catalog.Rules), i, i+1)
		l.catalog.Revision++
		return nil
	})
}

// Deploy makes the deployed rules those of the configuration. Rules made
// through the API stay, and no pause state changes.
func (l *Ledger) Deploy(ctx context.Context, c rule.Config, now time.Time) error {
	return l.call(ctx, "catalog.deploy", object.Ref{}, func() error {
		stored := map[string]rule.Stored{}
		for _, s := range l.catalog.Rules {
			stored[s.Rule.Name] = s
		}
		var next []rule.Stored
		var problems []error
		for _, r := range c.Storage.Replication.Rules {
			s, ok := stored[r.Name]
			delete(stored, r.Name)
			switch {
			case !ok:
				s = rule.Stored{Rule: r, Revision: 1, Deployed: true, CreatedAt: now}
			case !s.Deployed:
				problems = append(problems, fmt.Errorf("rule %q: made through the API", r.Name))
			case !reflect.DeepEqual(s.Rule, r):
				s.Rule = r
				s.Revision++
			}
			next = append(next, s)
		}
		if len(problems) > 0 {
			return &object.Error{Class: object.Permanent, Op: "deploy rules", Code: "RuleExists", Err: errors.Join(problems...)}
		}
		for _, s := range stored {
			if s.Deployed {
				continue
			}
			for _, alias := range []string{s.Rule.Source.Bucket, s.Rule.Destination.Bucket} {
				if _, ok := c.Storage.Buckets[alias]; !ok {
					return &object.Error{Class: object.Permanent, Op: "deploy rules", Code: "BucketInUse", Err: fmt.Errorf("rule %q: bucket %q", s.Rule.Name, alias)}
				}
			}
			next = append(next, s)
		}
		slices.SortFunc(next, func(a, b rule.Stored) int { return cmp.Compare(a.Rule.Name, b.Rule.Name) })
		storage := c.Storage
		storage.Replication.Rules = nil
		if l.catalog.Revision > 0 && reflect.DeepEqual(next, l.catalog.Rules) && reflect.DeepEqual(storage, l.catalog.Storage) {
			return nil
		}
		l.catalog = rule.Catalog{Revision: l.catalog.Revision + 1, Storage: storage, Rules: next}
		return nil
	})
}
