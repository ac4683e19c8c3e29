package adminapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"bucket-replicator/shared/humanize"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/transfer"
)

const (
	maxTransfers = 100
	// summed is how many large objects of all rules are summed up at most: about
	// one query's worth.
	summed = 500
	// fresh is how long the sums are shown as they were: workers count their parts
	// no more often than that.
	fresh = 10 * time.Second
)

// The status of a large object, one word each. The first that applies counts.
const (
	transferPaused     = "paused"     // its rule is
	transferHeld       = "held"       // by its rule's limits
	transferStalled    = "stalled"    // no worker is heard of, or none got a part done
	transferQueued     = "queued"     // no worker has begun it
	transferCompleting = "completing" // all parts are done
	transferCopying    = "copying"
)

var transferStatuses = []transferStatus{transferPaused, transferHeld, transferStalled, transferQueued, transferCompleting, transferCopying}

type transferStatus string

type transfersBody struct {
	Transfers []largeObjectBody `json:"transfers"`
	// NextCursor asks for the page that follows; null: there is none.
	NextCursor *string `json:"next_cursor"`
}

// largeObjectBody is a large object that is being copied by parts.
type largeObjectBody struct {
	Source      refBody `json:"source"`
	Destination refBody `json:"destination"`
	RunID       *int64  `json:"run_id"` // that found it; null: an event did
	// How far it was at CountedAt; null: nobody counted yet, which somebody does
	// from the first quarter of a minute on.
	transferBody
	CountedAt *time.Time `json:"counted_at"`
	// LastProgressAt is when a worker last told that a part was done; each does
	// four times a minute.
	LastProgressAt *time.Time     `json:"last_progress_at"`
	Status         transferStatus `json:"status"`
	// Detail says in a sentence what it waits for.
	Detail string `json:"detail"`
	// LastError is what a worker met since a part was last done.
	LastError *string `json:"last_error"`
	// Tries is how often workers were invited again since then.
	Tries int `json:"tries"`
	// WillRetryAt is when they are again, if nobody is heard of before; null:
	// workers are at it, or it waits for somebody.
	WillRetryAt *time.Time `json:"will_retry_at"`
}

// largeObjectsBody sums up large objects that are being copied by parts.
type largeObjectsBody struct {
	Objects int64 `json:"objects"`
	Stalled int64 `json:"stalled"` // of them
	Bytes   int64 `json:"bytes"`
	// BytesCopied is of each what its workers counted last, at CountedAt or since.
	BytesCopied int64      `json:"bytes_copied"`
	CountedAt   *time.Time `json:"counted_at"`
	// Complete: false, there are more than were summed up.
	Complete bool `json:"complete"`
}

// moving are the large objects of all rules, by rule, as they were at a time.
type moving struct {
	at       time.Time
	of       map[string][]object.Transfer
	complete bool
}

