package foreign

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"bucket-replicator/shared/rule"
)

// read fills v, a pointer to a struct, from a text. A field is named by its json
// tag or else by its Go name; one that XML repeats, by its xml tag there.
// unwrap is told the root of a JSON text, and answers the path and the value of
// what v stands for. So does read, with the name of the list Rules of such a v.
// False: there is nothing to go on with.
func (im *importer) read(b []byte, root string, v any, unwrap func(*node) (string, *node)) (path, list string, ok bool) {
	n, isXML, err := parse(b, root)
	if wrong := (*fault)(nil); errors.As(err, &wrong) {
		at := im.place("")
		at.line = wrong.line
		im.refuse(at, "%s", wrong.message)
		return "", "", false
	}
	list = "Rule"
	if !isXML {
		list = "Rules"
		path, n = unwrap(n)
	}
	im.decode(path, n, reflect.ValueOf(v).Elem())
	return path, list, true
}

// unwrap is the value of the field of that name, if n has it, else n itself;
// fields besides are of no interest.
func (im *importer) unwrap(path string, n *node, name string, besides ...string) (string, *node) {
	i := slices.IndexFunc(n.fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return path, n
	}
	for j, f := range n.fields {
		switch at := join(path, clipped(f.name)); {
		case j != i && f.name == name:
			im.twice(at, f)
		case j != i && !slices.Contains(besides, f.name):
			im.unknown(at, f, append([]string{name}, besides...))
		}
	}
	return join(path, name), n.fields[i].node
}

func (im *importer) unknown(path string, f field, known []string) {
	im.lines[path] = f.node.line
	if near := rule.Nearest(clipped(f.name), known); near != "" {
		im.refuse(im.place(path), "is not a field; did you mean %s?", near)
	} else {
		im.refuse(im.place(path), "is not a field (%s)", strings.Join(known, ", "))
	}
}

func (im *importer) twice(path string, f field) {
	im.lines[path] = f.node.line
	im.refuse(im.place(path), "is given twice")
}

func (im *importer) decode(path string, n *node, v reflect.Value) {
	im.lines[path] = n.line
	if n.kind == kindNull {
		return // as if it were left out
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		im.decode(path, n, v.Elem())
	case reflect.Struct:
		im.structure(path, n, v)
	case reflect.Map:
		im.mapping(path, n, v)
	case reflect.Slice:
		im.list(path, n, v)
	default:
		im.scalar(path, n, v)
	}
}

// refuseKind says what n is, and what it should be.
func (im *importer) refuseKind(path string, n *node, want string) {
	is := n.text
	switch n.kind {
	case kindObject:
		is = "an object"
	case kindList:
		is = "a list"
	case kindText:
		is = quote(n.text)
	case kindElement:
		is = quote(n.text)
		if len(n.fields) > 0 {
			is = "an element with parts"
		}
	}
	im.refuse(im.place(path), "is %s, not %s", is, want)
}

func (im *importer) structure(path string, n *node, v reflect.Value) {
	if n.kind != kindObject && (n.kind != kindElement || len(n.fields) == 0 && strings.TrimSpace(n.text) != "") {
		im.refuseKind(path, n, "an object")
		return
	}
	fields, names := map[string]int{}, []string{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Name
		if tag := f.Tag.Get("json"); tag != "" {
			name = tag
		}
		repeated := f.Tag.Get("xml")
		if repeated != "" && n.kind == kindElement {
			name = repeated
		}
		fields[name] = i
		if repeated != "" {
			fields[repeated] = i // MinIO's JSON calls the list so, too
		}
		names = append(names, name)
	}
	seen := map[int]bool{}
	for _, f := range n.fields {
		at := join(path, clipped(f.name))
		i, ok := fields[f.name]
		if !ok {
			im.unknown(at, f, names)
			continue
		}
		switch {
		case n.kind == kindElement && v.Field(i).Kind() == reflect.Slice:
			im.append(at, f.node, v.Field(i))
		case seen[i]:
			im.twice(at, f)
		default:
			im.decode(at, f.node, v.Field(i))
		}
		seen[i] = true
	}
}

// append adds one more value to a list.
func (im *importer) append(path string, n *node, v reflect.Value) {
	v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	last := v.Len() - 1
	im.decode(fmt.Sprintf("%s[%d]", path, last), n, v.Index(last))
}

func (im *importer) list(path string, n *node, v reflect.Value) {
	if n.kind != kindList {
		im.refuseKind(path, n, "a list")
		return
	}
	for _, item := range n.items {
		im.append(path, item, v)
	}
}

// mapping is for maps of strings by strings.
func (im *importer) mapping(path string, n *node, v reflect.Value) {
	if n.kind != kindObject {
		im.refuseKind(path, n, "an object")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, f := range n.fields {
		at := join(path, clipped(f.name))
		if v.MapIndex(reflect.ValueOf(f.name)).IsValid() {
			im.twice(at, f)
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		im.decode(at, f.node, item)
		v.SetMapIndex(reflect.ValueOf(f.name), item)
	}
}

// choice is a string that is one of few.
type choice interface{ choices() []string }

func (im *importer) scalar(path string, n *node, v reflect.Value) {
	leaf := n.kind == kindElement && len(n.fields) == 0
	switch v.Kind() {
	case reflect.String:
		if n.kind != kindText && !leaf {
			im.refuseKind(path, n, "text")
			return
		}
		if c, ok := v.Interface().(choice); ok && n.text != "" && !slices.Contains(c.choices(), n.text) {
			im.refuse(im.place(path), "%s is not one of: %s", quote(n.text), strings.Join(c.choices(), ", "))
			return
		}
		v.SetString(n.text)
	case reflect.Bool:
		if n.kind != kindTruth {
			im.refuseKind(path, n, "true or false")
			return
		}
		v.SetBool(n.text == "true")
	case reflect.Int:
		i, err := strconv.ParseInt(n.text, 10, 32)
		if n.kind != kindNumber && !leaf || err != nil {
			im.refuseKind(path, n, "a whole number")
			return
		}
		v.SetInt(i)
	default:
		panic("foreign: no reader for " + v.Type().String())
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
