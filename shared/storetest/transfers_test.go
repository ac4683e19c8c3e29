package storetest_test

import (
	"testing"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/shared/transfer"
)

var (
	_ transfer.Store   = (*storetest.Transfers)(nil)
	_ transfer.Objects = (*storetest.Objects)(nil)
)

func TestTheFakeStoreOfTransfersKeepsTheStoresPromises(t *testing.T) {
	storetest.TestTransfers(t, func(*testing.T) storetest.TransfersFixture {
		s := &storetest.Transfers{}
		return storetest.TransfersFixture{
			Transfers: s,
			LoseNextAnswer: func() {
				s.Hook = func(storetest.Call) (storetest.Fault, error) {
					s.Hook = nil
					return storetest.ApplyThenFail, &object.Error{Code: "ConnectionReset"}
				}
			},
		}
	})
}
