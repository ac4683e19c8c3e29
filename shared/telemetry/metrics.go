// Package telemetry is what the functions say about themselves: log lines, and
// metrics in CloudWatch's embedded metric format.
package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// The metrics. Each is published for the dimensions that follow its name, in
// that order, and for every shorter list of them, so that an alarm or a graph
// finds the total without a sum of its own: ObjectsFailed by rule and code, by
// rule, and over all.
const (
	ObjectsCopied       = "ObjectsCopied"       // rule
	PropertiesLost      = "PropertiesLost"      // rule, reason: what a replica could not be given
	ObjectsRetagged     = "ObjectsRetagged"     // rule: only the tags were brought up to date
	ObjectsSkipped      = "ObjectsSkipped"      // rule, reason
	ObjectsDeleted      = "ObjectsDeleted"      // rule
	ObjectsFailed       = "ObjectsFailed"       // rule, code
	BytesCopied         = "BytesCopied"         // rule
	ReplicationLatency  = "ReplicationLatency"  // rule; seconds from the event to the replica
	EventsDropped       = "EventsDropped"       // events of a type that is none of ours
	MessagesDeferred    = "MessagesDeferred"    // put back without a try
	MessagesUndecodable = "MessagesUndecodable" // on their way to the dead-letter queue
	RunsStarted         = "RunsStarted"         // rule; by schedule
	RunsCancelled       = "RunsCancelled"       // rule, reason; by schedule
	ShardsRevived       = "ShardsRevived"       // rule; whose worker or message was lost
	TransfersRevived    = "TransfersRevived"    // whose workers or messages were lost
	TransfersAbandoned  = "TransfersAbandoned"  // rule; whose source or destination moved on
	FailuresRetried     = "FailuresRetried"     // rule; sent to be tried again
	RunsSucceeded       = "RunsSucceeded"       // rule; some of their objects may have failed
	RunsFailed          = "RunsFailed"          // rule; some of their keys were not seen
	DeletesHeld         = "DeletesHeld"         // rule; how many deletes a run left to an approval
	ObjectsVerified     = "ObjectsVerified"     // rule, class; what a verification made of a key
	DifferencesFound    = "DifferencesFound"    // rule; by a verification: missing, orphans and mismatches
)

// The dimensions.
const (
	Rule   = "rule"
	Reason = "reason"
	Code   = "code"
	Class  = "class"
)

// Unit is the CloudWatch unit a metric is published in.
func Unit(metric string) string {
	switch metric {
	case BytesCopied:
		return "Bytes"
	case ReplicationLatency:
		return "Seconds"
	default:
		return "Count"
	}
}

// Limits of the format: 100 metrics, 100 values of each, 30 dimensions, 256 KB.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
const (
	maxMetrics        = 50 // per line: at up to 25 bytes a value, 100 would not surely fit into 256 KB
	maxValues         = 100
	maxDimensions     = 30
	maxDimensionValue = 1024
	maxMagnitude      = 1 << 360
)

// Metrics collects the metrics of one invocation. Methods may be called
// concurrently.
type Metrics struct {
	namespace string
	out       io.Writer
	now       func() time.Time

	mu     sync.Mutex
	groups map[string]*group // by their dimensions
}

// group is what was measured under one list of dimensions.
type group struct {
	names, values []string             // of the dimensions
	metrics       map[string][]float64 // a counter has one value
}

// NewMetrics publishes under namespace to out, which is standard output in a
// function; there CloudWatch finds them.
func NewMetrics(namespace string, out io.Writer, now func() time.Time) *Metrics {
	return &Metrics{namespace: namespace, out: out, now: now, groups: map[string]*group{}}
}

// Count adds value to a counter. dimensions are names and values by turns:
// Count(ObjectsSkipped, 1, Rule, "mirror", Reason, "in_sync").
func (m *Metrics) Count(metric string, value float64, dimensions ...string) {
	m.add(metric, value, true, dimensions)
}

// Observe keeps value as one of a distribution, of which CloudWatch knows the
// percentiles. dimensions are as for Count.
func (m *Metrics) Observe(metric string, value float64, dimensions ...string) {
	m.add(metric, value, false, dimensions)
}

// add makes do with what it is given, and ignores a value that CloudWatch would
// refuse: a metric never fails the work that it measures.
func (m *Metrics) add(metric string, value float64, sum bool, dimensions []string) {
	if !(math.Abs(value) <= maxMagnitude) { // so written, NaN is refused too
		return
	}
	var names, values []string
	for pair := range slices.Chunk(dimensions[:min(len(dimensions), 2*maxDimensions)], 2) {
		names, values = append(names, pair[0]), append(values, dimensionValue(pair[1:]))
	}
	id := fmt.Sprintf("%q%q", names, values)

	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.groups[id]
	if g == nil {
		g = &group{names: names, values: values, metrics: map[string][]float64{}}
		m.groups[id] = g
	}
	if had := g.metrics[metric]; sum && len(had) > 0 {
		had[0] += value
	} else {
		g.metrics[metric] = append(had, value)
	}
}

// dimensionValue makes a value fit, "none" where there is none: CloudWatch
// refuses a line for one that is empty, too long or not printable ASCII.
func dimensionValue(given []string) string {
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.Join(given, ""))
	s = strings.TrimSpace(s[:min(len(s), maxDimensionValue)])
	if s == "" {
		return "none"
	}
	return s
}

// Flush writes what was collected since the last Flush, one JSON document per
// line and as few lines as the format allows, and forgets it. Call it at the
// end of every invocation. The lines come in a stable order.
func (m *Metrics) Flush() error {
	m.mu.Lock()
	groups := m.groups
	m.groups = map[string]*group{}
	m.mu.Unlock()

	for _, id := range sortedKeys(groups) {
		g := groups[id]
		for names := range slices.Chunk(sortedKeys(g.metrics), maxMetrics) {
			for len(names) > 0 {
				line, rest := m.line(g, names)
				if _, err := m.out.Write(line); err != nil {
					return fmt.Errorf("write metrics: %w", err)
				}
				names = rest
			}
		}
	}
	return nil
}

// definition is one member of Metrics in a directive.
type definition struct {
	Name string
	Unit string
}

// directive tells CloudWatch which members of the line are metrics.
type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []definition
}

// line takes up to maxValues values of each named metric out of g, and returns
// the names that have more.
func (m *Metrics) line(g *group, names []string) (line []byte, rest []string) {
	d := directive{Namespace: m.namespace}
	document := map[string]any{}
	for i := len(g.names); i >= 0; i-- {
		d.Dimensions = append(d.Dimensions, append([]string{}, g.names[:i]...))
	}
	for i, name := range g.names {
		document[name] = g.values[i]
	}
	for _, name := range names {
		values := g.metrics[name]
		n := min(len(values), maxValues)
		if document[name] = values[:n]; n == 1 {
			document[name] = values[0]
		}
		d.Metrics = append(d.Metrics, definition{Name: name, Unit: Unit(name)})
		if g.metrics[name] = values[n:]; len(values) > n {
			rest = append(rest, name)
		}
	}
	document["_aws"] = map[string]any{
		"Timestamp":         m.now().UnixMilli(),
		"CloudWatchMetrics": []directive{d},
	}
	line, err := json.Marshal(document)
	if err != nil {
		panic(err) // strings and finite numbers only
	}
	return append(line, '\n'), rest
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
