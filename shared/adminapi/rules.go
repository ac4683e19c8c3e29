package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/rulefile"
)

// Who owns a rule: the configuration file, or whoever made it here.
const (
	ownerDeploy = "deploy"
	ownerAPI    = "api"
)

const (
	// maxRuleBody and maxBody bound a rule and a whole configuration, in bytes:
	// a stored rule, its text escaped, must fit into one item of 400 KB.
	maxRuleBody = 32 << 10
	maxBody     = 256 << 10
	// maxProblems bounds how many problems are told, so that the answer to any
	// body fits.
	maxProblems = 100
	// putTries bounds how often a change of a rule starts over because others
	// change rules at the same moment.
	putTries = 5
)

// storedBody is a rule as it is stored.
type storedBody struct {
	Name string `json:"name"`
	// Owner is deploy or api: only the API's own rules can be changed here.
	Owner    string `json:"owner"`
	Revision int64  `json:"revision"` // what the ETag is
	Paused   bool   `json:"paused"`
	// CreatedAt is where existing_objects begins.
	CreatedAt *time.Time `json:"created_at"`
	// Uncovered is what a rule of the API lacks since the last deployment: its
	// events, or permissions.
	Uncovered []string  `json:"uncovered"`
	Rule      rule.Rule `json:"rule"`
}

type rulesBody struct {
	Rules []storedBody `json:"rules"`
}

func storedBodyOf(c rule.Catalog, s rule.Stored) storedBody {
	b := storedBody{
		Name: s.Rule.Name, Owner: ownerDeploy, Revision: s.Revision, Paused: s.Paused,
		CreatedAt: instant(s.CreatedAt), Uncovered: []string{}, Rule: s.Rule,
	}
	if !s.Deployed {
		b.Owner = ownerAPI
		b.Uncovered = append(b.Uncovered, linesOf(rule.Uncovered(c, s.Rule))...)
	}
	return b
}

func ruleAnswer(status int, c rule.Catalog, s rule.Stored) answer {
	return answer{status: status, body: storedBodyOf(c, s), etag: strconv.Quote(strconv.FormatInt(s.Revision, 10))}
}

func (h *Handler) rules(ctx context.Context, _ *request) (answer, error) {
	c, err := h.current(ctx)
	if err != nil {
		return answer{}, err
	}
	body := rulesBody{Rules: make([]storedBody, len(c.Rules))}
	for i, s := range c.Rules {
		body.Rules[i] = storedBodyOf(c, s)
	}
	return answer{status: http.StatusOK, body: body}, nil
}

func (h *Handler) rule(ctx context.Context, r *request) (answer, error) {
	c, err := h.current(ctx)
	if err != nil {
		return answer{}, err
	}
	s, err := stored(c, r.rule)
	if err != nil {
		return answer{}, err
	}
	a := ruleAnswer(http.StatusOK, c, s)
	if r.wantsYAML() {
		text, err := rulefile.PrintRule(s.Rule)
		return answer{status: a.status, text: string(text), media: yamlType, etag: a.etag}, err
	}
	return a, nil
}

// stored is the rule of this name.
func stored(c rule.Catalog, name string) (rule.Stored, error) {
	return named(c, name, "rule", codeRuleNotFound)
}

// named is the rule of this name, or the refusal of a request that calls it thing.
func named(c rule.Catalog, name, thing, code string) (rule.Stored, error) {
	names := make([]string, len(c.Rules))
	for i, s := range c.Rules {
		if names[i] = s.Rule.Name; names[i] == name {
			return s, nil
		}
	}
	message := fmt.Sprintf("there is no %s %q", thing, name)
	if near := rule.Nearest(name, names); near != "" {
		message += fmt.Sprintf(": did you mean %q?", near)
	}
	return rule.Stored{}, &refusal{status: http.StatusNotFound, code: code, message: message}
}

// precondition is what a request wants of the rule that it changes.
type precondition struct {
	match string // the tags of If-Match; empty: it is not given
	none  bool   // If-None-Match: *
}

// precondition reads the headers.
// https://www.rfc-editor.org/rfc/rfc9110#section-13.1
func (r *request) precondition() precondition {
	p := precondition{match: strings.TrimSpace(r.header("If-Match"))}
	switch none := strings.TrimSpace(r.header("If-None-Match")); none {
	case "":
	case "*":
		p.none = true
	default:
		r.problem("If-None-Match", "is %q: give *, or leave it out", shortened(none))
	}
	return p
}

