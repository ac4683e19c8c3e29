package adminapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// verdict of a verification, in a word.
type verdict string

// The verdicts.
const (
	verdictNever      verdict = "never_verified"
	verdictPending    verdict = "pending"    // nothing differs so far
	verdictDiffers    verdict = "differs"    // so far, if it is under way
	verdictUnproven   verdict = "unproven"   // nothing differs, as far as it could be told
	verdictClean      verdict = "clean"      // every key that was compared is proved to match
	verdictIncomplete verdict = "incomplete" // nothing differs of what was seen, which is not all
)

var verdicts = []verdict{verdictNever, verdictPending, verdictDiffers, verdictUnproven, verdictClean, verdictIncomplete}

// verifyBody is the last verification of a rule; the counts of one under way are
// those so far.
type verifyBody struct {
	VerificationID int64      `json:"verification_id"` // 0: there is none
	Mode           *run.Mode  `json:"mode"`
	SamplePercent  *int64     `json:"sample_percent"` // of the keys that both sides have; null: all
	Status         *run.State `json:"status"`
	Verdict        verdict    `json:"verdict"`
	StartedAt      *time.Time `json:"started_at"`
	EndedAt        *time.Time `json:"ended_at"` // null: under way
	Scanned        int64      `json:"objects_scanned"`
	Expected       *int64     `json:"objects_expected"` // null: nobody knows
	Bytes          int64      `json:"bytes_compared"`   // of each side
	Counts         countsBody `json:"counts"`
	// ByReason counts them by class and reason.
	ByReason map[run.Class]map[string]int64 `json:"by_reason"`
	Samples  []findingBody                  `json:"samples"` // up to 5 of each class, those that match last
	// Repair is what would make good what differs; null: there is nothing to
	// repair.
	Repair *repairBody `json:"repair"`
	Detail string      `json:"detail"` // all of it in a sentence
	Error  *string     `json:"error"`  // why some keys were not seen
}

// countsBody counts keys by class. Not covered are those that are none of the
// rule's, or none of the sample.
type countsBody struct {
	Matched       int64 `json:"matched"`
	MissingOnDest int64 `json:"missing_on_dest"`
	OrphanOnDest  int64 `json:"orphan_on_dest"`
	Mismatch      int64 `json:"mismatch"`
	Unverifiable  int64 `json:"unverifiable"`
	NotCovered    int64 `json:"not_covered"`
}

type findingBody struct {
	destKey
	Class  run.Class `json:"class"`
	Reason string    `json:"reason"`
	Why    string    `json:"why"`
	// RunLeavesIt: it differs, and any run would leave it as it is. Damaged: only a
	// run that compares makes it good.
	RunLeavesIt bool `json:"run_leaves_it"`
	Damaged     bool `json:"damaged"`
}

// repairBody offers a run, the only thing that repairs. Where the listings do not
// show all that it can repair, it compares as the verification did.
type repairBody struct {
	Method  string `json:"method"`
	Path    string `json:"path"`    // under the API's root
	Objects int64  `json:"objects"` // that the run copies or deletes
	Left    int64  `json:"left"`    // that differ, and that it leaves as they are
	Detail  string `json:"detail"`
}

// Compare is the mode of a run that compares; empty: it does not.
func (r repairBody) Compare() string {
	_, mode, _ := strings.Cut(r.Path, compareToo)
	return mode
}

const compareToo = "?compare="

func verifyBodyOf(v run.Run) verifyBody {
	b := verifyBody{
		VerificationID: v.ID, Verdict: verdictOf(v), StartedAt: instant(v.StartedAt), EndedAt: instant(v.EndedAt),
		Scanned: v.Scanned, Bytes: v.Bytes,
		Counts: countsBody{
			v.Of(run.Matched), v.Of(run.MissingOnDest), v.Of(run.OrphanOnDest),
			v.Of(run.Mismatch), v.Of(run.Unverifiable), v.Of(run.NotCovered),
		},
		ByReason: map[run.Class]map[string]int64{}, Samples: []findingBody{},
	}
	if v.ID != 0 {
		b.Mode, b.Status, b.Expected = &v.Mode, &v.State, expected(v)
	}
	if v.Percent != 0 {
		b.SamplePercent = &v.Percent
	}
	if v.Error != "" {
		b.Error = &v.Error
	}
	for g, n := range v.Found {
		if b.ByReason[g.Class] == nil {
			b.ByReason[g.Class] = map[string]int64{}
		}
		b.ByReason[g.Class][g.Reason] += n
	}
	for _, f := range v.Findings {
		b.Samples = append(b.Samples, findingBody{destKeyOf(f.Key), f.Class, f.Reason, f.Why, f.Kept, f.Damaged})
	}
	rank := func(c run.Class) int { return (slices.Index(run.Classes, c) + len(run.Classes) - 1) % len(run.Classes) }
	slices.SortStableFunc(b.Samples, func(x, y findingBody) int { return rank(x.Class) - rank(y.Class) })
	if v.Differences() > 0 && !v.State.Active() {
		b.Repair = repairOf(v)
	}
	b.Detail = verificationIn(v)
	return b
}

