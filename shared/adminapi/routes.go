package adminapi

import (
	"context"
	"net/http"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/foreign"
	"bucket-replicator/shared/run"
)

// route is one thing that can be asked for. The handler goes by it, and so does
// what GET /openapi.json says.
type route struct {
	method string
	path   string // under Root; {job} or {rule} is one part of it
	about  string // what it does, in a line
	params []param
	serve  func(*Handler, context.Context, *request) (answer, error)
	asks   bool // it changes nothing, whatever its method
	// takes is a value of the type that the body has, or nil, and most how many
	// bytes that may have.
	takes any
	most  int
	yaml  bool // it may be YAML, too
	// optional: the body may be left out.
	optional bool
	// answersYAML: what it answers may be asked for as YAML, of this type.
	answersYAML any
	// answers are a value of the body's type by status; nil: there is none.
	answers map[int]any
	// refuses are the statuses of its errors, beside 400, 404, 500 and 503.
	refuses []int
}

// param is a parameter of the query, or a header.
type param struct {
	name, about string
	required    bool
	header      bool
	schema      schema
}

func (r route) names() []string {
	var names []string
	for _, p := range r.params {
		if !p.header {
			names = append(names, p.name)
		}
	}
	return names
}

var (
	adoptParam  = param{name: "adopt", about: "Take over the replicas that the backend's own replication left: those whose status is REPLICA, with the tag of their source. They are skipped as adopted.", schema: schema{"type": "boolean", "default": false}}
	ifMatch     = param{name: "If-Match", about: "The ETag of what was seen, or *.", header: true, schema: schema{"type": "string"}}
	ifNoneMatch = param{name: "If-None-Match", about: "Only make a rule, and change none.", header: true, schema: schema{"const": "*"}}
)

func limitParam(most int) param {
	return param{name: "limit", schema: schema{"type": "integer", "minimum": 1, "maximum": most, "default": defaultLimit}}
}

func cursorParam(about string) param {
	return param{name: "cursor", about: about, schema: schema{"type": "string"}}
}

var routes []route

