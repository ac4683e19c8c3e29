package ledger

import (
	"fmt"
	"strings"
	"time"

	"bucket-replicator/shared/ledger/schema"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// expression collects what is done to one item, and on what condition. A zero
// has no attribute: a value of nil is removed, and compared as missing.
type expression struct {
	names                       map[string]string
	values                      item
	sets, removes, adds, wheres []string
}

func (e *expression) name(attribute string) string {
	if e.names == nil {
		e.names = map[string]string{}
	}
	e.names["#"+attribute] = attribute
	return "#" + attribute
}

func (e *expression) value(v types.AttributeValue) string {
	if e.values == nil {
		e.values = item{}
	}
	placeholder := fmt.Sprintf(":%d", len(e.values))
	e.values[placeholder] = v
	return placeholder
}

// set writes an attribute.
func (e *expression) set(attribute string, v types.AttributeValue) {
	if v == nil {
		e.removes = append(e.removes, e.name(attribute))
		return
	}
	e.sets = append(e.sets, e.name(attribute)+" = "+e.value(v))
}

// setAll writes each of these attributes as the item has it.
func (e *expression) setAll(i item, attributes []string) {
	for _, a := range attributes {
		e.set(a, i[a])
	}
}

// setFirst writes an attribute that is not there yet.
func (e *expression) setFirst(attribute string, v types.AttributeValue) {
	name := e.name(attribute)
	e.sets = append(e.sets, fmt.Sprintf("%s = if_not_exists(%s, %s)", name, name, e.value(v)))
}

// add counts up.
func (e *expression) add(attribute string, n int64) {
	e.adds = append(e.adds, e.name(attribute)+" "+e.value(integer(n)))
}

// where adds a condition, made of names and values.
func (e *expression) where(format string, names ...any) {
	e.wheres = append(e.wheres, "("+fmt.Sprintf(format, names...)+")")
}

// is adds the condition that the attribute still has this value.
func (e *expression) is(attribute string, v types.AttributeValue) {
	if v == nil {
		e.where("attribute_not_exists(%s)", e.name(attribute))
		return
	}
	e.where("%s = %s", e.name(attribute), e.value(v))
}

// leasable adds the condition that nobody but owner has a lease at now.
func (e *expression) leasable(owner string, now time.Time) {
	e.where("attribute_not_exists(%[1]s) OR %[1]s = %[2]s OR NOT %[3]s > %[4]s",
		e.name(schema.LeaseOwner), e.value(text(owner)), e.name(schema.LeasedUntil), e.value(millis(now)))
}

// condition is the ConditionExpression, or a KeyConditionExpression.
func (e *expression) condition() *string {
	if len(e.wheres) == 0 {
		return nil
	}
	return aws.String(strings.Join(e.wheres, " AND "))
}

// update is the UpdateExpression.
func (e *expression) update() *string {
	var parts []string
	for _, clause := range []struct {
		verb    string
		actions []string
	}{{"SET", e.sets}, {"REMOVE", e.removes}, {"ADD", e.adds}} {
		if len(clause.actions) > 0 {
			parts = append(parts, clause.verb+" "+strings.Join(clause.actions, ", "))
		}
	}
	return aws.String(strings.Join(parts, " "))
}
