package adminapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// kind of the jobs; a job's id is the kind, a colon and the rule's name.
const kind = "replication"

// The status of a job, one word each. The first that applies counts.
const (
	statusDisabled  = "disabled"  // the configuration switches it off
	statusPaused    = "paused"    // somebody did
	statusNeverRun  = "never_run" // no run is on record
	statusRunning   = "running"   // a run is under way, or waits for its first worker
	statusHeld      = "held"      // the last run's deletes wait for an approval
	statusFailing   = "failing"   // the last run did not see all keys
	statusErrors    = "errors"    // the last run saw all of them, and some objects failed
	statusCancelled = "cancelled" // the last run was
	statusOK        = "ok"
)

// jobsAtOnce bounds the queries that are made at a time.
const jobsAtOnce = 10

// jobBody is a rule as something that is done again and again.
type jobBody struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Scope   string `json:"scope"` // where from and where to
	Enabled bool   `json:"enabled"`
	Paused  bool   `json:"paused"`
	Status  string `json:"status"`
	// StatusRaw is the state of the last run; null: there is none.
	StatusRaw *run.State `json:"status_raw"`
	// Progress of the run under way, else of the last one.
	Progress progressBody `json:"progress"`
	Lifetime lifetimeBody `json:"lifetime"`
	// LargeObjects that are under way, whether a run or an event found them; null:
	// none is.
	LargeObjects *largeObjectsBody `json:"large_objects"`
	// LastRunAt is when the last run began.
	LastRunAt *time.Time `json:"last_run_at"`
	// NextDueAt is when the next run begins by itself; null: it does not.
	NextDueAt *time.Time `json:"next_due_at"`
	// LastError is why the last run failed.
	LastError *string `json:"last_error"`
	// Detail says in a sentence what Status does in a word, and what to do.
	Detail string `json:"detail"`

	// For the page: Detail without the words of the API, how many deletes the
	// last run holds, and whether Progress says how far one under way is.
	sentence string
	held     int64
	soFar    bool
}

type progressBody struct {
	Processed int64  `json:"processed"` // keys
	Total     *int64 `json:"total"`     // keys expected; null: nobody knows
	Bytes     int64  `json:"bytes"`     // copied
	Failed    int64  `json:"failed"`    // objects
	Skipped   int64  `json:"skipped"`   // keys
}

// lifetimeBody sums up all runs since there is such a sum, those too that are no
// longer on record, and the one under way. What events replicated in between is
// not in it.
type lifetimeBody struct {
	Runs      int64      `json:"runs"`
	Since     *time.Time `json:"since"` // when the first of them began
	Processed int64      `json:"processed"`
	Copied    int64      `json:"copied"`
	Skipped   int64      `json:"skipped"`
	Deleted   int64      `json:"deleted"`
	Failed    int64      `json:"failed"`
	Bytes     int64      `json:"bytes"`
}

type jobsBody struct {
	Jobs []jobBody `json:"jobs"`
}

type healthBody struct {
	Status string `json:"status"`
	Rules  int    `json:"rules"`
	// Missing are the promises of S3 that backends were seen not to keep, by
	// the backend's name: there the functions look, act and look again.
	Missing map[string][]object.Capability `json:"missing"`
}

// healthz is well when the rules can be read and used, which all other routes
// and all functions need.
func (h *Handler) healthz(ctx context.Context, _ *request) (answer, error) {
	c, err := h.Catalogs.Catalog(ctx)
	if err == nil {
		_, err = rule.Compile(c)
	}
	if err != nil {
		return answer{}, &refusal{
			status: http.StatusServiceUnavailable, code: "Unavailable",
			message: "the rules cannot be read", cause: err,
		}
	}
	body := healthBody{Status: "ok", Rules: len(c.Rules), Missing: map[string][]object.Capability{}}
	seen, err := h.Capabilities.Capabilities(ctx)
	if err != nil {
		return answer{}, err
	}
	for _, b := range backendsOf(c.Storage, seen) {
		for _, one := range b.Capabilities {
			if one.Status == "missing" {
				body.Missing[b.Name] = append(body.Missing[b.Name], one.Name)
			}
		}
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// jobs lists all jobs. To the page it does not say how far the runs under way
// have come: their rows ask for that.
func (h *Handler) jobs(ctx context.Context, r *request) (answer, error) {
	all := func(c rule.Catalog) ([]rule.Stored, error) { return c.Rules, nil }
	list, err := h.describe(ctx, all, r.header("Accept") != fragment)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: jobsBody{list}}, nil
}

func (h *Handler) job(ctx context.Context, r *request) (answer, error) {
	one := func(c rule.Catalog) ([]rule.Stored, error) {
		s, err := jobOf(c, r.rule)
		if err != nil {
			return nil, err
		}
		return []rule.Stored{s}, nil
	}
	list, err := h.describe(ctx, one, true)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: list[0]}, nil
}

