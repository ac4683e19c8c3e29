package conformance

import (
	"testing"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/tests/staging"
)

func TestLimitsOnMiniStack(t *testing.T) {
	config, transport := client(staging.Server(t, server.MiniStack))
	storetest.TestLimits(t, func(t *testing.T) storetest.LimitsFixture {
		l, _ := openLedger(t, config)
		return storetest.LimitsFixture{
			Limits:         l,
			LoseNextAnswer: func() { transport.lose.Store(true) },
		}
	})
}
