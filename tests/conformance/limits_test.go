package conformance

import (
	"testing"

	"bucket-replicator/shared/storetest"
)

func TestLimitsOnMiniStack(t *testing.T) {
	config, transport := client(miniStack(t))
	storetest.TestLimits(t, func(t *testing.T) storetest.LimitsFixture {
		l, _ := openLedger(t, config)
		return storetest.LimitsFixture{
			Limits:         l,
			LoseNextAnswer: func() { transport.lose.Store(true) },
		}
	})
}
