package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"bucket-replicator/shared/telemetry"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newMetrics(out *bytes.Buffer) *telemetry.Metrics {
	return telemetry.NewMetrics("Test", out, func() time.Time { return noon })
}

// published is what CloudWatch would make of the output: per metric and
// dimensions ("ObjectsFailed rule=a code=b") all values. It refuses what the
// specification of the format refuses.
func published(t *testing.T, out *bytes.Buffer) map[string][]float64 {
	t.Helper()
	got := map[string][]float64{}
	if out.Len() > 0 && !bytes.HasSuffix(out.Bytes(), []byte("\n")) {
		t.Error("the last line has no end")
	}
	for line := range bytes.Lines(out.Bytes()) {
		if len(line) > 256<<10 {
			t.Errorf("a line of %d bytes", len(line))
		}
		var document map[string]any
		if err := json.Unmarshal(line, &document); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		var meta struct {
			AWS struct {
				Timestamp         int64
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name, Unit string }
				}
			} `json:"_aws"`
		}
		if err := json.Unmarshal(line, &meta); err != nil {
			t.Fatal(err)
		}
		if meta.AWS.Timestamp != noon.UnixMilli() {
			t.Errorf("timestamp %d, want %d", meta.AWS.Timestamp, noon.UnixMilli())
		}
		if len(meta.AWS.CloudWatchMetrics) == 0 {
			t.Errorf("no directive in %s", line)
		}
		for _, d := range meta.AWS.CloudWatchMetrics {
			if d.Namespace != "Test" {
				t.Errorf("namespace %q", d.Namespace)
			}
			if len(d.Metrics) == 0 || len(d.Metrics) > 100 {
				t.Errorf("%d metrics in a directive", len(d.Metrics))
			}
			if len(d.Dimensions) == 0 {
				t.Error("a directive without a list of dimensions")
			}
			for _, set := range d.Dimensions {
				if len(set) > 30 {
					t.Errorf("%d dimensions", len(set))
				}
				address := ""
				for _, name := range set {
					value, ok := document[name].(string)
					if !ok || value == "" || len(value) > 1024 {
						t.Errorf("dimension %s has value %v", name, document[name])
					}
					if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
						t.Errorf("dimension %s has value %q", name, value)
					}
					address += " " + name + "=" + value
				}
				for _, m := range d.Metrics {
					if !slices.Contains([]string{"Count", "Bytes", "Seconds"}, m.Unit) {
						t.Errorf("%s has unit %q", m.Name, m.Unit)
					}
					got[m.Name+address] = append(got[m.Name+address], numbers(t, document[m.Name])...)
				}
			}
		}
	}
	return got
}

func numbers(t *testing.T, v any) []float64 {
	t.Helper()
	switch v := v.(type) {
	case float64:
		return []float64{v}
	case []any:
		if len(v) == 0 || len(v) > 100 {
			t.Errorf("%d values", len(v))
		}
		var all []float64
		for _, e := range v {
			all = append(all, numbers(t, e)...)
		}
		return all
	default:
		t.Errorf("a metric has the value %v", v)
		return nil
	}
}

func flush(t *testing.T, m *telemetry.Metrics) {
	t.Helper()
	if err := m.Flush(); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, got map[string][]float64, want map[string][]float64) {
	t.Helper()
	for address, values := range want {
		if !slices.Equal(got[address], values) {
			t.Errorf("%s: %v, want %v", address, got[address], values)
		}
	}
	for address := range got {
		if _, ok := want[address]; !ok {
			t.Errorf("%s is published", address)
		}
	}
}

func TestAMetricIsPublishedForItsDimensionsAndEveryTotal(t *testing.T) {
	var out bytes.Buffer
	m := newMetrics(&out)
	m.Count(telemetry.ObjectsFailed, 1, telemetry.Rule, "a", telemetry.Code, "AccessDenied")
	m.Count(telemetry.ObjectsFailed, 1, telemetry.Rule, "a", telemetry.Code, "AccessDenied")
	m.Count(telemetry.ObjectsFailed, 1, telemetry.Rule, "a", telemetry.Code, "SlowDown")
	m.Count(telemetry.MessagesUndecodable, 1)
	flush(t, m)
	expect(t, published(t, &out), map[string][]float64{
		"ObjectsFailed rule=a code=AccessDenied": {2},
		"ObjectsFailed rule=a code=SlowDown":     {1},
		"ObjectsFailed rule=a":                   {2, 1}, // CloudWatch adds them
		"ObjectsFailed":                          {2, 1},
		"MessagesUndecodable":                    {1},
	})
}

func TestCountersAddUpAndObservationsStay(t *testing.T) {
	var out bytes.Buffer
	m := newMetrics(&out)
	for _, seconds := range []float64{0.5, 2, 0.25} {
		m.Count(telemetry.ObjectsCopied, 1, telemetry.Rule, "a")
		m.Count(telemetry.BytesCopied, 1000, telemetry.Rule, "a")
		m.Observe(telemetry.ReplicationLatency, seconds, telemetry.Rule, "a")
	}
	flush(t, m)
	if lines := bytes.Count(out.Bytes(), []byte("\n")); lines != 1 {
		t.Errorf("%d lines, want 1", lines)
	}
	for _, definition := range []string{
		`{"Name":"BytesCopied","Unit":"Bytes"}`,
		`{"Name":"ReplicationLatency","Unit":"Seconds"}`,
		`{"Name":"ObjectsCopied","Unit":"Count"}`,
	} {
		if !strings.Contains(out.String(), definition) {
			t.Errorf("no %s in %s", definition, out.String())
		}
	}
	expect(t, published(t, &out), map[string][]float64{
		"ObjectsCopied rule=a":      {3},
		"ObjectsCopied":             {3},
		"BytesCopied rule=a":        {3000},
		"BytesCopied":               {3000},
		"ReplicationLatency rule=a": {0.5, 2, 0.25},
		"ReplicationLatency":        {0.5, 2, 0.25},
	})
}

