package adminapi

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"bucket-replicator/shared/rule"
)

// Root is the path that all routes are under.
const Root = "/_/api/admin"

// find answers the route and the job or the rule that the path names. A HEAD is a GET whose
// answer has no body.
//
// A REST API hands the path over as it was sent, still encoded and without the
// stage, so its parts are decoded here, each by itself: an encoded slash makes
// no new part, and what was encoded twice names something else.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
func find(method, path string) (found route, name string, err error) {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if parts[i], err = url.PathUnescape(part); err != nil {
			return route{}, "", noSuchPath()
		}
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var allow []string
	for _, r := range slices.Concat(routes, pageRoutes) {
		name, ok := r.match(parts)
		switch {
		case !ok:
		case r.method == method:
			return r, name, nil
		case r.method == http.MethodGet:
			allow = append(allow, http.MethodGet, http.MethodHead)
		default:
			allow = append(allow, r.method)
		}
	}
	if allow == nil {
		return route{}, "", noSuchPath()
	}
	return route{}, "", &refusal{
		status: http.StatusMethodNotAllowed, code: "MethodNotAllowed",
		message: "this path takes " + strings.Join(allow, " and "), allow: strings.Join(allow, ", "),
	}
}

func noSuchPath() error {
	return &refusal{status: http.StatusNotFound, code: "NotFound", message: "there is no such path; GET " + Root + "/openapi.json names those there are"}
}

func (r route) match(parts []string) (name string, ok bool) {
	pattern := strings.Split(Root+r.path, "/")
	if len(pattern) != len(parts) {
		return "", false
	}
	for i, part := range parts {
		switch {
		case (pattern[i] == "{job}" || pattern[i] == "{rule}") && part != "":
			name = part
		case pattern[i] != part:
			return "", false
		}
	}
	return name, true
}

// request is what a route gets to see. Its methods collect what is wrong with
// the parameters.
type request struct {
	route route
	rule  string // that the path names, by itself or by its job
	query map[string][]string
	sent  http.Header
	body  []byte
	wrong []string
}

// read fills in the request. What nobody would look at is refused, and not passed
// over: a parameter misspelt would silently do something else.
func (r *request) read(e events.APIGatewayProxyRequest) error {
	found, name, err := find(e.HTTPMethod, e.Path)
	if err != nil {
		return err
	}
	r.route, r.rule = found, name
	if strings.Contains(found.path, "{job}") {
		r.rule = strings.TrimPrefix(name, kind+":")
	}
	r.sent = headersOf(e)
	r.query = e.MultiValueQueryStringParameters
	if r.query == nil {
		r.query = map[string][]string{}
		for name, value := range e.QueryStringParameters {
			r.query[name] = []string{value}
		}
	}
	for name, values := range r.query {
		switch {
		case strings.HasPrefix(strings.ToLower(name), "x-amz-"): // a signature in the query
		case !slices.Contains(found.names(), name):
			r.problem(name, "%s", unknown(name, found.names()))
		case len(values) != 1:
			r.problem(name, "is given %d times: give it once", len(values))
		}
	}
	r.readBody(e)
	slices.Sort(r.wrong) // no map has an order
	return r.invalid()
}

func (r *request) readBody(e events.APIGatewayProxyRequest) {
	r.body = []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if r.body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			r.problem("body", "is not base64, as the request says it is")
		}
	}
	if !r.yaml() { // whose first line begins with as many spaces as the next
		r.body = bytes.TrimSpace(r.body)
	}
	switch most := r.route.most; {
	case most == 0 && len(r.body) > 0 && string(r.body) != "{}":
		r.problem("body", "is not looked at: leave it out")
	case most > 0 && len(r.body) > most:
		r.problem("body", "has %d bytes: give at most %d", len(r.body), most)
	}
}

// headersOf are the headers, whichever way API Gateway or a test of its console
// hands them over.
func headersOf(e events.APIGatewayProxyRequest) http.Header {
	h := http.Header{}
	for name, value := range e.Headers {
		h.Set(name, value)
	}
	for name, values := range e.MultiValueHeaders {
		h.Set(name, strings.Join(values, ", "))
	}
	return h
}

func (r *request) header(name string) string { return r.sent.Get(name) }

// yamlType is YAML's media type.
// https://www.rfc-editor.org/rfc/rfc9512
const yamlType = "application/yaml"

// yaml reports whether the body is YAML by its type, where the route takes
// that. Everything else is taken for JSON: curl names a form.
func (r *request) yaml() bool { return r.route.yaml && isType(r.header("Content-Type"), yamlType) }

// wantsYAML reports whether YAML is among what the request accepts.
func (r *request) wantsYAML() bool {
	for accepted := range strings.SplitSeq(r.header("Accept"), ",") {
		if isType(accepted, yamlType) {
			return true
		}
	}
	return false
}

