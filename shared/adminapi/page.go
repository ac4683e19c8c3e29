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
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"bucket-replicator/shared/rule/rulefile"
	"bucket-replicator/shared/run"
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

// view is a body as a template shows it.
type view struct {
	template string
	Now      time.Time
	Rule     string // that the request names
	First    bool   // it is the first page of several
	Body     any
}

// viewOf is the view of what a request is answered, nil where the page does not
// show such a body.
func viewOf(body any, r *request, now time.Time) *view {
	_, further := r.value("cursor")
	v := &view{Now: now, Rule: r.rule, First: !further, Body: body}
	switch body := body.(type) {
	case jobsBody:
		rows := make([]jobRow, len(body.Jobs))
		for i, j := range body.Jobs {
			rows[i] = jobRow{j}
		}
		v.template, v.Body = "jobs", rows
	case jobBody:
		v.template, v.Body = "job", jobRow{body}
	case runsBody:
		v.template = "runs"
	case failuresBody:
		v.template = "failures"
	case hoursBody:
		v.template, v.Body = "hours", hoursViewOf(body)
	case planBody:
		v.template = "plan"
	case verifyBody:
		v.template, v.Body = "verify", verification{body}
	case storedBody:
		v.template, v.Body = "rule", ruleView{body}
	case validBody:
		v.template = "valid"
	case objectBody:
		v.template = "object"
	default:
		return nil
	}
	return v
}

// Of is the view of one row.
func (v *view) Of(j jobRow) *view { return &view{Now: v.Now, Rule: j.Name, Body: j} }

// To is something to do to the rule.
func (v *view) To(act string) struct{ Act, Rule string } {
	return struct{ Act, Rule string }{act, v.Rule}
}

// jobRow is a job with what can be done about it.
type jobRow struct{ jobBody }

func (j jobRow) Sentence() string { return strings.TrimSuffix(j.sentence, ".") + "." }
func (j jobRow) Held() int64      { return j.held }
func (j jobRow) SoFar() bool      { return j.soFar }
func (j jobRow) Active() bool     { return j.StatusRaw != nil && j.StatusRaw.Active() }

// Overdue: the run would have begun, and does at the schedule's next tick.
func (j jobRow) Overdue(now time.Time) bool { return j.NextDueAt != nil && !j.NextDueAt.After(now) }

// ToldError: the sentence says what LastError does.
func (j jobRow) ToldError() bool { return j.Status == statusFailing }

// verification is one with what can be done about it.
type verification struct{ verifyBody }

func (v verification) Active() bool { return v.Status != nil && v.Status.Active() }
func (v verification) Never() bool  { return v.VerificationID == 0 }

// State is Status where there is one.
func (v verification) State() run.State { return *v.Status }

// Asks is what a mode is asked for by.
func (v verification) Asks() []struct{ Mode, Title, About, Question string } {
	return []struct{ Mode, Title, About, Question string }{
		{string(run.Metadata), "Verify metadata", "Sizes, content tags, metadata and object tags: two or four requests for each object.", ""},
		{string(run.Checksum), "Verify checksums", "The checksums that both sides keep, too. As many requests.", ""},
		{string(run.Bytes), "Verify every byte", "Reads both sides: two more requests for each 64 MiB, and the traffic.", "read every byte of both sides? That takes its time, and costs the requests and the traffic between regions."},
	}
}

// ruleView is a rule with its text.
type ruleView struct{ storedBody }

// Made: the API made it, and may change it.
func (v ruleView) Made() bool { return v.Owner == ownerAPI }

// Draft is the rule as somebody changes it, and Copy the text of a new one.
func (v ruleView) Draft() (draft, error) {
	text, err := rulefile.PrintRule(v.storedBody.Rule)
	return draft{ID: "draft", Rule: v.Name, Text: string(text), Revision: v.Revision, Made: v.Made()}, err
}
func (v ruleView) Copy() (draft, error) {
	d, err := v.Draft()
	return draft{ID: "copy", Text: d.Text, New: true}, err
}