func TestFlushForgets(t *testing.T) {
	var out bytes.Buffer
	m := newMetrics(&out)
	flush(t, m)
	if out.Len() != 0 {
		t.Errorf("nothing was measured, and written was %s", out.String())
	}
	m.Count(telemetry.EventsDropped, 1)
	flush(t, m)
	flush(t, m)
	expect(t, published(t, &out), map[string][]float64{"EventsDropped": {1}})
}

func TestMoreThanALineHoldsIsSplitAndNothingIsLost(t *testing.T) {
	var out bytes.Buffer
	m := newMetrics(&out)
	const metrics, values = 230, 250
	longest := -math.MaxFloat32 / 3 // many digits
	var want []float64
	for range values {
		want = append(want, longest)
	}
	for i := range metrics {
		m.Count("Counter"+strconv.Itoa(i), 1, telemetry.Rule, "a")
		for range values {
			m.Observe("Distribution"+strconv.Itoa(i), longest, telemetry.Rule, "a")
		}
	}
	flush(t, m)
	got := published(t, &out)
	for i := range metrics {
		if name := "Counter" + strconv.Itoa(i); !slices.Equal(got[name], []float64{1}) {
			t.Errorf("%s: %v", name, got[name])
		}
		if name := "Distribution" + strconv.Itoa(i) + " rule=a"; !slices.Equal(got[name], want) {
			t.Errorf("%s has %d values, want %d", name, len(got[name]), values)
		}
	}
}

func TestWhatCloudWatchWouldRefuseNeverSpoilsALine(t *testing.T) {
	var out bytes.Buffer
	m := newMetrics(&out)
	for _, value := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64} {
		m.Count(telemetry.BytesCopied, value)
		m.Observe(telemetry.ReplicationLatency, value)
	}
	m.Count("EmptyValue", 1, telemetry.Code, "")
	m.Count("ForeignLetters", 1, telemetry.Code, "é\n")
	m.Count("MissingValue", 1, telemetry.Code)
	m.Count("LongValue", 1, telemetry.Code, strings.Repeat("x", 5000))
	var many []string
	for i := range 40 {
		many = append(many, "d"+strconv.Itoa(i), "v")
	}
	m.Count("ManyDimensions", 1, many...)
	flush(t, m)
	got := published(t, &out)
	for _, name := range []string{
		"EmptyValue code=none", "ForeignLetters code=??", "MissingValue code=none",
		"LongValue code=" + strings.Repeat("x", 1024), "ManyDimensions d0=v",
	} {
		if !slices.Equal(got[name], []float64{1}) {
			t.Errorf("%.40s: %v, want [1]", name, got[name])
		}
	}
	for _, name := range []string{telemetry.BytesCopied, telemetry.ReplicationLatency} {
		if got[name] != nil {
			t.Errorf("%s: %v", name, got[name])
		}
	}
}

func TestConcurrentUseCountsEverything(t *testing.T) {
	var out bytes.Buffer
	m := newMetrics(&out)
	const workers, each = 8, 200
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				m.Count(telemetry.ObjectsCopied, 1, telemetry.Rule, "a")
				m.Observe(telemetry.ReplicationLatency, 1, telemetry.Rule, "a")
			}
		})
	}
	wg.Wait()
	flush(t, m)
	got := published(t, &out)
	if n := got["ObjectsCopied rule=a"]; !slices.Equal(n, []float64{workers * each}) {
		t.Errorf("counted %v, want %d", n, workers*each)
	}
	if n := len(got["ReplicationLatency rule=a"]); n != workers*each {
		t.Errorf("kept %d values, want %d", n, workers*each)
	}
}

var errFull = errors.New("disk full")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestFlushReportsThatNothingWasWritten(t *testing.T) {
	m := telemetry.NewMetrics("Test", fullDisk{}, time.Now)
	m.Count(telemetry.EventsDropped, 1)
	if err := m.Flush(); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
}

func TestLogLinesCarryTheRequestID(t *testing.T) {
	invocation := lambdacontext.NewContext(context.Background(), &lambdacontext.LambdaContext{AwsRequestID: "id-1"})
	tests := map[string]struct {
		ctx  context.Context
		want any
	}{
		"within an invocation": {invocation, "id-1"},
		"outside of any":       {context.Background(), nil},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			var out bytes.Buffer
			log := telemetry.NewLogger(&out, slog.LevelInfo).With("rule", "a")
			log.DebugContext(test.ctx, "below the level")
			log.InfoContext(test.ctx, "object copied", "bytes", 5)
			var line map[string]any
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatalf("%v in %s", err, out.String())
			}
			if line["request_id"] != test.want || line["rule"] != "a" || line["msg"] != "object copied" {
				t.Errorf("got %v", line)
			}

			out.Reset()
			log.WithGroup("object").InfoContext(test.ctx, "object copied")
			if got := strings.Contains(out.String(), `"request_id":"id-1"`); got != (test.want != nil) {
				t.Errorf("in a group: %s", out.String())
			}
		})
	}
}