func (h *Handler) transfers(ctx context.Context, r *request) (answer, error) {
	limit := int(r.integer("limit", defaultLimit, 1, maxTransfers))
	after := r.transferPlace("cursor")
	if err := r.invalid(); err != nil {
		return answer{}, err
	}
	stored, err := h.known(ctx, r.rule)
	if err != nil {
		return answer{}, err
	}
	found, err := h.Transfers.TransferPage(ctx, r.rule, after, limit+1)
	if err != nil {
		return answer{}, err
	}
	body := transfersBody{}
	if len(found) > limit {
		found = found[:limit]
		next := transferCursor(found[limit-1].Place())
		body.NextCursor = &next
	}
	body.Transfers = make([]largeObjectBody, len(found))
	for i, tr := range found {
		body.Transfers[i] = largeObjectBodyOf(tr, stored.Paused, h.Now())
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// transferCursor is what a page is asked for with that begins after a place.
func transferCursor(p object.TransferPlace) string {
	return cursors.EncodeToString(fmt.Appendf(nil, "%d/%s/%s", p.BegunAt.UnixMilli(), p.To.Bucket, p.To.Key))
}

// transferPlace is the inverse of transferCursor; the zero place where the
// parameter is not given.
func (r *request) transferPlace(name string) object.TransferPlace {
	v, ok := r.value(name)
	if !ok {
		return object.TransferPlace{}
	}
	text, err := cursors.DecodeString(v)
	parts := strings.SplitN(string(text), "/", 4)
	for len(parts) < 4 {
		parts = append(parts, "")
	}
	ms, notNumber := strconv.ParseInt(parts[0], 10, 64)
	p := object.TransferPlace{
		BegunAt: time.UnixMilli(ms).UTC(),
		To:      object.Ref{Bucket: object.Bucket{Backend: parts[1], Name: parts[2]}, Key: parts[3]},
	}
	b := p.To.Bucket
	if err != nil || notNumber != nil || b.Backend == "" || b.Name == "" || len(b.String()) > maxKey || p.To.Key == "" || len(p.To.Key) > maxKey {
		r.problem(name, "is %q: give the next_cursor of the page before, as it is", shortened(v))
	}
	return p
}

func largeObjectBodyOf(tr object.Transfer, paused bool, now time.Time) largeObjectBody {
	b := largeObjectBody{
		Source: refBodyOf(tr.From), Destination: refBodyOf(tr.To),
		transferBody: transferBody{
			BegunAt: instant(tr.BegunAt), Parts: transfer.Layout(tr).Count(), PartsDone: tr.Counted.Parts, Bytes: tr.Size, BytesCopied: tr.Counted.Bytes,
		},
		CountedAt: instant(tr.Counted.At), LastProgressAt: instant(tr.ProgressAt), Tries: tr.Tries,
	}
	if tr.Run != 0 {
		b.RunID = &tr.Run
	}
	if tr.LastError != "" {
		b.LastError = &tr.LastError
	}
	b.Status = transferStatusOf(tr, paused, now)
	switch b.Status {
	case transferPaused:
		b.Detail = "It goes on when somebody resumes the rule."
	case transferHeld:
		b.Detail = "The rule's limits hold it back."
	case transferStalled:
		b.Detail = "No part was done since workers were last heard of: they died, or wait for their turn behind those of other objects."
		if tr.LastError != "" {
			b.Detail = fmt.Sprintf("No part was done since a worker met %s.", tr.LastError)
		}
	case transferQueued:
		b.Detail = "It waits for its first worker."
	case transferCompleting:
		b.Detail = "All parts are copied; the object is being put together."
	default:
		b.Detail = "Workers copy its parts."
	}
	if b.Status == transferHeld || b.Status == transferStalled {
		b.WillRetryAt = instant(tr.AliveUntil.Add(transfer.Lease))
	}
	return b
}

func transferStatusOf(tr object.Transfer, paused bool, now time.Time) transferStatus {
	switch silent := now.Sub(tr.AliveUntil) > transfer.Lease; {
	case paused:
		return transferPaused
	case tr.Held:
		return transferHeld
	case silent || tr.Tries > 0:
		return transferStalled
	case tr.Upload.ID == "":
		return transferQueued
	case tr.Counted.Parts == transfer.Layout(tr).Count():
		return transferCompleting
	default:
		return transferCopying
	}
}

// moving answers the large objects of all rules as they were a moment ago, for
// no request if this function saw them then.
func (h *Handler) moving(ctx context.Context) (moving, error) {
	now := h.Now()
	if seen := h.memory.large(); !seen.at.IsZero() && now.Sub(seen.at) < fresh {
		return seen, nil
	}
	found, err := h.Transfers.SilentTransfers(ctx, now.AddDate(1, 0, 0), summed+1) // those that are not silent, too
	if err != nil {
		return moving{}, err
	}
	all := moving{at: now, of: map[string][]object.Transfer{}, complete: len(found) <= summed}
	for _, tr := range found[:min(len(found), summed)] {
		all.of[tr.Rule] = append(all.of[tr.Rule], tr)
	}
	h.memory.rememberLarge(all)
	return all, nil
}

// sum sums up a rule's large objects, or those alone that one of its runs found;
// nil for none.
func (m moving) sum(rule string, run int64, paused bool, now time.Time) *largeObjectsBody {
	b := largeObjectsBody{Complete: m.complete}
	var oldest time.Time
	for _, tr := range m.of[rule] {
		if run != 0 && tr.Run != run {
			continue
		}
		b.Objects++
		b.Bytes += tr.Size
		b.BytesCopied += tr.Counted.Bytes
		if transferStatusOf(tr, paused, now) == transferStalled {
			b.Stalled++
		}
		if at := tr.Counted.At; !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
			oldest = at
		}
	}
	if b.Objects == 0 && (m.complete || run != 0) {
		return nil
	}
	b.CountedAt = instant(oldest)
	return &b
}

// sentence tells what is under way; empty for nothing.
func (b *largeObjectsBody) sentence() string {
	if b == nil || b.Objects == 0 {
		return ""
	}
	more := ""
	if !b.Complete {
		more = " or more"
	}
	verb := "are"
	if b.Objects == 1 && more == "" {
		verb = "is"
	}
	text := fmt.Sprintf(" %s%s %s being copied by parts: %s of %s", count(b.Objects, "large object"), more, verb, humanize.Percent(b.BytesCopied, b.Bytes), humanize.Bytes(b.Bytes))
	if b.Stalled > 0 {
		text += fmt.Sprintf(", %d stalled", b.Stalled)
	}
	return text + "."
}
