package s3store

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"unicode/utf8"
)

// xmlReader reads an XML answer that is in memory. It is many times as fast as
// encoding/xml and at least as strict: what it accepts, encoding/xml accepts
// and reads the same. It refuses what no S3 server sends: comments, processing
// instructions, document types, an encoding other than UTF-8, names that are
// not ASCII, and a bare carriage return in a text, which XML would make a line
// feed.
type xmlReader struct {
	all    []byte
	at     int    // what is before it has been read
	closed []byte // the name of the self-closing element whose end comes next
	value  []byte // the text that was read last
}

// token is what next found.
type token uint8

const (
	startTag token = iota
	endTag
	charData // may hold references
	cdata    // may not
)

// maxDepth is how deep elements that nobody asked for may be nested.
const maxDepth = 16

var declaration = regexp.MustCompile(`^<\?xml\s+version=["']1\.0["'](\s+encoding=["'](?i:utf-8)["'])?(\s+standalone=["'](yes|no)["'])?\s*\?>`)

func (x *xmlReader) fail(what string) error {
	return fmt.Errorf("the XML is not valid at byte %d: %s", x.at, what)
}

// root reads up to the document's element and answers its name.
func (x *xmlReader) root() ([]byte, error) {
	x.at += len(declaration.Find(x.all))
	return x.child(nil)
}

// end makes sure that nothing follows the document's element.
func (x *xmlReader) end() error {
	if !blank(x.all[x.at:]) {
		return x.fail("more after the end")
	}
	return nil
}

// child reads up to the next child of the open element of this name and answers
// the child's name. Once it has read the end of the element it answers nil.
func (x *xmlReader) child(of []byte) ([]byte, error) {
	for {
		found, b, err := x.next()
		switch {
		case err != nil:
			return nil, err
		case found == startTag:
			return b, nil
		case found == endTag:
			return nil, x.matches(of, b)
		case found == cdata || !blank(b):
			return nil, x.fail("text beside elements")
		}
	}
}

// children calls read with the name of each child of the open element of this
// name, and read reads the rest of the child.
func (x *xmlReader) children(of []byte, read func(child []byte) error) error {
	for {
		name, err := x.child(of)
		if err != nil || name == nil {
			return err
		}
		if err := read(name); err != nil {
			return err
		}
	}
}

// text reads the rest of the open element of this name, which holds nothing but
// text. The next call overwrites the answer.
func (x *xmlReader) text(of []byte) ([]byte, error) {
	x.value = x.value[:0]
	for {
		found, b, err := x.next()
		switch {
		case err != nil:
			return nil, err
		case found == startTag:
			return nil, x.fail("an element within a text")
		case found == endTag:
			return x.value, x.matches(of, b)
		}
		if err := x.decode(b, found == cdata); err != nil {
			return nil, err
		}
	}
}

// string is text that lasts.
func (x *xmlReader) string(of []byte) (string, error) {
	b, err := x.text(of)
	return string(b), err
}

// skip reads the rest of the open element of this name, whatever it holds.
func (x *xmlReader) skip(of []byte, depth int) error {
	if depth > maxDepth {
		return x.fail("nested too deeply")
	}
	for {
		x.value = x.value[:0]
		found, b, err := x.next()
		switch {
		case err != nil:
			return err
		case found == endTag:
			return x.matches(of, b)
		case found == startTag:
			err = x.skip(b, depth+1)
		default:
			err = x.decode(b, found == cdata)
		}
		if err != nil {
			return err
		}
	}
}

// next reads one tag, and answers its name, or one piece of text as it stands.
func (x *xmlReader) next() (token, []byte, error) {
	if name := x.closed; name != nil {
		x.closed = nil
		return endTag, name, nil
	}
	b := x.all[x.at:]
	switch n := bytes.IndexByte(b, '<'); {
	case n > 0:
		x.at += n
		return charData, b[:n], nil
	case n < 0 || len(b) < 2:
		return 0, nil, x.fail("cut off")
	}
	const opening, closing = "<![CDATA[", "]]>"
	switch {
	case b[1] == '/':
		n := bytes.IndexByte(b, '>')
		if n < 0 {
			return 0, nil, x.fail("cut off")
		}
		x.at += n + 1
		for space(b[n-1]) {
			n--
		}
		return endTag, b[2:n], nil
	case bytes.HasPrefix(b, []byte(opening)):
		n := bytes.Index(b, []byte(closing))
		if n < 0 {
			return 0, nil, x.fail("cut off")
		}
		x.at += n + len(closing)
		return cdata, b[len(opening):n], nil
	default:
		x.at++
		name, err := x.start()
		return startTag, name, err
	}
}

