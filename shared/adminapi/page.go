package adminapi

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"bucket-replicator/shared/humanize"
)

// The page shows the jobs to people. htmx asks the API's own routes for its
// parts, and those that have one answer a part in place of JSON by the header
// Accept. So what can be seen and done there is what the API can say and do,
// under the same IAM, and errors are its JSON.
//
//go:embed page
var pageFiles embed.FS

// libraries are what others wrote of the page's script: make build puts them
// into the assets, beside the function.
var libraries = []string{"htmx.min.js", "idiomorph-ext.min.js"}

var pageRoutes = []route{
	{method: http.MethodGet, path: "", serve: (*Handler).page, asks: true}, // the next one, where a proxy takes its slash away
	{method: http.MethodGet, path: "/", serve: (*Handler).page, asks: true},
	{method: http.MethodGet, path: "/assets/page.css", serve: file("page.css"), asks: true},
	{method: http.MethodGet, path: "/assets/page.js", serve: file("page.js"), asks: true},
	{method: http.MethodGet, path: "/assets/icon.svg", serve: file("icon.svg"), asks: true},
	{method: http.MethodGet, path: "/assets/htmx.min.js", serve: library("htmx.min.js"), asks: true},
	{method: http.MethodGet, path: "/assets/idiomorph-ext.min.js", serve: library("idiomorph-ext.min.js"), asks: true},
}

// tab is something that the page shows of one rule: what a route answers, by
// the template of its body.
type tab struct {
	Name, Title string
	Method      string
	Path        string // of the route, with {rule} for the rule's name
	Loading     string // said meanwhile
}

var tabs = []tab{
	{"runs", "Runs", http.MethodGet, "jobs/{rule}/runs", "Loading…"},
	{"transfers", "Large objects", http.MethodGet, "jobs/{rule}/transfers", "Loading…"},
	{"failures", "Failures", http.MethodGet, "jobs/{rule}/failures?limit=50", "Loading…"},
	{"day", "Last day", http.MethodGet, "jobs/{rule}/hours", "Loading…"},
	{"rule", "Rule", http.MethodGet, "rules/{rule}", "Loading…"},
	{"plan", "Plan", http.MethodPost, "jobs/{rule}/plan", "Comparing both sides, which takes up to 20 s…"},
	{"verify", "Verify", http.MethodGet, "jobs/{rule}/verify", "Loading…"},
}

// fragment is what the page sends as Accept. It is no browser's own, so that
// somebody who opens a route in one gets its JSON.
const fragment = "text/html; fragment"

// pagePolicy lets the page load what is beside it, and nothing else: no other
// host, no script or style in the page's text, no frame around it.
// https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// mediaTypes of the page's files; those of package mime depend on the system.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

func file(name string) func(*Handler, context.Context, *request) (answer, error) {
	return func(*Handler, context.Context, *request) (answer, error) {
		text, err := pageFiles.ReadFile("page/" + name)
		return answer{status: http.StatusOK, text: string(text), media: mediaTypes[path.Ext(name)]}, err
	}
}

// library serves what others wrote.
func library(name string) func(*Handler, context.Context, *request) (answer, error) {
	return func(h *Handler, _ context.Context, _ *request) (answer, error) {
		text, err := fs.ReadFile(h.Assets, name)
		if err != nil {
			return answer{}, &refusal{
				status: http.StatusServiceUnavailable, code: "Unavailable",
				message: fmt.Sprintf("the function was built without assets/%s: make build, and deploy again", name), cause: err,
			}
		}
		return answer{status: http.StatusOK, text: string(text), media: mediaTypes[path.Ext(name)]}, nil
	}
}

func (h *Handler) page(context.Context, *request) (answer, error) {
	a := answer{status: http.StatusOK}
	return a, a.render(&view{template: "page", Body: struct {
		Libraries []string
		Tabs      []tab
		New       draft
	}{libraries, tabs, draft{ID: "new", Text: blankRule, New: true}}})
}

// render encodes the answer as the page shows it.
func (a *answer) render(v *view) error {
	t, err := pageTemplates()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := t.ExecuteTemplate(&text, v.template, v); err != nil {
		return err
	}
	a.text, a.media = text.String(), mediaTypes[".html"]
	return nil
}

// pageTemplates are parsed when somebody looks at the page first: the function
// starts for the API as well.
var pageTemplates = sync.OnceValues(func() (*template.Template, error) {
	return template.New("").Funcs(template.FuncMap{
		"ago": ago, "clock": clock, "key": legible, "told": told, "size": humanize.Bytes, "number": number, "count": countOf[int64], "times": countOf[int], "words": spaced,
		"took": took, "part": func(title string, keys []plannedBody) part { return part{title, keys} },
		"path": url.PathEscape, "query": func(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") },
		"span": func(ms int64) string { return humanize.Duration(time.Duration(ms) * time.Millisecond) }, "bound": bound,
		"percent": humanize.Percent, "parts": partsShown,
		"yes": func(b *bool) bool { return b != nil && *b },
	}).ParseFS(pageFiles, "page/*.tmpl")
})
