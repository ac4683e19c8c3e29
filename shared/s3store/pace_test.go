package s3store

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPace(t *testing.T) {
	entered := func(p *pace, n int) (round int) {
		for range n {
			r, err := p.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			round = r
		}
		return round
	}
	for situation, c := range map[string]struct {
		do   func(*pace)
		want float64
	}{
		"nobody complained": {func(p *pace) { p.leave(entered(p, 1), served) }, widest},
		"half of what was under way": {func(p *pace) {
			p.leave(entered(p, 40), slowDown)
		}, 20},
		"once in a round": {func(p *pace) {
			round := entered(p, 40)
			for range 30 {
				p.leave(round, slowDown)
			}
		}, 20},
		"again in the next round": {func(p *pace) {
			round := entered(p, 40)
			for range 30 {
				p.leave(round, slowDown)
			}
			p.leave(entered(p, 10), slowDown) // 20 are under way
		}, 10},
		"never less than one": {func(p *pace) {
			for range 10 {
				p.leave(entered(p, 1), slowDown)
			}
		}, 1},
		"one more after a round that was served": {func(p *pace) {
			p.leave(entered(p, 1), slowDown)
			p.leave(entered(p, 1), served)
		}, 2},
		"no answer says nothing": {func(p *pace) {
			p.leave(entered(p, 1), slowDown)
			p.leave(entered(p, 1), unknown)
		}, 1},
	} {
		t.Run(situation, func(t *testing.T) {
			p := newPace()
			if c.do(p); p.window != c.want {
				t.Errorf("the window is %g, want %g", p.window, c.want)
			}
		})
	}
}

func TestWhoGivesUpIsInNobodysWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pace{window: 1}
		round, err := p.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := p.enter(ctx); err == nil {
				t.Error("let in")
			}
		})
		synctest.Wait()
		group.Go(func() {
			if _, err := p.enter(t.Context()); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		p.leave(round, served)
		group.Wait()
		if p.underWay != 1 || len(p.waiting) != 0 {
			t.Errorf("%d under way, %d waiting", p.underWay, len(p.waiting))
		}
	})
}

// Whatever a backend can take, and however many ask: no more is refused than one
// request in a round, and most of what it can take is used.
func TestThePaceFindsWhatABackendTakes(t *testing.T) {
	for range 20 {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		takes, callers := 2+random.IntN(60), 1+random.IntN(150)
		synctest.Test(t, func(t *testing.T) {
			p := newPace()
			var mu sync.Mutex
			underWay, answered, refused := 0, 0, 0
			until := time.Now().Add(20 * time.Second)
			var group sync.WaitGroup
			for caller := range callers {
				group.Go(func() {
					random := rand.New(rand.NewPCG(seed, uint64(caller)))
					for time.Now().Before(until) {
						round, err := p.enter(t.Context())
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						underWay++
						verdict := served
						if underWay > takes {
							verdict = slowDown
							refused++
						} else {
							answered++
						}
						mu.Unlock()
						if verdict == served {
							time.Sleep(time.Duration(20+random.IntN(20)) * time.Millisecond)
						} else {
							time.Sleep(time.Millisecond)
						}
						mu.Lock()
						underWay--
						mu.Unlock()
						p.leave(round, verdict)
					}
				})
			}
			group.Wait()
			could := float64(min(takes, callers)) * 20 / 0.030
			if float64(answered) < 0.6*could || refused > answered/takes+200 {
				t.Errorf("seed %d: a backend that takes %d was asked by %d: %d served of %.0f, %d refused", seed, takes, callers, answered, could, refused)
			}
		})
	}
}

func TestABackendIsAskedLessWhenItSaysSo(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(server.Close)
	p := paced{server.Client(), newPace()}
	ask := func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := p.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	for _, c := range []struct {
		status int
		want   float64
	}{{200, widest}, {404, widest}, {412, widest}, {500, widest}, {503, 1}, {200, 2}, {429, 1}} {
		status = c.status
		if ask(); p.pace.window != c.want {
			t.Errorf("after a %d the window is %g, want %g", c.status, p.pace.window, c.want)
		}
	}
	if p.pace.underWay != 0 {
		t.Errorf("%d are under way still", p.pace.underWay)
	}
}
