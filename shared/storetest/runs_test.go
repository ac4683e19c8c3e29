package storetest_test

import (
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

var (
	_ run.Store = (*storetest.Runs)(nil)
	_ run.Queue = (*storetest.Tickets)(nil)
)
