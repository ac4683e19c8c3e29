package ledger

import (
	"strings"

	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/run"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func encodeGrade(g run.Grade) string {
	text, _ := g.MarshalText() // which never fails
	return string(text)
}

func decodeGrade(text string) (g run.Grade) {
	_ = g.UnmarshalText([]byte(text)) // which never fails
	return g
}

func (i item) setFound(t run.Totals) {
	counts := make(map[string]int64, len(t.Found))
	for g, n := range t.Found {
		counts[encodeGrade(g)] = n
	}
	i.setCounts(schema.Found, counts)
	findings := make([]item, len(t.Findings))
	for n, f := range t.Findings {
		findings[n] = item{
			schema.FindingKey:   text(escape(f.Key)),
			schema.FindingGrade: text(encodeGrade(f.Grade)),
			schema.FindingWhy:   text(strings.ToValidUTF8(f.Why, "\uFFFD")),
		}
	}
	i.setItems(schema.Findings, findings)
}

func (r *reader) found(t *run.Totals) {
	for s, n := range r.counts(schema.Found) {
		if t.Found == nil {
			t.Found = map[run.Grade]int64{}
		}
		t.Found[decodeGrade(s)] = n
	}
	r.items(schema.Findings, func(f *reader) {
		t.Findings = append(t.Findings, run.Finding{
			Key: f.key(schema.FindingKey), Grade: decodeGrade(f.text(schema.FindingGrade)), Why: f.text(schema.FindingWhy),
		})
	})
}

func (i item) setPartial(partial []run.Partial) {
	items := make([]item, len(partial))
	for n, p := range partial {
		items[n] = item{
			schema.PartialKey:    text(escape(p.Key)),
			schema.PartialSource: text(p.Source),
			schema.PartialDest:   text(p.Dest),
			schema.PartialDone:   integer(p.Done),
		}
	}
	i.setItems(schema.Partial, items)
}

func (r *reader) partial() []run.Partial {
	var all []run.Partial
	r.items(schema.Partial, func(p *reader) {
		all = append(all, run.Partial{
			Key: p.key(schema.PartialKey), Source: p.text(schema.PartialSource),
			Dest: p.text(schema.PartialDest), Done: p.number(schema.PartialDone),
		})
	})
	return all
}

// setItems makes a list of maps.
func (i item) setItems(name string, items []item) {
	setList(i, name, items, func(one item) types.AttributeValue { return &types.AttributeValueMemberM{Value: one} })
}

// items reads a list of maps.
func (r *reader) items(name string, read func(*reader)) {
	switch v := r.item[name].(type) {
	case nil:
	case *types.AttributeValueMemberL:
		for _, e := range v.Value {
			m, ok := e.(*types.AttributeValueMemberM)
			if !ok {
				r.problem(name, errType)
				continue
			}
			one := reader{item: m.Value}
			read(&one)
			r.problems = append(r.problems, one.problems...)
		}
	default:
		r.problem(name, errType)
	}
}
