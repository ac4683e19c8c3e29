package rule

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/gobwas/glob"
	"github.com/gobwas/glob/syntax"
)

// maxGlob bounds the length of a glob in bytes: no key is longer.
const maxGlob = maxKey

// compileGlob reads a glob in which * and ? stop at a slash, ** does not, and
// **/ at the beginning of a segment is any number of whole segments, none
// included; {a,b}, [a-z], [!ab] and \ are as usual.
//
// The syntax is gobwas/glob's, and so is what it means. The matching is not:
// theirs tries out every way the stars can go, and "*[ab]*[ab]*[ab]ab?" keeps
// it busy for twenty seconds with one 1,024-byte key, which anybody may write
// who can write to a source bucket. A regular expression takes linear time.
func compileGlob(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxGlob {
		return nil, fmt.Errorf("it has %d bytes; a whole key has at most %d", len(pattern), maxGlob)
	}
	if _, err := (glob.Compiler{Separators: []rune{'/'}, Globstar: true}).Compile(pattern); err != nil {
		var bad *glob.SyntaxError
		if errors.As(err, &bad) {
			return nil, fmt.Errorf("%s at byte %d", bad.Reason, bad.Offset)
		}
		return nil, err
	}
	t := translator{lexer: syntax.NewLexer(pattern)}
	t.advance()
	t.sequence(true)
	return regexp.Compile(`(?s)\A(?:` + t.out.String() + `)\z`)
}

// translator writes a regular expression from the tokens of a glob that is
// known to be well formed.
type translator struct {
	lexer *syntax.Lexer
	token syntax.Token // the current one
	out   strings.Builder
}

func (t *translator) advance() { t.token = t.lexer.Next() }

// sequence translates up to the end of the pattern or of the alternative.
// atStart says whether a segment begins here; the answer is whether one begins
// behind it.
func (t *translator) sequence(atStart bool) bool {
	for {
		switch t.token.Type {
		case syntax.EOF, syntax.TermSeparator, syntax.TermsClose:
			return atStart
		case syntax.Any, syntax.Super:
			atStart = t.stars(atStart)
			continue // stars has advanced
		case syntax.Single:
			t.out.WriteString(`[^/]`)
			atStart = false
		case syntax.Text:
			t.out.WriteString(regexp.QuoteMeta(t.token.Data))
			atStart = strings.HasSuffix(t.token.Data, "/")
		case syntax.RangeOpen:
			t.class()
			atStart = false
		case syntax.TermsOpen:
			atStart = t.alternatives(atStart)
		}
		t.advance()
	}
}

// stars translates a run of stars, and the slash behind it where together they
// stand for whole segments.
func (t *translator) stars(atStart bool) bool {
	super := false
	for t.token.Type == syntax.Any || t.token.Type == syntax.Super {
		super = super || t.token.Type == syntax.Super
		t.advance()
	}
	if !super {
		t.out.WriteString(`[^/]*`)
		return false
	}
	if rest, ok := strings.CutPrefix(t.token.Data, "/"); ok && atStart && t.token.Type == syntax.Text {
		t.out.WriteString(`(?:.*/)?`)
		t.token.Data = rest
		if rest == "" {
			t.advance()
		}
		return true
	}
	t.out.WriteString(`.*`)
	return false
}

func (t *translator) alternatives(atStart bool) bool {
	t.out.WriteString(`(?:`)
	ends := true
	for t.token.Type != syntax.TermsClose {
		if t.token.Type == syntax.TermSeparator {
			t.out.WriteString(`|`)
		}
		t.advance()
		ends = t.sequence(atStart) && ends
	}
	t.out.WriteString(`)`)
	return ends
}

// class translates [abc], [a-c] and their negations. A class may match a slash.
func (t *translator) class() {
	t.out.WriteString(`[`)
	for t.advance(); t.token.Type != syntax.RangeClose; t.advance() {
		switch t.token.Type {
		case syntax.Not:
			t.out.WriteString(`^`)
		case syntax.RangeBetween:
			t.out.WriteString(`-`)
		default: // Text, RangeLo, RangeHi
			for _, r := range t.token.Data {
				fmt.Fprintf(&t.out, `\x{%x}`, r)
			}
		}
	}
	t.out.WriteString(`]`)
}
