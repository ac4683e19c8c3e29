package conformance

import (
	"testing"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/tests/staging"
)

func TestTransfersOnMiniStack(t *testing.T) {
	config, transport := client(staging.Server(t, server.MiniStack))
	storetest.TestTransfers(t, func(t *testing.T) storetest.TransfersFixture {
		l, _ := openLedger(t, config)
		return storetest.TransfersFixture{
			Transfers:      l,
			LoseNextAnswer: func() { transport.lose.Store(true) },
		}
	})
}
