package replicate_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

// leaseTTL of the worlds. Their clocks advance a second per write, so only an
// explicit wait ends a lease.
const leaseTTL = 1000 * time.Second

// A scenario is some buckets with rules between them, and what a person may do
// to one key in them.
type scenario struct {
	name    string
	buckets []string
	traits  storetest.Traits // of every bucket
	rules   []rule.Rule
	actions []action
	before  []action // done, and replicated, when the history begins
	// How much trouble one history holds at most: things a person does,
	// faults, duplicate deliveries, leases that run out, sweeps that come by
	// while all that happens.
	people, faults, dups, waits, sweeps int
	// markers: deletes travel as markers, so a person's object may be hidden.
	markers bool
	// follows: the source's deletion reaches every replica of ours. Checked
	// once all is settled, by deleting it.
	follows bool
}

// action is one thing a person does.
type action struct {
	name string
	do   func(*world)
}

func ref(bucket string) object.Ref {
	return object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: bucket}, Key: "k"}
}

// put writes content that nobody wrote before.
func put(bucket string) action {
	return action{"put " + bucket, func(w *world) {
		w.objects.Put(ref(bucket), storetest.Text(fmt.Sprintf("content %d", w.people)))
	}}
}

// rewrite puts the same bytes again, as a metadata edit does.
func rewrite(bucket string) action {
	return action{"rewrite " + bucket, func(w *world) {
		if found, ok := w.objects.Get(ref(bucket)); ok {
			w.objects.Put(ref(bucket), found.Content)
		}
	}}
}

// mimic is a person who puts at one bucket what stands in another.
func mimic(bucket, other string) action {
	return action{"put the same at " + bucket, func(w *world) {
		if found, ok := w.objects.Get(ref(other)); ok {
			w.objects.Put(ref(bucket), found.Content)
		}
	}}
}

// undo removes the current version, so that the one before is back.
func undo(bucket string) action {
	return action{"undo " + bucket, func(w *world) {
		if found, ok := w.objects.Get(ref(bucket)); ok {
			w.objects.RemoveVersion(ref(bucket), found.State.VersionID)
		}
	}}
}

// tag gives the object a tag that nobody gave it before.
func tag(bucket string) action {
	return action{"tag " + bucket, func(w *world) {
		if _, is, ok := w.now(ref(bucket)); ok {
			w.apart = w.apart || is.ours
			w.objects.PutTags(ref(bucket), map[string]string{"n": fmt.Sprint(w.people)})
		}
	}}
}

// rot damages a replica of ours behind the store's back, and has a run come by
// that finds it by comparing. Where there is none, nothing happens.
func rot(from, to string) action {
	return action{"rot " + to, func(w *world) {
		source, _, there := w.now(ref(from))
		replica, _, ok := w.now(ref(to))
		if fact := w.ledger.Item(ref(to)); !there || !ok || !fact.Describes(replica.State) || !fact.Source.Reflects(source.State) {
			return
		}
		w.objects.Rot(ref(to), []byte("rotten"))
		for _, r := range w.rules.Rules() {
			if r.SourceBucket == ref(from).Bucket && r.DestBucket == ref(to).Bucket {
				w.serial++
				w.queue = append(w.queue, message{id: fmt.Sprintf("r%d", w.serial), patient: true, after: w.deliveries, compared: &replicate.Sighting{
					Match: w.rules.MatchOf(r, "k"), Source: ref(from), From: source.State, To: replica.State, Damaged: true,
				}})
			}
		}
	}}
}

func remove(bucket string) action {
	return action{"delete " + bucket, func(w *world) {
		w.objects.Remove(ref(bucket), object.ByRequest)
		w.cleared[bucket] = true
	}}
}

func followDeletes(r *rule.Rule) { r.ReplicateDeletes = true }
func followMarkers(r *rule.Rule) { r.DeleteMarkers = true }

