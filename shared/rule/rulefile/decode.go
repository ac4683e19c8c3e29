package rulefile

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"bucket-replicator/shared/rule"

	"go.yaml.in/yaml/v3"
)

// decoder writes YAML nodes over Go values that hold the defaults. The YAML
// library's own decoder stops at the first unknown field and knows no paths.
type decoder struct {
	lines    Lines
	problems []rule.Problem
	told     map[rule.Problem]bool
	visits   int
	merging  []*yaml.Node // mappings whose merge keys are being followed
}

func newDecoder() *decoder {
	return &decoder{lines: Lines{}, told: map[rule.Problem]bool{}}
}

// Lines are where the parts of a text are, by their path.
type Lines map[string]int

// Of is the line of path, or of the nearest thing around it; 0 where there are
// no lines.
func (l Lines) Of(path string) int {
	for {
		if line, ok := l[path]; ok || path == "" {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// maxVisits bounds what merged aliases may grow to.
const maxVisits = 200_000

// visit counts a node, and reports whether there may be another one.
func (d *decoder) visit(path string, n *yaml.Node) bool {
	d.visits++
	if d.visits == maxVisits {
		d.refuse(path, n.Line, "grows without bounds through merged aliases")
	}
	return d.visits < maxVisits
}

func (d *decoder) refuse(path string, line int, format string, args ...any) {
	p := rule.Problem{Path: path, Line: line, Message: fmt.Sprintf(format, args...)}
	if !d.told[p] {
		d.told[p] = true
		d.problems = append(d.problems, p)
	}
}

// toldOf reports whether path, or what it is part of, is a problem already.
func (d *decoder) toldOf(path string) bool {
	return slices.ContainsFunc(d.problems, func(p rule.Problem) bool {
		rest, ok := strings.CutPrefix(path, p.Path)
		return ok && (p.Path == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

func (d *decoder) decode(path string, n *yaml.Node, v reflect.Value) {
	if !d.visit(path, n) {
		return
	}
	d.lines[path] = n.Line
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if isNull(n) {
		return // as if it were left out
	}
	switch tag := n.ShortTag(); tag {
	case "!!map", "!!seq", "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge":
	default:
		d.refuse(path, n.Line, "has the tag %s; tags mean nothing here", tag)
		return
	}
	if text, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind != yaml.ScalarNode {
			d.refuseKind(path, n, "a single value")
		} else if err := text.UnmarshalText([]byte(n.Value)); err != nil {
			d.refuse(path, n.Line, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(path, n, v)
	case reflect.Map:
		d.mapping(path, n, v)
	case reflect.Slice:
		d.list(path, n, v)
	default:
		d.scalar(path, n, v)
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// refuseKind says what n is, and what it should be.
func (d *decoder) refuseKind(path string, n *yaml.Node, want string) {
	var is string
	switch n.Kind {
	case yaml.MappingNode:
		is = "a mapping"
	case yaml.SequenceNode:
		is = "a list"
	default:
		is = fmt.Sprintf("%q", n.Value)
	}
	d.refuse(path, n.Line, "is %s, not %s", is, want)
}

func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value) {
	tag := n.ShortTag()
	switch {
	case n.Kind != yaml.ScalarNode:
		d.refuseKind(path, n, "a single value")
	case v.Kind() == reflect.String:
		v.SetString(n.Value) // whatever YAML takes it for: 2024 is a prefix, too
	case v.Kind() == reflect.Bool:
		if tag != "!!bool" || n.Decode(v.Addr().Interface()) != nil {
			d.refuseKind(path, n, "true or false")
		}
	case v.CanInt():
		if tag != "!!int" || n.Decode(v.Addr().Interface()) != nil {
			d.refuseKind(path, n, "a whole number")
		}
	default:
		panic("rulefile: no reader for " + v.Type().String())
	}
}

func (d *decoder) list(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.refuseKind(path, n, "a list")
		return
	}
	if len(n.Content) == 0 && v.IsNil() {
		return // as Print leaves it out
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		if r, ok := v.Index(i).Addr().Interface().(*rule.Rule); ok {
			*r = rule.DefaultRule()
		}
		d.decode(fmt.Sprintf("%s[%d]", path, i), item, v.Index(i))
	}
}

func (d *decoder) mapping(path string, n *yaml.Node, v reflect.Value) {
	d.pairs(path, n, func(key string, at int, value *yaml.Node) {
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		item := reflect.New(v.Type().Elem()).Elem()
		d.decode(join(path, key), value, item)
		v.SetMapIndex(reflect.ValueOf(key), item)
	})
}

func (d *decoder) structure(path string, n *yaml.Node, v reflect.Value) {
	fields, names := map[string]int{}, []string{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		fields[name] = i
		names = append(names, name)
	}
	d.pairs(path, n, func(key string, line int, value *yaml.Node) {
		if i, ok := fields[key]; ok {
			d.decode(join(path, key), value, v.Field(i))
		} else if near := rule.Nearest(key, names); near != "" {
			d.refuse(join(path, key), line, "is not a field; did you mean %s?", near)
		} else {
			d.refuse(join(path, key), line, "is not a field (%s)", strings.Join(names, ", "))
		}
	})
}

// pairs calls each for what is merged into a mapping, then for its own pairs,
// which thereby win.
func (d *decoder) pairs(path string, n *yaml.Node, each func(key string, line int, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.refuseKind(path, n, "a mapping")
		return
	}
	if slices.Contains(d.merging, n) {
		d.refuse(path, n.Line, "is merged into itself")
		return
	}
	first := map[string]int{}
	var own []*yaml.Node
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch line, taken := first[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			d.refuse(path, key.Line, "has a name that is not a single value")
		case taken:
			d.refuse(join(path, key.Value), key.Line, "is given twice, first on line %d", line)
		case key.ShortTag() == "!!merge":
			first[key.Value] = key.Line
			d.merging = append(d.merging, n)
			d.merge(path, value, each)
			d.merging = d.merging[:len(d.merging)-1]
		default:
			first[key.Value] = key.Line
			own = append(own, key, value)
		}
	}
	for i := 0; i < len(own); i += 2 {
		each(own[i].Value, own[i].Line, own[i+1])
	}
}

// merge takes over the pairs of the mapping that a merge key names, or of a
// list of them, of which the earlier ones win.
func (d *decoder) merge(path string, n *yaml.Node, each func(key string, line int, value *yaml.Node)) {
	if !d.visit(path, n) {
		return
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.SequenceNode {
		d.pairs(path, n, each)
		return
	}
	for _, item := range slices.Backward(n.Content) {
		if item.Kind == yaml.AliasNode {
			item = item.Alias
		}
		d.pairs(path, item, each)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
