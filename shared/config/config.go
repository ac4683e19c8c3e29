// Package config reads a function's environment, once, into a struct. What is
// wrong with it is reported all at once, each variable by its name and with
// what to do about it.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"bucket-replicator/shared/parts"
)

// The environment variables, as the stack sets them.
const (
	RulesTable        = "RULES_TABLE"
	ProvenanceTable   = "PROVENANCE_TABLE"
	RunsTable         = "RUNS_TABLE"
	TransfersTable    = "TRANSFERS_TABLE"
	EventsQueueURL    = "EVENTS_QUEUE_URL"
	ShardsQueueURL    = "SHARDS_QUEUE_URL"
	TransfersQueueURL = "TRANSFERS_QUEUE_URL"
	TransferThreshold = "TRANSFER_THRESHOLD"
	TransferWorkers   = "TRANSFER_WORKERS"
	SweepConcurrency  = "SWEEP_CONCURRENCY"
	MaxReceives       = "MAX_RECEIVES"
	VisibilityTimeout = "VISIBILITY_TIMEOUT"
	WebhookSecrets    = "WEBHOOK_SECRETS"
	MetricsNamespace  = "METRICS_NAMESPACE"
	LogLevel          = "LOG_LEVEL"
	functionName      = "AWS_LAMBDA_FUNCTION_NAME" // set by Lambda
)

// DefaultMetricsNamespace is where metrics go if nothing else is set.
const DefaultMetricsNamespace = "BucketReplicator"

// Replicate is the environment of functions/replicate.
type Replicate struct {
	Replication
	EventsQueueURL string
	// MaxReceives is the queue's maxReceiveCount: the delivery after which a
	// message would go to the dead-letter queue. At least 2.
	MaxReceives int
	ByParts     ByParts
}

// ByParts is what it takes to hand large objects over.
type ByParts struct {
	QueueURL string // of the transfers queue
	// Threshold is the size in bytes from which an object is copied by parts.
	Threshold int64
}

// Transfer is the environment of functions/transfer.
type Transfer struct {
	Replication
	// TransfersQueueURL is read from, and written to for the rest of what one
	// invocation does; EventsQueueURL for what has to be looked at again.
	TransfersQueueURL string
	EventsQueueURL    string
	// Workers is how many are invited to one transfer at most.
	Workers int
	// MaxReceives is the transfers queue's maxReceiveCount, at least 2.
	MaxReceives int
}

// Reconcile is the environment of functions/reconcile.
type Reconcile struct {
	Replication
	ShardsQueueURL string
	// SweepConcurrency is how many workers run at a time at most, over all
	// runs: what a shard gives away beyond that would only wait. At least 2.
	SweepConcurrency int
	ByParts          ByParts
}

// Schedule is the environment of functions/schedule.
type Schedule struct {
	Function
	RunsTable      string
	ShardsQueueURL string // for the runs that begin
	EventsQueueURL string // for the failures whose retry is due
	// TransfersTable and TransfersQueueURL are for the transfers whose workers
	// fell silent; Workers are invited to each at most.
	TransfersTable    string
	TransfersQueueURL string
	Workers           int
}

// Admin is the environment of functions/admin.
type Admin struct {
	Replication
	ShardsQueueURL string // for the runs that somebody starts
}

// Provision is the environment of functions/provision.
type Provision struct {
	Function
}

// Webhook is the environment of functions/webhook.
type Webhook struct {
	Function
	EventsQueueURL string
	// Secrets are the ARNs of the backends' secrets, by the backend's name.
	Secrets map[string]string
}

// Function is what every function has.
type Function struct {
	RulesTable       string
	MetricsNamespace string
	LogLevel         slog.Level
	Name             string // the function's own; empty outside Lambda
}

// Replication is what every function has that replicates, or tells what would be
// replicated.
type Replication struct {
	Function
	ProvenanceTable string
	RunsTable       string
	TransfersTable  string
	// VisibilityTimeout of the events queue, whole seconds: for so long the
	// event function may be at work on a destination that it holds.
	VisibilityTimeout time.Duration
}

// ReadReplicate reads the environment through getenv, os.Getenv in a function.
func ReadReplicate(getenv func(string) string) (Replicate, error) {
	e := environment{getenv: getenv}
	c := Replicate{
		Replication:    e.replication(),
		EventsQueueURL: e.queueURL(EventsQueueURL),
		MaxReceives:    e.integer(MaxReceives, 2, 1000, "the queue's maxReceiveCount"),
		ByParts:        e.byParts(),
	}
	return c, e.err()
}

// ReadReconcile reads the environment through getenv.
func ReadReconcile(getenv func(string) string) (Reconcile, error) {
	e := environment{getenv: getenv}
	c := Reconcile{
		Replication:      e.replication(),
		ShardsQueueURL:   e.queueURL(ShardsQueueURL),
		SweepConcurrency: e.integer(SweepConcurrency, 2, 1000, "the maximum concurrency of the shards queue's event source"),
		ByParts:          e.byParts(),
	}
	return c, e.err()
}

// ReadTransfer reads the environment through getenv.
func ReadTransfer(getenv func(string) string) (Transfer, error) {
	e := environment{getenv: getenv}
	c := Transfer{
		Replication:       e.replication(),
		TransfersQueueURL: e.queueURL(TransfersQueueURL),
		EventsQueueURL:    e.queueURL(EventsQueueURL),
		Workers:           e.transferWorkers(),
		MaxReceives:       e.integer(MaxReceives, 2, 1000, "the transfers queue's maxReceiveCount"),
	}
	return c, e.err()
}

