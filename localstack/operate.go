package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/humanize"
	"bucket-replicator/shared/run"
)

// What the API answers, as far as people are told.
type (
	jobAnswer struct {
		Name     string `json:"name"`
		Scope    string `json:"scope"`
		Status   string `json:"status"`
		Progress struct {
			Processed int64 `json:"processed"`
			Total     int64 `json:"total"` // 0: nobody knows
		} `json:"progress"`
		Large     large     `json:"large_objects"`
		LastRunAt time.Time `json:"last_run_at"` // the zero time stands for null, here and below
		NextDueAt time.Time `json:"next_due_at"`
		Detail    string    `json:"detail"`
	}
	runAnswer struct {
		ID        int64            `json:"run_id"`
		Status    run.State        `json:"status"`
		Trigger   string           `json:"trigger"`
		StartedAt time.Time        `json:"started_at"`
		EndedAt   time.Time        `json:"ended_at"`
		Scanned   int64            `json:"objects_scanned"`
		Copied    int64            `json:"objects_copied"`
		Skipped   int64            `json:"objects_skipped"`
		Deleted   int64            `json:"objects_deleted"`
		Bytes     int64            `json:"bytes_copied"`
		Errors    int64            `json:"errors"`
		Held      int64            `json:"deletes_held"`
		Adopt     bool             `json:"adopt"`
		ByReason  map[string]int64 `json:"skipped_by_reason"`
		Large     large            `json:"large_objects"`
		Error     string           `json:"error"`
	}
	transferAnswer struct {
		Source struct {
			Key string `json:"key"`
		} `json:"source"`
		Status         string    `json:"status"`
		Detail         string    `json:"detail"`
		Parts          int       `json:"parts"`
		PartsDone      int       `json:"parts_done"`
		Bytes          int64     `json:"bytes"`
		Copied         int64     `json:"bytes_copied"`
		BegunAt        time.Time `json:"begun_at"`
		LastProgressAt time.Time `json:"last_progress_at"`
		WillRetryAt    time.Time `json:"will_retry_at"`
	}
	failureAnswer struct {
		OccurredAt  time.Time `json:"occurred_at"`
		SourceKey   string    `json:"source_key"`
		Code        string    `json:"code"`
		Error       string    `json:"error"`
		Advice      string    `json:"advice"`
		WillRetryAt time.Time `json:"will_retry_at"`
	}
)

// operator does at the admin API what a person asks for, and tells what came
// of it.
type operator struct {
	admin
	json bool   // tell it in the API's own words
	mode string // of a verification
	// compare is the mode by which a run compares what is in step; empty: it does not.
	compare string
	out     io.Writer
	notes   io.Writer // where it is done, and how it goes on
	now     func() time.Time
	poll    time.Duration // between two looks at a run that takes its time
}

// operations are the commands; all but jobs concern one rule.
var operations = map[string]func(operator, context.Context, string) error{
	"jobs":      operator.jobs,
	"run":       operator.run,
	"adopt":     operator.adopt,
	"runs":      operator.runs,
	"transfers": operator.transfers,
	"failures":  operator.failures,
	"pause":     operator.pause,
	"resume":    operator.resume,
	"kill":      operator.kill,
	"approve":   operator.approve,
	"verify":    operator.verify,
}

// operate runs a command with its flags and its rule.
func (o operator) operate(ctx context.Context, command string, args []string) error {
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	stack := flags.String("stack", stackName(), "name of the stack")
	flags.BoolVar(&o.json, "json", false, "print what the API answers, as it comes")
	flags.StringVar(&o.mode, "mode", "", "what verify compares: metadata, checksum or bytes")
	flags.StringVar(&o.compare, "compare", "", "what run compares, too, of what is in step: metadata, checksum or bytes")
	_ = flags.Parse(args) // exits on error
	var err error
	if o.admin, err = findAdmin(ctx, *stack); err != nil {
		return err
	}
	fmt.Fprintln(o.notes, "at", o.place)
	rule := flags.Arg(0)
	if rule == "" && command != "jobs" {
		return o.whichRule(ctx, command)
	}
	return operations[command](o, ctx, rule)
}

// whichRule is the error of a command that was given no rule.
func (o operator) whichRule(ctx context.Context, command string) error {
	var list struct{ Jobs []jobAnswer }
	if _, err := o.get(ctx, "/jobs", &list); err != nil {
		return fmt.Errorf("which rule? make %s RULE=name (they cannot be listed: %w)", command, err)
	}
	var names []string
	for _, j := range list.Jobs {
		names = append(names, j.Name)
	}
	if len(names) == 0 {
		return errors.New("no rules are deployed")
	}
	return fmt.Errorf("which rule? make %s RULE=name, one of: %s", command, strings.Join(names, " "))
}

