// Package schema names the four tables' keys, indexes and attributes: what
// makes the tables and what reads them share these words. It imports nothing,
// so that the stack can use it without an SDK.
package schema

// Table is what has to be known to make a table. Partition keys are strings,
// and so are sort keys.
type Table struct {
	PartitionKey string
	SortKey      string // empty: none
	TTL          string // attribute with Unix seconds; empty: none
	Indexes      []Index
}

// Index is a sparse global secondary index that projects everything: an item
// without the sort key is not in it. The partition key is a string, the sort
// key a number.
type Index struct {
	Name, PartitionKey, SortKey string
}

// Rules holds one item per rule, the catalog's revision and the configuration
// rules refer to. It is small: a few hundred items.
var Rules = Table{PartitionKey: RuleName}

// Provenance holds one item per replica, at the replica's address.
var Provenance = Table{PartitionKey: Address}

// Runs holds what happened per rule: failures, runs, shards, counters.
var Runs = Table{
	PartitionKey: RunsRule,
	SortKey:      RunsItem,
	TTL:          ExpiresAt,
	Indexes:      []Index{Retries, Newest},
}

// Transfers holds the copies by parts that are under way: one item per
// destination, and beside it one per part that somebody claimed. A partition is
// one object's, so that no two get in each other's way.
var Transfers = Table{
	PartitionKey: Address,
	SortKey:      TransferItem,
	TTL:          ExpiresAt,
	Indexes:      []Index{Silent, Longest},
}

// Silent has the transfers alone, all in one partition, by when their workers
// should be heard of: there are few, and each is written every 15 seconds and
// worker at most.
var Silent = Index{Name: "silent", PartitionKey: Active, SortKey: AliveUntil}

// Longest has the transfers of each rule, by when they began: for people.
var Longest = Index{Name: "longest", PartitionKey: TransferRule, SortKey: BegunAt}

// The indexes of the runs table have its failures alone: those that are tried
// again, by when, and all of them, by when they occurred.
var (
	Retries = Index{Name: "retry", PartitionKey: RunsRule, SortKey: RetryAt}
	Newest  = Index{Name: "newest", PartitionKey: RunsRule, SortKey: OccurredAt}
)

// Attributes of the rules table. A rule's name holds no '#', so the two other
// items can never be taken for one.
const (
	RuleName = "name" // S, partition key

	// CatalogName is the item that only counts: its revision grows with every
	// change of a rule, a pause or the configuration, in the transaction that
	// makes the change. It is kept small because every event reads it.
	CatalogName = "#catalog"
	// StorageName is the item with the configuration, its rules left out.
	StorageName = "#storage"

	Document  = "document"   // S, JSON of rule.Rule or rule.Storage
	Revision  = "revision"   // N, of the document, from 1; of the catalog in its item
	Owner     = "owner"      // S, OwnerDeploy or OwnerAPI
	CreatedAt = "created_at" // N, Unix milliseconds
	Paused    = "paused"     // BOOL

	OwnerDeploy = "deploy"
	OwnerAPI    = "api"
)

// Attributes of the provenance table. The names are short because an item of
// at most 1 KB is written for one unit. All times are Unix milliseconds; a
// zero value has no attribute.
const (
	// Address is object.Ref.String(), at most 2,048 bytes. A key that is not
	// UTF-8, which DynamoDB strings cannot hold, makes it "=" and the base64
	// of the whole; no backend's name starts with "=".
	Address = "at" // S, partition key

	ItemRevision = "r"  // N, counting up from a random start
	Rule         = "w"  // S, the rule that wrote
	Run          = "wr" // N, its run that did; absent: an event did

	Adopted = "a" // BOOL, true or absent
	Lost    = "l" // L of S, what the replica could not be given

	SourceETag         = "se" // S
	SourceLastModified = "st" // N
	SourceVersionID    = "sv" // S
	SourceSequencer    = "ss" // S
	SourceRequestID    = "sr" // S

	DestETag         = "de" // S
	DestLastModified = "dt" // N
	DestVersionID    = "dv" // S

	OriginBucket       = "ob" // S, backend/bucket
	OriginKey          = "ok" // S, as Address for keys that are not UTF-8; absent where it is the replica's own
	OriginLastModified = "ot" // N
	OriginChain        = "oc" // L of S, backend/bucket

	Expired = "x" // BOOL, true or absent

	PendingHolder       = "ph" // S
	PendingSince        = "ps" // N
	PendingBegan        = "pg" // N
	PendingETag         = "pe" // S
	PendingBucket       = "pb" // S, as the origin's
	PendingKey          = "pk" // S
	PendingLastModified = "pt" // N
	PendingChain        = "pc" // L of S
)