// world is one state of a scenario: the stores, the queue, two workers in the
// midst of their work. It is reached by replaying the choices that lead to it.
type world struct {
	sc                 *scenario
	mutate             func(ports) ports
	objects            *storetest.Objects
	ledger             *storetest.Ledger
	rules              *rule.Set
	revision           int64
	clock              time.Time
	queue              []message
	workers            [2]*worker
	serial, deliveries int

	people, faults, dups, waits, sweeps int // spent
	races                               int // deliveries while another one was at work

	history map[written]truth
	cleared map[string]bool // a person deleted there: until a sweep, nothing may be there
	blind   bool            // a condition could not tell a person's rewrite from a write of ours
	loose   loose
	copies  int
	apart   bool   // tags may stay different: a message was lost that may have told of them, or a person tagged a replica
	broken  string // the invariant that an operation broke
}

// loose are conditions that the stores of a mutated world do not enforce.
type loose struct{ copyDest, copySource, delete, put, forget bool }

// written names one write by what the store said of it.
type written struct {
	at object.Ref
	object.Dest
}

// truth is what the world knows of a write, and the ledger has to find out.
type truth struct {
	ours   bool
	person time.Time // when a person wrote this content
}

// message is a change on the queue.
type message struct {
	id      string
	change  object.Change
	patient bool
	// after is the last delivery before it was put back: it stays away longer
	// than a recording takes, so those at work then are not any more.
	after int
	// compared is what a run found that compares, in place of a change.
	compared *replicate.Sighting
}

// ports are what a worker calls; a mutation wraps them.
type ports struct {
	replicate.Objects
	replicate.Ledger
	ttl     time.Duration
	patient bool
	w       *world
}

// compiled is a scenario with its rules compiled, once for all its worlds.
type compiled struct {
	*scenario
	catalog rule.Catalog
	set     *rule.Set
}

func (sc *scenario) compile() compiled {
	c := compiled{scenario: sc, catalog: storetest.Deployed(time.Time{}, sc.buckets, sc.rules...)}
	var err error
	if c.set, err = rule.Compile(c.catalog); err != nil {
		panic(err)
	}
	return c
}

func newWorld(sc compiled, mutate func(ports) ports) *world {
	w := &world{
		sc: sc.scenario, rules: sc.set, mutate: mutate, ledger: &storetest.Ledger{},
		clock:   time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		history: map[written]truth{}, cleared: map[string]bool{},
	}
	w.objects = storetest.NewObjects(func() time.Time { return w.clock })
	for _, b := range sc.buckets {
		w.objects.AddBucket(ref(b).Bucket, sc.traits)
	}
	w.objects.OnWrite = func(c object.Change) {
		w.clock = w.clock.Add(time.Second)
		if w.rules.IsSource(c.Ref.Bucket) {
			w.send(c, false)
		}
	}
	w.revision = w.ledger.SetCatalog(sc.catalog)
	for _, a := range sc.before {
		w.act(a)
	}
	w.quiesce(-1)
	w.races = 0
	return w
}

func (w *world) send(c object.Change, patient bool) {
	w.serial++
	w.queue = append(w.queue, message{id: fmt.Sprintf("m%d", w.serial), change: c, patient: patient, after: w.deliveries})
}

// verdict is what becomes of one call of a worker.
type verdict uint8

const (
	proceed verdict = iota
	fail            // answered with an error, not applied
	lose            // applied, answered with an error
	crash           // applied, and the worker dies
)

func (v verdict) String() string {
	return [...]string{"", " fails", " loses its answer", " and its worker dies"}[v]
}

// worker is one invocation at work on a message. It stands before its next
// call until the search lets it go on.
type worker struct {
	message
	w        *world
	nth      int         // delivery
	next     chan string // the call it stands before; closed when it has ended
	verdicts chan verdict
	op       string
	dead     bool
	ended    bool
	outcomes []replicate.Outcome
	looked   map[object.Ref]time.Time // the object last seen at an address
	seen     []byte                   // what it was answered so far: with its message, its whole local state
}

