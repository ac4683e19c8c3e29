package decide

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

func TestEveryReasonIsASentence(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "decide.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := 0
	ast.Inspect(file, func(n ast.Node) bool {
		constant, ok := n.(*ast.ValueSpec)
		if !ok || len(constant.Values) == 0 {
			return true
		}
		if of, ok := constant.Type.(*ast.Ident); !ok || of.Name != "Reason" {
			return true
		}
		reasons++
		code, err := strconv.Unquote(constant.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if s := Reason(code).Sentence(); !strings.HasSuffix(s, ".") {
			t.Errorf("%s is said as %q", code, s)
		}
		return true
	})
	if reasons == 0 || reasons != len(words) {
		t.Errorf("%d reasons, %d sentences", reasons, len(words))
	}
}
