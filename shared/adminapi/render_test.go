package adminapi

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/run"
)

// shown are the bodies that the page shows.
var shown = []any{jobsBody{}, jobBody{}, hoursBody{}, runsBody{}, transfersBody{}, failuresBody{}, planBody{}, storedBody{}, validBody{}, verifyBody{}, objectBody{}}

// Whatever stands in a name, a key, a message or metadata, the page has the same
// elements with the same attributes: all of it is text.
func TestNoTextIsMarkup(t *testing.T) {
	now := time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)
	hostile := []string{
		`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `"><b x="`, `' onmouseover='alert(1)`, ` onclick=alert(1) `,
		`</code></li></ol><form action=//evil.example>`, `&lt;script&gt;&#60;`, "`${alert(1)}`", `{{.}}`, `javascript:alert(1)`, `--><!--`,
		"\x00\xff\xfe<x>", "\u202egpj.exe", "</title><svg onload=alert(1)>", `x" hx-post="jobs/a/kill`, "\n\r\t<y>",
		`../a/kill?x=/#/`, `%2e%2e%2f`, `js:alert(1)`, `' hx-on::load='alert(1)`, `unset`, `a: &b [<c>] # "d"`,
	}
	for _, kind := range shown {
		want := skeleton(t, rendered(t, filled(kind, "plain", now), "plain", now), "plain")
		if len(want) < 10 {
			t.Fatalf("%T: only %q is shown", kind, want)
		}
		for _, text := range hostile {
			html := rendered(t, filled(kind, text, now), text, now)
			if got := skeleton(t, html, text); !slices.Equal(got, want) {
				t.Errorf("%T with %q has the elements\n%q, want\n%q\n%s", kind, text, got, want, html)
			}
		}
	}
}

// filled is a body of the type of kind with text wherever a string is, and
// something wherever it can be.
func filled(kind any, text string, now time.Time) any {
	v := reflect.New(reflect.TypeOf(kind)).Elem()
	fill(v, text, now)
	switch b := v.Interface().(type) {
	case jobsBody:
		for i := range b.Jobs {
			b.Jobs[i].sentence, b.Jobs[i].held = text, 25
		}
	case failuresBody:
		b.bucket = text
		for i := range b.Failures {
			b.Failures[i].raw = text
		}
		return b
	case jobBody:
		b.sentence, b.held = text, 25
		active := run.Running
		b.StatusRaw = &active
		return b
	}
	return v.Interface()
}

func fill(v reflect.Value, text string, now time.Time) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Int, reflect.Int64:
		v.SetInt(1234567)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text, now)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), text, now)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, text, now)
		fill(value, text, now)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(now.Add(-time.Hour)))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), text, now)
			}
		}
	default:
		panic(fmt.Sprintf("no %s is known", v.Type()))
	}
}

func rendered(t *testing.T, body any, rule string, now time.Time) string {
	t.Helper()
	var a answer
	if err := a.render(viewOf(body, &request{rule: rule}, now)); err != nil {
		t.Fatal(err)
	}
	return a.text
}

// skeleton are the elements of a fragment with the names of their attributes,
// and the values of those that say what is done, with a star for the text. Of an
// address, each part by itself is the text, and nothing else of it.
func skeleton(t *testing.T, html, text string) []string {
	t.Helper()
	in := xml.NewDecoder(strings.NewReader(strings.ToValidUTF8(html, "?")))
	in.Strict, in.AutoClose, in.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var found []string
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%v in %s", err, html)
		}
		switch token := token.(type) {
		case xml.StartElement:
			element := token.Name.Local
			for _, a := range token.Attr {
				element += " " + a.Name.Local
				switch name := a.Name.Local; {
				case slices.Contains([]string{"hx-get", "hx-post", "hx-put", "hx-delete", "href"}, name):
					where, fragment, _ := strings.Cut(a.Value, "#")
					where, query, _ := strings.Cut(where, "?")
					parts := slices.Concat(strings.Split(where, "/"), strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == '=' }), strings.Split(fragment, "/"))
					for i, part := range parts {
						if parts[i], err = url.PathUnescape(part); err != nil {
							t.Errorf("%s=%q is no address: %v", name, a.Value, err)
						}
						if parts[i] == text {
							parts[i] = "*"
						}
					}
					element += "=" + strings.Join(parts, "/")
				case name == "hx-confirm":
					if !strings.HasPrefix(a.Value, "Rule ") {
						t.Errorf("%s=%q", name, a.Value)
					}
				case strings.HasPrefix(name, "hx-"):
					element += "=" + a.Value
				}
			}
			found = append(found, element)
		case xml.EndElement:
			found = append(found, "/"+token.Name.Local)
		case xml.Comment, xml.ProcInst, xml.Directive:
			t.Errorf("there is %T in %s", token, html)
		}
	}
}

func TestAKeyIsLegible(t *testing.T) {
	for key, want := range map[string]string{
		"a/b c.txt":          "a/b c.txt",
		"日本/ü":               "日本/ü",
		"":                   `""`,
		" a":                 `" a"`,
		"a\n":                `"a\n"`,
		"a\x00b":             `"a\x00b"`,
		"a\xff":              `"a\xff"`,
		"a\ufffd":            `"a�"`,
		"photo\u202egpj.exe": `"photo\u202egpj.exe"`,
		"a\u200bb":           `"a\u200bb"`,
	} {
		if got := legible(key); got != want {
			t.Errorf("%q is shown as %s, want %s", key, got, want)
		}
	}
}

func TestATextIsTold(t *testing.T) {
	for text, want := range map[string]string{
		"copy a/é\u2009🙂: it's \"no\"": "copy a/é\u2009🙂: it's \"no\"",
		"photo\u202egpj.exe\n\u2066":   "photo\\u202egpj.exe\\n\\u2066",
		"a\x00b\u2028c":                "a\\x00b\\u2028c",
		"":                             "",
	} {
		if got := told(text); got != want {
			t.Errorf("%q is told as %s, want %s", text, got, want)
		}
	}
}

func TestNumbersAndTimesAreShort(t *testing.T) {
	now := time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { t := now.Add(d); return &t }
	for got, want := range map[string]string{
		number(0): "0", number(999): "999", number(1000): "1\u2009000", number(12345678): "12\u2009345\u2009678",
		ago(now, nil) + took(now, nil, nil): "––", ago(now, at(0)): "now", ago(now, at(-time.Minute)): "60 s ago", ago(now, at(-3*time.Hour)): "3 h ago", ago(now, at(72*time.Hour)): "in 3 days",
		took(now, at(-time.Minute), at(-58*time.Second)): "2.0 s", took(now, at(-10*time.Minute), nil): "10 min",
		took(now, at(time.Second), nil):              "0.0 s", // somebody else's clock
		countOf(int64(1), "key") + countOf(0, "key"): "1 key0 keys",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
