package limit

import (
	"testing"
	"time"
)

func TestClaim(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	valid, over := now.Add(time.Second), now
	for situation, c := range map[string]struct {
		all            Claims
		want, used, of int
		granted        int
		kept           int // how many claims there are then
	}{
		"alone":                                          {nil, 3, 0, 5, 3, 1},
		"more than there is":                             {nil, 9, 0, 5, 5, 1},
		"what others leave":                              {Claims{"b": {4, 4, now, valid}}, 3, 0, 5, 1, 2},
		"nothing is left":                                {Claims{"b": {5, 5, now, valid}}, 3, 0, 5, 0, 2},
		"another one's lease is over":                    {Claims{"b": {5, 5, now, over}}, 3, 0, 5, 3, 1},
		"a renewal where nobody lacks any":               {Claims{"a": {5, 5, now, valid}}, 5, 5, 5, 5, 1},
		"a renewal where somebody lacks some":            {Claims{"a": {5, 5, now, valid}, "b": {3, 0, now, valid}}, 5, 5, 5, 2, 2},
		"what is used stays used":                        {Claims{"a": {5, 5, now, valid}, "b": {3, 0, now, valid}}, 5, 4, 5, 2, 2},
		"fewer places than holders, and it had one":      {Claims{"a": {1, 1, now.Add(-leaseTime), valid}, "b": {1, 0, now, valid}}, 1, 1, 1, 0, 2},
		"fewer places than holders, and it just got one": {Claims{"a": {1, 1, now, valid}, "b": {1, 0, now, valid}}, 1, 1, 1, 1, 2},
		"fewer places than holders, and it had none":     {Claims{"a": {1, 0, now, valid}, "b": {1, 0, now, valid}}, 1, 0, 1, 1, 2},
		"all is given back":                              {Claims{"a": {5, 5, now, valid}, "b": {3, 0, now, valid}}, 0, 0, 5, 0, 1},
		"the rule allows fewer now":                      {Claims{"b": {5, 5, now, valid}}, 3, 0, 2, 0, 2},
	} {
		t.Run(situation, func(t *testing.T) {
			next, granted := c.all.claim("a", c.want, c.used, c.of, now, valid)
			if granted != c.granted || len(next) != c.kept {
				t.Errorf("granted are %d, want %d; the claims are %v", granted, c.granted, next)
			}
			if a, ok := next["a"]; ok && (a.Places != max(c.granted, c.used) || a.Want != c.want || !a.Until.Equal(valid)) {
				t.Errorf("the claim is %+v", a)
			}
		})
	}
}
