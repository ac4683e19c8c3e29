package adminapi

import (
	"context"
	"maps"
	"sync"
	"time"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// trusted is how long a rule that was there is taken to be there still, where
// nothing but its records is asked for: those outlive it.
const trusted = time.Minute

// memory is what this function saw last. It spares requests and decides nothing:
// the next answer of the store tells what of it is still so.
type memory struct {
	mu      sync.Mutex
	catalog rule.Catalog // at Revision 0: none
	at      time.Time    // when the catalog was known to be as it is
	last    map[string]int64
	moving  moving
}

// remember keeps the catalog, as it was at a time.
func (m *memory) remember(c rule.Catalog, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.catalog, m.at = c, at
}

// seen is the catalog, and when it was known to be so.
func (m *memory) seen() (rule.Catalog, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.catalog, m.at
}

// lastRuns are the last runs of rules, as far as they are known.
func (m *memory) lastRuns(of []rule.Stored) map[string]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := map[string]int64{}
	for _, s := range of {
		if id := m.last[s.Rule.Name]; id != 0 {
			known[s.Rule.Name] = id
		}
	}
	return known
}

// large is what was seen of large objects last, at no time if never.
func (m *memory) large() moving {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.moving
}

func (m *memory) rememberLarge(now moving) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moving = now
}

func (m *memory) rememberLast(jobs map[string]run.Job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		m.last = map[string]int64{}
	}
	for name, j := range jobs {
		m.last[name] = j.LastRun
	}
}

// load reads the catalog and remembers it.
func (h *Handler) load(ctx context.Context) (rule.Catalog, error) {
	now := h.Now()
	c, err := h.Catalogs.Catalog(ctx)
	if err == nil {
		h.memory.remember(c, now)
	}
	return c, err
}

// current is the catalog as it is now, for one request if it is as it was.
func (h *Handler) current(ctx context.Context) (rule.Catalog, error) {
	c, _ := h.memory.seen()
	if c.Revision == 0 {
		return h.load(ctx)
	}
	now := h.Now()
	o, err := h.Store.Overview(ctx, nil, nil)
	if err != nil {
		return rule.Catalog{}, err
	}
	if o.Catalog != c.Revision {
		return h.load(ctx)
	}
	h.memory.remember(c, now)
	return c, nil
}

// known is the rule of this name as it is, or was a moment ago, for no request
// if so.
func (h *Handler) known(ctx context.Context, name string) (rule.Stored, error) {
	if c, at := h.memory.seen(); h.Now().Sub(at) < trusted {
		if s, err := jobOf(c, name); err == nil {
			return s, nil
		}
	}
	c, err := h.current(ctx)
	if err != nil {
		return rule.Stored{}, err
	}
	return jobOf(c, name)
}

// overview answers the catalog as it is now, and what those of its rules are at
// that of names, with the last run of each. That is one batch where nothing
// changed since the last time, and one more for each thing that did: the rules,
// and what the last runs are.
func (h *Handler) overview(ctx context.Context, of func(rule.Catalog) ([]rule.Stored, error)) (rule.Catalog, []rule.Stored, run.Overview, error) {
	c, _ := h.memory.seen()
	if c.Revision == 0 {
		var err error
		if c, err = h.load(ctx); err != nil {
			return rule.Catalog{}, nil, run.Overview{}, err
		}
	}
	for again := false; ; again = true {
		rules, wrong := of(c)
		names := make([]string, len(rules))
		for i, s := range rules {
			names[i] = s.Rule.Name
		}
		now := h.Now()
		o, err := h.Store.Overview(ctx, names, h.memory.lastRuns(rules))
		switch {
		case err != nil:
			return rule.Catalog{}, nil, run.Overview{}, err
		case o.Catalog != c.Revision && !again:
			if c, err = h.load(ctx); err != nil {
				return rule.Catalog{}, nil, run.Overview{}, err
			}
			continue
		case o.Catalog == c.Revision:
			h.memory.remember(c, now)
		}
		if wrong != nil {
			return rule.Catalog{}, nil, run.Overview{}, wrong
		}
		return c, rules, o, h.lastRuns(ctx, &o)
	}
}

// lastRuns puts the last run of each job into the overview.
func (h *Handler) lastRuns(ctx context.Context, o *run.Overview) error {
	missing := map[string]int64{}
	for name, j := range o.Jobs {
		if o.Runs[name].ID != j.LastRun {
			delete(o.Runs, name)
			missing[name] = j.LastRun
		}
	}
	h.memory.rememberLast(o.Jobs)
	if len(missing) == 0 {
		return nil
	}
	found, err := h.Store.Overview(ctx, nil, missing)
	if err == nil {
		maps.Copy(o.Runs, found.Runs)
	}
	return err
}