// check compares with what is there, nil for nothing.
func (p precondition) check(s *rule.Stored) error {
	failed := func(message string) error {
		return &refusal{status: http.StatusPreconditionFailed, code: "PreconditionFailed", message: message}
	}
	switch {
	case p.none && s != nil:
		return failed("the rule exists already")
	case s == nil && p.match != "":
		return failed("the rule does not exist")
	case s == nil, p.match == "*":
		return nil
	case p.match == "":
		return &refusal{
			status: http.StatusPreconditionRequired, code: "PreconditionRequired",
			message: fmt.Sprintf("the rule exists: send If-Match: \"%d\" to change what you saw", s.Revision),
		}
	}
	for tag := range strings.SplitSeq(p.match, ",") {
		if strings.Trim(strings.TrimSpace(tag), `"`) == strconv.FormatInt(s.Revision, 10) {
			return nil
		}
	}
	return failed(fmt.Sprintf("the rule is at revision %d: look at it again", s.Revision))
}

// changeable is the rule of this name if the API may change it: nil where there
// is none.
func changeable(c rule.Catalog, name string) (*rule.Stored, error) {
	i := slices.IndexFunc(c.Rules, func(s rule.Stored) bool { return s.Rule.Name == name })
	switch {
	case i < 0:
		return nil, nil
	case c.Rules[i].Deployed:
		return nil, conflict(codeRuleDeployed, "rule %s is in the configuration file: change it there and deploy; its pause and its runs are the API's", name)
	default:
		return &c.Rules[i], nil
	}
}

// putRule makes a rule, or changes one that was made here.
func (h *Handler) putRule(ctx context.Context, r *request) (answer, error) {
	wants := r.precondition()
	if len(r.body) == 0 {
		r.problem("body", "is missing: a rule as JSON or YAML")
	}
	if err := r.invalid(); err != nil {
		return answer{}, err
	}
	wanted, lines, unreadable := r.readRule(r.rule)
	for range putTries {
		c, err := h.Catalogs.Catalog(ctx)
		if err != nil {
			return answer{}, err
		}
		was, err := changeable(c, r.rule)
		if err != nil {
			return answer{}, err
		}
		if err := wants.check(was); err != nil {
			return answer{}, err
		}
		problems := unreadable
		if len(problems) == 0 {
			problems = together(c, wanted)
		}
		if err := refused(c, wanted, placed(problems, lines), lines); err != nil {
			return answer{}, err
		}
		status, next, seen := http.StatusCreated, rule.Stored{CreatedAt: h.Now()}, int64(0)
		if was != nil {
			status, next, seen = http.StatusOK, *was, was.Revision
			if same(was.Rule, wanted) {
				return ruleAnswer(status, c, *was), nil
			}
		}
		next.Rule = wanted
		next.Revision, err = h.Catalogs.PutRule(ctx, wanted, seen, c.Revision, next.CreatedAt)
		if err == nil {
			return ruleAnswer(status, c, next), nil
		}
		if object.ClassOf(err) != object.Premise {
			return answer{}, err
		}
	}
	return answer{}, errRulesBusy
}

// refused is the error where the rule has problems, or does what no deployed
// rule is there for.
func refused(c rule.Catalog, wanted rule.Rule, problems []rule.Problem, lines rulefile.Lines) error {
	if details := linesOf(problems); details != nil {
		return &refusal{status: http.StatusBadRequest, code: "InvalidRule", message: "the rule is not valid", details: details}
	}
	if details := linesOf(placed(rule.Uncovered(c, wanted), lines)); details != nil {
		return &refusal{
			status: http.StatusUnprocessableEntity, code: "NotCovered",
			message: "the stack gets no events for this rule, or may not do what it asks: that follows the deployed rules", details: details,
		}
	}
	return nil
}

// errRulesBusy is the answer where others kept changing rules.
var errRulesBusy = &refusal{status: http.StatusServiceUnavailable, code: "Unavailable", message: "others change rules just now: try again"}

// same reports whether both are stored alike.
func same(a, b rule.Rule) bool {
	one, err := json.Marshal(a)
	other, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(one, other)
}

// deleteRule removes a rule that was made here, and stops its run. What it wrote
// stays, and so does the provenance.
func (h *Handler) deleteRule(ctx context.Context, r *request) (answer, error) {
	wants := r.precondition()
	if err := r.invalid(); err != nil {
		return answer{}, err
	}
	for range putTries {
		c, err := h.Catalogs.Catalog(ctx)
		if err != nil {
			return answer{}, err
		}
		if _, err := stored(c, r.rule); err != nil {
			return answer{}, err
		}
		was, err := changeable(c, r.rule)
		if err != nil {
			return answer{}, err
		}
		if err := wants.check(was); err != nil {
			return answer{}, err
		}
		err = h.Catalogs.RemoveRule(ctx, r.rule, was.Revision, c.Revision)
		if err == nil {
			h.memory.remember(rule.Catalog{}, time.Time{})
			// Else the schedule does.
			if _, err := h.stop(ctx, r.rule); err != nil {
				h.Log.WarnContext(ctx, "run not stopped: the schedule will", "rule", r.rule, "error", err)
			}
			return answer{status: http.StatusNoContent}, nil
		}
		if object.ClassOf(err) != object.Premise {
			return answer{}, err
		}
	}
	return answer{}, errRulesBusy
}
