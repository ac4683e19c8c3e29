// Package rule knows the configuration: its grammar and defaults, what is wrong
// with a configuration, which rules concern an object, and where its replica
// goes. It reads no files and knows no YAML (rulefile does); the functions get
// the same types as JSON from the rules table.
package rule

// Config is the whole configuration file.
type Config struct {
	// Storage is all there is in the file.
	Storage Storage `json:"storage" yaml:"storage" jsonschema:"required"`
}

// Storage names where objects live and what is replicated between.
type Storage struct {
	// Backends other than this account's AWS, which is always there under
	// the name "aws".
	Backends []Backend `json:"backends,omitempty" yaml:"backends,omitempty"`
	// Buckets by alias. Rules use aliases.
	Buckets map[string]Bucket `json:"buckets" yaml:"buckets" jsonschema:"required,minProperties=1"`
	// Replication between these buckets.
	Replication Replication `json:"replication" yaml:"replication"`
}

// Backend is an S3-compatible endpoint, or AWS in another region or account.
type Backend struct {
	// Name that buckets refer to; "aws" is taken.
	Name string `json:"name" yaml:"name" jsonschema:"required,pattern=^[A-Za-z0-9_.-]{1\\,64}$"`
	// Endpoint is a URL; AWS where empty.
	Endpoint string `json:"endpoint,omitempty" yaml:"endpoint,omitempty" jsonschema:"pattern=^https?://"`
	// Region that requests are signed for; the stack's own where empty.
	Region string `json:"region,omitempty" yaml:"region,omitempty"`
	// PathStyle puts the bucket into the path, not into the host name.
	PathStyle bool `json:"path_style,omitempty" yaml:"path_style,omitempty"`
	// CredentialsSecret is the whole ARN of a Secrets Manager secret: JSON
	// with access_key_id and secret_access_key. Without it, and without a
	// role_arn, the functions' own roles are used.
	CredentialsSecret string `json:"credentials_secret,omitempty" yaml:"credentials_secret,omitempty" jsonschema:"pattern=^arn:"`
	// RoleARN is a role in another AWS account that the functions assume.
	RoleARN string `json:"role_arn,omitempty" yaml:"role_arn,omitempty" jsonschema:"pattern=^arn:"`
	// ExternalID that the role's trust policy asks for.
	ExternalID string `json:"external_id,omitempty" yaml:"external_id,omitempty" jsonschema:"maxLength=1000"`
	// Account is another AWS account, 12 digits, whose bucket policies let the
	// functions' own roles in; a role_arn says it by itself.
	Account string `json:"account,omitempty" yaml:"account,omitempty" jsonschema:"pattern=^[0-9]{12}$"`
	// WebhookSecret is the whole ARN of a Secrets Manager secret: JSON with a
	// bearer_token or a signing_key, by which the backend proves to the webhook
	// that events are its own. Without it the webhook takes none of it.
	WebhookSecret string `json:"webhook_secret,omitempty" yaml:"webhook_secret,omitempty" jsonschema:"pattern=^arn:"`
	// Topic is the ARN of an SNS topic that its notifications come through.
	Topic string `json:"topic,omitempty" yaml:"topic,omitempty" jsonschema:"pattern=^arn:"`
}

// Bucket is a bucket rules may use.
type Bucket struct {
	// Backend that the bucket is on; this account's AWS where empty.
	Backend string `json:"backend,omitempty" yaml:"backend,omitempty"`
	// Name is the physical name; the alias where empty.
	Name string `json:"name,omitempty" yaml:"name,omitempty"`
	// Create makes the stack own the bucket: private, encrypted, TLS only,
	// retained when the stack is destroyed.
	Create bool `json:"create,omitempty" yaml:"create,omitempty"`
	// Versioned switches versions on where the bucket is created.
	Versioned bool `json:"versioned,omitempty" yaml:"versioned,omitempty"`
	// RequesterPays: whoever asks for the bucket's objects pays, and you agree
	// to. Without it such a bucket denies access.
	RequesterPays bool `json:"requester_pays,omitempty" yaml:"requester_pays,omitempty"`
}