// start reads a start tag from after its "<" and answers its name.
func (x *xmlReader) start() ([]byte, error) {
	name := x.name()
	for {
		from := x.at
		for x.at < len(x.all) && space(x.all[x.at]) {
			x.at++
		}
		b := x.all[x.at:]
		switch {
		case len(name) == 0 || len(b) < 2:
			return nil, x.fail("not a tag")
		case b[0] == '>':
			x.at++
			return name, nil
		case b[0] == '/' && b[1] == '>':
			x.at += 2
			x.closed = name
			return name, nil
		case x.at == from:
			return nil, x.fail("not a tag")
		}
		if err := x.attribute(); err != nil {
			return nil, err
		}
	}
}

// attribute reads one attribute. None of them matters.
func (x *xmlReader) attribute() error {
	name := x.name()
	b := x.all[x.at:]
	if len(name) == 0 || len(b) < 2 || b[0] != '=' || b[1] != '"' && b[1] != '\'' {
		return x.fail("not an attribute")
	}
	n := bytes.IndexByte(b[2:], b[1])
	if n < 0 || bytes.IndexByte(b[2:2+n], '<') >= 0 {
		return x.fail("not an attribute")
	}
	x.at += n + 3
	return x.decode(b[2:2+n], false)
}

// name reads the name of an element or an attribute. It is empty where there is
// none.
func (x *xmlReader) name() []byte {
	from, prefixed := x.at, false
	for ; x.at < len(x.all); x.at++ {
		switch c := x.all[x.at]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case x.at > from && ('0' <= c && c <= '9' || c == '-' || c == '.'):
		case x.at > from && c == ':' && !prefixed:
			prefixed = true
		default:
			return x.all[from:x.at]
		}
	}
	return nil // cut off
}

// decode appends a text to value, with its references replaced.
func (x *xmlReader) decode(b []byte, literal bool) error {
	plain := 0
	for plain < len(b) && (' ' <= b[plain] && b[plain] < utf8.RuneSelf && b[plain] != '&' && b[plain] != '>') {
		plain++
	}
	x.value = append(x.value, b[:plain]...)
	for i := plain; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return x.fail("a text that is not UTF-8")
		case r == '\r':
			return x.fail("a bare carriage return in a text")
		case r == '&' && !literal:
			r, n = reference(b[i:])
		case r == '>' && !literal && bytes.HasSuffix(b[:i], []byte("]]")):
			return x.fail("]]> in a text")
		}
		if !legal(r) {
			return x.fail("a character that XML cannot hold, or no reference to one")
		}
		x.value = utf8.AppendRune(x.value, r)
		i += n
	}
	return nil
}

// reference reads what b begins with, "&quot;" or "&#34;" or "&#x22;", and
// answers its length too. The character is not legal where it is none of these.
func reference(b []byte) (rune, int) {
	const longest = len("&#x0010ffff;")
	end := bytes.IndexByte(b[:min(len(b), longest)], ';')
	if end < 0 {
		return 0, 0
	}
	switch digits, numeric := bytes.CutPrefix(b[1:end], []byte("#")); {
	case numeric:
		base := 10
		if digits, numeric = bytes.CutPrefix(digits, []byte("x")); numeric {
			base = 16
		}
		n, _ := strconv.ParseUint(string(digits), base, 31) // 0 is not legal
		return rune(n), end + 1
	case string(digits) == "quot":
		return '"', end + 1
	case string(digits) == "amp":
		return '&', end + 1
	case string(digits) == "lt":
		return '<', end + 1
	case string(digits) == "gt":
		return '>', end + 1
	case string(digits) == "apos":
		return '\'', end + 1
	default:
		return 0, 0
	}
}

// legal are the characters that XML can hold.
// https://www.w3.org/TR/xml/#charsets
func legal(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' ||
		' ' <= r && r <= 0xD7FF || 0xE000 <= r && r <= 0xFFFD || 0x10000 <= r && r <= utf8.MaxRune
}

// local is a name without the prefix that stands for its namespace.
func local(name []byte) []byte { return name[bytes.IndexByte(name, ':')+1:] }

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func blank(b []byte) bool {
	for _, c := range b {
		if !space(c) {
			return false
		}
	}
	return true
}

func (x *xmlReader) matches(start, end []byte) error {
	if !bytes.Equal(start, end) {
		return x.fail("the end of another element")
	}
	return nil
}
