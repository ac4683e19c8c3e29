// Package inspect answers what replication is at, and what it would do, without
// doing any of it: the state of one object under each rule that concerns it, and
// a dry run of a rule. It decides by the code that events and runs go by.
package inspect

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/parts"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/transfer"
)

// Failures finds what is recorded of one source object under a rule; false where
// nothing is. It fails with an *object.Error.
type Failures interface {
	Failure(ctx context.Context, rule string, source object.Ref) (object.Failure, bool, error)
}

// Transfers finds the copy by parts that is under way to an address, the zero one
// where there is none, and the parts of it that somebody claimed. It fails with
// an *object.Error.
type Transfers interface {
	Transfer(ctx context.Context, to object.Ref) (object.Transfer, error)
	Parts(ctx context.Context, tr object.Transfer) ([]transfer.Part, error)
}

// maxKey is the longest key that S3 takes, in bytes.
const maxKey = 1024

// Inspector may be used concurrently. The fields are not to be changed once it
// is in use.
type Inspector struct {
	Replicator *replicate.Replicator
	Failures   Failures
	Transfers  Transfers
	Lister     Lister
	Now        func() time.Time
	// Slots bounds how many objects are looked at, at a time.
	Slots chan struct{}
}

// Status is how one object stands under one rule.
type Status string

// The statuses.
const (
	// Pending: a copy or a delete follows, or somebody is at it.
	Pending Status = "PENDING"
	// Completed: the destination holds what the source does.
	Completed Status = "COMPLETED"
	// Failed: a copy or a delete should follow, and was tried in vain.
	Failed Status = "FAILED"
	// Replica: seen from the destination, the object there is our write.
	Replica Status = "REPLICA"
	// Skipped: nothing follows, though the two sides may differ; the reason
	// says why.
	Skipped Status = "SKIPPED"
)

// Statuses are all of them.
var Statuses = []Status{Pending, Completed, Failed, Replica, Skipped}

// View is one object as one rule sees it.
type View struct {
	Rule         string
	Source, Dest object.Ref
	// AsSource: the object asked for is the source; else the destination.
	AsSource bool
	Status   Status
	// Next is what would be done, and Reason why. Both are empty where a side
	// cannot be looked at; Failure says why then.
	Next   decide.Action
	Reason decide.Reason
	// Failure that is in the way: as it was recorded, or as this look met it.
	Failure *object.Failure
	// Lost names what the replica that is there could not be given.
	Lost []string
	// Origin of the object asked for, if it is there: where its content was
	// first written, when, and what buckets it came through. Nil where it is not.
	Origin *object.Origin
	// Transfer is how far a large object is that is being copied by parts; nil
	// where none is.
	Transfer *Progress
}

// Progress of a copy by parts.
type Progress struct {
	BegunAt     time.Time
	Parts, Done int
	// Bytes of the object, and of the parts that are done.
	Bytes, Copied int64
}

// Final reports whether nothing is about to happen by itself: nothing is to be
// done, or it was tried in vain.
func (v View) Final() bool {
	return v.Failure != nil || v.Reason != decide.Busy && v.Reason != decide.Closed && !acts(v.Next)
}

func acts(a decide.Action) bool {
	return a == decide.Copy || a == decide.Delete || a == decide.Retag
}