// Not where it is declared: the routes lead to openAPI, which reads them.
func init() {
	conflicts := []int{http.StatusConflict}
	one := map[int]any{http.StatusOK: storedBody{}}
	routes = []route{
		{method: http.MethodGet, path: "/healthz", about: "Whether the rules can be read and used.",
			serve: (*Handler).healthz, asks: true, answers: map[int]any{http.StatusOK: healthBody{}}},
		{method: http.MethodGet, path: "/openapi.json", about: "This document.",
			serve: (*Handler).openAPI, asks: true, answers: map[int]any{http.StatusOK: schema{}}},
		{method: http.MethodGet, path: "/schema.json", about: "The JSON Schema of the configuration.",
			serve: (*Handler).schema, asks: true, answers: map[int]any{http.StatusOK: schema{}}},
		{method: http.MethodGet, path: "/jobs", about: "All jobs: what each rule is at.",
			serve: (*Handler).jobs, asks: true, answers: map[int]any{http.StatusOK: jobsBody{}}},
		{method: http.MethodGet, path: "/jobs/{job}", about: "One job.",
			serve: (*Handler).job, asks: true, answers: map[int]any{http.StatusOK: jobBody{}}},
		{method: http.MethodGet, path: "/jobs/{job}/runs", about: "The runs of a rule, newest first.",
			params: []param{limitParam(maxRuns), cursorParam("The next_cursor of the page before.")},
			serve:  (*Handler).runs, asks: true, answers: map[int]any{http.StatusOK: runsBody{}}},
		{method: http.MethodGet, path: "/jobs/{job}/failures", about: "What could not be replicated, newest first.",
			params: []param{limitParam(maxFailures), cursorParam("The next_cursor of the page before.")},
			serve:  (*Handler).failures, asks: true, answers: map[int]any{http.StatusOK: failuresBody{}}},
		{method: http.MethodGet, path: "/jobs/{job}/transfers", about: "Large objects that are being copied by parts, those first that began first: how far each is, and what it waits for.",
			params: []param{limitParam(maxTransfers), cursorParam("The next_cursor of the page before.")},
			serve:  (*Handler).transfers, asks: true, answers: map[int]any{http.StatusOK: transfersBody{}}},
		{method: http.MethodGet, path: "/jobs/{job}/hours", about: "What was done for a rule in each of the last 24 hours, approximately.",
			serve: (*Handler).hours, asks: true, answers: map[int]any{http.StatusOK: hoursBody{}}},
		{method: http.MethodPost, path: "/jobs/{job}/run-now", about: "Start a run, and wait up to 20 s for its end; 202: it goes on.",
			params: []param{
				{name: "existing", about: "Look at every object, whatever a listing would prove.", schema: schema{"type": "boolean", "default": false}},
				adoptParam,
				{name: "compare", about: "Compare, too, what the rule holds to be in step, as a verification of this mode does, and copy anew what of the rule's own is damaged. It takes the source to be right.", schema: schema{"type": "string", "enum": texts(run.Modes)}},
			},
			serve: (*Handler).runNow, answers: map[int]any{http.StatusOK: runBody{}, http.StatusAccepted: runBody{}}, refuses: conflicts},
		{method: http.MethodPost, path: "/jobs/{job}/pause", about: "Stop the rule, and its run.",
			serve: (*Handler).pause, answers: map[int]any{http.StatusNoContent: nil}, refuses: conflicts},
		{method: http.MethodPost, path: "/jobs/{job}/resume", about: "Let the rule go on, with a full run; 204: there is nothing to make up for.",
			serve: (*Handler).resume, answers: map[int]any{http.StatusAccepted: runBody{}, http.StatusNoContent: nil}, refuses: conflicts},
		{method: http.MethodPost, path: "/jobs/{job}/kill", about: "Cancel the run that is under way.",
			serve: (*Handler).kill, answers: map[int]any{http.StatusAccepted: runBody{}}, refuses: conflicts},
		{method: http.MethodPost, path: "/jobs/{job}/approve-deletes", about: "Let the deletes go that the last run holds.",
			params: []param{{name: "deletes", about: "How many were seen; only that many are let go.", schema: schema{"type": "integer", "minimum": 1, "maximum": int64(maxDeletes)}}},
			serve:  (*Handler).approveDeletes, answers: map[int]any{http.StatusAccepted: runBody{}}, refuses: conflicts},
		{method: http.MethodPost, path: "/jobs/{job}/plan", about: "What a run would do now, of the rule in the body if there is one, which need not exist. Changes nothing.",
			params: []param{cursorParam("The cursor of the answer before, which was not complete."), adoptParam},
			serve:  (*Handler).plan, asks: true, takes: rule.Rule{}, most: maxRuleBody, yaml: true, optional: true,
			answers: map[int]any{http.StatusOK: planBody{}},
			refuses: []int{http.StatusConflict, http.StatusUnprocessableEntity}},
		{method: http.MethodPost, path: "/jobs/{job}/verify", about: "Begin to compare both sides. Repairs nothing.",
			params: []param{
				{name: "mode", about: "What is compared: size, content tag, metadata and object tags; checksums too; or every byte, too.", schema: schema{"type": "string", "enum": texts(run.Modes), "default": run.Metadata}},
				{name: "sample", about: "Compare so many percent of the keys that both sides have, other ones each time.", schema: schema{"type": "integer", "minimum": 1, "maximum": 100, "default": 100}},
			},
			serve: (*Handler).verify, answers: map[int]any{http.StatusAccepted: verifyBody{}}, refuses: conflicts},
		{method: http.MethodGet, path: "/jobs/{job}/verify", about: "The last verification: how far it is, what it found, and what would repair that.",
			serve: (*Handler).verification, asks: true, answers: map[int]any{http.StatusOK: verifyBody{}}},
		{method: http.MethodPost, path: "/jobs/{job}/verify/cancel", about: "Cancel the verification that is under way.",
			serve: (*Handler).cancelVerification, answers: map[int]any{http.StatusAccepted: verifyBody{}}, refuses: conflicts},
		{method: http.MethodGet, path: "/backends", about: "The backends, and which promises of S3 each was seen to keep.",
			serve: (*Handler).backends, asks: true, answers: map[int]any{http.StatusOK: backendsBody{}}},
		{method: http.MethodGet, path: "/rules", about: "All rules, those of the configuration file too.",
			serve: (*Handler).rules, asks: true, answers: map[int]any{http.StatusOK: rulesBody{}}},
		{method: http.MethodGet, path: "/rules/{rule}", about: "One rule; its ETag is its revision. As YAML it is the rule alone, as the configuration file has it.",
			serve: (*Handler).rule, asks: true, answers: one, answersYAML: rule.Rule{}},
		{method: http.MethodPut, path: "/rules/{rule}", about: "Make a rule, or change one that was made here.",
			params: []param{ifMatch, ifNoneMatch},
			serve:  (*Handler).putRule, takes: rule.Rule{}, most: maxRuleBody, yaml: true,
			answers: map[int]any{http.StatusOK: storedBody{}, http.StatusCreated: storedBody{}},
			refuses: []int{http.StatusConflict, http.StatusPreconditionFailed, http.StatusUnprocessableEntity, http.StatusPreconditionRequired}},
		{method: http.MethodDelete, path: "/rules/{rule}", about: "Remove a rule that was made here. What it wrote stays.",
			params: []param{ifMatch, ifNoneMatch},
			serve:  (*Handler).deleteRule, answers: map[int]any{http.StatusNoContent: nil},
			refuses: []int{http.StatusConflict, http.StatusPreconditionFailed, http.StatusPreconditionRequired}},
		{method: http.MethodPost, path: "/rules/validate", about: "What is wrong with a rule, or with a whole configuration. Changes nothing.",
			serve: (*Handler).validate, asks: true, takes: either{rule.Rule{}, rule.Config{}}, most: maxBody, yaml: true,
			answers: map[int]any{http.StatusOK: validBody{}}},
		{method: http.MethodPost, path: "/rules/import", about: "What another product's configuration, JSON or XML, says in our words. Changes nothing.",
			params: []param{
				{name: "format", about: "Whose it is.", required: true, schema: schema{"type": "string", "enum": foreign.Formats()}},
				{name: "bucket", about: "The bucket that it is of.", required: true, schema: schema{"type": "string", "minLength": 1}},
				{name: "names", about: "Buckets by what the text calls them: id=name, and commas between.", schema: schema{"type": "string"}},
			},
			serve: (*Handler).importRules, asks: true, takes: schema{}, most: maxBody,
			answers: map[int]any{http.StatusOK: importBody{}}},
		{method: http.MethodGet, path: "/objects", about: "How one object stands under each rule that concerns it.",
			params: []param{
				{name: "bucket", about: "An alias, or a bucket's own name.", required: true, schema: schema{"type": "string", "minLength": 1}},
				{name: "key", about: "Any bytes, percent-encoded once.", required: true, schema: schema{"type": "string", "minLength": 1, "maxLength": maxKey}},
				{name: "wait", about: "Answer as soon as nothing is about to happen, or after so long: 1s to 20s.", schema: schema{"type": "string", "pattern": "^([1-9]|1[0-9]|20)s$"}},
			},
			serve: (*Handler).object, asks: true, answers: map[int]any{http.StatusOK: objectBody{}}},
	}
}