func (w *world) start(slot int, m message) {
	w.deliveries++
	k := &worker{message: m, w: w, nth: w.deliveries, looked: map[object.Ref]time.Time{}, next: make(chan string), verdicts: make(chan verdict)}
	if w.workers[1-slot] != nil {
		w.races++
	}
	w.workers[slot] = k
	p := ports{Objects: gatedObjects{k}, Ledger: gatedLedger{k}, ttl: leaseTTL, patient: m.patient, w: w}
	if w.mutate != nil {
		p = w.mutate(p)
	}
	r := replicate.New(p.Objects, p.Ledger, w.ledger, func() time.Time { return w.clock }, p.ttl)
	r.Preset(w.rules, w.revision)
	go func() {
		defer close(k.next)
		var err error
		if m.compared != nil {
			sweep := replicate.Sweep{
				Replicator: r, Rules: w.rules, Revision: w.revision, Rule: m.compared.Match.Rule, Run: 1,
				Holder: m.id, Attempt: k.nth, Suspicious: true, Slots: make(chan struct{}, 1),
			}
			k.outcomes, err = sweep.Settle(context.Background(), []replicate.Sighting{*m.compared}, false)
		} else {
			var outcomes [][]replicate.Outcome
			if outcomes, err = r.Replicate(context.Background(), []replicate.Work{{Change: m.change, Message: m.id, Delivery: k.nth, Patient: p.patient}}); err == nil {
				k.outcomes = outcomes[0]
			}
		}
		if err != nil {
			k.outcomes = []replicate.Outcome{{Result: replicate.Retried, Err: err}}
		}
	}()
	k.await()
}

func (k *worker) await() {
	op, more := <-k.next
	k.op, k.ended = op, !more
}

// step lets the worker make one call. When that was its last, its message is
// finished, put back, or delivered again.
func (w *world) step(slot int, v verdict) {
	k := w.workers[slot]
	k.verdicts <- v
	k.await()
	if !k.ended {
		return
	}
	w.workers[slot] = nil
	again, deferred := k.dead, false
	for _, o := range k.outcomes {
		again = again || o.Result == replicate.Retried
		deferred = deferred || o.Result == replicate.Deferred
		if o.Result == replicate.Crashed || o.Result == replicate.Failed {
			w.violate("a worker ended with %s: %v", o.Result, o.Err)
		}
	}
	switch {
	case again:
		w.queue = append(w.queue, k.message)
	case deferred && k.compared != nil:
		k.after = w.deliveries
		w.queue = append(w.queue, k.message)
	case deferred:
		w.send(k.change, true)
	}
}

func (w *world) violate(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
	}
}

var errInjected = &object.Error{Class: object.Retryable, Op: "call", Code: "Injected", Err: errors.New("injected")}

// call is one gated call: it waits for its verdict, and notes what it answers.
func (k *worker) call(op string, apply func() (string, error)) error {
	if k.dead {
		return errInjected
	}
	k.next <- op
	v := <-k.verdicts
	if v == fail {
		k.seen = append(k.seen, op+" failed;"...)
		return errInjected
	}
	answer, err := apply()
	switch v {
	case crash:
		k.dead = true
		return errInjected
	case lose:
		k.seen = append(k.seen, op+" lost;"...)
		return errInjected
	}
	k.seen = fmt.Appendf(k.seen, "%s %s %v;", op, answer, err)
	return err
}

// The gated ports check, at the moment an operation takes effect, what no
// operation may ever do.
type gatedObjects struct{ k *worker }

func (g gatedObjects) Head(ctx context.Context, at object.Ref, tags bool) (s object.State, err error) {
	err = g.k.call("head", func() (string, error) {
		s, err = g.k.w.objects.Head(ctx, at, tags)
		g.k.looked[at] = s.LastModified
		return fmt.Sprintf("%d %s %d %v", s.Presence, s.ETag, s.LastModified.Unix(), s.Tags), err
	})
	return s, err
}

