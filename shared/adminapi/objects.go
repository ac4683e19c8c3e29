package adminapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"bucket-replicator/shared/inspect"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
)

// maxKey is the longest key that S3 takes, in bytes.
const maxKey = 1024

// objectBody is one object and how it stands.
type objectBody struct {
	refBody
	// Rules that concern the object: those that read it first.
	Rules []viewBody `json:"rules"`
}

// refBody is an address, the key as failureBody has it.
type refBody struct {
	Bucket    string `json:"bucket"` // backend/name
	Key       string `json:"key"`
	KeyBase64 string `json:"key_base64,omitempty"`
}

func refBodyOf(at object.Ref) refBody {
	return refBody{Bucket: at.Bucket.String(), Key: at.Key, KeyBase64: base64Of(at.Key)}
}

// viewBody is the object as one rule sees it.
type viewBody struct {
	Rule string `json:"rule"`
	// Role of the object asked for: source or destination.
	Role   string         `json:"role"`
	Status inspect.Status `json:"status"`
	// Next is what would be done now: skip, copy, retag, delete, forget, park
	// or adopt; null where a side cannot be looked at.
	Next *string `json:"next"`
	// Reason for that, as totals and metrics have it.
	Reason *string `json:"reason"`
	// Detail says the reason, or the error, in a sentence.
	Detail      string  `json:"detail"`
	Source      refBody `json:"source"`
	Destination refBody `json:"destination"`
	// Error is what the last attempt failed with, where the rule is not in step.
	Error       *objectErrorBody `json:"error"`
	WillRetryAt *time.Time       `json:"will_retry_at"`
	// Lost names what the replica could not be given, as its backend cannot
	// keep it: metadata, tags, checksum, object_lock and so on.
	Lost []string `json:"lost"`
	// Origin of the object asked for; null: it is not there.
	Origin *originBody `json:"origin"`
	// Transfer of a large object that is being copied by parts; null: none is.
	Transfer *transferBody `json:"transfer"`
}

// transferBody is how far a copy by parts is.
type transferBody struct {
	BegunAt     *time.Time `json:"begun_at"`
	Parts       int        `json:"parts"`
	PartsDone   int        `json:"parts_done"`
	Bytes       int64      `json:"bytes"`
	BytesCopied int64      `json:"bytes_copied"`
}

type objectErrorBody struct {
	Code       string     `json:"code"`
	Message    string     `json:"message"`
	Advice     string     `json:"advice"`
	OccurredAt *time.Time `json:"occurred_at"`
	Attempts   int        `json:"attempts"` // in a row; 0: only this request met it
}

// originBody is where the content was first written.
type originBody struct {
	refBody
	LastModified *time.Time `json:"last_modified"`
	// Chain lists the buckets that the content came through, the origin's first.
	Chain []string `json:"chain"`
}

func viewBodyOf(v inspect.View) viewBody {
	b := viewBody{
		Rule: v.Rule, Role: "destination", Status: v.Status, Detail: v.Reason.Sentence(),
		Source: refBodyOf(v.Source), Destination: refBodyOf(v.Dest), Lost: append([]string{}, v.Lost...),
	}
	if v.AsSource {
		b.Role = "source"
	}
	if v.Reason != "" {
		next, reason := v.Next.String(), string(v.Reason)
		b.Next, b.Reason = &next, &reason
	}
	if f := v.Failure; f != nil {
		if v.Reason == "" {
			b.Detail = f.Advice
		}
		b.Error = &objectErrorBody{f.Code, f.Message, f.Advice, instant(f.OccurredAt), f.Attempts}
		b.WillRetryAt = instant(f.Due())
	}
	if p := v.Transfer; p != nil {
		b.Transfer = &transferBody{instant(p.BegunAt), p.Parts, p.Done, p.Bytes, p.Copied}
	}
	if o := v.Origin; o != nil {
		b.Origin = &originBody{refBody: refBodyOf(o.Ref), LastModified: instant(o.LastModified), Chain: []string{}}
		for _, passed := range o.Chain {
			b.Origin.Chain = append(b.Origin.Chain, passed.String())
		}
	}
	return b
}

// object answers how an object stands under each rule that concerns it; with
// wait, as soon as nothing is about to happen to it any more, or time is up.
func (h *Handler) object(ctx context.Context, r *request) (answer, error) {
	wait := r.duration("wait", time.Second, patience)
	name, key := r.required("bucket"), r.required("key")
	if len(key) > maxKey {
		r.problem("key", "has %d bytes: a key has at most %d", len(key), maxKey)
	}
	if err := r.invalid(); err != nil {
		return answer{}, err
	}
	until := h.until(ctx, wait)
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		at, views, err := h.lookAt(ctx, name, key)
		if err != nil {
			return answer{}, err
		}
		left := until.Sub(h.Now())
		final := !slices.ContainsFunc(views, func(v inspect.View) bool { return !v.Final() })
		if final || wait == 0 || left <= 0 || h.Sleep(ctx, min(pause, left)) != nil {
			body := objectBody{refBody: refBodyOf(at), Rules: make([]viewBody, len(views))}
			for i, v := range views {
				body.Rules[i] = viewBodyOf(v)
			}
			return answer{status: http.StatusOK, body: body}, nil
		}
	}
}

// lookAt looks at an object by the rules as they are now. The look itself tells
// whether they are still those that were known, where it had anything to look at.
func (h *Handler) lookAt(ctx context.Context, name, key string) (object.Ref, []inspect.View, error) {
	rules, err := h.Inspect.Replicator.Known(ctx)
	if err != nil {
		return object.Ref{}, nil, err
	}
	for {
		at := object.Ref{Key: key}
		var views []inspect.View
		if at.Bucket, err = resolve(rules.Storage(), name); err == nil {
			views, err = h.Inspect.Object(ctx, rules, at)
			if err != nil && !errors.Is(err, replicate.ErrRulesChanged) || len(views) > 0 {
				return at, views, err
			}
		}
		now, _, lost := h.Inspect.Replicator.Rules(ctx)
		if lost != nil || now == rules {
			return at, views, errors.Join(lost, err)
		}
		rules = now
	}
}

// resolve is the configured bucket of an alias or else of a physical name.
func resolve(st rule.Storage, name string) (object.Bucket, error) {
	if b, ok := st.Resolve(name); ok {
		return b, nil
	}
	aliases := slices.Sorted(maps.Keys(st.Buckets))
	found := map[object.Bucket][]string{}
	for _, alias := range aliases {
		if b, _ := st.Resolve(alias); b.Name == name {
			found[b] = append(found[b], alias)
		}
	}
	switch len(found) {
	case 1:
		for b := range found {
			return b, nil
		}
	case 0:
		message := fmt.Sprintf("no bucket %q is configured", name)
		if near := rule.Nearest(name, aliases); near != "" {
			message += fmt.Sprintf(": did you mean %q?", near)
		}
		return object.Bucket{}, &refusal{status: http.StatusNotFound, code: codeBucketNotFound, message: message}
	}
	var all []string
	for _, some := range found {
		all = append(all, some...)
	}
	slices.Sort(all)
	return object.Bucket{}, &refusal{
		status: http.StatusBadRequest, code: "InvalidRequest", message: "the request is not valid",
		details: []string{fmt.Sprintf("bucket is the name of several buckets: give one of the aliases %s", strings.Join(all, ", "))},
	}
}
