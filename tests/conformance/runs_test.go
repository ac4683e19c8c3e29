package conformance

import (
	"testing"

	"bucket-replicator/shared/storetest"
)

func TestRunsOnMiniStack(t *testing.T) {
	config, transport := client(miniStack(t))
	storetest.TestRuns(t, func(t *testing.T) storetest.RunsFixture {
		l, _ := openLedger(t, config)
		return storetest.RunsFixture{
			Runs: l, Ledger: l,
			LoseNextAnswer: func() { transport.lose.Store(true) },
		}
	})
}
