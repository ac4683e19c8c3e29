package s3store

import (
	"context"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// widest is how many requests one process has under way at a backend at most: as
// many as it keeps connections for.
const widest = 512

// paced is the HTTP client of one backend. It has fewer requests under way at a
// time when the backend says that they are too many.
type paced struct {
	next s3.HTTPClient
	pace *pace
}

// Do sends one request, when it is its turn. S3's SlowDown is a 503, and other
// stores have a 429. The SDK tries again, as another request.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html
func (p paced) Do(r *http.Request) (*http.Response, error) {
	round, err := p.pace.enter(r.Context())
	if err != nil {
		return nil, err
	}
	answer, err := p.next.Do(r)
	switch {
	case err != nil:
		p.pace.leave(round, unknown)
	case answer.StatusCode == http.StatusServiceUnavailable, answer.StatusCode == http.StatusTooManyRequests:
		p.pace.leave(round, slowDown)
	default:
		p.pace.leave(round, served)
	}
	return answer, err
}

// verdict is what a backend said to a request, about its being one of many.
type verdict uint8

const (
	unknown verdict = iota // there was no answer
	served
	slowDown
)

// pace is how many requests may be under way: half as many after every round that
// was too much, and one more after every round that was not. A round is all that
// was under way at a time, so it needs no clock.
type pace struct {
	mu       sync.Mutex
	window   float64
	underWay int
	round    int // counts the times that the window was halved
	waiting  []chan int
}

func newPace() *pace { return &pace{window: widest} }

// enter waits for its turn and answers the round that it is in.
func (p *pace) enter(ctx context.Context) (round int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	p.mu.Lock()
	if p.underWay < int(p.window) && len(p.waiting) == 0 {
		p.underWay++
		defer p.mu.Unlock()
		return p.round, nil
	}
	turn := make(chan int, 1)
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()
	select {
	case round := <-turn:
		return round, nil
	case <-ctx.Done():
		p.giveUp(turn)
		return 0, ctx.Err()
	}
}

// giveUp takes a waiter out, who may have been let in just now.
func (p *pace) giveUp(turn chan int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, t := range p.waiting {
		if t == turn {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			return
		}
	}
	p.underWay--
	p.letIn()
}

// leave ends a request of a round. What a round before was told counts no more.
func (p *pace) leave(round int, v verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case v == slowDown && round == p.round:
		p.window = max(1, min(p.window, float64(p.underWay))/2)
		p.round++
	case v == served:
		p.window = min(widest, p.window+1/p.window)
	}
	p.underWay--
	p.letIn()
}

// letIn lets those in who have waited longest, as far as there is room.
func (p *pace) letIn() {
	for len(p.waiting) > 0 && p.underWay < int(p.window) {
		p.underWay++
		p.waiting[0] <- p.round
		p.waiting = p.waiting[1:]
	}
}
