package rule

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// ParseConfig reads a configuration as JSON, the same that rulefile reads as
// YAML, and finds everything that is wrong with it. What the text leaves out has
// its default.
func ParseConfig(text []byte) (Config, []Problem) {
	c := Default()
	problems := parseJSON(text, reflect.ValueOf(&c).Elem())
	for _, p := range Validate(c) {
		// What could not be read is a problem already.
		if !told(problems, p.Path) {
			problems = append(problems, p)
		}
	}
	return c, problems
}

// ParseRule reads one rule as JSON. It finds what cannot be read; Validate finds
// the rest, where the rule stands among others.
func ParseRule(text []byte) (Rule, []Problem) {
	r := DefaultRule()
	return r, parseJSON(text, reflect.ValueOf(&r).Elem())
}

// told reports whether path, or what it is part of, is a problem already.
func told(problems []Problem, path string) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool {
		rest, ok := strings.CutPrefix(path, p.Path)
		return ok && (p.Path == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// parseJSON writes text over v, which holds the defaults. The standard decoder
// stops at the first unknown field, and takes names in any case.
func parseJSON(text []byte, v reflect.Value) []Problem {
	var whole json.RawMessage
	err := json.Unmarshal(text, &whole)
	var syntax *json.SyntaxError
	switch {
	case !utf8.Valid(text):
		return []Problem{{Message: "is not JSON: it is not UTF-8"}}
	case errors.As(err, &syntax):
		line := 1 + bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
		return []Problem{{Line: line, Message: "is not JSON: " + err.Error()}}
	case err != nil:
		return []Problem{{Message: "is not JSON: " + err.Error()}}
	}
	p := parser{}
	p.value("", whole, v)
	return p.problems
}

type parser struct{ problems []Problem }

func (p *parser) refuse(path, format string, args ...any) {
	p.problems = append(p.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (p *parser) value(path string, text json.RawMessage, v reflect.Value) {
	if string(text) == "null" {
		return // as if it were left out
	}
	if into, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		var s string
		if json.Unmarshal(text, &s) != nil {
			p.refuseKind(path, text, "a text")
		} else if err := into.UnmarshalText([]byte(s)); err != nil {
			p.refuse(path, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		p.structure(path, text, v)
	case reflect.Map:
		p.mapping(path, text, v)
	case reflect.Slice:
		p.list(path, text, v)
	case reflect.String:
		p.scalar(path, text, v, "a text")
	case reflect.Bool:
		p.scalar(path, text, v, "true or false")
	default:
		p.scalar(path, text, v, "a whole number")
	}
}

// refuseKind says what text is, and what it should be.
func (p *parser) refuseKind(path string, text json.RawMessage, want string) {
	is := string(text)
	switch {
	case text[0] == '{':
		is = "an object"
	case text[0] == '[':
		is = "a list"
	case len(is) > 40:
		is = strings.ToValidUTF8(is[:40], "") + "..."
	}
	p.refuse(path, "is %s, not %s", is, want)
}

func (p *parser) scalar(path string, text json.RawMessage, v reflect.Value, want string) {
	if json.Unmarshal(text, v.Addr().Interface()) != nil {
		p.refuseKind(path, text, want)
	}
}

func (p *parser) list(path string, text json.RawMessage, v reflect.Value) {
	var items []json.RawMessage
	if json.Unmarshal(text, &items) != nil {
		p.refuseKind(path, text, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		if r, ok := v.Index(i).Addr().Interface().(*Rule); ok {
			*r = DefaultRule()
		}
		p.value(fmt.Sprintf("%s[%d]", path, i), item, v.Index(i))
	}
}

func (p *parser) mapping(path string, text json.RawMessage, v reflect.Value) {
	p.pairs(path, text, func(key, at string, value json.RawMessage) {
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		item := reflect.New(v.Type().Elem()).Elem()
		p.value(at, value, item)
		v.SetMapIndex(reflect.ValueOf(key), item)
	})
}

func (p *parser) structure(path string, text json.RawMessage, v reflect.Value) {
	fields, names := map[string]int{}, []string{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		fields[name] = i
		names = append(names, name)
	}
	p.pairs(path, text, func(key, at string, value json.RawMessage) {
		if i, ok := fields[key]; ok {
			p.value(at, value, v.Field(i))
		} else if near := Nearest(key, names); near != "" {
			p.refuse(at, "is not a field; did you mean %s?", near)
		} else {
			p.refuse(at, "is not a field (%s)", strings.Join(names, ", "))
		}
	})
}

// pairs calls each for the fields of an object, in their order.
func (p *parser) pairs(path string, text json.RawMessage, each func(key, at string, value json.RawMessage)) {
	if text[0] != '{' {
		p.refuseKind(path, text, "an object")
		return
	}
	in := json.NewDecoder(bytes.NewReader(text))
	_, _ = in.Token() // the brace; all of it was found to be JSON before
	seen := map[string]bool{}
	for in.More() {
		key, _ := in.Token()
		var value json.RawMessage
		_ = in.Decode(&value)
		name, _ := key.(string)
		at := name
		if path != "" {
			at = path + "." + name
		}
		if seen[name] {
			p.refuse(at, "is given twice")
			continue
		}
		seen[name] = true
		each(name, at, value)
	}
}