func (g gatedObjects) Copy(ctx context.Context, c object.Copy) (done object.Copied, err error) {
	err = g.k.call("copy", func() (string, error) {
		done, err = g.k.w.copy(ctx, c)
		return fmt.Sprint(done.Dest.LastModified.Unix()), err
	})
	return done, err
}

func (g gatedObjects) Retag(ctx context.Context, r object.Retag) error {
	return g.k.call("retag", func() (string, error) { return "", g.k.w.retag(ctx, r) })
}

func (g gatedObjects) Delete(ctx context.Context, at object.Ref, etag string) error {
	return g.k.call("delete", func() (string, error) { return "", g.k.w.delete(ctx, at, etag, g.k.looked[at]) })
}

type gatedLedger struct{ k *worker }

func (g gatedLedger) Read(ctx context.Context, at []object.Ref, consistent bool) (items map[object.Ref]object.Provenance, rev int64, err error) {
	err = g.k.call("read", func() (string, error) {
		items, rev, err = g.k.w.ledger.Read(ctx, at, consistent)
		var answer []byte
		for _, at := range at { // what follows from an item's revision need not be told apart
			p := items[at]
			answer = fmt.Appendf(answer, "%d %d %s %d,", p.Revision, p.Dest.LastModified.Unix(), p.Pending.Holder, p.Pending.Since.Unix())
		}
		return string(answer), err
	})
	return items, rev, err
}

func (g gatedLedger) Put(ctx context.Context, at object.Ref, p object.Provenance) (rev int64, err error) {
	err = g.k.call("put", func() (string, error) {
		if g.k.w.loose.put {
			p.Revision = g.k.w.ledger.Item(at).Revision
		}
		if rev, err = g.k.w.ledger.Put(ctx, at, p); err == nil && p.Landed() && !g.k.w.history[written{at, p.Dest}].ours {
			g.k.w.violate("the ledger claims a write at %s that never landed: %+v", at, p.Dest)
		}
		return fmt.Sprint(rev), err
	})
	return rev, err
}

func (g gatedLedger) Forget(ctx context.Context, at object.Ref, revision int64) error {
	return g.k.call("forget", func() (string, error) {
		if g.k.w.loose.forget {
			revision = g.k.w.ledger.Item(at).Revision
		}
		return "", g.k.w.ledger.Forget(ctx, at, revision)
	})
}

// CountDeletes is no step of the search: no history here comes near the limit.
func (g gatedLedger) CountDeletes(context.Context, string, time.Time, int) (int64, error) {
	return 1, nil
}

func (g gatedLedger) CountHour(context.Context, string, object.Hour) error { return nil }

func (g gatedLedger) Fail(ctx context.Context, f object.Failure) error {
	return g.k.w.ledger.Fail(ctx, f)
}

func (g gatedLedger) Healed(ctx context.Context, rule string, source object.Ref) error {
	return g.k.w.ledger.Healed(ctx, rule, source)
}

// act lets the person do something, and notes what was written.
func (w *world) act(a action) {
	w.people++
	a.do(w)
	for _, b := range w.sc.buckets {
		if found, ok := w.objects.Get(ref(b)); ok {
			id := write(ref(b), found.State)
			if _, known := w.history[id]; !known {
				w.history[id] = truth{person: found.State.LastModified}
			}
		}
	}
}

func write(at object.Ref, s object.State) written {
	return written{at, object.Dest{ETag: s.ETag, LastModified: s.LastModified, VersionID: s.VersionID}}
}

// now is what is at an address, and the truth about it.
func (w *world) now(at object.Ref) (storetest.Found, truth, bool) {
	found, ok := w.objects.Get(at)
	ok = ok && found.State.Presence == object.Present
	return found, w.history[write(at, found.State)], ok
}

