package conformance

import (
	"context"
	"testing"
	"time"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/tests/staging"
)

// s3Server is one of the servers that the store is tried against, and what is
// known of it.
type s3Server struct {
	start   func(context.Context, server.Options) (*server.Server, error)
	secrets bool // it refuses a wrong secret key
	// unkept are the conditions that it does not keep when left alone.
	unkept map[string]storetest.Deviation
	// emulated is how the store makes up for them, and deviations are what
	// is not kept even then.
	emulated   s3store.Conditions
	deviations map[string]storetest.Deviation
}

func TestObjects(t *testing.T) {
	table := newTable(storetest.ObjectPromises())
	t.Run("fake", func(t *testing.T) {
		table.addFake(storetest.TestObjects(t, storetest.FakeObjects(storetest.NewObjects(time.Now))))
	})
	for _, name := range serverNames {
		t.Run(name, func(t *testing.T) {
			s := servers[name]
			running, missing := staging.ServerIfInstalled(t, s.start)
			if missing != nil {
				table.untested(name, missing)
				t.Logf("UNTESTED: %v", missing)
				return
			}
			var native, emulated map[string]bool
			t.Run("native", func(t *testing.T) {
				h := s.harness(running.URL, s3store.Conditions{}, s.unkept)
				h.ConditionsOnly = true
				native = storetest.TestObjects(t, h)
			})
			t.Run("emulated", func(t *testing.T) {
				emulated = storetest.TestObjects(t, s.harness(running.URL, s.emulated, s.deviations))
			})
			table.add(name, native, emulated, s.deviations)
		})
	}
	table.publish(t, "objects")
}