// Replication holds the rules and what they share.
type Replication struct {
	// Enabled false switches every rule off.
	Enabled bool `json:"enabled" yaml:"enabled"`
	// TickInterval is how often due rules are looked for; whole minutes.
	TickInterval Duration `json:"tick_interval" yaml:"tick_interval"`
	// MaxFailuresRetained is how many failures are kept per rule.
	MaxFailuresRetained int `json:"max_failures_retained" yaml:"max_failures_retained" jsonschema:"minimum=1,maximum=10000"`
	// Rules, each of which is a job.
	Rules []Rule `json:"rules" yaml:"rules"`
}

// Conflict says what happens where the destination holds an object that this
// rule did not write, or that changed since.
type Conflict string

// The conflict policies.
const (
	// NewerWins overwrites what a person wrote earlier than the source.
	NewerWins Conflict = "newer-wins"
	// SourceWins overwrites in any case.
	SourceWins Conflict = "source-wins"
	// SkipIfDestExists overwrites nothing, what the rule wrote itself included.
	SkipIfDestExists Conflict = "skip-if-dest-exists"
)

// Rule replicates the objects under one prefix of a bucket to another place.
type Rule struct {
	// Name is unique, and how the API calls the rule.
	Name string `json:"name" yaml:"name" jsonschema:"required,pattern=^[A-Za-z0-9_.-]{1\\,64}$"`
	// Enabled false: as if the rule were not there.
	Enabled bool `json:"enabled" yaml:"enabled"`
	// Source is where objects come from.
	Source Side `json:"source" yaml:"source" jsonschema:"required"`
	// Destination is where replicas go to.
	Destination Side `json:"destination" yaml:"destination" jsonschema:"required"`
	// Interval between two full reconciles, at least the tick_interval.
	Interval Duration `json:"interval" yaml:"interval"`
	// BatchSize is how many keys a reconcile decides between two
	// checkpoints, 1 to 10,000.
	BatchSize int `json:"batch_size" yaml:"batch_size" jsonschema:"minimum=1,maximum=10000"`
	// ReplicateDeletes deletes what this rule wrote and nobody changed since,
	// once its source is gone.
	ReplicateDeletes bool `json:"replicate_deletes" yaml:"replicate_deletes"`
	// Conflict: what happens where the destination holds an object that this
	// rule did not write, or that changed since.
	Conflict Conflict `json:"conflict" yaml:"conflict" jsonschema:"enum=newer-wins,enum=source-wins,enum=skip-if-dest-exists"`
	// IncludeGlobs on whole source keys; if set, only matching keys
	// replicate. * stops at a slash, ** does not.
	IncludeGlobs []string `json:"include_globs" yaml:"include_globs"`
	// ExcludeGlobs on whole source keys; they beat IncludeGlobs.
	ExcludeGlobs []string `json:"exclude_globs" yaml:"exclude_globs"`
	// Priority decides where two rules write the same destination key: the
	// higher one owns it.
	Priority int `json:"priority,omitempty" yaml:"priority,omitempty"`
	// ExistingObjects false: only what was written after the rule was made.
	ExistingObjects bool `json:"existing_objects" yaml:"existing_objects"`
	// DeleteMarkers answers a delete marker with a delete marker; needs
	// versions in both buckets.
	DeleteMarkers bool `json:"delete_markers,omitempty" yaml:"delete_markers,omitempty"`
	// ReplicateLifecycleDeletes treats what a lifecycle rule of the source
	// expired like any other delete.
	ReplicateLifecycleDeletes bool `json:"replicate_lifecycle_deletes,omitempty" yaml:"replicate_lifecycle_deletes,omitempty"`
	// MaxDeletes brakes mass deletes: over either limit a run deletes nothing
	// before somebody approves.
	MaxDeletes MaxDeletes `json:"max_deletes" yaml:"max_deletes"`
	// Tags an object must have, all of them.
	Tags map[string]string `json:"tags,omitempty" yaml:"tags,omitempty" jsonschema:"maxProperties=10"`
	// MinSize in bytes, inclusive.
	MinSize int64 `json:"min_size,omitempty" yaml:"min_size,omitempty" jsonschema:"minimum=0"`
	// MaxSize in bytes, inclusive. 0: no limit.
	MaxSize int64 `json:"max_size,omitempty" yaml:"max_size,omitempty" jsonschema:"minimum=0"`
	// StorageClass of replicas; the destination's default where empty.
	StorageClass string `json:"storage_class,omitempty" yaml:"storage_class,omitempty" jsonschema:"enum=STANDARD,enum=STANDARD_IA,enum=ONEZONE_IA,enum=INTELLIGENT_TIERING,enum=GLACIER_IR,enum=GLACIER,enum=DEEP_ARCHIVE,enum=REDUCED_REDUNDANCY"`
	// SSE is the encryption of replicas; the destination's default where empty.
	SSE SSE `json:"sse,omitzero" yaml:"sse,omitempty"`
	// OwnerOverride gives the destination bucket's owner full control.
	OwnerOverride bool `json:"owner_override,omitempty" yaml:"owner_override,omitempty"`
	// ReplicateTags false: replicas get no tags.
	ReplicateTags bool `json:"replicate_tags" yaml:"replicate_tags"`
	// ReplicateObjectLock gives replicas the retention and the legal hold that
	// the source has when it is copied; needs Object Lock at the destination.
	ReplicateObjectLock bool `json:"replicate_object_lock,omitempty" yaml:"replicate_object_lock,omitempty"`
	// ReplicateWebsiteRedirects gives replicas the redirect of a website's
	// object, as it stands.
	ReplicateWebsiteRedirects bool `json:"replicate_website_redirects,omitempty" yaml:"replicate_website_redirects,omitempty"`
	// Limits bound what the rule uses, over all workers.
	Limits Limits `json:"limits,omitzero" yaml:"limits,omitempty"`
	// LatencyTarget is the time from event to replica that an alarm watches.
	LatencyTarget Duration `json:"latency_target" yaml:"latency_target"`
}