// Attributes of every item of the runs table. Numbers in sort keys have 20
// digits, so that items sort by them.
const (
	RunsRule  = "rule"       // S, partition key
	RunsItem  = "item"       // S, sort key
	ExpiresAt = "expires_at" // N, Unix seconds
)

// Sort keys of the runs table.
const (
	JobItem     = "job"    // one per rule, and one for its verifications, kept for good
	RunPrefix   = "run#"   // and the run's number
	ShardPrefix = "shard#" // and the run's number, "#" and the shard's id
	// FailurePrefix and object.Failure.ID are a failure's: a key alone can fill
	// a sort key.
	FailurePrefix = "failure#"
	HourPrefix    = "hour#" // and the hour, as 2006-01-02T15:00:00Z
)

// Attributes of a failure.
const (
	// RetryAt and OccurredAt are in no other kind of item: they are the indexes'
	// sort keys.
	RetryAt = "retry_at" // N, Unix milliseconds; absent: nothing retries

	SourceBucket = "source_bucket" // S, backend/bucket
	SourceKey    = "source_key"    // S, as Address for keys that are not UTF-8
	DestBucket   = "dest_bucket"   // S
	DestKey      = "dest_key"      // S
	OccurredAt   = "occurred_at"   // N, Unix milliseconds
	Code         = "code"          // S
	Message      = "message"       // S
	Advice       = "advice"        // S
	FailureRun   = "run"           // N, that met it; absent: an event did
	Attempts     = "attempts"      // N, in a row
)

// Attributes of an hour, beside Copied, Bytes, Deleted and Errors of the totals.
// All are counts that are added to.
const (
	Deletes = "deletes" // N, what events of the rule were to delete in it: the limit is measured by it
	LagSum  = "lag_sum" // N, milliseconds
	// LagWithin and a bound of object.LagBounds in milliseconds is how many
	// lags were of that class; without a bound, longer than all.
	LagWithin = "lag_" // N
)

// Of a rule's limits.
const (
	BytesItem  = "limit#bytes"
	DrawnUntil = "until" // N, Unix microseconds: so far the rule's time is reserved

	PlacesItem = "limit#places"
	Claims     = "claims" // S, JSON; absent where there are none
)

// Attributes of a job. As everywhere, a zero value has no attribute.
const (
	LastRun   = "last_run"   // N
	ActiveRun = "active_run" // N
	NextDue   = "next_due"   // N, Unix milliseconds
	Retry     = "retry"      // BOOL, true or absent
	Scope     = "scope"      // S; of a run, too
)

// Attributes of a job that are sums over the runs that ended, beside Scanned,
// Copied, Deleted, Errors and Bytes of the totals.
const (
	EndedRuns  = "runs"    // N
	Since      = "since"   // N, Unix milliseconds
	SkippedSum = "skipped" // N
)

// Attributes of a run, beside its totals. Those that are marked are always
// there, zero or not.
const (
	Trigger   = "trigger"    // S
	Mode      = "mode"       // S, of a verification
	Percent   = "percent"    // N
	Existing  = "existing"   // BOOL, true or absent
	Adopt     = "adopt"      // BOOL, true or absent
	Compare   = "compare"    // S, a mode
	State     = "state"      // S, always
	RunPhase  = "phase"      // N, always
	Shards    = "shards"     // N, always
	Open      = "open"       // N, always
	StartedAt = "started_at" // N, Unix milliseconds
	EndedAt   = "ended_at"   // N, Unix milliseconds
	Expected  = "expected"   // N
	Approved  = "approved"   // BOOL, true or absent
	RunError  = "error"      // S
)

