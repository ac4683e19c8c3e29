package adminapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"bucket-replicator/shared/inspect"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// planBody is what a run would do with what is there now. The numbers are of all
// keys so far, those of the calls before included; the keys are some of those
// that this call came by.
type planBody struct {
	Rule string `json:"rule"`
	// Complete: every key is in the numbers. Otherwise Cursor goes on.
	Complete bool         `json:"complete"`
	Cursor   *string      `json:"cursor"`
	Scanned  int64        `json:"objects_scanned"` // keys that either side has
	Copy     planCopyBody `json:"copy"`
	Delete   planDelBody  `json:"delete"`
	Skip     planSkipBody `json:"skip"`
	// Fail: it is certain that these cannot be copied. What only trying tells
	// is not here.
	Fail planFailBody `json:"fail"`
}

type planCopyBody struct {
	Objects  int64            `json:"objects"`
	Bytes    int64            `json:"bytes"`
	ByReason map[string]int64 `json:"by_reason"`
	Keys     []plannedBody    `json:"keys"`
}

type planDelBody struct {
	Objects int64 `json:"objects"`
	// Held: the run would hold them all for an approval, by max_deletes; null:
	// not known before the plan is complete.
	Held *bool         `json:"held"`
	Keys []plannedBody `json:"keys"`
}

type planSkipBody struct {
	Objects  int64            `json:"objects"`
	ByReason map[string]int64 `json:"by_reason"`
	Keys     []plannedBody    `json:"keys"` // without those in step
}

type planFailBody struct {
	Objects int64             `json:"objects"`
	Keys    []plannedFailBody `json:"keys"`
}

// plannedBody is one key; of failureBody are the names.
type plannedBody struct {
	SourceKey       string `json:"source_key"`
	SourceKeyBase64 string `json:"source_key_base64,omitempty"`
	destKey
	Reason string `json:"reason"`
	Bytes  int64  `json:"bytes,omitempty"`
}

type plannedFailBody struct {
	SourceKey       string `json:"source_key"`
	SourceKeyBase64 string `json:"source_key_base64,omitempty"`
	destKey
	Code  string `json:"code"`
	Error string `json:"error"`
}

func plannedBodies(planned []inspect.Planned) []plannedBody {
	bodies := make([]plannedBody, len(planned))
	for i, p := range planned {
		bodies[i] = plannedBody{
			SourceKey: p.Source.Key, SourceKeyBase64: base64Of(p.Source.Key), destKey: destKeyOf(p.Dest.Key),
			Reason: string(p.Reason), Bytes: p.Bytes,
		}
	}
	return bodies
}

// place is where a plan goes on, and what was counted so far.
type place struct {
	Rule     string           `json:"n"`
	Revision int64            `json:"v"` // of the rules
	After    []byte           `json:"a"`
	Totals   run.Totals       `json:"t"`
	CopiedBy map[string]int64 `json:"c"`
	Adopt    bool             `json:"o,omitempty"`
	Draft    string           `json:"d,omitempty"` // what the draft is told by; empty: the stored rule
}

// hasDraft reports whether the body is a rule. An empty object is what a body is
// that some clients cannot leave out.
func (r *request) hasDraft() bool {
	text := string(bytes.TrimSpace(r.body))
	return text != "" && text != "{}"
}

// drafted is the catalog as it were with the rule that the body has, and what
// tells the draft from others. The draft has to be what PUT would take. That of
// a deployed rule may ask for permissions which its deployment would bring, but
// for those that a look takes.
func (h *Handler) drafted(c rule.Catalog, r *request) (rule.Catalog, string, error) {
	wanted, lines, problems := r.readRule(r.rule)
	if len(problems) == 0 {
		problems = placed(together(c, wanted), lines)
	}
	next := rule.Stored{CreatedAt: h.Now()}
	at := slices.IndexFunc(c.Rules, func(s rule.Stored) bool { return s.Rule.Name == r.rule })
	if at >= 0 {
		next = c.Rules[at]
	}
	takes := wanted
	if next.Deployed {
		takes = rule.Rule{Source: wanted.Source, Destination: wanted.Destination, Tags: wanted.Tags}
	}
	if err := refused(c, takes, problems, lines); err != nil {
		return rule.Catalog{}, "", err
	}
	text, err := json.Marshal(wanted)
	if err != nil {
		return rule.Catalog{}, "", err
	}
	next.Rule = wanted
	c.Rules = slices.Clone(c.Rules)
	if at >= 0 {
		c.Rules[at] = next
	} else {
		c.Rules = append(c.Rules, next)
	}
	return c, fmt.Sprintf("%x", sha256.Sum256(text)), nil
}