// Side is one end of a rule: a bucket by its alias, and a plain key prefix.
type Side struct {
	// Bucket is an alias of storage.buckets.
	Bucket string `json:"bucket" yaml:"bucket" jsonschema:"required"`
	// Prefix is a plain string, as in S3: "logs" also stands for "logs2/x".
	// Destination keys are source keys with one prefix replaced by the other.
	Prefix string `json:"prefix" yaml:"prefix" jsonschema:"maxLength=1024"`
}

// MaxDeletes brakes mass deletes: over either limit a run deletes nothing.
type MaxDeletes struct {
	// Count of the deletes in one run.
	Count int `json:"count" yaml:"count" jsonschema:"minimum=0,maximum=1000000000"`
	// Percent of the scanned keys; applies above 20 candidates.
	Percent int `json:"percent" yaml:"percent" jsonschema:"minimum=0,maximum=100"`
}

// SSE is the encryption of replicas; without it the destination bucket's
// default applies.
type SSE struct {
	// Mode is by S3's own keys, or by KMS in one layer or two.
	Mode string `json:"mode,omitempty" yaml:"mode,omitempty" jsonschema:"enum=AES256,enum=aws:kms,enum=aws:kms:dsse"`
	// KMSKey is an id, an alias or an ARN, for the two KMS modes; the
	// account's key for S3 where empty.
	KMSKey string `json:"kms_key,omitempty" yaml:"kms_key,omitempty"`
	// BucketKey makes one request to KMS serve many objects, in the mode
	// aws:kms. False: the key's policy and log see each object.
	BucketKey bool `json:"bucket_key" yaml:"bucket_key"`
}

// IsZero reports whether s says nothing: how it is written depends on it.
func (s SSE) IsZero() bool { return s == DefaultRule().SSE }

// Limits bound what one rule uses, over all workers.
type Limits struct {
	// Concurrency is how many objects are copied at a time. 0: no limit.
	Concurrency int `json:"concurrency,omitempty" yaml:"concurrency,omitempty" jsonschema:"minimum=0,maximum=1000"`
	// BytesPerSecond copied. 0: no limit.
	BytesPerSecond int64 `json:"bytes_per_second,omitempty" yaml:"bytes_per_second,omitempty" jsonschema:"minimum=0"`
	// Window is the time of day in which reconciles run, such as
	// "22:00-06:00", UTC; any time where empty. What one has not come to waits
	// for the next day's.
	Window string `json:"window,omitempty" yaml:"window,omitempty" jsonschema:"pattern=^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$"`
	// OutsideWindow is what moves while the window is closed: "events", the
	// default, or "nothing". Then a reconcile makes up for the events when it
	// opens.
	OutsideWindow string `json:"outside_window,omitempty" yaml:"outside_window,omitempty" jsonschema:"enum=events,enum=nothing"`
}
