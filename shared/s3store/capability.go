package s3store

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
)

// Memory remembers what backends were seen to keep, over processes. Where it
// fails a process goes by what it saw itself.
type Memory interface {
	// Capabilities are those of all backends.
	Capabilities(ctx context.Context) (map[object.Endpoint]object.Capabilities, error)
	// Observe remembers one, in place of what was seen before.
	Observe(ctx context.Context, at object.Endpoint, what object.Capability, seen object.Seen) error
}

const (
	// freshness is how long an observation counts: a server may be replaced.
	freshness = 7 * 24 * time.Hour
	// rereadGap bounds how often a process asks for what others saw.
	rereadGap = 5 * time.Minute
)

// capabilities is what this process knows of all endpoints but AWS's own, which
// keep every promise.
//
// Nothing is ever written for the sake of knowing. What is learnt is learnt from
// the very writes that are to be made (see learn), so that it takes no other
// permission, leaves nothing behind and touches nothing else.
type capabilities struct {
	memory Memory // may be nil
	now    func() time.Time

	mu       sync.Mutex
	known    map[object.Endpoint]object.Capabilities
	read     time.Time
	learning map[learning]bool
}

type learning struct {
	at   object.Endpoint
	what object.Capability
}

// of answers whether the endpoint keeps a promise, and whether anybody knows.
func (c *capabilities) of(ctx context.Context, at object.Endpoint, what object.Capability) (kept, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if seen, ok := c.known[at][what]; ok && now.Sub(seen.At) < freshness {
		return seen.Kept, true
	}
	if c.memory == nil || now.Sub(c.read) < rereadGap {
		return false, false
	}
	c.read = now
	all, err := c.memory.Capabilities(ctx)
	if err != nil {
		return false, false
	}
	for at, others := range all {
		for what, seen := range others {
			if c.known[at][what].At.Before(seen.At) {
				c.set(at, what, seen)
			}
		}
	}
	seen, ok := c.known[at][what]
	return seen.Kept, ok && now.Sub(seen.At) < freshness
}

func (c *capabilities) set(at object.Endpoint, what object.Capability, seen object.Seen) {
	if c.known[at] == nil {
		c.known[at] = object.Capabilities{}
	}
	c.known[at][what] = seen
}

// observe remembers what was seen, unless it is known already.
func (c *capabilities) observe(ctx context.Context, at object.Endpoint, what object.Capability, kept bool) {
	seen := object.Seen{Kept: kept, At: c.now().UTC()}
	c.mu.Lock()
	before, known := c.known[at][what]
	known = known && before.Kept == kept && seen.At.Sub(before.At) < freshness
	if !known {
		c.set(at, what, seen)
	}
	c.mu.Unlock()
	if !known && c.memory != nil {
		// Lost, it is learnt again by the next process.
		_ = c.memory.Observe(ctx, at, what, seen)
	}
}

// begin claims the learning, which one write at a time does; end gives it back.
func (c *capabilities) begin(l learning) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.learning[l] {
		return false
	}
	c.learning[l] = true
	return true
}

func (c *capabilities) end(l learning) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.learning, l)
}

// name is the endpoint as it is remembered.
func (e endpoint) name() object.Endpoint {
	return object.Endpoint{Backend: e.backend.Name, URL: aws.ToString(e.Options().BaseEndpoint)}
}

// isAWS reports whether the endpoint is one of AWS's own.
func (e endpoint) isAWS() bool { return e.Options().BaseEndpoint == nil }

// keeps answers whether the endpoint keeps a promise, and whether anybody knows.
func (e endpoint) keeps(ctx context.Context, what object.Capability) (kept, known bool) {
	if e.told != nil {
		switch what {
		case object.CopyConditions:
			return !e.told.Copy, true
		case object.PutConditions:
			return !e.told.Put, true
		case object.DeleteConditions:
			return !e.told.Delete, true
		}
	}
	if e.isAWS() {
		return true, true
	}
	return e.capabilities.of(ctx, e.name(), what)
}

func (e endpoint) observe(ctx context.Context, what object.Capability, kept bool) {
	if !e.isAWS() {
		e.capabilities.observe(ctx, e.name(), what, kept)
	}
}

// condition is one on the destination of a write.
type condition struct {
	match  string // the tag that the object must have
	absent bool   // there must be none
	vain   bool   // it is not expected to hold: see held
}

// conditionOf is that the object has this tag, or is absent where it is empty.
func conditionOf(etag string) condition {
	return condition{match: etag, absent: etag == ""}
}

func (c condition) headers() (ifMatch, ifNoneMatch *string) {
	if c.match != "" {
		ifMatch = aws.String(quoted(c.match))
	}
	if c.absent {
		ifNoneMatch = aws.String("*")
	}
	return ifMatch, ifNoneMatch
}

// nobodys is a tag that no object has: a write under this condition takes effect
// only where the condition is ignored.
const nobodys = "00000000000000000000000000000000-0"