// isType reports whether a header's value is this media type, whatever its
// parameters.
func isType(value, media string) bool {
	name, _, _ := strings.Cut(value, ";")
	return strings.EqualFold(strings.TrimSpace(name), media)
}

func unknown(name string, known []string) string {
	if near := rule.Nearest(name, known); near != "" {
		return fmt.Sprintf("is not known here: did you mean %q?", near)
	}
	if len(known) == 0 {
		return "is not known here: there are no parameters"
	}
	return "is not known here: there is " + strings.Join(known, " and ")
}

func (r *request) problem(field, format string, args ...any) {
	r.wrong = append(r.wrong, field+" "+fmt.Sprintf(format, args...))
}

// invalid is the error for what was found wrong so far, nil for nothing.
func (r *request) invalid() error {
	if len(r.wrong) == 0 {
		return nil
	}
	return &refusal{status: http.StatusBadRequest, code: "InvalidRequest", message: "the request is not valid", details: r.wrong}
}

// value is the parameter's, false where it is not given.
func (r *request) value(name string) (string, bool) {
	v, ok := r.query[name]
	if !ok {
		return "", false
	}
	return v[0], true
}

// required is the parameter's value, which must not be empty.
func (r *request) required(name string) string {
	v, _ := r.value(name)
	if v == "" {
		r.problem(name, "is missing")
	}
	return v
}

// shortened is as much of what somebody sent as is worth repeating.
func shortened(text string) string {
	if len(text) > 40 {
		return text[:40] + "..."
	}
	return text
}

// integer is a whole number from least to most, or otherwise.
func (r *request) integer(name string, otherwise, least, most int64) int64 {
	v, ok := r.value(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < least || n > most {
		r.problem(name, "is %q: give a whole number from %d to %d", v, least, most)
	}
	return n
}

// duration is a whole number of seconds from least to most; 0 where it is not
// given.
func (r *request) duration(name string, least, most time.Duration) time.Duration {
	v, ok := r.value(name)
	if !ok {
		return 0
	}
	d, err := rule.ParseDuration(v)
	if wait := time.Duration(d); err == nil && wait >= least && wait <= most && wait%time.Second == 0 {
		return wait
	}
	r.problem(name, "is %q: give whole seconds from %s to %s", v, rule.Duration(least), rule.Duration(most))
	return 0
}

// word is one of these, or otherwise.
func (r *request) word(name, otherwise string, from []string) string {
	v, ok := r.value(name)
	if !ok {
		return otherwise
	}
	if !slices.Contains(from, v) {
		r.problem(name, "is %q: give one of %s", shortened(v), strings.Join(from, ", "))
	}
	return v
}

// boolean is false where it is not given.
func (r *request) boolean(name string) bool {
	switch v, ok := r.value(name); {
	case v == "true":
		return true
	case ok && v != "false":
		r.problem(name, "is %q: give true or false", v)
	}
	return false
}

// cursor is the run before which a page of runs begins; 0 where it is not given.
func (r *request) cursor(name string) int64 {
	v, ok := r.value(name)
	if !ok {
		return 0
	}
	text, err := cursors.DecodeString(v)
	id, notNumber := strconv.ParseInt(string(text), 10, 64)
	if err != nil || notNumber != nil || id < 1 {
		r.problem(name, "is %q: give the next_cursor of the page before, as it is", v)
	}
	return id
}

// cursors keep people from counting with what is only to be handed back.
var cursors = base64.RawURLEncoding.Strict()

func cursor(id int64) string { return cursors.EncodeToString(strconv.AppendInt(nil, id, 10)) }

// response is the answer in API Gateway's words.
func (a answer) response(method string) events.APIGatewayProxyResponse {
	r := events.APIGatewayProxyResponse{
		StatusCode: a.status,
		Headers:    map[string]string{"Cache-Control": "no-store"},
	}
	if a.allow != "" {
		r.Headers["Allow"] = a.allow
	}
	if a.etag != "" {
		r.Headers["ETag"] = a.etag
	}
	if a.text == "" {
		return r
	}
	r.Headers["Content-Type"] = cmp.Or(a.media, "application/json")
	if a.media != "" {
		r.Headers["Content-Security-Policy"] = pagePolicy
	}
	r.Headers["X-Content-Type-Options"] = "nosniff"
	if method != http.MethodHead {
		r.Body = a.text
	}
	return r
}

func (a *answer) encode() error {
	if a.body == nil {
		return nil
	}
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false) // people read it in a terminal
	if err := out.Encode(a.body); err != nil {
		return err
	}
	a.text = text.String()
	return nil
}
