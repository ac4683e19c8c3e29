// Package rulefile reads and writes the configuration as YAML text. What the
// text means, and whether it makes sense, is package rule's.
package rulefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"bucket-replicator/shared/rule"

	"go.yaml.in/yaml/v3"
)

// Parse reads a configuration and finds everything that is wrong with it, in
// the order of the lines. What the text leaves out has its default. The
// configuration may be used if rule.Problems(problems).Err() is nil; otherwise
// it is what could be understood.
func Parse(text []byte) (rule.Config, []rule.Problem) {
	c := rule.Default()
	root, problem := document(text, "the file is empty; it begins with storage:")
	if problem != nil {
		return c, []rule.Problem{*problem}
	}
	d := newDecoder()
	d.decode("", root, reflect.ValueOf(&c).Elem())

	problems := d.problems
	for _, p := range rule.Validate(c) {
		// What could not be read is a problem already.
		if !d.toldOf(p.Path) {
			p.Line = d.lines.Of(p.Path)
			problems = append(problems, p)
		}
	}
	slices.SortStableFunc(problems, func(a, b rule.Problem) int { return a.Line - b.Line })
	return c, problems
}

// ParseRule reads one rule as it stands in the file, without the dash of the
// list. It finds what cannot be read; rule.Validate finds the rest, where the
// rule stands among others, and Lines where that is in the text.
func ParseRule(text []byte) (rule.Rule, Lines, []rule.Problem) {
	r := rule.DefaultRule()
	root, problem := document(text, "the text is empty; a rule begins with name:")
	if problem != nil {
		return r, nil, []rule.Problem{*problem}
	}
	d := newDecoder()
	d.decode("", root, reflect.ValueOf(&r).Elem())
	slices.SortStableFunc(d.problems, func(a, b rule.Problem) int { return a.Line - b.Line })
	return r, d.lines, d.problems
}

// IsConfig reports whether the text is a whole configuration, or an attempt at
// one, and not a single rule.
func IsConfig(text []byte) bool {
	root, problem := document(text, "")
	if problem != nil || root.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i < len(root.Content); i += 2 {
		if root.Content[i].Value == "storage" {
			return true
		}
	}
	return false
}

// document is the value of the only document in text; empty is what is wrong
// with a text of nothing.
func document(text []byte, empty string) (*yaml.Node, *rule.Problem) {
	in := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	if err := in.Decode(&first); errors.Is(err, io.EOF) {
		return nil, &rule.Problem{Line: 1, Message: empty}
	} else if err != nil {
		return nil, syntaxProblem(err)
	}
	root := first.Content[0]
	if isNull(root) {
		return nil, &rule.Problem{Line: root.Line, Message: empty}
	}
	switch err := in.Decode(&second); {
	case errors.Is(err, io.EOF):
		return root, nil
	case err != nil:
		return nil, syntaxProblem(err)
	default:
		return nil, &rule.Problem{Line: second.Line, Message: "begins a second document; a configuration is one"}
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

// syntaxProblem takes the line out of the message, the only place where the
// YAML library says it.
func syntaxProblem(err error) *rule.Problem {
	found := yamlLine.FindStringSubmatch(err.Error())
	p := rule.Problem{Line: 1, Message: "not YAML: " + err.Error()}
	if found != nil {
		p.Message = "not YAML: " + strings.TrimPrefix(err.Error(), found[0])
		if n, err := strconv.Atoi(found[1]); err == nil {
			p.Line = n
		}
	}
	return &p
}

// Print writes c as YAML, defaults included, so that it reads the same whatever
// the defaults become. Parse of it is c again where c is valid.
func Print(c rule.Config) ([]byte, error) { return encode("configuration", c) }

// PrintRule writes one rule as Print would, as ParseRule reads it.
func PrintRule(r rule.Rule) ([]byte, error) { return encode("rule", r) }

func encode(what string, v any) ([]byte, error) {
	var b bytes.Buffer
	out := yaml.NewEncoder(&b)
	out.SetIndent(2)
	if err := errors.Join(out.Encode(v), out.Close()); err != nil {
		return nil, fmt.Errorf("print %s: %w", what, err)
	}
	return b.Bytes(), nil
}
