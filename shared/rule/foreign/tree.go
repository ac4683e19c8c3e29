package foreign

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// node is a value of a text, in JSON or in XML. The libraries' own decoders
// take what they do not know for nothing, keep the last of two fields of one
// name, and say no lines.
type node struct {
	kind   kind
	line   int
	text   string // of a string, a number, a truth value; of an element without parts
	fields []field
	items  []*node
}

type kind uint8

const (
	kindNull kind = iota
	kindText
	kindNumber
	kindTruth
	kindObject
	kindList
	kindElement // of XML: fields, or else text
)

// field is a part of an object or of an element.
type field struct {
	name string
	node *node
}

// What a text may grow to in memory. A configuration of S3 is five levels deep,
// and a rule has some fifty values.
const (
	maxDepth = 32
	maxNodes = 200_000
)

// fault is what is wrong with a text as a whole.
type fault struct {
	line    int
	message string
}

func (f *fault) Error() string { return f.message }

func faultAt(line int, format string, args ...any) error {
	return &fault{line, fmt.Sprintf(format, args...)}
}

// parse reads a text as XML where it begins like that, else as JSON. The root
// of an XML text must have the given name; without one there is only JSON.
func parse(b []byte, root string) (n *node, isXML bool, err error) {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	begin := bytes.TrimLeft(b, " \t\r\n")
	switch {
	case len(begin) == 0:
		return nil, false, faultAt(1, "is empty")
	case !utf8.Valid(b):
		return nil, false, faultAt(1+bytes.Count(validPart(b), []byte("\n")), "is not UTF-8")
	case begin[0] == '<' && root == "":
		return nil, false, faultAt(1, "is XML; the format is written as JSON")
	case begin[0] == '<':
		n, err = parseXML(b, root)
		return n, true, err
	default:
		n, err = parseJSON(b)
		return n, false, err
	}
}

// validPart is b up to its first byte that is not UTF-8.
func validPart(b []byte) []byte {
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return b[:i]
		}
		i += size
	}
	return b
}

// parseJSON checks the syntax first: the library's tokens alone are laxer.
func parseJSON(b []byte) (*node, error) {
	var all json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		at := len(b)
		if wrong := (*json.SyntaxError)(nil); errors.As(err, &wrong) {
			at = int(wrong.Offset)
		}
		return nil, faultAt(1+bytes.Count(b[:at], []byte("\n")), "not JSON: %v", err)
	}
	p := jsonParser{text: b, line: 1, decoder: json.NewDecoder(bytes.NewReader(b))}
	p.decoder.UseNumber()
	return p.value(0)
}

type jsonParser struct {
	decoder *json.Decoder
	text    []byte
	seen    int64 // bytes before this one are counted in line
	line    int
	nodes   int
}

// next is the next token; line is then the one it ends on, where it begins, too.
func (p *jsonParser) next() (json.Token, error) {
	t, err := p.decoder.Token()
	if err != nil {
		return nil, faultAt(p.line, "not JSON: %v", err)
	}
	end := p.decoder.InputOffset()
	p.line += bytes.Count(p.text[p.seen:end], []byte("\n"))
	p.seen = end
	if s, ok := t.(string); ok && strings.ContainsRune(s, utf8.RuneError) {
		return nil, faultAt(p.line, "%s holds half a character (U+FFFD)", quote(s))
	}
	return t, nil
}

func (p *jsonParser) value(depth int) (*node, error) {
	t, err := p.next()
	if err != nil {
		return nil, err
	}
	n := &node{line: p.line}
	if p.nodes++; p.nodes > maxNodes || depth > maxDepth {
		return nil, tooMuch(p.line)
	}
	switch t := t.(type) {
	case nil:
		n.kind = kindNull
	case string:
		n.kind, n.text = kindText, t
	case json.Number:
		n.kind, n.text = kindNumber, t.String()
	case bool:
		n.kind, n.text = kindTruth, fmt.Sprint(t)
	case json.Delim:
		n.kind = kindList
		if t == '{' {
			n.kind = kindObject
		}
		for p.decoder.More() {
			name := ""
			if n.kind == kindObject {
				key, err := p.next()
				if err != nil {
					return nil, err
				}
				name, _ = key.(string)
			}
			child, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			if n.kind == kindObject {
				n.fields = append(n.fields, field{name, child})
			} else {
				n.items = append(n.items, child)
			}
		}
		_, err = p.next() // the end
	}
	return n, err
}

// parseXML reads one root element. Entities other than XML's own five, and
// anything that could define some, are errors.
func parseXML(b []byte, root string) (*node, error) {
	d := xml.NewDecoder(bytes.NewReader(b))
	type part struct {
		node *node
		text []byte
	}
	var top *node
	var open []part
	for nodes := 0; ; {
		t, err := d.Token()
		line, _ := d.InputPos()
		if errors.Is(err, io.EOF) {
			if top == nil {
				return nil, faultAt(line, "not XML: there is no element")
			}
			return top, nil
		}
		if err != nil {
			if wrong := (*xml.SyntaxError)(nil); errors.As(err, &wrong) {
				return nil, faultAt(wrong.Line, "not XML: %s", wrong.Msg)
			}
			return nil, faultAt(line, "not XML: %v", err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if nodes++; nodes > maxNodes || len(open) > maxDepth {
				return nil, tooMuch(line)
			}
			n := &node{kind: kindElement, line: line}
			switch name := t.Name.Local; {
			case len(open) > 0:
				within := open[len(open)-1].node
				within.fields = append(within.fields, field{name, n})
			case top != nil:
				return nil, faultAt(line, "not XML: <%s> is a second root", clipped(name))
			case name != root:
				return nil, faultAt(line, "is <%s>, not <%s>", clipped(name), root)
			default:
				top = n
			}
			for _, a := range t.Attr {
				if a.Name.Local != "xmlns" && a.Name.Space != "xmlns" {
					return nil, faultAt(line, "<%s> has an attribute, %s", clipped(t.Name.Local), quote(a.Name.Local))
				}
			}
			open = append(open, part{node: n})
		case xml.EndElement:
			ended := open[len(open)-1]
			open = open[:len(open)-1]
			if len(ended.node.fields) == 0 {
				ended.node.text = string(ended.text)
			} else if beside := bytes.TrimSpace(ended.text); len(beside) > 0 {
				return nil, faultAt(line, "<%s> has text beside its parts: %s", clipped(t.Name.Local), quote(string(beside)))
			}
		case xml.CharData:
			if len(open) > 0 {
				within := &open[len(open)-1]
				within.text = append(within.text, t...)
			} else if len(bytes.TrimSpace(t)) > 0 {
				return nil, faultAt(line, "not XML: %s is outside of any element", quote(string(bytes.TrimSpace(t))))
			}
		case xml.Directive:
			return nil, faultAt(line, "has a <!%s>, which a configuration has no use for", clipped(string(t)))
		}
	}
}

func tooMuch(line int) error {
	return faultAt(line, "has more than %d values, or is nested more than %d deep: this is no replication configuration", maxNodes, maxDepth)
}

// clipped is a name as far as it is worth showing.
func clipped(name string) string {
	q := quote(name)
	return q[1:strings.LastIndexByte(q, '"')]
}