func (o operator) jobs(ctx context.Context, _ string) error {
	var list struct{ Jobs []jobAnswer }
	answer, err := o.get(ctx, "/jobs", &list)
	if err != nil || o.told(answer) {
		return err
	}
	rows := [][]string{{"RULE", "STATUS", "LAST RUN", "NEXT RUN", "SCOPE"}}
	for _, j := range list.Jobs {
		status := j.Status
		if j.Progress.Total > 0 && status == "running" {
			status += fmt.Sprintf(" %d%%", 100*j.Progress.Processed/j.Progress.Total)
		}
		next := o.when(j.NextDueAt, "-")
		if !j.NextDueAt.IsZero() && !j.NextDueAt.After(o.now()) {
			next = "now"
		}
		rows = append(rows, []string{j.Name, status, o.when(j.LastRunAt, "-"), next, j.Scope})
		if j.Status != "ok" || j.Large.Objects > 0 {
			rows = append(rows, []string{"  " + j.Detail})
		}
	}
	return o.table(rows)
}

// run starts a run and waits for its end. It is an error unless that is well.
func (o operator) run(ctx context.Context, rule string) error {
	what := "/run-now"
	if o.compare != "" {
		what += "?compare=" + url.QueryEscape(o.compare)
	}
	return o.start(ctx, rule, what)
}

// adopt is a run that takes over what another replication left.
func (o operator) adopt(ctx context.Context, rule string) error {
	return o.start(ctx, rule, "/run-now?adopt=true")
}

func (o operator) start(ctx context.Context, rule, what string) error {
	o.show("run-now")
	_, answer, err := o.call(ctx, http.MethodPost, jobPath(rule, what))
	if err != nil {
		return err
	}
	return o.follow(ctx, rule, answer)
}

// follow waits for the end of the run that an answer is about, and tells of it.
func (o operator) follow(ctx context.Context, rule string, answer []byte) error {
	var r runAnswer
	if err := json.Unmarshal(answer, &r); err != nil {
		return err
	}
	for r.Status.Active() {
		o.show("run %d is %s: %d keys seen, %d copied (%s), %d deleted%s", r.ID, r.Status, r.Scanned, r.Copied, humanize.Bytes(r.Bytes), r.Deleted, r.Large.after("; "))
		select {
		case <-ctx.Done():
			return fmt.Errorf("run %d goes on; make runs RULE=%s tells how it is", r.ID, rule)
		case <-time.After(o.poll):
		}
		var list struct{ Runs []json.RawMessage }
		if _, err := o.get(ctx, jobPath(rule, "/runs"), &list); err != nil {
			return err
		}
		i := slices.IndexFunc(list.Runs, func(text json.RawMessage) bool {
			var found runAnswer
			return json.Unmarshal(text, &found) == nil && found.ID == r.ID
		})
		if i < 0 {
			return fmt.Errorf("run %d of %s is not on record any more", r.ID, rule)
		}
		answer, r = list.Runs[i], runAnswer{}
		if err := json.Unmarshal(answer, &r); err != nil {
			return err
		}
	}
	o.show("")
	if !o.told(answer) {
		fmt.Fprintln(o.out, r)
	}
	switch r.Status {
	case run.Succeeded:
		return nil
	case run.CompletedWithErrors:
		return fmt.Errorf("make failures RULE=%s says what failed, and what to do", rule)
	case run.DeletesHeld:
		return fmt.Errorf("%d deletes are held: make jobs says why, make approve RULE=%s lets them go", r.Held, rule)
	default:
		return errors.New(cmp.Or(r.Error, "it did not come to its end"))
	}
}

func (r runAnswer) String() string {
	adopted, large := "", ""
	if r.Adopt {
		adopted = fmt.Sprintf(" (%d of them adopted)", r.ByReason[string(decide.Adopted)])
	}
	if n := r.ByReason[string(decide.Transferring)]; n > 0 {
		large = fmt.Sprintf("; large objects left to be copied by parts: %d", n)
	}
	return fmt.Sprintf("run %d %s: %d keys seen, %d copied (%s), %d skipped%s, %d deleted, %d failed%s",
		r.ID, words(r.Status), r.Scanned, r.Copied, humanize.Bytes(r.Bytes), r.Skipped, adopted, r.Deleted, r.Errors, large)
}

