package object

import "time"

// Upload is an upload by parts that was begun: the replica that it will be is
// not visible yet, and its parts take space until it is completed or aborted.
type Upload struct {
	To Ref
	ID string // the store's; unique, and never used again
	// Checksum is the algorithm of the checksums that the parts carry; empty:
	// none is asked for.
	Checksum string
	// SourceVersionID is the version whose properties the replica gets, and
	// whose bytes the parts are to have. Empty on an unversioned bucket.
	SourceVersionID string
	// SourceChecksum is the source's checksum of all bytes, "ALGORITHM:value",
	// empty where it has none.
	SourceChecksum string
	// Asked names what the replica was asked to have beside its bytes, in the
	// store's words, so that whoever completes it sees what was dropped.
	Asked []string
	// Lost is as in Copied.
	Lost []string
}

// Begun is an upload as a listing has it.
type Begun struct {
	ID string
	At time.Time
	By string // who began it, in the store's words; empty where it does not say
}

// Part asks for one part of an upload: bytes First to Last of the source, which
// must still have this tag and, where there is one, version.
type Part struct {
	From            Ref
	SourceETag      string
	SourceVersionID string
	Upload          Upload
	Number          int // from 1
	First, Last     int64
}

// PartCopied is what became of a Part.
type PartCopied struct {
	ETag string
	// Checksum is the store's own, in the algorithm of the upload; empty where
	// it has none.
	Checksum string
	// CRC64 is the CRC-64/NVME of the bytes as they went through here, "" where
	// the server copied: base64 of its eight bytes, as S3 writes it.
	CRC64 string
}

// Completion asks for the end of an upload: the replica becomes visible with
// all parts at once, if the destination still is as the copy wants it.
type Completion struct {
	Copy
	Upload Upload
	// Size of the whole, and of each part but the last.
	Size, PartSize int64
	// Parts in the order of their numbers, which begin at 1.
	Parts []PartCopied
}
