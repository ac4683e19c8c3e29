package conformance

import (
	"testing"

	"bucket-replicator/shared/storetest"
)

func TestTransfersOnMiniStack(t *testing.T) {
	config, transport := client(miniStack(t))
	storetest.TestTransfers(t, func(t *testing.T) storetest.TransfersFixture {
		l, _ := openLedger(t, config)
		return storetest.TransfersFixture{
			Transfers:      l,
			LoseNextAnswer: func() { transport.lose.Store(true) },
		}
	})
}
