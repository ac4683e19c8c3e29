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
	root, problem := document(text)
	if problem != nil {
		return c, []rule.Problem{*problem}
	}
	d := decoder{lines: map[string]int{}, told: map[rule.Problem]bool{}}
	d.decode("", root, reflect.ValueOf(&c).Elem())

	problems := d.problems
	for _, p := range rule.Validate(c) {
		// What could not be read is a problem already.
		if !d.toldOf(p.Path) {
			p.Line = d.lineOf(p.Path)
			problems = append(problems, p)
		}
	}
	slices.SortStableFunc(problems, func(a, b rule.Problem) int { return a.Line - b.Line })
	return c, problems
}

// document is the value of the only document in text.
func document(text []byte) (*yaml.Node, *rule.Problem) {
	in := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	if err := in.Decode(&first); errors.Is(err, io.EOF) {
		return nil, &rule.Problem{Line: 1, Message: "the file is empty; it begins with storage:"}
	} else if err != nil {
		return nil, syntaxProblem(err)
	}
	root := first.Content[0]
	if isNull(root) {
		return nil, &rule.Problem{Line: root.Line, Message: "the file is empty; it begins with storage:"}
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
func Print(c rule.Config) ([]byte, error) {
	var b bytes.Buffer
	out := yaml.NewEncoder(&b)
	out.SetIndent(2)
	if err := out.Encode(c); err != nil {
		return nil, fmt.Errorf("print configuration: %w", err)
	}
	if err := out.Close(); err != nil {
		return nil, fmt.Errorf("print configuration: %w", err)
	}
	return b.Bytes(), nil
}