func (o operator) runs(ctx context.Context, rule string) error {
	var list struct{ Runs []runAnswer }
	answer, err := o.get(ctx, jobPath(rule, "/runs"), &list)
	if err != nil || o.told(answer) {
		return err
	}
	rows := [][]string{{"RUN", "STATUS", "WHY", "STARTED", "TOOK", "SEEN", "COPIED", "BYTES", "SKIPPED", "DELETED", "FAILED"}}
	for _, r := range list.Runs {
		took := "-"
		if !r.EndedAt.IsZero() {
			took = humanize.Duration(r.EndedAt.Sub(r.StartedAt))
		}
		rows = append(rows, []string{
			fmt.Sprint(r.ID), words(r.Status), r.Trigger, o.when(r.StartedAt, "-"), took, fmt.Sprint(r.Scanned),
			fmt.Sprint(r.Copied), humanize.Bytes(r.Bytes), fmt.Sprint(r.Skipped), fmt.Sprint(r.Deleted), fmt.Sprint(r.Errors),
		})
		if line := r.Large.after("  "); line != "" {
			rows = append(rows, []string{line})
		}
	}
	return o.table(rows)
}

// transfers tells of the large objects that are under way, those first that began
// first.
func (o operator) transfers(ctx context.Context, rule string) error {
	var list struct{ Transfers []transferAnswer }
	answer, err := o.get(ctx, jobPath(rule, "/transfers?limit=100"), &list)
	if err != nil || o.told(answer) {
		return err
	}
	rows := [][]string{{"KEY", "STATUS", "DONE", "OF", "PARTS", "BEGUN", "LAST PROGRESS", "INVITED AGAIN"}}
	for _, t := range list.Transfers {
		again := o.when(t.WillRetryAt, "-")
		if !t.WillRetryAt.IsZero() && !t.WillRetryAt.After(o.now()) {
			again = "within a minute"
		}
		rows = append(rows,
			[]string{fmt.Sprintf("%q", t.Source.Key), t.Status, humanize.Percent(t.Copied, t.Bytes), humanize.Bytes(t.Bytes), fmt.Sprintf("%d/%d", t.PartsDone, t.Parts),
				o.when(t.BegunAt, "-"), o.when(t.LastProgressAt, "-"), again},
			[]string{"  " + t.Detail})
	}
	return o.table(rows)
}

func (o operator) failures(ctx context.Context, rule string) error {
	var list struct{ Failures []failureAnswer }
	answer, err := o.get(ctx, jobPath(rule, "/failures"), &list)
	if err != nil || o.told(answer) {
		return err
	}
	rows := [][]string{{"KEY", "CODE", "FAILED", "NEXT TRY"}}
	for _, f := range list.Failures {
		rows = append(rows,
			[]string{fmt.Sprintf("%q", f.SourceKey), f.Code, o.when(f.OccurredAt, "-"), o.when(f.WillRetryAt, "when somebody acts")},
			[]string{"  " + f.Advice},
			[]string{"  " + f.Error})
	}
	return o.table(rows)
}

func (o operator) pause(ctx context.Context, rule string) error {
	return o.change(ctx, rule, "/pause", "paused: nothing is replicated until somebody resumes it")
}

func (o operator) resume(ctx context.Context, rule string) error {
	return o.change(ctx, rule, "/resume", "resumed")
}

func (o operator) kill(ctx context.Context, rule string) error {
	return o.change(ctx, rule, "/kill", "cancelled")
}

// approve lets as many deletes go as are held now.
func (o operator) approve(ctx context.Context, rule string) error {
	var list struct{ Runs []runAnswer }
	if _, err := o.get(ctx, jobPath(rule, "/runs?limit=1"), &list); err != nil {
		return err
	}
	what := "/approve-deletes"
	if len(list.Runs) > 0 && list.Runs[0].Held > 0 {
		what += fmt.Sprintf("?deletes=%d", list.Runs[0].Held)
	}
	return o.change(ctx, rule, what, "approved")
}

// change asks for something that has an effect, and tells the run that it is
// about, if any.
func (o operator) change(ctx context.Context, rule, what, done string) error {
	status, answer, err := o.call(ctx, http.MethodPost, jobPath(rule, what))
	if err != nil || o.told(answer) {
		return err
	}
	fmt.Fprintf(o.out, "%s: %s\n", rule, done)
	if status != http.StatusAccepted {
		return nil
	}
	var r runAnswer
	if err := json.Unmarshal(answer, &r); err != nil {
		return err
	}
	fmt.Fprintln(o.out, r)
	return nil
}

// jobPath is what follows /jobs for one rule. The API takes the rule's name for
// the job's id, which has a colon that not everybody signs alike.
func jobPath(rule, what string) string { return "/jobs/" + url.PathEscape(rule) + what }
