package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// template is one synthesised CloudFormation template, as it would be deployed.
type template struct {
	name      string
	Resources map[string]resource
	Outputs   map[string]any
}

type resource struct {
	Type           string
	Properties     map[string]any
	DependsOn      []string
	DeletionPolicy string
}

func readTemplate(t *testing.T, file string) template {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	read := template{name: strings.TrimSuffix(filepath.Base(file), ".template.json")}
	if err := json.Unmarshal(b, &read); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return read
}

// of are the logical ids of the resources of a type, sorted.
func (t template) of(kind string) []string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		if t.Resources[id].Type == kind {
			ids = append(ids, id)
		}
	}
	return ids
}

// the is the only resource of a type whose logical id starts so.
func (t template) the(test *testing.T, kind, prefix string) (string, resource) {
	test.Helper()
	ids := slices.DeleteFunc(t.of(kind), func(id string) bool { return !strings.HasPrefix(id, prefix) })
	if len(ids) != 1 {
		test.Fatalf("%s: %d resources %s %s*, want one: %v", t.name, len(ids), kind, prefix, ids)
	}
	return ids[0], t.Resources[ids[0]]
}

// eventRules are the EventBridge rules that take events of buckets; the others
// are schedules.
func (t template) eventRules() []string {
	return slices.DeleteFunc(t.of("AWS::Events::Rule"), func(id string) bool {
		return t.Resources[id].Properties["ScheduleExpression"] != nil
	})
}

// isAccountsLogRole reports whether API Gateway writes the logs of all of the
// account's APIs with this role.
func (t template) isAccountsLogRole(id string) bool {
	return slices.ContainsFunc(t.of("AWS::ApiGateway::Account"), func(account string) bool {
		return text(t.Resources[account].Properties["CloudWatchRoleArn"]) == "${"+id+"}"
	})
}

// at follows a path of members; nil where there is none.
func at(v any, path ...string) any {
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// list is v as a list: CloudFormation takes one value for a list of one.
func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

// text is v with its intrinsic functions written out: a resource as
// "${LogicalID}", whichever of its attributes is asked for.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		if id, ok := v["Ref"].(string); ok {
			if id == "AWS::Partition" {
				return "aws"
			}
			return "${" + id + "}"
		}
		if attribute, ok := v["Fn::GetAtt"].([]any); ok {
			return fmt.Sprintf("${%s}", attribute[0])
		}
		if join, ok := v["Fn::Join"].([]any); ok {
			var parts []string
			for _, part := range join[1].([]any) {
				parts = append(parts, text(part))
			}
			return strings.Join(parts, join[0].(string))
		}
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func texts(v any) []string {
	var all []string
	for _, one := range list(v) {
		all = append(all, text(one))
	}
	return all
}

// statement is one of a policy, with every list written out.
type statement struct {
	Effect             string
	Actions, Resources []string
	Condition          any
}

func statements(document any) []statement {
	var all []statement
	for _, s := range list(at(document, "Statement")) {
		all = append(all, statement{
			Effect:    text(at(s, "Effect")),
			Actions:   texts(at(s, "Action")),
			Resources: texts(at(s, "Resource")),
			Condition: at(s, "Condition"),
		})
	}
	return all
}

// policy is a policy document somewhere in a template.
type policy struct {
	id, kind string
	document any
	roles    []string // "${LogicalID}"
}

// policies are all of them: of identities and of resources.
func (t template) policies() []policy {
	var all []policy
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		r := t.Resources[id]
		if document := r.Properties["PolicyDocument"]; document != nil {
			all = append(all, policy{id, r.Type, document, texts(r.Properties["Roles"])})
		}
		for _, inline := range list(r.Properties["Policies"]) {
			all = append(all, policy{id, "inline", at(inline, "PolicyDocument"), []string{"${" + id + "}"}})
		}
	}
	return all
}

// allowed is what a function's role may do: action to resources.
func (t template) allowed(test *testing.T, functionPrefix string) map[string][]string {
	test.Helper()
	_, function := t.the(test, "AWS::Lambda::Function", functionPrefix)
	role := text(function.Properties["Role"])
	all := map[string][]string{}
	for _, p := range t.policies() {
		if !slices.Contains(p.roles, role) {
			continue
		}
		for _, s := range statements(p.document) {
			if s.Effect != "Allow" {
				continue
			}
			for _, action := range s.Actions {
				all[action] = append(all[action], s.Resources...)
			}
		}
	}
	for action := range all {
		slices.Sort(all[action])
		all[action] = slices.Compact(all[action])
	}
	return all
}

// onBuckets keeps of allowed what is about S3: bucket to the actions and the
// keys they are allowed on, as "GetObject logs/*"; "ListBucket" alone is about
// the bucket itself.
func onBuckets(allowed map[string][]string) map[string][]string {
	buckets := map[string][]string{}
	for action, resources := range allowed {
		name, isS3 := strings.CutPrefix(action, "s3:")
		if !isS3 {
			continue
		}
		for _, arn := range resources {
			bucket, keys, _ := strings.Cut(strings.TrimPrefix(arn, "arn:aws:s3:::"), "/")
			buckets[bucket] = append(buckets[bucket], strings.TrimSpace(name+" "+keys))
		}
	}
	for bucket := range buckets {
		slices.Sort(buckets[bucket])
	}
	return buckets
}
