package storetest_test

import (
	"testing"

	"bucket-replicator/shared/storetest"
)

func TestLimitsFake(t *testing.T) {
	storetest.TestLimits(t, func(*testing.T) storetest.LimitsFixture {
		return storetest.LimitsFixture{Limits: &storetest.Limits{}}
	})
}
