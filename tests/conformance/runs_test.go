package conformance

import (
	"testing"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/tests/staging"
)

func TestRunsOnMiniStack(t *testing.T) {
	config, transport := client(staging.Server(t, server.MiniStack))
	storetest.TestRuns(t, func(t *testing.T) storetest.RunsFixture {
		l, _ := openLedger(t, config)
		return storetest.RunsFixture{
			Runs: l, Ledger: l,
			LoseNextAnswer: func() { transport.lose.Store(true) },
		}
	})
}