func verdictOf(v run.Run) verdict {
	switch {
	case v.ID == 0:
		return verdictNever
	case v.Differences() > 0:
		return verdictDiffers
	case v.State.Active():
		return verdictPending
	case v.State != run.Succeeded:
		return verdictIncomplete
	case v.Of(run.Unverifiable) > 0:
		return verdictUnproven
	default:
		return verdictClean
	}
}

// verificationIn is a verification in a sentence.
func verificationIn(v run.Run) string {
	saw := fmt.Sprintf("%s seen, of which %d match", count(v.Scanned, "key"), v.Of(run.Matched))
	if n := v.Differences(); n > 0 {
		saw += fmt.Sprintf(" and %d differ (%d missing, %d orphaned, %d mismatched)", n, v.Of(run.MissingOnDest), v.Of(run.OrphanOnDest), v.Of(run.Mismatch))
	}
	if n := v.Of(run.Unverifiable); n > 0 {
		saw += fmt.Sprintf("; %d could not be verified", n)
	}
	switch v.State {
	case "":
		return "The rule was never verified."
	case run.Queued:
		return fmt.Sprintf("Verification %d waits for its first worker.", v.ID)
	case run.Running:
		return fmt.Sprintf("Verification %d compares: %s so far.", v.ID, saw)
	case run.Cancelled:
		return fmt.Sprintf("Verification %d was cancelled: %s until then.", v.ID, saw)
	case run.Failed:
		return fmt.Sprintf("Verification %d did not see all keys: %s. %s.", v.ID, strings.TrimSuffix(v.Error, "."), saw)
	default:
		return fmt.Sprintf("Verification %d saw every key: %s.", v.ID, saw)
	}
}

// repairOf is the run that makes good what differs, as far as a run does.
func repairOf(v run.Run) *repairBody {
	r := repairBody{Method: http.MethodPost, Path: "/jobs/" + run.RuleOf(v.Rule) + "/run-now", Left: v.Kept()}
	r.Objects = v.Differences() - r.Left
	damaged := v.Damaged()
	if damaged > 0 {
		r.Path += compareToo + string(v.Mode)
	}
	switch {
	case r.Objects == 0:
		r.Detail = "A run changes nothing about it."
	case damaged > 0:
		r.Detail = fmt.Sprintf("A run that compares by %s, as this did, repairs %s. It takes the source to be right: it copies what is missing or differs, brings up to date what was damaged (%d), and deletes orphans where the rule says so.",
			v.Mode, count(r.Objects, "object"), damaged)
	default:
		r.Detail = fmt.Sprintf("A run copies what is missing or differs, and deletes orphans where the rule says so: %s.", count(r.Objects, "object"))
	}
	if r.Left > 0 {
		r.Detail += fmt.Sprintf(" It leaves %d as they are: the samples say why, and what to do.", r.Left)
	}
	return &r
}

// verify begins a verification. It takes its time, so nobody waits for it.
func (h *Handler) verify(ctx context.Context, r *request) (answer, error) {
	mode := run.Mode(r.word("mode", string(run.Metadata), texts(run.Modes)))
	percent := r.integer("sample", 0, 1, 100)
	if err := r.invalid(); err != nil {
		return answer{}, err
	}
	c, _, err := h.find(ctx, r.rule)
	if err != nil {
		return answer{}, err
	}
	set, err := rule.Compile(c)
	if err != nil {
		return answer{}, err
	}
	a := set.Rule(r.rule)
	if a == nil {
		return answer{}, conflict(codeRuleDisabled, "rule %s is disabled in the configuration", r.rule)
	}
	if percent == 100 {
		percent = 0
	}
	begun, err := h.Runs.Verify(ctx, a, mode, percent)
	if err != nil && begun.ID == 0 {
		return answer{}, err
	}
	if err != nil {
		h.Log.WarnContext(ctx, "tickets not sent: the schedule will", "rule", r.rule, "verification", begun.ID, "error", err)
	}
	return answer{status: http.StatusAccepted, body: verifyBodyOf(begun)}, nil
}

// verification is the last one.
func (h *Handler) verification(ctx context.Context, r *request) (answer, error) {
	if _, _, err := h.find(ctx, r.rule); err != nil {
		return answer{}, err
	}
	last, err := h.Store.Runs(ctx, run.Verifications(r.rule), 0, 1)
	if err == nil {
		err = h.progress(ctx, last)
	}
	if err != nil {
		return answer{}, err
	}
	var v run.Run
	if len(last) > 0 {
		v = last[0]
	}
	return answer{status: http.StatusOK, body: verifyBodyOf(v)}, nil
}

// cancelVerification stops the one that is under way.
func (h *Handler) cancelVerification(ctx context.Context, r *request) (answer, error) {
	if _, _, err := h.find(ctx, r.rule); err != nil {
		return answer{}, err
	}
	name := run.Verifications(r.rule)
	active, err := h.activeRun(ctx, name)
	if err != nil {
		return answer{}, err
	}
	if active == 0 {
		return answer{}, conflict(run.CodeNotActive, "rule %s: no verification is under way", r.rule)
	}
	cancelled, err := h.Runs.Cancel(ctx, name, active)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusAccepted, body: verifyBodyOf(cancelled)}, nil
}