// repeated reports whether an earlier write at the address had the same tag:
// then no condition can tell the two apart.
func (w *world) repeated(at object.Ref, s object.State) bool {
	for id := range w.history {
		if id.at == at && id.ETag == s.ETag && id.LastModified.Before(s.LastModified) {
			return true
		}
	}
	return false
}

func etagOf(found storetest.Found, there bool) string {
	if !there {
		return ""
	}
	return found.State.ETag
}

func (w *world) copy(ctx context.Context, c object.Copy) (object.Copied, error) {
	before, was, there := w.now(c.To)
	source, is, _ := w.now(c.From)
	if w.loose.copyDest {
		c.DestETag = etagOf(before, there)
	}
	if w.loose.copySource && source.State.ETag != "" {
		c.SourceETag = source.State.ETag
	}
	done, err := w.objects.Copy(ctx, c)
	if err != nil {
		return done, err
	}
	w.copies++
	for id, t := range w.history {
		if id.at == c.To && !t.ours && t.person.Equal(is.person) && w.faults == 0 {
			w.violate("%q came back to where a person wrote it", source.Body)
		}
	}
	w.history[written{c.To, done.Dest}] = truth{ours: true, person: is.person}
	switch {
	case !there || was.ours:
	case w.repeated(c.To, before.State):
		w.blind = true
	case is.person.Before(was.person):
		w.violate("a copy of %q overwrote %q, which a person wrote later", source.Body, before.Body)
	}
	return done, nil
}

func (w *world) retag(ctx context.Context, r object.Retag) error {
	_, was, there := w.now(r.At)
	err := w.objects.Retag(ctx, r)
	if there && !was.ours && err == nil {
		w.violate("tagged what a person wrote at %s", r.At)
	}
	return err
}

func (w *world) delete(ctx context.Context, at object.Ref, etag string, looked time.Time) error {
	before, was, there := w.now(at)
	if w.loose.delete && there {
		etag = before.State.ETag
	}
	err := w.objects.Delete(ctx, at, etag)
	if err != nil || !there || was.ours || w.sc.markers {
		return err
	}
	if w.repeated(at, before.State) && !before.State.LastModified.Equal(looked) {
		w.blind = true // rewritten since the look
	} else {
		w.violate("deleted %q at %s, which a person wrote", before.Body, at)
	}
	return nil
}

// fingerprint is equal for worlds with the same future.
func (w *world) fingerprint() uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, w.objects.Fingerprint(), w.clock.Unix(), w.people, w.faults, w.apart, w.dups, w.waits, w.sweeps, w.races)
	io.WriteString(h, w.ledger.Fingerprint())
	var lines []string
	for _, m := range w.queue {
		lines = append(lines, fmt.Sprint(m.id, m.patient)) // the id stands for the change
	}
	slices.Sort(lines)
	fmt.Fprint(h, lines)
	lines = lines[:0]
	for _, k := range w.workers {
		if k != nil {
			lines = append(lines, fmt.Sprint(k.id, k.patient, k.dead, string(k.seen)))
		}
	}
	slices.Sort(lines)
	fmt.Fprint(h, lines)
	return h.Sum64()
}

// back reports whether a message that was put back can be there again.
func (w *world) back(m message) bool {
	return !m.patient || !slices.ContainsFunc(w.workers[:], func(k *worker) bool { return k != nil && k.nth <= m.after })
}

