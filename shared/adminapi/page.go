package adminapi

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The page shows the jobs to people. It is a static page, whose script asks the
// API's own routes, those that answer what is shown for HTML in place of JSON by
// the header Accept. So what can be seen and done there is what the API can say
// and do, under the same IAM, and errors are its JSON.
//
//go:embed page
var pageFiles embed.FS

var pageRoutes = []route{
	{method: http.MethodGet, path: "", serve: file("page.html"), asks: true}, // the next one, where a proxy takes its slash away
	{method: http.MethodGet, path: "/", serve: file("page.html"), asks: true},
	{method: http.MethodGet, path: "/assets/page.css", serve: file("page.css"), asks: true},
	{method: http.MethodGet, path: "/assets/page.js", serve: file("page.js"), asks: true},
	{method: http.MethodGet, path: "/assets/icon.svg", serve: file("icon.svg"), asks: true},
}

// fragment is what the script sends as Accept. It is no browser's own, so that
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

// view is a body as a template shows it.
type view struct {
	template string
	Now      time.Time
	Body     any
}

// viewOf is the view of a body, nil where the page does not show such a body.
func viewOf(body any, now time.Time) *view {
	switch body := body.(type) {
	case jobsBody:
		rows := make([]jobRow, len(body.Jobs))
		for i, j := range body.Jobs {
			rows[i] = jobRow{j}
		}
		return &view{"jobs", now, rows}
	case runsBody:
		return &view{"runs", now, body}
	case failuresBody:
		return &view{"failures", now, body}
	case planBody:
		return &view{"plan", now, body}
	case objectBody:
		return &view{"object", now, body}
	}
	return nil
}

// jobRow is a job with what can be done about it.
type jobRow struct{ jobBody }

func (j jobRow) Sentence() string { return strings.TrimSuffix(j.sentence, ".") + "." }
func (j jobRow) Held() int64      { return j.held }
func (j jobRow) Active() bool     { return j.StatusRaw != nil && j.StatusRaw.Active() }

// Overdue: the run would have begun, and does at the schedule's next tick.
func (j jobRow) Overdue(now time.Time) bool { return j.NextDueAt != nil && !j.NextDueAt.After(now) }

// ToldError: the sentence says what LastError does.
func (j jobRow) ToldError() bool { return j.Status == statusFailing }

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
		"ago": ago, "clock": clock, "key": legible, "size": size, "number": number, "count": countOf[int64], "times": countOf[int], "words": spaced,
		"took": took, "part": func(title string, keys []plannedBody) part { return part{title, keys} },
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
