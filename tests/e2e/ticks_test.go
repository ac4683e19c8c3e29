package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"
)

// This file is the last one, since the first tick starts a run of every rule. It
// comes about a minute after the ticks are switched on.
func TestTicksStartRunsAndBringOnThoseWhoseWorkersWereKilled(t *testing.T) {
	s := deployed(t)
	s.silence(t, "attic")
	s.put(t, at{"attic", "scheduled/k"}, text("x"))
	if job := s.job(t, "scheduled"); job.Status != "never_run" {
		t.Fatalf("before the first tick the job is %+v", job)
	}
	const keys = 1500
	var silent run.Run
	if runtime.GOOS == "linux" {
		silent = s.runWhoseWorkersAreKilled(t, keys)
	} else {
		t.Log("UNTESTED: a run whose workers are killed, since there is no /proc to find them in")
	}

	// Not before: the runs of the first tick have workers too.
	if err := s.Cloud.Ticks(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	await(t, func() (bool, error) {
		runs := s.runs(t, "scheduled")
		return len(runs) > 0 && !runs[0].Status.Active(), nil
	}, func() string { return "a run that nobody asked for" })
	if r := s.runs(t, "scheduled")[0]; r.ID != 1 || r.Trigger != run.BySchedule || r.Status != run.Succeeded || r.Copied != 1 {
		t.Errorf("the run that nobody asked for is %+v", r)
	}
	s.holds(t, at{"vault", "scheduled/k"}, text("x"))
	// The events of the first minutes may be lost, so another run follows soon.
	if job := s.job(t, "scheduled"); job.NextDue.After(time.Now().Add(11 * time.Minute)) {
		t.Errorf("the next run is due at %v", job.NextDue)
	}

	if silent.ID != 0 {
		r := s.ended(t, silent.Rule, silent.ID)
		if r.Status != run.Succeeded || r.Scanned != keys || r.Copied+r.Skipped != keys || r.Errors != 0 {
			t.Errorf("the run whose workers were killed is %+v", r)
		}
		s.sameObjects(t, at{"depot", "k/"}, at{"mirrors", "k/"})
	}
	if err := s.Cloud.Ticks(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	s.allEnd(t)
}

// runWhoseWorkersAreKilled starts a run over so many new objects and kills its
// workers, with SIGKILL, when they have done a part. They leave their leases
// behind, and SQS hides their tickets for the rest of the visibility timeout, an
// hour and a half. The ticks send other tickets when the leases are long over.
// Minutes would pass before that; here the store is told that they have.
func (s *stage) runWhoseWorkersAreKilled(t *testing.T, keys int) run.Run {
	t.Helper()
	const rule = "large"
	s.silence(t, "depot")
	s.putMany(t, "depot", "k/", keys)

	asking, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	go func() { // it would wait for longer than the test
		_, _, _ = s.api(asking, s.Cloud.AWS(), http.MethodPost, "/jobs/"+rule+"/run-now")
		close(asked)
	}()
	t.Cleanup(func() { cancel(); <-asked })
	var active run.Run
	await(t, func() (bool, error) {
		jobs, err := s.Ledger.Jobs(t.Context(), []string{rule})
		if err != nil || jobs[rule].ActiveRun == 0 {
			return false, err
		}
		if active, err = s.Ledger.Run(t.Context(), rule, jobs[rule].ActiveRun); err != nil {
			return false, err
		}
		var saved int64
		shards, err := s.Ledger.Shards(t.Context(), rule, active.ID)
		for _, shard := range shards {
			saved += shard.Scanned
		}
		return saved > int64(keys)/10, err
	}, func() string { return fmt.Sprintf("a checkpoint; the run is %+v", active) })
	killed := s.killWorkers(t, "ReconcileFunction")
	t.Logf("killed %d workers", killed)

	// What is left stands still, until the ticks find it silent.
	var open int
	shards, err := s.Ledger.Shards(t.Context(), rule, active.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, shard := range shards {
		if shard.Ended {
			continue
		}
		open++
		shard.LeasedUntil, shard.SentAt, shard.SavedAt = shard.LeasedUntil.Add(-time.Hour), shard.SentAt.Add(-time.Hour), shard.SavedAt.Add(-time.Hour)
		err := s.Ledger.Save(t.Context(), shard)
		if err != nil && object.ClassOf(err) != object.Premise { // else its ticket had been waiting, and a new worker has it
			t.Fatal(err)
		}
	}
	if open == 0 {
		t.Fatalf("the run had ended before its workers were killed")
	}
	return active
}

// killWorkers kills the processes of a function, by its name in the outputs,
// and answers how many there were.
func (s *stage) killWorkers(t *testing.T, function string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, file := range files {
		environment, err := os.ReadFile(file)
		if err != nil || // somebody else's, or it has ended
			!bytes.Contains(environment, []byte("AWS_LAMBDA_FUNCTION_NAME="+s.Stack.Outputs[function]+"\x00")) ||
			!bytes.Contains(environment, []byte("AWS_ENDPOINT_URL="+s.Cloud.URL()+"\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		killed++
	}
	if killed == 0 {
		t.Fatalf("no process of %s was found", s.Stack.Outputs[function])
	}
	return killed
}

func TestAFailureIsTriedAgainWhenThatIsDue(t *testing.T) {
	s := deployed(t)
	source, replica := at{"attic", "forbidden/again"}, at{"vault", "forbidden/again"}
	s.silence(t, "attic")
	permit := s.forbid(t)
	s.put(t, source, text("x"))
	s.runNow(t, "forbidden")
	permit()
	failures, err := s.Ledger.Failures(t.Context(), "forbidden", 10)
	if err != nil || len(failures) != 1 {
		t.Fatalf("the failures are %+v, %v", failures, err)
	}
	// In an hour, by itself.
	if err := s.Ledger.Postpone(t.Context(), failures[0], time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	s.tickNow(t)
	s.told(t, "forbidden", source, "copied missing")
	s.holds(t, replica, text("x"))
	if failures := s.failures(t, "forbidden"); len(failures) != 0 {
		t.Errorf("healed, and listed are %+v", failures)
	}
}

// tickNow invokes the schedule function, as the next tick would.
func (s *stage) tickNow(t *testing.T) {
	t.Helper()
	s.call(t, "lambda", http.MethodPost, "/2015-03-31/functions/"+s.Stack.Outputs["ScheduleFunction"]+"/invocations", "{}")
}

// allEnd waits until no rule has a run under way.
func (s *stage) allEnd(t *testing.T) {
	t.Helper()
	active := map[string]bool{}
	await(t, func() (bool, error) {
		clear(active)
		var list struct {
			Jobs []struct{ Name, Status string }
		}
		s.asked(t, http.StatusOK, http.MethodGet, "/jobs", &list)
		for _, j := range list.Jobs {
			if j.Status == "running" {
				active[j.Name] = true
			}
		}
		return len(active) == 0, nil
	}, func() string { return fmt.Sprintf("the end of the runs of %v", slices.Sorted(maps.Keys(active))) })
}
