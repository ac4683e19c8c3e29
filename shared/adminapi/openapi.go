package adminapi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"bucket-replicator/shared/inspect"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// schema is a JSON Schema, or another part of the document.
type schema map[string]any

// either is a body of one of several types.
type either []any

// words are the values of types that are words.
var words = map[reflect.Type][]string{
	reflect.TypeFor[inspect.Status](): texts(inspect.Statuses),
	reflect.TypeFor[run.Class]():      texts(run.Classes),
	reflect.TypeFor[run.Mode]():       texts(run.Modes),
	reflect.TypeFor[verdict]():        texts(verdicts),
	reflect.TypeFor[transferStatus](): texts(transferStatuses),
	reflect.TypeFor[run.State]():      texts([]run.State{run.Queued, run.Running, run.Succeeded, run.CompletedWithErrors, run.Failed, run.Cancelled, run.DeletesHeld}),
	reflect.TypeFor[run.Trigger]():    texts([]run.Trigger{run.BySchedule, run.ByRunNow, run.ByResume, run.ByRetry}),
}

func texts[T ~string](from []T) []string {
	list := make([]string, len(from))
	for i, s := range from {
		list[i] = string(s)
	}
	return list
}

func (h *Handler) openAPI(context.Context, *request) (answer, error) {
	return answer{status: http.StatusOK, body: document()}, nil
}

func (h *Handler) schema(context.Context, *request) (answer, error) {
	return answer{status: http.StatusOK, body: json.RawMessage(rule.Schema)}, nil
}

// document describes the API by its routes and the types of their bodies.
// https://spec.openapis.org/oas/v3.1.0
func document() schema {
	d := describer{schemas: configSchemas()}
	paths := map[string]schema{}
	for _, r := range routes {
		if paths[r.path] == nil {
			paths[r.path] = schema{}
		}
		paths[r.path][strings.ToLower(r.method)] = d.operation(r)
	}
	return schema{
		"openapi": "3.1.0",
		"info":    schema{"title": "Bucket Replicator administration", "version": "1"},
		"servers": []schema{{"url": "."}}, // where this document is
		"paths":   paths,
		"components": schema{
			"schemas": d.schemas,
			"securitySchemes": schema{"sigv4": schema{
				"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4",
			}},
		},
		"security": []schema{{"sigv4": []string{}}},
	}
}

// configSchemas are the definitions of the configuration's schema.
func configSchemas() map[string]any {
	text := strings.ReplaceAll(string(rule.Schema), "#/$defs/", "#/components/schemas/")
	var config struct {
		Defs map[string]any `json:"$defs"`
	}
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		panic(err) // a test reads it, too
	}
	return config.Defs
}

// describer collects the schemas of the types that it comes by.
type describer struct{ schemas map[string]any }

func (d describer) operation(r route) schema {
	var params []schema
	for part := range strings.SplitSeq(r.path, "/") {
		switch part {
		case "{job}":
			params = append(params, parameter("job", "path", "A rule's name, or replication: and its name.", true, schema{"type": "string"}))
		case "{rule}":
			params = append(params, parameter("rule", "path", "A rule's name.", true, schema{"type": "string"}))
		}
	}
	for _, p := range r.params {
		in := "query"
		if p.header {
			in = "header"
		}
		params = append(params, parameter(p.name, in, p.about, p.required, p.schema))
	}
	responses := schema{}
	for status, body := range r.answers {
		responses[strconv.Itoa(status)] = d.response(http.StatusText(status), body)
	}
	if r.answersYAML != nil {
		ok := responses[strconv.Itoa(http.StatusOK)].(schema)
		ok["content"].(schema)[yamlType] = schema{"schema": d.body(r.answersYAML)}
	}
	for _, status := range slices.Concat([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusInternalServerError, http.StatusServiceUnavailable}, r.refuses) {
		responses[strconv.Itoa(status)] = d.response(http.StatusText(status), errorBody{})
	}
	o := schema{"operationId": operationID(r), "summary": r.about, "responses": responses}
	if params != nil {
		o["parameters"] = params
	}
	if r.takes != nil {
		body := content(d.body(r.takes))
		if r.yaml {
			body[yamlType] = body["application/json"]
		}
		o["requestBody"] = schema{"required": !r.optional, "content": body}
	}
	return o
}

// operationID is the method and the words of the path: getJobsRuns.
func operationID(r route) string {
	id := strings.ToLower(r.method)
	for _, word := range strings.FieldsFunc(r.path, func(c rune) bool { return strings.ContainsRune("/-.", c) }) {
		if word[0] == '{' {
			word = "by" + title(strings.Trim(word, "{}"))
		}
		id += title(word)
	}
	return id
}

func title(word string) string { return strings.ToUpper(word[:1]) + word[1:] }

func parameter(name, in, about string, required bool, s schema) schema {
	p := schema{"name": name, "in": in, "schema": s}
	if about != "" {
		p["description"] = about
	}
	if required {
		p["required"] = true
	}
	return p
}

func (d describer) response(about string, body any) schema {
	r := schema{"description": about}
	if body != nil {
		r["content"] = content(d.body(body))
	}
	return r
}

func content(s schema) schema { return schema{"application/json": schema{"schema": s}} }

// body is the schema of a value's type.
func (d describer) body(v any) schema {
	if several, ok := v.(either); ok {
		var all []schema
		for _, one := range several {
			all = append(all, d.body(one))
		}
		return schema{"anyOf": all}
	}
	return d.of(reflect.TypeOf(v))
}

// of is the schema of a type, which stands among the others by its name if it
// is a struct.
func (d describer) of(t reflect.Type) schema {
	switch t {
	case reflect.TypeFor[time.Time]():
		return schema{"type": "string", "format": "date-time"}
	case reflect.TypeFor[schema]():
		return schema{"type": "object"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schema{"anyOf": []schema{d.of(t.Elem()), {"type": "null"}}}
	case reflect.Struct:
		name := title(strings.TrimSuffix(t.Name(), "Body"))
		if d.schemas[name] == nil {
			d.schemas[name] = d.structure(t)
		}
		return schema{"$ref": "#/components/schemas/" + name}
	case reflect.Slice:
		return schema{"type": "array", "items": d.of(t.Elem())}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": d.of(t.Elem())}
	case reflect.String:
		if known := words[t]; known != nil {
			return schema{"type": "string", "enum": known}
		}
		return schema{"type": "string"}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return schema{"type": "integer"}
	default:
		panic(fmt.Sprintf("adminapi: no schema for %s", t))
	}
}

func (d describer) structure(t reflect.Type) schema {
	properties, required := schema{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() && !f.Anonymous {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			inner := d.structure(f.Type)
			maps.Copy(properties, inner["properties"].(schema))
			required = append(required, inner["required"].([]string)...)
			continue
		}
		properties[name] = d.of(f.Type)
		if options == "" {
			required = append(required, name)
		}
	}
	return schema{"type": "object", "properties": properties, "required": required}
}
