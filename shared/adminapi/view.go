package adminapi

import (
	"net/url"
	"strings"
	"time"

	"bucket-replicator/shared/rule/rulefile"
	"bucket-replicator/shared/run"
)

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
	case transfersBody:
		v.template = "transfers"
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

// Large: large objects are under way.
func (j jobRow) Large() bool { return j.LargeObjects != nil && j.LargeObjects.Objects > 0 }

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

// moment is a time and what it is seen from.
type moment struct {
	Now time.Time
	At  *time.Time
}

func (v *view) At(t *time.Time) moment { return moment{v.Now, t} }

// Bucket is the alias of the source.
func (b failuresBody) Bucket() string { return b.bucket }

// Raw is the source key as it is.
func (b failureBody) Raw() string { return b.raw }

// part is a list of a plan.
type part struct {
	Title string
	Keys  []plannedBody
}

// progressShown is how far a large object is.
type progressShown struct {
	Of            string // its key
	Parts, Done   int64
	Bytes, Copied int64
}

func partsShown(of string, parts, done int, bytes, copied int64) progressShown {
	return progressShown{of, int64(parts), int64(done), bytes, copied}
}