// find answers the rule of this name, and the catalog that it stands in.
func (h *Handler) find(ctx context.Context, name string) (rule.Catalog, rule.Stored, error) {
	c, err := h.load(ctx)
	if err != nil {
		return rule.Catalog{}, rule.Stored{}, err
	}
	s, err := jobOf(c, name)
	if err != nil {
		return rule.Catalog{}, rule.Stored{}, err
	}
	return c, s, nil
}

// jobOf is the rule of this name, as a job.
func jobOf(c rule.Catalog, name string) (rule.Stored, error) {
	return named(c, name, "job", codeJobNotFound)
}

// describe answers the jobs of some rules, in their order. It costs a batched
// read, now and then a query for the large objects, and, to tell how far the runs
// under way have come, a query for each.
func (h *Handler) describe(ctx context.Context, of func(rule.Catalog) ([]rule.Stored, error), soFar bool) ([]jobBody, error) {
	c, rules, o, err := h.overview(ctx, of)
	if err != nil {
		return nil, err
	}
	large, err := h.moving(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]jobBody, len(rules))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(jobsAtOnce)
	for i, s := range rules {
		last, life := o.Runs[s.Rule.Name], o.Lifetimes[s.Rule.Name]
		group.Go(func() error {
			now := last
			if soFar {
				var err error
				if now, err = h.Runs.Progress(ctx, last); err != nil {
					return err
				}
			}
			if last.State.Active() {
				life = life.Ends(last, now) // as if it did now
			}
			list[i] = h.view(c.Storage, s, o.Jobs[s.Rule.Name], now, life, large.sum(s.Rule.Name, 0, s.Paused, h.Now()), soFar)
			return nil
		})
	}
	return list, group.Wait()
}

// progress puts the totals so far into the runs that are under way.
func (h *Handler) progress(ctx context.Context, runs []run.Run) error {
	for i := range runs {
		var err error
		if runs[i], err = h.Runs.Progress(ctx, runs[i]); err != nil {
			return err
		}
	}
	return nil
}

// view is a job, by its last run, of which soFar tells whether the totals are
// known while it goes on, and by its large objects.
func (h *Handler) view(st rule.Storage, s rule.Stored, j run.Job, last run.Run, life run.Lifetime, large *largeObjectsBody, soFar bool) jobBody {
	a := rule.Active{Rule: s.Rule}
	a.SourceBucket, _ = st.Resolve(s.Rule.Source.Bucket)
	a.DestBucket, _ = st.Resolve(s.Rule.Destination.Bucket)
	b := jobBody{
		ID: kind + ":" + s.Rule.Name, Kind: kind, Name: s.Rule.Name, Scope: run.ScopeOf(&a),
		Enabled: st.Replication.Enabled && s.Rule.Enabled, Paused: s.Paused,
		Lifetime: lifetimeBody{
			Runs: life.Runs, Since: instant(life.Since), Processed: life.Scanned, Copied: life.Copied, Skipped: life.Skipped,
			Deleted: life.Deleted, Failed: life.Errors, Bytes: life.Bytes,
		},
		LargeObjects: large,
		soFar:        soFar || !last.State.Active(),
	}
	if last.ID != 0 {
		b.StatusRaw = &last.State
		b.LastRunAt = instant(last.StartedAt)
		if last.Error != "" {
			b.LastError = &last.Error
		}
	}
	b.Progress = progressBody{
		Processed: last.Scanned, Total: expected(last), Bytes: last.Bytes,
		Failed: last.Errors, Skipped: last.SkippedSum(),
	}
	if b.Enabled && !b.Paused {
		due := j.NextDue
		if due.IsZero() {
			due = h.Now()
		}
		b.NextDueAt = instant(due)
	}
	if last.State == run.DeletesHeld {
		b.held = last.Held
	}
	var hint string
	b.Status, b.sentence, hint = status(b, s.Rule, last, h.Now())
	b.Detail = b.sentence + hint
	if told := large.sentence(); told != "" {
		b.Detail += fmt.Sprintf("%s GET /jobs/%s/transfers says how far each is.", told, s.Rule.Name)
	}
	return b
}

