// Package rule knows the configuration: its grammar and defaults, what is wrong
// with a configuration, which rules concern an object, and where its replica
// goes. It reads no files and knows no YAML (rulefile does); the functions get
// the same types as JSON from the rules table.
package rule

// Config is the whole configuration file.
type Config struct {
	Storage Storage `json:"storage" yaml:"storage"`
}

// Storage names where objects live and what is replicated between.
type Storage struct {
	// Backends other than this account's AWS, which is always there under
	// the name "aws".
	Backends []Backend `json:"backends,omitempty" yaml:"backends,omitempty"`
	// Buckets by alias. Rules use aliases.
	Buckets     map[string]Bucket `json:"buckets" yaml:"buckets"`
	Replication Replication       `json:"replication" yaml:"replication"`
}

// Backend is an S3-compatible endpoint, or AWS in another region or account.
type Backend struct {
	Name      string `json:"name" yaml:"name"`
	Endpoint  string `json:"endpoint,omitempty" yaml:"endpoint,omitempty"`
	Region    string `json:"region,omitempty" yaml:"region,omitempty"`
	PathStyle bool   `json:"path_style,omitempty" yaml:"path_style,omitempty"`
	// CredentialsSecret is the ARN of a Secrets Manager secret: JSON with
	// access_key_id and secret_access_key. Without it the functions' own
	// role is used.
	CredentialsSecret string `json:"credentials_secret,omitempty" yaml:"credentials_secret,omitempty"`
}

// Bucket is a bucket rules may use.
type Bucket struct {
	Backend string `json:"backend,omitempty" yaml:"backend,omitempty"`
	// Name is the physical name; the alias where empty.
	Name string `json:"name,omitempty" yaml:"name,omitempty"`
	// Create makes the stack own the bucket: private, encrypted, TLS only,
	// retained when the stack is destroyed.
	Create    bool `json:"create,omitempty" yaml:"create,omitempty"`
	Versioned bool `json:"versioned,omitempty" yaml:"versioned,omitempty"`
}

// Replication holds the rules and what they share.
type Replication struct {
	Enabled             bool     `json:"enabled" yaml:"enabled"`
	TickInterval        Duration `json:"tick_interval" yaml:"tick_interval"`
	MaxFailuresRetained int      `json:"max_failures_retained" yaml:"max_failures_retained"`
	Rules               []Rule   `json:"rules" yaml:"rules"`
}

// Conflict says what happens where the destination holds an object that this
// rule did not write, or that changed since.
type Conflict string

// The conflict policies.
const (
	NewerWins        Conflict = "newer-wins"
	SourceWins       Conflict = "source-wins"
	SkipIfDestExists Conflict = "skip-if-dest-exists"
)

// Rule replicates the objects under one prefix of a bucket to another place.
type Rule struct {
	Name        string `json:"name" yaml:"name"`
	Enabled     bool   `json:"enabled" yaml:"enabled"`
	Source      Side   `json:"source" yaml:"source"`
	Destination Side   `json:"destination" yaml:"destination"`
	// Interval between two full reconciles.
	Interval Duration `json:"interval" yaml:"interval"`
	// BatchSize is how many keys a reconcile decides between two
	// checkpoints, 1 to 10,000.
	BatchSize        int      `json:"batch_size" yaml:"batch_size"`
	ReplicateDeletes bool     `json:"replicate_deletes" yaml:"replicate_deletes"`
	Conflict         Conflict `json:"conflict" yaml:"conflict"`
	IncludeGlobs     []string `json:"include_globs" yaml:"include_globs"`
	ExcludeGlobs     []string `json:"exclude_globs" yaml:"exclude_globs"`
	// Priority decides where two rules write the same destination key: the
	// higher one owns it.
	Priority int `json:"priority,omitempty" yaml:"priority,omitempty"`
	// ExistingObjects false: only what was written after the rule was made.
	ExistingObjects           bool       `json:"existing_objects" yaml:"existing_objects"`
	DeleteMarkers             bool       `json:"delete_markers,omitempty" yaml:"delete_markers,omitempty"`
	ReplicateLifecycleDeletes bool       `json:"replicate_lifecycle_deletes,omitempty" yaml:"replicate_lifecycle_deletes,omitempty"`
	MaxDeletes                MaxDeletes `json:"max_deletes" yaml:"max_deletes"`
	// Tags an object must have, all of them.
	Tags map[string]string `json:"tags,omitempty" yaml:"tags,omitempty"`
	// MinSize and MaxSize in bytes, both inclusive. MaxSize 0: no limit.
	MinSize       int64    `json:"min_size,omitempty" yaml:"min_size,omitempty"`
	MaxSize       int64    `json:"max_size,omitempty" yaml:"max_size,omitempty"`
	StorageClass  string   `json:"storage_class,omitempty" yaml:"storage_class,omitempty"`
	SSE           SSE      `json:"sse,omitzero" yaml:"sse,omitempty"`
	OwnerOverride bool     `json:"owner_override,omitempty" yaml:"owner_override,omitempty"`
	ReplicateTags bool     `json:"replicate_tags" yaml:"replicate_tags"`
	Limits        Limits   `json:"limits,omitzero" yaml:"limits,omitempty"`
	LatencyTarget Duration `json:"latency_target" yaml:"latency_target"`
}

// Side is one end of a rule: a bucket by its alias, and a plain key prefix.
type Side struct {
	Bucket string `json:"bucket" yaml:"bucket"`
	Prefix string `json:"prefix" yaml:"prefix"`
}

// MaxDeletes brakes mass deletes: over either limit a run deletes nothing.
type MaxDeletes struct {
	Count int `json:"count" yaml:"count"`
	// Percent of the scanned keys; applies above 20 candidates.
	Percent int `json:"percent" yaml:"percent"`
}

// SSE is the encryption of replicas; without it the destination bucket's
// default applies.
type SSE struct {
	Mode   string `json:"mode,omitempty" yaml:"mode,omitempty"` // AES256, aws:kms, aws:kms:dsse
	KMSKey string `json:"kms_key,omitempty" yaml:"kms_key,omitempty"`
}

// Limits bound what one rule uses, over all workers.
type Limits struct {
	Concurrency    int    `json:"concurrency,omitempty" yaml:"concurrency,omitempty"`
	BytesPerSecond int64  `json:"bytes_per_second,omitempty" yaml:"bytes_per_second,omitempty"`
	Window         string `json:"window,omitempty" yaml:"window,omitempty"` // "22:00-06:00", UTC
}
