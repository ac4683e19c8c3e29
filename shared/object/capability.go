package object

import "time"

// Capability is a promise of S3 that not every server keeps.
type Capability string

// The capabilities. The conditions are those on the destination.
const (
	CopyConditions   Capability = "copy_conditions"   // If-Match and If-None-Match of CopyObject
	PutConditions    Capability = "put_conditions"    // those of PutObject
	DeleteConditions Capability = "delete_conditions" // If-Match of DeleteObject
	Checksums        Capability = "checksums"         // of a PutObject: checked and kept
	Tags             Capability = "tags"
	Versions         Capability = "versions" // seen at least once; each bucket has them or not
)

// CapabilityList are all of them, in the order that people read.
var CapabilityList = []Capability{CopyConditions, PutConditions, DeleteConditions, Checksums, Tags, Versions}

// Seen is when a backend was seen to keep a promise, or not to.
type Seen struct {
	Kept bool
	At   time.Time // UTC
}

// Capabilities are what a backend was seen to keep; what nobody has seen is
// missing.
type Capabilities map[Capability]Seen

// Endpoint is a backend as its capabilities are remembered: another address may
// have another server.
type Endpoint struct {
	Backend string
	URL     string
}