// Attributes of a shard, beside its totals. They are short because a shard is
// written at every checkpoint. Keys are kept as Address for those that are not
// UTF-8.
const (
	Children    = "n"  // N
	After       = "a"  // S, of the range
	Until       = "u"  // S, of the range
	Phase       = "p"  // N, always there
	Cursor      = "c"  // S
	Ended       = "e"  // BOOL, true or absent
	Intent      = "i"  // L of S, keys
	Partial     = "ip" // L of M, with Part...
	ShardError  = "x"  // S
	LeaseOwner  = "o"  // S
	LeasedUntil = "ou" // N, Unix milliseconds
	Fence       = "f"  // N, always there
	Tries       = "t"  // N
	SavedAt     = "sv" // N, Unix milliseconds
	SentAt      = "st" // N, Unix milliseconds
)

// Totals of a shard or a run.
const (
	Scanned    = "ts" // N
	Copied     = "tc" // N
	Deleted    = "td" // N
	Errors     = "te" // N
	Bytes      = "tb" // N
	Skipped    = "tk" // M of N, by reason
	Sources    = "to" // N
	Candidates = "tq" // N
	Held       = "th" // N
	Sample     = "tm" // L of S, keys as in a shard
	Found      = "tv" // M of N, by class, "/", reason, and what run.Grade adds
	Findings   = "tf" // L of M, with Finding...
)

// Attributes of a part of an object that was compared.
const (
	PartialKey    = "k" // S, as in a shard
	PartialSource = "s" // S
	PartialDest   = "d" // S
	PartialDone   = "n" // N
)

// Attributes of a finding of a verification.
const (
	FindingKey   = "k" // S, as in a shard
	FindingGrade = "g" // S, as in Found
	FindingWhy   = "w" // S
)

// Backends is the partition of the runs table that holds what backends were seen
// to keep, an item for each; no rule's name holds a '#'. The sort key is the
// backend's name, a space, and its endpoint. For each capability one of two
// attributes, Kept or Lacks and its name, says when it was seen (N).
const (
	Backends = "#backends"
	Kept     = "kept_"
	Lacks    = "lacks_"
)

// Sort keys of the transfers table, whose partition key is Address: that of the
// destination.
const (
	TransferItem = "item"      // S, sort key
	TheTransfer  = "transfer"  // of the transfer
	PartPrefix   = "part#"     // and the transfer's id, "#" and the part's number in 5 digits
	Active       = "active"    // S, ActiveYes in each transfer
	ActiveYes    = "yes"       //
	AliveUntil   = "alive"     // N, Unix milliseconds
	TransferID   = "id"        // S
	TransferRev  = "rev"       // N, counting up from 1
	TransferRule = "rule"      // S
	TransferRun  = "run"       // N
	FromBucket   = "from"      // S, backend/bucket
	FromKey      = "from_key"  // S, as Address for keys that are not UTF-8
	ToBucket     = "to"        // S
	ToKey        = "to_key"    // S
	DamagedETag  = "dmg_etag"  // S, of the replica; here and below: absent where that is not why
	DamagedTime  = "dmg_time"  // N, Unix milliseconds
	DamagedVer   = "dmg_ver"   // S, version id
	EventAt      = "event_at"  // N, Unix milliseconds
	Size         = "size"      // N, bytes
	PartSize     = "part_size" // N, bytes
	BegunAt      = "begun_at"  // N, Unix milliseconds
	TransferTry  = "tries"     // N
	LastError    = "error"     // S
	Opener       = "opener"    // S
	Openings     = "openings"  // L of N, Unix milliseconds
	Leftovers    = "leftovers" // L of S, upload ids

	CountedAt    = "counted_at"    // N, Unix milliseconds
	CountedParts = "counted_parts" // N
	CountedBytes = "counted_bytes" // N
	ProgressAt   = "progress_at"   // N, Unix milliseconds
	LimitsHold   = "held"          // BOOL, true or absent

	UploadID       = "upload"          // S
	UploadChecksum = "upload_checksum" // S
	UploadVersion  = "upload_version"  // S
	UploadSum      = "upload_sum"      // S
	UploadAsked    = "upload_asked"    // L of S
	UploadLost     = "upload_lost"     // L of S
)

// Attributes of a part, beside LeaseOwner, LeasedUntil, Fence and ExpiresAt.
const (
	PartETag     = "e" // S; there is one: the part is done
	PartChecksum = "c" // S
	PartCRC64    = "s" // S
)