// ReadSchedule reads the environment through getenv.
func ReadSchedule(getenv func(string) string) (Schedule, error) {
	e := environment{getenv: getenv}
	c := Schedule{
		Function:          e.function(),
		RunsTable:         e.runsTable(),
		ShardsQueueURL:    e.queueURL(ShardsQueueURL),
		EventsQueueURL:    e.queueURL(EventsQueueURL),
		TransfersTable:    e.transfersTable(),
		TransfersQueueURL: e.queueURL(TransfersQueueURL),
		Workers:           e.transferWorkers(),
	}
	return c, e.err()
}

// ReadAdmin reads the environment through getenv.
func ReadAdmin(getenv func(string) string) (Admin, error) {
	e := environment{getenv: getenv}
	c := Admin{
		Replication:    e.replication(),
		ShardsQueueURL: e.queueURL(ShardsQueueURL),
	}
	return c, e.err()
}

// ReadProvision reads the environment through getenv.
func ReadProvision(getenv func(string) string) (Provision, error) {
	e := environment{getenv: getenv}
	c := Provision{Function: e.function()}
	return c, e.err()
}

// ReadWebhook reads the environment through getenv.
func ReadWebhook(getenv func(string) string) (Webhook, error) {
	e := environment{getenv: getenv}
	c := Webhook{Function: e.function(), EventsQueueURL: e.queueURL(EventsQueueURL)}
	const what = "JSON with the ARN of each backend's secret by the backend's name"
	if v := e.required(WebhookSecrets, what); v != "" {
		if err := json.Unmarshal([]byte(v), &c.Secrets); err != nil || len(c.Secrets) == 0 {
			e.problem(WebhookSecrets, "is %q: set it to %s", v, what)
		}
	}
	return c, e.err()
}

func (e *environment) replication() Replication {
	return Replication{
		Function:          e.function(),
		ProvenanceTable:   e.required(ProvenanceTable, "the name of the DynamoDB table of provenance"),
		RunsTable:         e.runsTable(),
		TransfersTable:    e.transfersTable(),
		VisibilityTimeout: time.Duration(e.integer(VisibilityTimeout, 1, 43200, "the events queue's visibility timeout in seconds")) * time.Second,
	}
}

func (e *environment) runsTable() string {
	return e.required(RunsTable, "the name of the DynamoDB table of runs and failures")
}

func (e *environment) transfersTable() string {
	return e.required(TransfersTable, "the name of the DynamoDB table of transfers")
}

func (e *environment) byParts() ByParts {
	return ByParts{
		QueueURL: e.queueURL(TransfersQueueURL),
		// One part at least, and no more than one copy takes.
		Threshold: int64(e.integer(TransferThreshold, parts.MinSize, parts.MaxSize, "the size in bytes from which objects are copied by parts")),
	}
}

func (e *environment) transferWorkers() int {
	return e.integer(TransferWorkers, 1, 1000, "the maximum concurrency of the transfers queue's event source")
}

// environment reads variables and collects what is wrong with them. Its
// methods take the name of a variable, and answer the zero value for one that
// is wrong. Surrounding space never counts.
type environment struct {
	getenv   func(string) string
	problems []error
}

func (e *environment) err() error {
	if len(e.problems) == 0 {
		return nil
	}
	return fmt.Errorf("environment: %w", errors.Join(e.problems...))
}

func (e *environment) problem(name, format string, args ...any) {
	e.problems = append(e.problems, errors.New(name+" "+fmt.Sprintf(format, args...)))
}

func (e *environment) optional(name, otherwise string) string {
	if v := strings.TrimSpace(e.getenv(name)); v != "" {
		return v
	}
	return otherwise
}

// required takes what the variable is to be set to, for the message.
func (e *environment) required(name, what string) string {
	v := e.optional(name, "")
	if v == "" {
		e.problem(name, "is not set: set it to %s", what)
	}
	return v
}

func (e *environment) integer(name string, least, most int, what string) int {
	v := e.required(name, what)
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		e.problem(name, "is %q: set it to %s, a whole number from %d to %d", v, what, least, most)
		return 0
	}
	return n
}

func (e *environment) queueURL(name string) string {
	const what = "the URL of the SQS queue"
	v := e.required(name, what)
	if v == "" {
		return ""
	}
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		e.problem(name, "is %q: set it to %s, not its name or ARN", v, what)
		return ""
	}
	return v
}

func (e *environment) function() Function {
	c := Function{
		RulesTable:       e.required(RulesTable, "the name of the DynamoDB table of rules"),
		MetricsNamespace: e.optional(MetricsNamespace, DefaultMetricsNamespace),
		Name:             e.optional(functionName, ""),
	}
	if len(c.MetricsNamespace) > 255 || strings.HasPrefix(c.MetricsNamespace, "AWS/") {
		e.problem(MetricsNamespace, "is %q: CloudWatch takes up to 255 characters, not beginning with AWS/", c.MetricsNamespace)
	}
	if err := c.LogLevel.UnmarshalText([]byte(e.optional(LogLevel, "info"))); err != nil {
		e.problem(LogLevel, "is %q: set it to debug, info, warn or error", e.optional(LogLevel, ""))
	}
	return c
}