// plan is a dry run of the stored rule, or of a draft: it changes nothing.
func (h *Handler) plan(ctx context.Context, r *request) (answer, error) {
	var from place
	if text, ok := r.value("cursor"); ok && !from.read(text) {
		r.problem("cursor", "is %q: give the cursor of the answer before, as it is", shortened(text))
	}
	adopt := r.boolean("adopt") || from.Adopt
	if err := r.invalid(); err != nil {
		return answer{}, err
	}
	c, err := h.current(ctx)
	if err != nil {
		return answer{}, err
	}
	draft := ""
	if r.hasDraft() {
		if c, draft, err = h.drafted(c, r); err != nil {
			return answer{}, err
		}
	}
	stored, err := jobOf(c, r.rule)
	if err != nil {
		return answer{}, err
	}
	if from.Rule != "" && (from.Rule != r.rule || from.Revision != c.Revision || from.Draft != draft) {
		return answer{}, conflict(codeRulesChanged, "rule %s: the rules, or the draft, changed since the plan was begun: begin it again, without the cursor", r.rule)
	}
	so := inspect.Plan{Totals: from.Totals, CopiedBy: from.CopiedBy, After: string(from.After), Adopt: adopt}
	p, err := h.Inspect.Plan(ctx, c, r.rule, so, h.until(ctx, patience))
	var known *object.Error
	switch {
	case errors.As(err, &known) && known.Class == object.Permanent:
		why := replicate.FailureOf(replicate.Outcome{Err: err}, h.Now())
		return answer{}, conflict(codeUnreadable, "rule %s: %s of %s fails with %s. %s", r.rule, known.Op, known.Ref.Bucket, why.Code, why.Advice)
	case err != nil:
		return answer{}, err
	}
	b := planBody{
		Rule: r.rule, Complete: p.Complete, Scanned: p.Scanned,
		Copy:   planCopyBody{p.Copied, p.Bytes, p.CopiedBy, plannedBodies(p.Copies)},
		Delete: planDelBody{Objects: p.Candidates, Keys: plannedBodies(p.Deletes)},
		Skip:   planSkipBody{p.SkippedSum(), p.Skipped, plannedBodies(p.Skips)},
		Fail:   planFailBody{p.Errors, make([]plannedFailBody, len(p.Failures))},
	}
	if b.Skip.ByReason == nil {
		b.Skip.ByReason = map[string]int64{}
	}
	for i, f := range p.Failures {
		b.Fail.Keys[i] = plannedFailBody{
			SourceKey: f.Source.Key, SourceKeyBase64: base64Of(f.Source.Key), destKey: destKeyOf(f.Dest.Key),
			Code: f.Failure.Code, Error: f.Failure.Error(),
		}
	}
	if p.Complete {
		held := p.Held(stored.Rule.MaxDeletes)
		b.Delete.Held = &held
	} else {
		cursor := place{Rule: r.rule, Revision: c.Revision, After: []byte(p.After), Totals: p.Totals, CopiedBy: p.CopiedBy, Adopt: adopt, Draft: draft}.text()
		b.Cursor = &cursor
	}
	return answer{status: http.StatusOK, body: b}, nil
}

func (p place) text() string {
	p.Totals.Sample = nil
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers can always be encoded
	}
	return cursors.EncodeToString(text)
}

// read is the inverse of text; false for what text never made.
func (p *place) read(text string) bool {
	b, err := cursors.DecodeString(text)
	if err != nil {
		return false
	}
	in := json.NewDecoder(bytes.NewReader(b))
	in.DisallowUnknownFields()
	return in.Decode(p) == nil && p.Rule != "" && len(p.After) <= maxKey
}