// Object answers how the object stands under each rule that reads it, then each
// that writes it, both in the order of their priority. It looks at both sides of
// each, and at the ledger, with consistent reads. A rule that is not on concerns
// nothing.
//
// A side that cannot be looked at until somebody changes something is no error:
// it is what the rule fails with, too. Rules that are no longer those that the
// Replicator knows are replicate.ErrRulesChanged, unless they concern nothing.
func (i *Inspector) Object(ctx context.Context, rules *rule.Set, at object.Ref) ([]View, error) {
	var concerns []replicate.Concern
	for _, m := range rules.Match(at) {
		concerns = append(concerns, replicate.Concern{Match: m, Source: at})
	}
	asSource := len(concerns)
	for _, a := range rules.Rules() {
		if a.DestBucket != at.Bucket {
			continue
		}
		if source, ok := a.SourceOf(at.Key); ok && source.Key != "" && len(source.Key) <= maxKey {
			concerns = append(concerns, replicate.Concern{Match: rules.MatchOf(a, source.Key), Source: source})
		}
	}
	if len(concerns) == 0 {
		return nil, nil
	}
	seen, err := i.Replicator.Look(ctx, rules, concerns, cap(i.Slots))
	if err != nil {
		return nil, err
	}
	views := make([]View, len(concerns))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, cap(i.Slots)))
	for n, c := range concerns {
		group.Go(func() (err error) {
			views[n], err = i.view(ctx, c, seen[n], n < asSource)
			return err
		})
	}
	return views, group.Wait()
}

func (i *Inspector) view(ctx context.Context, c replicate.Concern, s replicate.Outlook, asSource bool) (View, error) {
	v := View{Rule: c.Match.Rule.Name, Source: c.Source, Dest: c.Match.Dest, AsSource: asSource}
	if s.Err != nil && object.ClassOf(s.Err) != object.Permanent {
		return View{}, s.Err
	}
	failure, failed, lost := i.Failures.Failure(ctx, v.Rule, v.Source)
	switch {
	case lost != nil:
		return View{}, lost
	case s.Err != nil && !failed:
		failure = replicate.FailureOf(replicate.Outcome{Rule: v.Rule, Source: v.Source, Dest: v.Dest, Err: s.Err}, i.Now())
		failure.RetryAt = time.Time{} // nothing recorded is tried again
		failed = true
	}
	if failed && (s.Err != nil || acts(s.Plan.Action)) {
		v.Failure = &failure
	}
	if s.Err == nil {
		v.Next, v.Reason = s.Plan.Action, s.Plan.Reason
		v.Origin = origin(s.Input, asSource)
		if b := s.Input.Base; b.Rule == v.Rule && b.Describes(s.Input.Dest) {
			v.Lost = b.Lost
		}
		if s.Plan.Action == decide.Copy && s.Input.Source.Size >= parts.MinSize { // no smaller one is copied by parts
			var err error
			if v.Transfer, err = i.progress(ctx, v); err != nil {
				return View{}, err
			}
		}
	}
	v.Status = status(v, s.Input)
	return v, nil
}

// progress is how far the copy by parts is that is under way for the view's rule.
func (i *Inspector) progress(ctx context.Context, v View) (*Progress, error) {
	tr, err := i.Transfers.Transfer(ctx, v.Dest)
	if err != nil || tr.ID == "" || tr.Rule != v.Rule || tr.From != v.Source {
		return nil, err
	}
	known, err := i.Transfers.Parts(ctx, tr)
	if err != nil {
		return nil, err
	}
	done := transfer.Count(tr, known, i.Now())
	return &Progress{BegunAt: tr.BegunAt, Parts: transfer.Layout(tr).Count(), Done: done.Parts, Bytes: tr.Size, Copied: done.Bytes}, nil
}

// status is a view in a word. The first that applies counts.
func status(v View, in decide.Input) Status {
	switch {
	case !v.AsSource && in.Base.Rule == v.Rule && in.Base.Describes(in.Dest):
		return Replica
	case v.Failure != nil:
		return Failed
	case !v.Final():
		return Pending
	case slices.Contains([]decide.Reason{decide.InSync, decide.Identical}, v.Reason):
		return Completed
	default:
		return Skipped
	}
}

func origin(in decide.Input, asSource bool) *object.Origin {
	at, found, base := in.To, in.Dest, in.Base
	if asSource {
		at, found, base = in.From, in.Source, in.SourceBase
	}
	if found.Presence != object.Present {
		return nil
	}
	o := base.OriginOf(at, found, in.LeaseTTL)
	return &o
}