// expected is how many keys a run will have scanned at its end, nil where
// nobody knows.
func expected(r run.Run) *int64 {
	complete := []run.State{run.Succeeded, run.CompletedWithErrors, run.DeletesHeld}
	switch {
	case r.Phase.Deletes() || slices.Contains(complete, r.State):
		return &r.Scanned
	case r.Expected >= r.Scanned && r.Expected > 0:
		return &r.Expected
	default: // what was expected is exceeded, or never was
		return nil
	}
}

// status is a job in a word and in a sentence, and where the API helps further.
func status(b jobBody, r rule.Rule, last run.Run, now time.Time) (word, sentence, hint string) {
	switch {
	case !b.Enabled:
		return statusDisabled, "The configuration switches the rule, or all replication, off (enabled: false).", ""
	case b.Paused:
		return statusPaused, "Nothing is replicated until somebody resumes the rule, which starts a full run.", ""
	}
	if last.State.Active() && !r.Limits.Open(now) {
		return statusRunning, fmt.Sprintf("Run %d waits for the rule's window, %s UTC; %s scanned so far.", last.ID, r.Limits.Window, count(last.Scanned, "key")), ""
	}
	switch last.State {
	case "":
		return statusNeverRun, "No run is on record; the first begins by itself.", ""
	case run.Queued:
		return statusRunning, fmt.Sprintf("Run %d waits for its first worker.", last.ID), ""
	case run.Running:
		doing := "compares and copies"
		if last.Phase.Deletes() {
			doing = "deletes"
		}
		if !b.soFar {
			return statusRunning, fmt.Sprintf("Run %d %s.", last.ID, doing), ""
		}
		return statusRunning, fmt.Sprintf("Run %d %s; %s scanned so far.", last.ID, doing, count(last.Scanned, "key")), ""
	case run.DeletesHeld:
		return statusHeld, held(r, last),
			fmt.Sprintf(" If that is right, POST to /jobs/%s/approve-deletes?deletes=%d; if not, put the source right, and the next run looks again.", r.Name, last.Held)
	case run.Failed:
		return statusFailing, fmt.Sprintf("Run %d did not see all keys: %s. It is tried again by itself.", last.ID, last.Error), ""
	case run.CompletedWithErrors:
		return statusErrors, fmt.Sprintf("Run %d saw every key, but %s failed", last.ID, count(last.Errors, "object")),
			fmt.Sprintf(": see /jobs/%s/failures for why, and what to do.", r.Name)
	case run.Cancelled:
		return statusCancelled, fmt.Sprintf("Run %d was cancelled; what it had not come to is left to the next one.", last.ID), ""
	default:
		sentence = fmt.Sprintf("Run %d saw every key: %s, %s copied, %d deleted.",
			last.ID, count(last.Scanned, "key"), count(last.Copied, "object"), last.Deleted)
		if large := last.Skipped[string(decide.Transferring)]; large > 0 {
			sentence += fmt.Sprintf(" It left %s to be copied by parts.", count(large, "large object"))
		}
		return statusOK, sentence, ""
	}
}

// held says why deletes are held, and which.
func held(r rule.Rule, last run.Run) string {
	var why string
	switch {
	case last.Phase.Deletes():
		why = "they came on top of those that were allowed"
	case last.Sources == 0:
		why = "the source has no object at all"
	default:
		why = fmt.Sprintf("max_deletes allows %d, and %d percent of the keys", r.MaxDeletes.Count, r.MaxDeletes.Percent)
	}
	var sample strings.Builder
	for i, key := range last.Sample[:min(len(last.Sample), 3)] {
		fmt.Fprintf(&sample, "%s%q", [...]string{", such as ", ", ", ", "}[i], key)
	}
	return fmt.Sprintf("Run %d holds %s%s: %s.", last.ID, count(last.Held, "delete"), sample.String(), why)
}

// count is a number of things: "1 key", "2 keys".
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// instant is a time in UTC, as precise as it is stored; nil for none.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}