// write makes a write on the condition that the object there has this tag, or is
// absent where it is empty. It answers whether the server kept the condition;
// where not, it was looked before, but somebody may have written since. sends is
// how many bytes act sends: with many it is too dear to be made more than once to
// learn by it.
func (e endpoint) write(ctx context.Context, at object.Ref, etag string, what object.Capability, sends int64, act func(condition) (object.Copied, error)) (copied object.Copied, kept bool, err error) {
	kept, known := e.keeps(ctx, what)
	if kept {
		copied, err = act(conditionOf(etag))
		if e.isAWS() || sends <= heldAfter || !unanswered(err) || e.unchanged(ctx, at, etag) != nil {
			return e.overMarker(ctx, at, etag, what, act, copied, true, err)
		}
		// Perhaps it hung up on what it refused. Should the first request land after
		// all, this one is refused, and not for what somebody else wrote.
		lost, again := err, conditionOf(etag)
		again.vain = true
		copied, err = act(again)
		if copied, kept, err = e.overMarker(ctx, at, etag, what, act, copied, true, err); refusedCondition(err) {
			err = lost
		}
		return copied, kept, err
	}
	if err := e.unchanged(ctx, at, etag); err != nil {
		return object.Copied{}, false, err
	}
	if claim := (learning{e.name(), what}); !known && sends <= maxTry && e.capabilities.begin(claim) {
		defer e.capabilities.end(claim)
		copied, err = e.learn(ctx, at, etag, what, act)
		return e.overMarker(ctx, at, etag, what, act, copied, false, err)
	}
	copied, err = act(condition{})
	return copied, false, err
}

// overMarker writes again where the server refused to for an object that is not
// there: it takes a delete marker for one (versitygw 1.8.0). Nobody can go by
// such a condition, so from then on it looks. Only of a PutObject it is certain
// that the destination was meant.
func (e endpoint) overMarker(ctx context.Context, at object.Ref, etag string, what object.Capability, act func(condition) (object.Copied, error), copied object.Copied, kept bool, err error) (object.Copied, bool, error) {
	var sources *object.Error // classified already: the source's
	if what != object.PutConditions || etag != "" || status(err) != http.StatusPreconditionFailed ||
		e.isAWS() || e.told != nil || errors.As(err, &sources) || e.unchanged(ctx, at, "") != nil {
		return copied, kept, err
	}
	if copied, err = act(condition{}); err == nil {
		e.observe(ctx, what, false)
	}
	return copied, false, err
}

// learn makes a write whose condition was just looked at, and finds out by it
// whether the server keeps conditions: first it asks for what cannot be. Where
// that is ignored, the write that was to be made has been made. Where it is
// refused, nothing happened, and the write is made as it is meant to be; that it
// then succeeds shows that it was this condition that was refused. A condition
// on absence is tried on the object that must be replaced, or else on the
// replica itself, which gets the same bytes again. A try without an answer
// teaches nothing, and stands in nobody's way.
func (e endpoint) learn(ctx context.Context, at object.Ref, destETag string, what object.Capability, act func(condition) (object.Copied, error)) (object.Copied, error) {
	ignored := func(copied object.Copied) (object.Copied, error) {
		e.observe(ctx, what, false)
		return copied, nil
	}
	unlearnt := func() (object.Copied, error) {
		if err := e.unchanged(ctx, at, destETag); err != nil {
			return object.Copied{}, err
		}
		return act(condition{})
	}
	copied, err := act(condition{match: nobodys, vain: true})
	switch {
	case err == nil:
		return ignored(copied)
	case notUnderstood(err):
		if copied, err = act(condition{}); err == nil {
			return ignored(copied)
		}
		return copied, err
	case unanswered(err):
		return unlearnt()
	case !refusedCondition(err):
		return copied, err
	}
	if destETag != "" {
		if what != object.DeleteConditions { // those know no absence
			switch copied, err = act(condition{absent: true, vain: true}); {
			case err == nil:
				return ignored(copied)
			case unanswered(err):
				return unlearnt()
			case !refusedCondition(err):
				return copied, err
			}
		}
		if copied, err = act(condition{match: destETag}); err == nil {
			e.observe(ctx, what, true)
		}
		return copied, err
	}
	if copied, err = act(condition{absent: true}); err != nil {
		return copied, err
	}
	var sources *object.Error // classified already: the source's
	switch again, err := act(condition{absent: true, vain: true}); {
	case err == nil:
		return ignored(again)
	case !refusedCondition(err), errors.As(err, &sources):
	case what == object.CopyConditions:
		// A source that changed just then is refused alike, unless the next one is
		// not.
		if again, err := act(condition{match: copied.Dest.ETag}); err == nil {
			e.observe(ctx, what, true)
			return again, nil
		}
	default:
		e.observe(ctx, what, true)
	}
	return copied, nil
}

func refusedCondition(err error) bool {
	class, _ := classOf("copy", err)
	return class == object.Premise
}

// unanswered reports whether the destination hung up, perhaps on what it refused.
func unanswered(err error) bool {
	var sources *object.Error // classified already: the source's
	_, code := classOf("copy", err)
	return err != nil && code == codeNoAnswer && !errors.As(err, &sources)
}

// notUnderstood reports whether the server refused a header that it does not
// know. The request took no effect.
func notUnderstood(err error) bool {
	var api smithy.APIError
	return status(err) == http.StatusNotImplemented || status(err) == http.StatusBadRequest &&
		errors.As(err, &api) && slices.Contains([]string{"InvalidArgument", "InvalidRequest", "UnsupportedArgument"}, api.ErrorCode())
}

// Capabilities are what this process knows of all backends, for a test.
func (s *Store) Capabilities() map[object.Endpoint]object.Capabilities {
	s.capabilities.mu.Lock()
	defer s.capabilities.mu.Unlock()
	all := map[object.Endpoint]object.Capabilities{}
	for at, known := range s.capabilities.known {
		all[at] = maps.Clone(known)
	}
	return all
}