// quiesce ends all trouble: the workers finish and the queue empties. The
// worker in the stalled slot, if any, is slow: it goes on only when nothing else
// can. A message that waits for others has time to.
func (w *world) quiesce(stalled int) {
	const patience = 400
	for range patience {
		if w.broken != "" {
			return
		}
		busy := false
		for slot, k := range w.workers {
			if k != nil && slot != stalled {
				busy = true
				w.step(slot, proceed)
			}
		}
		free := slices.Index(w.workers[:], nil)
		switch {
		case busy:
		case len(w.queue) > 0 && free >= 0 && w.back(w.queue[0]):
			m := w.queue[0]
			w.queue = w.queue[1:]
			if m.patient {
				w.clock = w.clock.Add(leaseTTL / 10)
			}
			w.start(free, m)
		case stalled >= 0:
			stalled = -1
		default:
			return
		}
	}
	w.violate("does not settle: %d copies so far", w.copies)
}

// visit has every rule's key looked at, whatever events said.
func (w *world) visit() {
	for _, r := range w.rules.Rules() {
		change := object.Change{Ref: object.Ref{Bucket: r.SourceBucket, Key: "k"}, Kind: object.Deleted}
		w.queue = append(w.queue, message{id: "sweep of " + r.Name, change: change, patient: true})
	}
}

// sweep looks at every rule's key, as a full run does, until there is nothing
// more to do.
func (w *world) sweep() {
	const rounds = 10
	for range rounds {
		before := w.ledger.Fingerprint() + fmt.Sprint(w.objects.Fingerprint())
		w.visit()
		w.quiesce(-1)
		if w.broken != "" || before == w.ledger.Fingerprint()+fmt.Sprint(w.objects.Fingerprint()) {
			return
		}
	}
	w.violate("sweeps do not settle: %d copies so far", w.copies)
}

// end lets the world come to rest, with a worker stalled or none, and checks
// that the events alone did what they must, and then that a sweep heals what
// faults broke.
func (w *world) end(stalled int) {
	w.quiesce(stalled)
	if w.faults == 0 {
		w.settled()
	}
	w.sweep()
	clear(w.cleared)
	w.settled()
	if w.sc.follows && w.faults == 0 && !w.blind {
		w.act(remove("a"))
		w.quiesce(-1)
		w.settled()
	}
}

// settled checks what must be true once all is quiet.
func (w *world) settled() {
	for at, p := range w.ledger.Items() {
		if p.Landed() && !w.history[written{at, p.Dest}].ours {
			w.violate("the ledger claims a write at %s that never landed", at)
		}
		if p.Pending.Holder != "" && w.faults == 0 && w.dups == 0 {
			w.violate("a lease is left on %s though nobody died", at)
		}
	}
	trouble := w.faults > 0 || w.blind
	if w.broken != "" {
		return
	}
	for _, r := range w.rules.Rules() {
		from, is, here := w.now(object.Ref{Bucket: r.SourceBucket, Key: "k"})
		to, was, there := w.now(object.Ref{Bucket: r.DestBucket, Key: "k"})
		// A write of ours that was not recorded stands like a person's.
		recorded := was.ours && w.ledger.Item(object.Ref{Bucket: r.DestBucket, Key: "k"}).Describes(to.State)
		switch {
		case here && there && string(from.Body) != string(to.Body) && (recorded || is.person.After(was.person)):
			w.violate("%s: the destination holds %q, the source %q", r.Name, to.Body, from.Body)
		case here && there && recorded && !w.apart && !maps.Equal(from.Tags, to.Tags):
			w.violate("%s: the destination has the tags %v, the source %v", r.Name, to.Tags, from.Tags)
		case here && !there && !trouble && !w.sc.markers && !w.cleared[r.DestBucket.Name]:
			w.violate("%s: the source holds %q, the destination nothing", r.Name, from.Body)
		case !here && there && was.ours && r.ReplicateDeletes && !trouble:
			w.violate("%s: the replica %q outlives its source", r.Name, to.Body)
		}
	}
	// A copy per change and site, one more per fault and site, and per
	// delivery that raced another.
	if w.copies > (w.people+w.faults+w.races)*len(w.rules.Rules()) {
		w.violate("%d copies for %d changes, %d faults and %d races over %d rules", w.copies, w.people, w.faults, w.races, len(w.rules.Rules()))
	}
}