// draft is a text that somebody may change, and what is done with it.
type draft struct {
	ID       string // of the form
	Rule     string // its name; empty: the text has it
	Text     string
	Revision int64
	New      bool // it makes a rule
	Made     bool // it changes one that the API made
}

// Path is the rule's in an address. Where the text has the name, the script puts
// it in.
func (d draft) Path() string {
	if d.New {
		return "{name}"
	}
	return url.PathEscape(d.Rule)
}

// blankRule is what a new rule begins with.
const blankRule = `name: my-rule
source:
  bucket: my-source        # aliases of the configuration file
  prefix: ""
destination:
  bucket: my-destination
  prefix: ""
`

// At is a time and what it is seen from.
func (v *view) At(t *time.Time) struct {
	Now time.Time
	At  *time.Time
} {
	return struct {
		Now time.Time
		At  *time.Time
	}{v.Now, t}
}

// Bucket is the alias of the source.
func (b failuresBody) Bucket() string { return b.bucket }

// Raw is the source key as it is.
func (b failureBody) Raw() string { return b.raw }

// part is a list of a plan.
type part struct {
	Title string
	Keys  []plannedBody
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
		"ago": ago, "clock": clock, "key": legible, "told": told, "size": size, "number": number, "count": countOf[int64], "times": countOf[int], "words": spaced,
		"took": took, "part": func(title string, keys []plannedBody) part { return part{title, keys} },
		"path": url.PathEscape, "query": func(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") },
		"span": func(ms int64) string { return span(time.Duration(ms) * time.Millisecond) }, "bound": bound,
		"yes": func(b *bool) bool { return b != nil && *b },
	}).ParseFS(pageFiles, "page/*.tmpl")
})

// legible is a key as people can read it: quoted as Go does where it has what
// cannot be seen, or would turn the writing around, or is not UTF-8.
func legible(key string) string {
	for _, r := range key {
		if r == '\uFFFD' || !strconv.IsPrint(r) {
			return strconv.Quote(key)
		}
	}
	if strings.TrimSpace(key) != key || key == "" {
		return strconv.Quote(key)
	}
	return key
}

// told is what somebody says, such as an error's text with a key in it: what
// cannot be seen, or would turn the writing around, stands as Go escapes it.
func told(what any) string {
	var b strings.Builder
	for _, r := range fmt.Sprint(what) {
		if strconv.IsPrint(r) || unicode.Is(unicode.Zs, r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// ago is a time as seen from now: "5 min ago", "in 23 h".
func ago(now time.Time, t *time.Time) string {
	switch {
	case t == nil:
		return "–"
	case t.After(now):
		return "in " + span(t.Sub(now))
	case now.Sub(*t) < 5*time.Second:
		return "now"
	default:
		return span(now.Sub(*t)) + " ago"
	}
}

// took is how long something went on, or goes on.
func took(now time.Time, from, to *time.Time) string {
	if from == nil {
		return "–"
	}
	if to == nil {
		to = &now
	}
	return span(to.Sub(*from))
}

func span(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", max(d, 0).Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	default:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	}
}

func clock(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format("2006-01-02 15:04:05 UTC")
}

func size(bytes int64) string {
	const units = "kMGTPE"
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	n, i := float64(bytes)/1000, 0
	for ; n >= 1000; i++ {
		n /= 1000
	}
	return fmt.Sprintf("%.1f %cB", n, units[i])
}

// number has a thin space between thousands, which no language takes for a
// decimal point.
func number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var groups []string
	for len(digits) > 3 {
		groups = append(groups, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	groups = append(groups, digits)
	slices.Reverse(groups)
	return strings.Join(groups, "\u2009")
}

// countOf is count for templates, with number.
func countOf[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return number(int64(n)) + " " + thing + "s"
}

func spaced(s any) string { return strings.ReplaceAll(fmt.Sprint(s), "_", " ") }
